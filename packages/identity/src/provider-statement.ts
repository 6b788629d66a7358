// What a provider says to a gatekeeper about itself, signed with a key of its issuer: it applies, asks how it stands, accepts
// an agreement, leaves. The signature proves the keys; the keys are fetched from the issuer, which proves the domain.
// Knows nothing of HTTP, storage or what is decided.
// Source: docs/protocol/10 section 10.6; RFC 7515, RFC 8725.
import assert from 'node:assert/strict';
import { judgeSignature, type SignatureErrorCode } from './judge-signature.ts';
import { type JwsErrorCode, readJws, signJws } from './jws.ts';
import type { SigningKey } from './jwk.ts';
import { clockSkewSeconds, isNumericDate, isTokenId } from './ownership-proof.ts';
import { hasExactMembers, isJsonObject } from './strict-json.ts';
import type { KeySource, ProofId } from './verify-ownership-proof.ts';

export const providerStatementType = 'drawbridge-provider+jwt';

/** A statement is taken for this long after it was signed. */
export const maxStatementAgeSeconds = 300;

/** Named limits of chapter 10. */
export const applicationLimits = {
  keySetOrigins: 4,
  mediaOrigins: 16,
  suites: 16,
  regions: 64,
  urlLength: 512,
  contactLength: 200,
} as const;

export type AgreementRef = { readonly version: number; readonly digest: string };

/** What a provider applies with. */
export type ApplicationTerms = {
  /** DNS name that people see; the host of the issuer. */
  readonly name: string;
  readonly keySetOrigins: readonly string[];
  readonly mediaOrigins: readonly string[];
  readonly wakeUpUrl?: string;
  /** Where events are posted (section 10.5), and wake-ups, when these have no place of their own. */
  readonly eventsUrl?: string;
  readonly suites: readonly string[];
  /** Where its people are, in its own words of ISO 3166 or `EEA`; declared, never measured. */
  readonly regions: readonly string[];
  readonly contact: { readonly name: string; readonly email: string; readonly security?: string };
};

export type ProviderAct =
  | { readonly act: 'apply'; readonly application: ApplicationTerms; readonly agreement: AgreementRef }
  | { readonly act: 'status' }
  | { readonly act: 'accept'; readonly agreement: AgreementRef }
  | { readonly act: 'leave'; readonly reason: string };

export type ProviderStatement = ProviderAct & { readonly issuer: string };

export type ProviderStatementClaims = ProviderStatement & {
  readonly audience: string;
  readonly jti: string;
  readonly issuedAtSeconds: number;
};

export type StatementErrorCode =
  | JwsErrorCode
  | 'claim-set-refused'
  | 'issuer-refused'
  | 'audience-refused'
  | 'times-refused'
  | 'token-id-refused'
  | 'terms-refused'
  | 'key-set-unavailable'
  | SignatureErrorCode
  | 'repeated';

export type StatementContext = {
  /** The gatekeeper's own issuer URL. */
  readonly audience: string;
  readonly nowMs: number;
  /** The keys of an issuer that nobody may know yet; undefined when its URL is not one to ask. Called after all claims. */
  readonly keysOf: (statement: ProviderStatement) => KeySource | undefined;
  /** True for the first caller with this id. Called last. */
  readonly takeId: (id: ProofId) => Promise<boolean>;
};

/** Signs one statement. Claims that no gatekeeper would take are a defect of the caller and throw. */
export function issueProviderStatement(key: SigningKey, claims: ProviderStatementClaims): string {
  const { issuer, audience, jti, issuedAtSeconds, ...act } = claims;
  assert(isTokenId(jti), 'jti has 16 to 64 characters of base64url');
  assert(isNumericDate(issuedAtSeconds), 'iat is whole seconds');
  assert(readAct(act) !== undefined, 'the act is well-formed');
  return signJws(key, providerStatementType, { iss: issuer, aud: audience, iat: issuedAtSeconds, jti, ...act });
}

/** Verifies one statement and uses it up. Rejects only as `takeId` does. */
export async function verifyProviderStatement(
  token: string,
  context: StatementContext,
): Promise<
  | { readonly kind: 'verified'; readonly statement: ProviderStatement }
  | { readonly kind: 'refused'; readonly code: StatementErrorCode }
> {
  const jws = readJws(token, providerStatementType);
  if (jws.kind === 'refused') return jws;
  const { iss, aud, iat, jti, ...rest } = jws.claims;
  if (typeof iss !== 'string' || iss.length > applicationLimits.urlLength) return refused('issuer-refused');
  if (aud !== context.audience) return refused('audience-refused');
  if (!isNumericDate(iat)) return refused('times-refused');
  const usableUntilMs = (iat + maxStatementAgeSeconds + clockSkewSeconds) * 1000;
  if (context.nowMs < (iat - clockSkewSeconds) * 1000 || context.nowMs >= usableUntilMs)
    return refused('times-refused');
  if (!isTokenId(jti)) return refused('token-id-refused');
  const act = readAct(rest);
  if (act === undefined) return refused(isJsonObject(rest['application']) ? 'terms-refused' : 'claim-set-refused');
  const statement = { ...act, issuer: iss };
  const keys = context.keysOf(statement);
  if (keys === undefined) return refused('issuer-refused');
  const signature = await judgeSignature(jws, keys);
  if (signature.kind === 'refused') return signature;
  if (signature.kind === 'unavailable') return refused('key-set-unavailable');
  // In a space of its own: no proof's id is used up by a statement.
  const taken = await context.takeId({ issuer: `statement ${iss}`, jti, expiresAtMs: usableUntilMs });
  return taken ? { kind: 'verified', statement } : refused('repeated');
}

function readAct(value: object): ProviderAct | undefined {
  if (!isJsonObject(value)) return undefined;
  const { act, application, agreement, reason } = value;
  switch (act) {
    case 'apply':
      if (!hasExactMembers(value, ['act', 'application', 'agreement'])) return undefined;
      return isTerms(application) && isAgreementRef(agreement) ? { act, application, agreement } : undefined;
    case 'status':
      return hasExactMembers(value, ['act']) ? { act } : undefined;
    case 'accept':
      return hasExactMembers(value, ['act', 'agreement']) && isAgreementRef(agreement) ? { act, agreement } : undefined;
    case 'leave':
      return hasExactMembers(value, ['act', 'reason']) && isLine(reason, 500) ? { act, reason } : undefined;
    default:
      return undefined;
  }
}

function isAgreementRef(value: unknown): value is AgreementRef {
  if (!isJsonObject(value) || !hasExactMembers(value, ['version', 'digest'])) return false;
  const { version, digest } = value;
  return (
    Number.isSafeInteger(version) && Number(version) > 0 && isLine(digest, 43) && /^[A-Za-z0-9_-]{43}$/.test(digest)
  );
}

function isTerms(value: unknown): value is ApplicationTerms {
  const needed = ['name', 'keySetOrigins', 'mediaOrigins', 'suites', 'regions', 'contact'];
  if (!isJsonObject(value) || !hasExactMembers(value, needed, ['wakeUpUrl', 'eventsUrl'])) return false;
  const { name, keySetOrigins, mediaOrigins, wakeUpUrl, eventsUrl, suites, regions, contact } = value;
  const { urlLength, contactLength } = applicationLimits;
  if (!isJsonObject(contact) || !hasExactMembers(contact, ['name', 'email'], ['security'])) return false;
  return (
    isLine(name, 253) &&
    isList(keySetOrigins, applicationLimits.keySetOrigins, urlLength) &&
    isList(mediaOrigins, applicationLimits.mediaOrigins, urlLength) &&
    [wakeUpUrl, eventsUrl].every(each => each === undefined || isLine(each, urlLength)) &&
    isList(suites, applicationLimits.suites, 32) &&
    suites.length > 0 &&
    isList(regions, applicationLimits.regions, 16) &&
    [contact['name'], contact['email'], contact['security'] ?? '-'].every(each => isLine(each, contactLength))
  );
}

function isList(value: unknown, maxCount: number, maxLength: number): value is readonly string[] {
  return Array.isArray(value) && value.length <= maxCount && value.every(each => isLine(each, maxLength));
}

/** One line of text that can be shown. */
function isLine(value: unknown, maxLength: number): value is string {
  return (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= maxLength &&
    value.isWellFormed() &&
    !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)
  );
}

function refused(code: StatementErrorCode): { readonly kind: 'refused'; readonly code: StatementErrorCode } {
  return { kind: 'refused', code };
}
