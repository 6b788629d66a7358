// Whether whoever enlists a device holds its identity key: a statement signed with that key, for this gatekeeper, this device
// key and this enlistment.
// Knows nothing of ownership proofs beyond their text, nor of who is enlisted.
// Source: docs/protocol/03-http.md (possession); the statement's bytes: packages/wire/src/device-manifest.ts.
import { createHash } from 'node:crypto';
import { possessionSignedBytes } from '@drawbridge/wire/device-manifest';
import { decodeBase64 } from './device-keys.ts';
import { signatureCheck } from './signed-key.ts';

export type Possession = {
  readonly issuer: string;
  readonly deviceKeyThumbprint: string;
  /** The ownership proof that goes with it, used up already: a first enlistment is bound to it. */
  readonly proof: string;
  /** A further device of this enlistment is bound to it instead. */
  readonly joins?: string | undefined;
};

/** `signature`: base64. False too for what is not a key or not a signature. */
export function isPossessed(identityKey: Uint8Array, possession: Possession, signature: string): boolean {
  const { issuer, deviceKeyThumbprint, proof, joins } = possession;
  const nonce = createHash('sha256').update(proof).digest('base64url');
  const subject = joins === undefined ? { nonce } : { interopId: joins };
  const signed = possessionSignedBytes({ issuer, deviceKeyThumbprint, subject });
  return signatureCheck(identityKey)?.(signed, decodeBase64(signature)) === true;
}
