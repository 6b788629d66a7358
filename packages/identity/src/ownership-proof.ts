// What an ownership proof says: a provider's word that the holder of one device key owns one user-visible identifier.
// Knows nothing of signatures, key sets or transports.
// Source: docs/protocol/01 and 02.

import { isThumbprint } from './jwk.ts';

/** The `typ` of every ownership proof. */
export const ownershipProofType = 'interop+jwt';

/** Clocks of provider and gatekeeper may differ by this much, both ways. */
export const clockSkewSeconds = 60;

/** Where a proof is shown. */
export type ProofTransport = 'xmpp' | 'compact' | 'http';

/** The longest life a gatekeeper accepts, by transport: standard XMPP carries the proof unbound, so it is short. */
export const maxProofLifetimeSeconds: Readonly<Record<ProofTransport, number>> = { xmpp: 120, compact: 600, http: 600 };

/** The life a provider gives its proofs: half of what is accepted, except where that is short already. */
export const issuedProofLifetimeSeconds: Readonly<Record<ProofTransport, number>> = {
  xmpp: 120,
  compact: 300,
  http: 300,
};

/** What a verified proof proves. Compare `jkt` with the thumbprint of the key that the transport has proven. */
export type OwnershipProof = {
  readonly issuer: string;
  /** 1..65535, or 0 for the gatekeeper's own users; from the registry, never from the token. */
  readonly providerNumber: number;
  /** The user-visible identifier. Personal data: never logged. */
  readonly subject: string;
  /** RFC 7638 SHA-256 thumbprint of the device's X25519 key. */
  readonly jkt: string;
  /** The id of the issuer's key that signed it. */
  readonly kid: string;
  /** The key itself: another key may come under the same `kid`. */
  readonly keyThumbprint: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
  /** The provider's statement that the person is in a covered region. */
  readonly region?: 'covered';
};

/** What an issuer states. Times are whole seconds since 1970. */
export type OwnershipProofClaims = {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  readonly jkt: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
  /** 16..64 characters of base64url with at least 96 random bits; never used again. */
  readonly jti: string;
  readonly region?: 'covered';
};

// What a reader can't see or an XML stream can't carry: two names that look alike must be one name. U+FFF9-FFFB are
// invisible annotation marks that Unicode does not count as default-ignorable.
const unsafeInIdentifier =
  /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\uFFF9-\uFFFB]/u;
const spaceAtEnd = /^\p{White_Space}|\p{White_Space}$/u;

/**
 * True for a user-visible identifier (docs/protocol/01): 1..128 characters (code points) in normal form C, without
 * control, bidi-control, line-separator, invisible (zero-width and other default-ignorable) or noncharacter code points
 * and without space at either end. Issuers, directories, enlistment and wake-ups all ask this one function.
 */
export function isUserIdentifier(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > 256) return false;
  return (
    value.isWellFormed() &&
    !unsafeInIdentifier.test(value) &&
    !spaceAtEnd.test(value) &&
    value.normalize('NFC') === value &&
    Array.from(value).length <= 128
  );
}

/** True for the syntax of a `jti`: 16..64 characters of base64url. */
export function isTokenId(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{16,64}$/.test(value);
}

/** True for `{jkt}` and nothing else (RFC 7800 section 3.1, RFC 9449 section 6.1). */
export function isConfirmation(value: unknown): value is { readonly jkt: string } {
  if (typeof value !== 'object' || value === null) return false;
  const names = Object.keys(value);
  return names.length === 1 && names[0] === 'jkt' && isThumbprint((value as { jkt: unknown }).jkt);
}

/** True for whole seconds since 1970 that fit every date. */
export function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= 253_402_300_799;
}
