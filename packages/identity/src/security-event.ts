// Security event tokens: how a gatekeeper tells a provider that one of its people should wake up, and nothing else.
// Knows nothing of HTTP, queues or who the person is.
// Source: docs/protocol/03 (Wake-up); RFC 8417 (SET), RFC 8935 section 2.4 (errors), RFC 9493 (subject identifiers).

import assert from 'node:assert/strict';
import type { SigningKey } from './jwk.ts';
import { isSignedBy, type JwsErrorCode, readJws, signJws } from './jws.ts';
import { clockSkewSeconds, isNumericDate, isTokenId, isUserIdentifier } from './ownership-proof.ts';
import { hasExactMembers, isJsonObject } from './strict-json.ts';
import type { KeySource, ProofId } from './verify-ownership-proof.ts';

/** The `typ` of every security event token. */
export const securityEventType = 'secevent+jwt';

/** A token is taken for this long after it was issued: enough for retries, short enough to remember every id. */
export const maxSecurityEventAgeSeconds = 600;

/** The closed list of events. */
export type SecurityEventKind = 'urn:drawbridge:event:wake-up';

const kinds: readonly string[] = ['urn:drawbridge:event:wake-up'] satisfies SecurityEventKind[];

export type SecurityEventClaims = {
  readonly issuer: string;
  readonly audience: string;
  /** 16..64 characters of base64url; the same for every retry of one event. */
  readonly jti: string;
  readonly issuedAtSeconds: number;
  /** The user-visible identifier, `sub_id` in the `opaque` format. */
  readonly subject: string;
  readonly event: SecurityEventKind;
};

export type SecurityEvent = {
  readonly issuer: string;
  readonly jti: string;
  readonly issuedAtMs: number;
  /** Personal data: never logged. */
  readonly subject: string;
  readonly event: SecurityEventKind;
};

export type SecurityEventContext = {
  /** Exactly this `iss`. */
  readonly issuer: string;
  /** Exactly this `aud`. */
  readonly audience: string;
  readonly keys: KeySource;
  readonly nowMs: number;
  /** True for the first caller with this id until `expiresAtMs`. Called last. */
  readonly takeEventId: (id: ProofId, subject: string) => Promise<boolean>;
};

export type SecurityEventErrorCode =
  | JwsErrorCode
  | 'claim-set-refused'
  | 'issuer-unknown'
  | 'audience-refused'
  | 'times-refused'
  | 'token-id-refused'
  | 'subject-refused'
  | 'event-refused'
  | 'key-unknown'
  | 'key-set-unavailable'
  | 'algorithm-key-mismatch'
  | 'signature-refused'
  | 'repeated'
  | 'replay-check-failed';

/**
 * For each code the answer of RFC 8935 section 2.4. `repeated` is not an error towards the transmitter: it has retried what
 * had arrived, and learns that it has. `retry` codes are answered with 503, so that the transmitter tries again.
 */
export const securityEventErrors: Readonly<
  Record<SecurityEventErrorCode, { readonly err: string; readonly retry: boolean; readonly text: string }>
> = {
  'too-large': { err: 'invalid_request', retry: false, text: 'The token is longer than 8,192 bytes.' },
  'not-compact': { err: 'invalid_request', retry: false, text: 'Not a compact JWS.' },
  'encoding-refused': { err: 'invalid_request', retry: false, text: 'Encoding refused.' },
  'json-refused': { err: 'invalid_request', retry: false, text: 'JSON refused.' },
  'header-refused': { err: 'invalid_request', retry: false, text: 'The header is not exactly alg, kid and typ.' },
  'type-refused': { err: 'invalid_request', retry: false, text: 'typ is not secevent+jwt.' },
  'algorithm-refused': { err: 'invalid_key', retry: false, text: 'alg is neither ES256 nor EdDSA.' },
  'claim-set-refused': { err: 'invalid_request', retry: false, text: 'The claims are not exactly the specified ones.' },
  'issuer-unknown': { err: 'invalid_issuer', retry: false, text: 'iss is not the registered gatekeeper.' },
  'audience-refused': { err: 'invalid_audience', retry: false, text: 'aud is not this provider.' },
  'times-refused': { err: 'invalid_request', retry: false, text: 'iat is not within the last 10 minutes.' },
  'token-id-refused': { err: 'invalid_request', retry: false, text: 'jti refused.' },
  'subject-refused': { err: 'invalid_request', retry: false, text: 'sub_id refused.' },
  'event-refused': { err: 'invalid_request', retry: false, text: 'Not exactly one known event.' },
  'key-unknown': { err: 'invalid_key', retry: false, text: 'The key cannot be used.' },
  'key-set-unavailable': { err: 'invalid_key', retry: true, text: 'The key set cannot be fetched at the moment.' },
  'algorithm-key-mismatch': { err: 'invalid_key', retry: false, text: 'The key cannot be used.' },
  'signature-refused': { err: 'invalid_key', retry: false, text: 'The signature is wrong.' },
  repeated: { err: '', retry: false, text: 'Taken before.' },
  'replay-check-failed': { err: 'invalid_request', retry: true, text: 'Try again.' },
};

/** Signs one event. Claims that no receiver would take are a defect of the caller and throw. */
export async function issueSecurityEvent(key: SigningKey, claims: SecurityEventClaims): Promise<string> {
  assert(isUserIdentifier(claims.subject), 'the subject is a user-visible identifier');
  assert(isTokenId(claims.jti), 'jti has 16 to 64 characters of base64url');
  assert(isNumericDate(claims.issuedAtSeconds), 'iat is whole seconds');
  return signJws(key, securityEventType, {
    iss: claims.issuer,
    aud: claims.audience,
    jti: claims.jti,
    iat: claims.issuedAtSeconds,
    sub_id: { format: 'opaque', id: claims.subject },
    events: { [claims.event]: {} },
  });
}

/** Verifies one event as strictly as an ownership proof, and uses it up. Never rejects. */
export async function verifySecurityEvent(
  token: string,
  context: SecurityEventContext,
): Promise<
  | { readonly kind: 'verified'; readonly event: SecurityEvent }
  | { readonly kind: 'refused'; readonly code: SecurityEventErrorCode }
> {
  const jws = readJws(token, securityEventType);
  if (jws.kind === 'refused') return jws;
  const { iss, aud, jti, iat, sub_id: subjectId, events } = jws.claims;
  if (!hasExactMembers(jws.claims, ['iss', 'aud', 'jti', 'iat', 'sub_id', 'events']))
    return refused('claim-set-refused');
  if (iss !== context.issuer) return refused('issuer-unknown');
  if (aud !== context.audience) return refused('audience-refused');
  if (!isNumericDate(iat)) return refused('times-refused');
  const usableUntilMs = (iat + maxSecurityEventAgeSeconds) * 1000;
  const startsAtMs = (iat - clockSkewSeconds) * 1000;
  if (context.nowMs < startsAtMs || context.nowMs >= usableUntilMs) return refused('times-refused');
  if (!isTokenId(jti)) return refused('token-id-refused');
  if (!isJsonObject(subjectId) || !hasExactMembers(subjectId, ['format', 'id'])) return refused('subject-refused');
  const { format, id: subject } = subjectId;
  if (format !== 'opaque' || !isUserIdentifier(subject)) return refused('subject-refused');
  const event = isJsonObject(events) ? singleEvent(events) : undefined;
  if (event === undefined) return refused('event-refused');

  const found = await context.keys.findKey(jws.kid);
  if (found.kind === 'unavailable') return refused('key-set-unavailable');
  if (found.kind === 'unknown') return refused('key-unknown');
  if (found.key.algorithm !== jws.algorithm) return refused('algorithm-key-mismatch');
  if (!isSignedBy(jws, found.key)) return refused('signature-refused');
  try {
    const taken = await context.takeEventId({ issuer: context.issuer, jti, expiresAtMs: usableUntilMs }, subject);
    if (!taken) return refused('repeated');
  } catch {
    return refused('replay-check-failed');
  }
  return { kind: 'verified', event: { issuer: context.issuer, jti, issuedAtMs: iat * 1000, subject, event } };
}

/** Exactly one event of the list, with an empty payload. */
function singleEvent(events: { readonly [name: string]: unknown }): SecurityEventKind | undefined {
  const [name, ...more] = Object.keys(events);
  if (name === undefined || more.length > 0 || !kinds.includes(name)) return undefined;
  const payload = events[name];
  return isJsonObject(payload) && Object.keys(payload).length === 0 ? (name as SecurityEventKind) : undefined;
}

function refused(code: SecurityEventErrorCode): { readonly kind: 'refused'; readonly code: SecurityEventErrorCode } {
  return { kind: 'refused', code };
}
