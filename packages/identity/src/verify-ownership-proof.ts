// Verifies ownership proofs: the gate that everybody passes, at enlistment and at every login.
// Knows nothing of HTTP, SASL or storage; key sets and the memory of used token ids are ports.
// Source: docs/protocol/02; RFC 8725 (JWT best practice), RFC 7800 (cnf).

import { judgeSignature } from './judge-signature.ts';
import { readJws } from './jws.ts';
import type { KeySource } from './key-source.ts';
import {
  clockSkewSeconds,
  isConfirmation,
  isNumericDate,
  isTokenId,
  isUserIdentifier,
  type OwnershipProof,
  ownershipProofType,
} from './ownership-proof.ts';
import type { ProofErrorCode } from './proof-errors.ts';
import { hasExactMembers } from './strict-json.ts';

export type { KeyLookup, KeySource } from './key-source.ts';

/** A registered issuer. The number and the keys hang on the issuer, so no provider can speak for another's users. */
export type TrustedIssuer = {
  readonly providerNumber: number;
  readonly keys: KeySource;
};

export type ProofContext = {
  /** The gatekeeper's own issuer URL. */
  readonly audience: string;
  readonly nowMs: number;
  /** `maxProofLifetimeSeconds[transport]`. */
  readonly maxLifetimeSeconds: number;
  /** Registered issuers that are live, by exact `iss`; `undefined` for all others. No I/O. */
  readonly issuers: (iss: string) => TrustedIssuer | undefined;
  /**
   * Takes a token id: true for exactly one caller, over all nodes, until `expiresAtMs` (the proof's end plus the
   * forgiven skew: as long as the proof could be accepted). Called once, only when everything else was verified.
   */
  readonly takeProofId: (id: ProofId) => Promise<boolean>;
  /**
   * Whether this is a device of that person, whatever is proven. Asked while the issuer's keys are not at hand: such a device
   * hears it, and a stranger hears that the key is unknown. Everybody is told when left out. Never rejects.
   */
  readonly knowsDevice?: (claimed: ClaimedDevice) => Promise<boolean>;
};

export type ClaimedDevice = { readonly providerNumber: number; readonly subject: string; readonly jkt: string };

export type ProofId = { readonly issuer: string; readonly jti: string; readonly expiresAtMs: number };

export type ProofVerdict =
  | { readonly kind: 'verified'; readonly proof: OwnershipProof }
  | { readonly kind: 'refused'; readonly code: ProofErrorCode };

const requiredClaims = ['iss', 'sub', 'aud', 'iat', 'exp', 'jti', 'cnf'];

/**
 * Verifies one proof and uses it up.
 *
 * Cheap checks come first, the issuer's keys are asked for only when all claims are right (a key id that is unknown
 * may cause a fetch), and the token id is taken last, so that nobody can use up another's proof with a broken copy.
 * The caller compares `proof.jkt` with the key that the transport has proven. Never rejects.
 */
export async function verifyOwnershipProof(token: string, context: ProofContext): Promise<ProofVerdict> {
  const jws = readJws(token, ownershipProofType);
  if (jws.kind === 'refused') return jws;
  const { iss, sub, aud, iat, exp, jti, cnf, region } = jws.claims;
  if (!hasExactMembers(jws.claims, requiredClaims, ['region'])) return refused('claim-set-refused');
  const trusted = typeof iss === 'string' ? context.issuers(iss) : undefined;
  if (typeof iss !== 'string' || trusted === undefined) return refused('issuer-unknown');
  if (aud !== context.audience) return refused('audience-refused');
  if (!isNumericDate(iat) || !isNumericDate(exp) || exp <= iat) return refused('times-refused');
  if (exp - iat > context.maxLifetimeSeconds) return refused('lifetime-too-long');
  if (iat * 1000 > context.nowMs + clockSkewSeconds * 1000) return refused('issued-in-future');
  const usableUntilMs = (exp + clockSkewSeconds) * 1000;
  if (context.nowMs >= usableUntilMs) return refused('expired');
  if (!isUserIdentifier(sub)) return refused('subject-refused');
  if (!isTokenId(jti)) return refused('token-id-refused');
  if (!isConfirmation(cnf)) return refused('key-binding-refused');
  if (region !== undefined && region !== 'covered') return refused('region-refused');

  const { providerNumber } = trusted;
  const signature = await judgeSignature(jws, trusted.keys);
  if (signature.kind === 'refused') return signature;
  if (signature.kind === 'unavailable') {
    const isStranger =
      !signature.isTheirs && (await context.knowsDevice?.({ providerNumber, subject: sub, jkt: cnf.jkt })) === false;
    return refused(isStranger ? 'key-unknown' : 'key-set-unavailable');
  }
  const { key } = signature;

  let taken: boolean;
  try {
    taken = await context.takeProofId({ issuer: iss, jti, expiresAtMs: usableUntilMs });
  } catch {
    return refused('replay-check-failed');
  }
  if (!taken) return refused('replayed');
  return {
    kind: 'verified',
    proof: {
      issuer: iss,
      providerNumber,
      subject: sub,
      jkt: cnf.jkt,
      kid: key.kid,
      keyThumbprint: key.thumbprint,
      issuedAtMs: iat * 1000,
      expiresAtMs: exp * 1000,
      ...(region === undefined ? {} : { region }),
    },
  };
}

function refused(code: ProofErrorCode): ProofVerdict {
  return { kind: 'refused', code };
}
