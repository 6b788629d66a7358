// A gatekeeper's reference offer, signed with its long-term key: what a client, a provider or an auditor can keep and show.
// Knows nothing of what an offer says.
// Source: docs/protocol/03 (Reference offer); RFC 7515, RFC 8037.
import type { KeyObject } from 'node:crypto';
import type { SigningKey } from './jwk.ts';
import { isSignedBy, readJws, signJws } from './jws.ts';
import { isNumericDate } from './ownership-proof.ts';
import { hasExactMembers, isJsonObject, type JsonObject } from './strict-json.ts';

export const signedOfferType = 'drawbridge-offer+jwt';
/** The longest signed offer that is looked at. */
export const maxSignedOfferBytes = 1024 * 1024;

/** The key is named by itself: base64url of its 32 bytes, as clients pin it. */
export function signOffer(key: SigningKey, offer: JsonObject, issuer: string, issuedAtSeconds: number): string {
  return signJws(key, signedOfferType, { iss: issuer, iat: issuedAtSeconds, offer });
}

export type SignedOffer = { readonly issuer: string; readonly issuedAtSeconds: number; readonly offer: JsonObject };

/** The offer, when this key has signed it for the issuer that it names itself; undefined otherwise. */
export function verifySignedOffer(token: string, publicKey: KeyObject): SignedOffer | undefined {
  const jws = readJws(token, signedOfferType, maxSignedOfferBytes);
  if (jws.kind === 'refused' || !hasExactMembers(jws.claims, ['iss', 'iat', 'offer'])) return undefined;
  const { iss, iat, offer } = jws.claims;
  if (typeof iss !== 'string' || !isNumericDate(iat) || !isJsonObject(offer) || offer['issuer'] !== iss)
    return undefined;
  const key = { kid: jws.kid, thumbprint: '', algorithm: 'EdDSA', publicKey } as const;
  return isSignedBy(jws, key) ? { issuer: iss, issuedAtSeconds: iat, offer } : undefined;
}
