// The public half of a new device's keys: as the gatekeeper's HTTP takes it, and as it is kept until the gatekeeper has it.
// Knows nothing of who the device belongs to.
// Source: docs/protocol/03-http.md (`Device`).
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import { SIGNAL_SUITE } from '@drawbridge/e2ee/sessions';
import type { KeyPublication } from '@drawbridge/e2ee/suite';
import { decodeJson, stringifyBytes } from '../store/json-bytes.ts';
import type { DeviceRecord } from './enlist.ts';

export function deviceRecord(keys: DeviceKeys, publication: KeyPublication): DeviceRecord {
  const { signedPrekey, lastResortKemPrekey, prekeys, kemPrekeys } = publication;
  const signed = (each: NonNullable<KeyPublication['signedPrekey']>): DeviceRecord['signedPrekey'] => ({
    id: each.id,
    publicKey: base64(each.publicKey),
    signature: base64(each.signature),
  });
  return {
    deviceKey: Buffer.from(keys.deviceKey.publicKey).toString('base64url'),
    registrationId: keys.registrationId,
    identityKey: base64(keys.identityKey),
    // A new device's publication always has both.
    signedPrekey: signed(signedPrekey!),
    lastResortKemPrekey: signed(lastResortKemPrekey!),
    prekeys: prekeys.map(({ id, publicKey }) => ({ id, publicKey: base64(publicKey) })),
    kemPrekeys: kemPrekeys.map(signed),
    capabilities: { suites: [SIGNAL_SUITE] },
  };
}

/** In the form of version 0.1.0, which wrote it so. */
export function encodePublication(publication: KeyPublication): string {
  return stringifyBytes(publication, base64 => ({ base64 }));
}

export function decodePublication(text: string): KeyPublication {
  return decodeJson(Buffer.from(text), 'base64') as KeyPublication;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
