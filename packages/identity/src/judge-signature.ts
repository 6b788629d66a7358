// Whether a token is signed by a key of the one who is said to have made it, as far as their keys are at hand.
// Knows nothing of claims. Source: docs/protocol/02 (Keys); threat 6 of docs/threat-model.md.
import type { VerificationKey } from './jwk.ts';
import { isSignedBy, type UnverifiedJws } from './jws.ts';
import type { KeySource } from './key-source.ts';

export type SignatureErrorCode = 'key-unknown' | 'algorithm-key-mismatch' | 'signature-refused';

export type SignatureVerdict =
  | { readonly kind: 'signed'; readonly key: VerificationKey }
  | { readonly kind: 'refused'; readonly code: SignatureErrorCode }
  /** No key set is at hand that may still be used. `isTheirs`: a key of the last one has signed it. */
  | { readonly kind: 'unavailable'; readonly isTheirs: boolean };

/** Never rejects. */
export async function judgeSignature(jws: UnverifiedJws, keys: KeySource): Promise<SignatureVerdict> {
  const found = await keys.findKey(jws.kid);
  if (found.kind === 'unknown') return { kind: 'refused', code: 'key-unknown' };
  const key = found.kind === 'found' ? found.key : found.lastKnown;
  if (key === undefined) return { kind: 'unavailable', isTheirs: false };
  if (key.algorithm !== jws.algorithm) return { kind: 'refused', code: 'algorithm-key-mismatch' };
  if (!isSignedBy(jws, key)) return { kind: 'refused', code: 'signature-refused' };
  return found.kind === 'found' ? { kind: 'signed', key } : { kind: 'unavailable', isTheirs: true };
}

/** Of keys that are not at hand, only whoever has signed with one of the last set hears it: to strangers it is an unknown key. */
export function toldToOwner(keys: KeySource): KeySource {
  return {
    findKey: async kid => {
      const found = await keys.findKey(kid);
      return found.kind === 'unavailable' && found.lastKnown === undefined ? { kind: 'unknown' } : found;
    },
  };
}
