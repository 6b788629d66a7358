// The public half of a new device's keys: as the gatekeeper's HTTP takes it, and as it is kept until the gatekeeper has it.
// Knows nothing of who the device belongs to.
// Source: docs/protocol/03-http.md (`Device`).
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import { SIGNAL_SUITE } from '@drawbridge/e2ee/sessions';
import type { KeyPublication } from '@drawbridge/e2ee/suite';
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

export function encodePublication(publication: KeyPublication): string {
  // Buffers turn themselves into something else before a replacer sees them: it looks at what they were.
  return JSON.stringify(publication, function replace(this: Record<string, unknown>, key, value: unknown) {
    const bytes = this[key];
    return bytes instanceof Uint8Array ? { base64: base64(bytes) } : value;
  });
}

export function decodePublication(text: string): KeyPublication {
  return JSON.parse(text, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'base64' in value
      ? Buffer.from(String(value.base64), 'base64')
      : value,
  ) as KeyPublication;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
