// Makes devices for sandbox accounts: real keys, real signatures. Only the device key's private half is given back: of
// the identity and the prekeys nothing private is kept, so nobody can read what is sent to these accounts.
// Knows nothing of accounts or of where devices are enlisted.
import assert from 'node:assert/strict';
import type { DeviceJson } from '@drawbridge/gatekeeper/keys/device-keys';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import type { DeviceKeyJwk } from './sandbox-accounts.ts';

export type SandboxDevice = { readonly deviceKey: DeviceKeyJwk; readonly device: DeviceJson };

/** Made in one go, without a turn for anything else: about 30 ms. */
const devicesPerBatch = 100;

/** One new device. Its one-time keys are left out: sessions with it start with its last-resort key. */
export function makeDevice(nowMs: number): SandboxDevice {
  const made = createDevice({ nowMs, oneTimeKeys: false });
  assert(made.ok, 'a fresh device needs no identity of others');
  const { keys, publication } = made.value;
  const { signedPrekey, lastResortKemPrekey } = publication;
  assert(signedPrekey !== undefined && lastResortKemPrekey !== undefined, 'a new device has both keys');
  const x = Buffer.from(keys.deviceKey.publicKey).toString('base64url');
  return {
    deviceKey: { kty: 'OKP', crv: 'X25519', x, d: Buffer.from(keys.deviceKey.privateKey).toString('base64url') },
    device: {
      deviceKey: x,
      registrationId: keys.registrationId,
      identityKey: base64(keys.identityKey),
      signedPrekey: signedKey(signedPrekey),
      lastResortKemPrekey: signedKey(lastResortKemPrekey),
    },
  };
}

type SignedKey = { readonly id: number; readonly publicKey: Uint8Array; readonly signature: Uint8Array };

function signedKey({ id, publicKey, signature }: SignedKey): DeviceJson['signedPrekey'] {
  return { id, publicKey: base64(publicKey), signature: base64(signature) };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** `count` new devices in batches. */
export function* makeDevices(count: number, nowMs: number): Generator<SandboxDevice[]> {
  for (let made = 0; made < count; made += devicesPerBatch) {
    yield Array.from({ length: Math.min(devicesPerBatch, count - made) }, () => makeDevice(nowMs));
  }
}
