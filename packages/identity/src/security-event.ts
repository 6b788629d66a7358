// Security event tokens: how gatekeeper and provider tell each other what happened to a person, or to the provider.
// Knows nothing of HTTP, queues or who the person is; what events there are: security-event-kinds.ts.
// Source: docs/protocol/03 (Wake-up), 10 section 10.5; RFC 8417 (SET), RFC 8935 section 2.4 (errors), RFC 9493 (subject
// identifiers).

import assert from 'node:assert/strict';
import type { SigningKey } from './jwk.ts';
import { judgeSignature, type SignatureErrorCode } from './judge-signature.ts';
import { type JwsErrorCode, readJws, signJws } from './jws.ts';
import { clockSkewSeconds, isNumericDate, isTokenId, isUserIdentifier } from './ownership-proof.ts';
import { isAboutProvider, isEventPayload, readSingleEvent, type SecurityEventKind } from './security-event-kinds.ts';
import { hasExactMembers, isJsonObject, type JsonObject } from './strict-json.ts';
import type { KeySource, ProofId } from './verify-ownership-proof.ts';

/** The `typ` of every security event token. */
export const securityEventType = 'secevent+jwt';

export { maxTokenBytes as maxSecurityEventBytes } from './jws.ts';

/** A token is taken for this long after it was issued: enough for retries, short enough to remember every id. */
export const maxSecurityEventAgeSeconds = 600;

export type { SecurityEventKind } from './security-event-kinds.ts';

const wakeUp = 'urn:drawbridge:event:wake-up';

export type SecurityEventClaims = {
  readonly issuer: string;
  readonly audience: string;
  /** 16..64 characters of base64url; the same for every retry of one event. */
  readonly jti: string;
  readonly issuedAtSeconds: number;
  /** The user-visible identifier (`sub_id` in the `opaque` format), or the provider's issuer URL (`uri`), as the event needs. */
  readonly subject: string;
  readonly event: SecurityEventKind;
  /** When it happened (`toe`): the same for every retry. Needed but for wake-ups, which have none. */
  readonly occurredAtMs?: number;
  /** What the event says; nothing when left out. */
  readonly payload?: JsonObject;
};

export type SecurityEvent = {
  readonly issuer: string;
  readonly jti: string;
  readonly issuedAtMs: number;
  /** When it happened; of a wake-up, when its token was issued. */
  readonly occurredAtMs: number;
  /** No token of this id is taken after that. */
  readonly usableUntilMs: number;
  /** A person's identifier is personal data: never logged. */
  readonly subject: string;
  readonly event: SecurityEventKind;
  readonly payload: JsonObject;
};

export type SecurityEventContext = {
  /** Exactly this `iss`. */
  readonly issuer: string;
  /** Exactly this `aud`. */
  readonly audience: string;
  readonly keys: KeySource;
  readonly nowMs: number;
  /** What the receiver takes; all others are refused. */
  readonly accepts: readonly SecurityEventKind[];
  /**
   * The provider that events are about or come from: the only subject of events about a provider. Left out: none are
   * taken.
   */
  readonly provider?: string;
  /**
   * True for the first caller with this id until `expiresAtMs`. Called last. Left out: the caller uses the event up itself,
   * together with what it does.
   */
  readonly takeEventId?: (id: ProofId, event: SecurityEvent) => Promise<boolean>;
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
  | 'key-set-unavailable'
  | SignatureErrorCode
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
  'times-refused': {
    err: 'invalid_request',
    retry: false,
    text: 'iat is not within the last 10 minutes, or toe is ahead.',
  },
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

/** The issuer that a token names, before anything of it is proven: whose keys to ask for. */
export function claimedIssuer(token: string): string | undefined {
  const jws = readJws(token, securityEventType);
  const issuer = jws.kind === 'refused' ? undefined : jws.claims['iss'];
  return typeof issuer === 'string' ? issuer : undefined;
}

/** Signs one event. Claims that no receiver would take are a defect of the caller and throw. */
export async function issueSecurityEvent(key: SigningKey, claims: SecurityEventClaims): Promise<string> {
  const { subject, event, payload = {}, occurredAtMs } = claims;
  const isOfProvider = isAboutProvider(event);
  assert(isOfProvider || isUserIdentifier(subject), 'the subject is a user-visible identifier');
  assert(isTokenId(claims.jti), 'jti has 16 to 64 characters of base64url');
  assert(isNumericDate(claims.issuedAtSeconds), 'iat is whole seconds');
  assert((occurredAtMs === undefined) === (event === wakeUp), 'all events but wake-ups say when they occurred');
  assert(isEventPayload(event, payload), 'the event says what it may say');
  return signJws(key, securityEventType, {
    iss: claims.issuer,
    aud: claims.audience,
    jti: claims.jti,
    iat: claims.issuedAtSeconds,
    ...(occurredAtMs === undefined ? {} : { toe: Math.floor(occurredAtMs) / 1000 }),
    sub_id: isOfProvider ? { format: 'uri', uri: subject } : { format: 'opaque', id: subject },
    events: { [event]: payload },
  });
}

type Refused = { readonly kind: 'refused'; readonly code: SecurityEventErrorCode };

/** Verifies one event as strictly as an ownership proof, and uses it up. Never rejects. */
export async function verifySecurityEvent(
  token: string,
  context: SecurityEventContext,
): Promise<{ readonly kind: 'verified'; readonly event: SecurityEvent } | Refused> {
  const jws = readJws(token, securityEventType);
  if (jws.kind === 'refused') return jws;
  const read = readClaims(jws.claims, context);
  if (read.kind === 'refused') return read;
  const signature = await judgeSignature(jws, context.keys);
  if (signature.kind === 'refused') return signature;
  if (signature.kind === 'unavailable') return refused('key-set-unavailable');
  const { event } = read;
  try {
    const id = { issuer: event.issuer, jti: event.jti, expiresAtMs: event.usableUntilMs };
    if (context.takeEventId !== undefined && !(await context.takeEventId(id, event))) return refused('repeated');
  } catch {
    return refused('replay-check-failed');
  }
  return { kind: 'verified', event };
}

function readClaims(
  claims: JsonObject,
  context: SecurityEventContext,
): { readonly kind: 'read'; readonly event: SecurityEvent } | Refused {
  const { iss, aud, jti, iat, toe, sub_id: subjectId, events } = claims;
  if (!hasExactMembers(claims, ['iss', 'aud', 'jti', 'iat', 'sub_id', 'events'], ['toe']))
    return refused('claim-set-refused');
  if (iss !== context.issuer) return refused('issuer-unknown');
  if (aud !== context.audience) return refused('audience-refused');
  if (!isNumericDate(iat)) return refused('times-refused');
  const usableUntilMs = (iat + maxSecurityEventAgeSeconds) * 1000;
  const latestMs = context.nowMs + clockSkewSeconds * 1000;
  if (iat * 1000 > latestMs || context.nowMs >= usableUntilMs) return refused('times-refused');
  const occurredAtMs = toe === undefined ? iat * 1000 : millisecondsOf(toe);
  // One that was still to come would have every later event of its subject passed over.
  if (occurredAtMs === undefined || occurredAtMs > latestMs) return refused('times-refused');
  if (!isTokenId(jti)) return refused('token-id-refused');
  const single = readSingleEvent(events, context.accepts);
  if (single === undefined) return refused('event-refused');
  const { kind: event, payload } = single;
  const subject = readSubject(subjectId, isAboutProvider(event), context.provider);
  if (subject === undefined) return refused('subject-refused');
  if ((toe === undefined) !== (event === wakeUp)) return refused('claim-set-refused');
  const issuedAtMs = iat * 1000;
  return {
    kind: 'read',
    event: { issuer: context.issuer, jti, issuedAtMs, occurredAtMs, usableUntilMs, subject, event, payload },
  };
}

/** A NumericDate of RFC 7519, which may have a fraction. */
function millisecondsOf(value: unknown): number | undefined {
  return typeof value === 'number' && isNumericDate(Math.floor(value)) ? Math.round(value * 1000) : undefined;
}

function readSubject(subjectId: unknown, isOfProvider: boolean, provider: string | undefined): string | undefined {
  if (!isJsonObject(subjectId)) return undefined;
  if (isOfProvider) {
    const { format, uri } = subjectId;
    const isThisOne = hasExactMembers(subjectId, ['format', 'uri']) && format === 'uri' && uri === provider;
    return isThisOne ? provider : undefined;
  }
  const { format, id } = subjectId;
  if (!hasExactMembers(subjectId, ['format', 'id']) || format !== 'opaque') return undefined;
  return isUserIdentifier(id) ? id : undefined;
}

function refused(code: SecurityEventErrorCode): Refused {
  return { kind: 'refused', code };
}
