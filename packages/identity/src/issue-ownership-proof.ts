// Signs ownership proofs. Knows nothing of users, sessions, clocks or randomness: they are the caller's.
// Source: docs/protocol/02.

import assert from 'node:assert/strict';
import type { SigningKey } from './jwk.ts';
import { isThumbprint } from './jwk.ts';
import { signJws } from './jws.ts';
import {
  isNumericDate,
  isTokenId,
  isUserIdentifier,
  maxProofLifetimeSeconds,
  type OwnershipProofClaims,
  ownershipProofType,
} from './ownership-proof.ts';

/**
 * Signs one proof, as a compact JWS.
 *
 * The claims are the caller's own and were checked at its edge: claims that no gatekeeper would take are a defect of
 * the caller and throw. A promise, so that a key may some day live in another process.
 */
export async function issueOwnershipProof(key: SigningKey, claims: OwnershipProofClaims): Promise<string> {
  const { issuedAtSeconds: iat, expiresAtSeconds: exp } = claims;
  assert(isUserIdentifier(claims.subject), 'the subject is a user-visible identifier');
  assert(isTokenId(claims.jti), 'jti has 16 to 64 characters of base64url');
  assert(isThumbprint(claims.jkt), 'jkt is a SHA-256 thumbprint');
  assert(isNumericDate(iat) && isNumericDate(exp) && exp > iat, 'exp comes after iat, in whole seconds');
  assert(exp - iat <= maxProofLifetimeSeconds.compact, 'a proof lives for 600 s at most');
  return signJws(key, ownershipProofType, {
    iss: claims.issuer,
    sub: claims.subject,
    aud: claims.audience,
    iat,
    exp,
    jti: claims.jti,
    cnf: { jkt: claims.jkt },
    ...(claims.region === undefined ? {} : { region: claims.region }),
  });
}
