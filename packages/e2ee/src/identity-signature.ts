// Statements of a person's identity key: signs and verifies with libsignal's XEdDSA.
// Knows nothing of what is stated: device manifests and possession are packages/wire/src/device-manifest.ts.
// Source: Signal's XEdDSA specification; docs/protocol/09-content.md section 9.12.
import * as Signal from '@signalapp/libsignal-client';

export const IDENTITY_SIGNATURE_BYTES = 64;

/** `identityKeyPair` is libsignal's, as in `DeviceKeys`. Signatures are randomised: two of one statement differ. */
export function signAsIdentity(identityKeyPair: Uint8Array, bytes: Uint8Array): Uint8Array {
  const pair = Signal.IdentityKeyPair.deserialize(Uint8Array.from(identityKeyPair));
  return pair.privateKey.sign(Uint8Array.from(bytes));
}

/** False for a signature of another key or other bytes, and for what is not a key or not a signature. */
export function isSignedByIdentity(identityKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== IDENTITY_SIGNATURE_BYTES) return false;
  try {
    const key = Signal.PublicKey.deserialize(Uint8Array.from(identityKey));
    return key.verify(Uint8Array.from(bytes), Uint8Array.from(signature));
  } catch {
    // Bytes of a stranger that are not a key.
    return false;
  }
}
