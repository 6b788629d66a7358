// Whether whoever enlists a device holds its identity key: a statement signed with that key, for this gatekeeper, this device
// key and this enlistment.
// Knows nothing of ownership proofs beyond their text, nor of who is enlisted or who checks signatures.
// Source: docs/protocol/03-http.md (possession); the statement's bytes: packages/wire/src/device-manifest.ts.
import { createHash } from 'node:crypto';
import { possessionSignedBytes } from '@drawbridge/wire/device-manifest';
import { decodeBase64 } from './device-keys.ts';
import type { Signed } from './signature-checks.ts';

export type Possession = {
  readonly issuer: string;
  readonly deviceKeyThumbprint: string;
  /** The ownership proof that goes with it, used up already: a first enlistment is bound to it. */
  readonly proof: string;
  /** A further device of this enlistment is bound to it instead. */
  readonly joins?: string | undefined;
};

/** What the identity key must have signed. `signature`: base64; what is not base64 is signed by nobody. */
export function possessionOf(possession: Possession, signature: string): Signed {
  const { issuer, deviceKeyThumbprint, proof, joins } = possession;
  const nonce = createHash('sha256').update(proof).digest('base64url');
  const subject = joins === undefined ? { nonce } : { interopId: joins };
  return {
    message: possessionSignedBytes({ issuer, deviceKeyThumbprint, subject }),
    signature: decodeBase64(signature),
  };
}
