// Says to a gatekeeper that this device holds the identity key which it enlists: nobody else can take a published key to
// their own name.
// Knows nothing of how it travels.
// Source: docs/protocol/03-http.md (possession).
import { createHash } from 'node:crypto';
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import { signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import { possessionSignedBytes } from '@drawbridge/wire/device-manifest';
import type { InteropId } from '@drawbridge/wire/jid';

/** Bound to the ownership proof of a first enlistment, or to the enlistment that a further device joins. Base64. */
export function signPossession(
  keys: DeviceKeys,
  issuer: string,
  of: { readonly proof: string } | { readonly interopId: InteropId },
): string {
  const subject =
    'proof' in of ? { nonce: createHash('sha256').update(of.proof).digest('base64url') } : { interopId: of.interopId };
  const deviceKeyThumbprint = keys.deviceKey.thumbprint;
  const signed = possessionSignedBytes({ issuer, deviceKeyThumbprint, subject });
  return Buffer.from(signAsIdentity(keys.identityKeyPair, signed)).toString('base64');
}
