// What holds of a person's device manifest as the directory gives it, beside the last one that was taken here.
// Pure. Knows nothing of stores, nor of who asks.
// Source: docs/protocol/09-content.md section 9.12.
import { isSignedByIdentity } from '@drawbridge/e2ee/identity-signature';
import {
  type DeviceManifest,
  type ManifestDevice,
  type ManifestRefusal,
  parseManifest,
  type SignedManifest,
  verifyManifest,
} from '@drawbridge/wire/device-manifest';
import type { InteropId } from '@drawbridge/wire/jid';

/** The last manifest that was taken, under this identity key. */
export type KnownManifest = { readonly epoch: number; readonly text: string };

/** `missing`: there was one before. */
export type ManifestWarning = ManifestRefusal | 'missing';

export type Judgement = {
  /** What the devices are held against; undefined: this person has said nothing yet. */
  readonly holds: DeviceManifest | undefined;
  /** The one that was given is to be kept in place of the known one. */
  readonly isNew: boolean;
  /** False: what was given is not this key's word, or it is missing. Then the key may have changed. */
  readonly isTheirs: boolean;
  readonly warning: ManifestWarning | undefined;
};

export type Claimant = {
  readonly domain: string;
  readonly interopId: InteropId;
  /** Undefined when it is not known here: then the InteropId alone says who it is. */
  readonly provider: string | undefined;
  readonly identityKey: Uint8Array;
};

export function judgeManifest(
  given: SignedManifest | undefined,
  { domain, interopId, provider, identityKey }: Claimant,
  known: KnownManifest | undefined,
  nowMs: number,
): Judgement {
  const before = known === undefined ? undefined : parseManifest(known.text);
  if (given === undefined) {
    const warning = before === undefined ? undefined : 'missing';
    return { holds: before, isNew: false, isTheirs: before === undefined, warning };
  }
  const parsed = parseManifest(given.text);
  const expected = { domain, interopId, provider: provider ?? parsed?.provider ?? '' };
  const verdict = verifyManifest(given, expected, known, nowMs, (bytes, signature) =>
    isSignedByIdentity(identityKey, bytes, signature),
  );
  if (verdict.kind === 'manifest') {
    return { holds: verdict.manifest, isNew: given.text !== known?.text, isTheirs: true, warning: undefined };
  }
  const warning = verdict.code;
  switch (warning) {
    case 'malformed':
    case 'wrong-person':
    case 'wrong-signer':
      return { holds: before, isNew: false, isTheirs: false, warning };
    case 'older-epoch':
    case 'two-of-one-epoch':
      return { holds: before, isNew: false, isTheirs: true, warning };
    case 'not-yet':
    case 'expired':
      // Their latest word all the same: nothing newer is known.
      return { holds: parsed, isNew: given.text !== known?.text, isTheirs: true, warning };
  }
}

/** Ids of devices that came and went from one manifest to the next; one that was changed is both. */
export function changedDevices(
  before: DeviceManifest,
  after: DeviceManifest,
): { readonly added: readonly number[]; readonly removed: readonly number[] } {
  const without = (devices: readonly ManifestDevice[], others: readonly ManifestDevice[]): number[] =>
    devices.filter(device => !others.some(other => isSame(device, other))).map(({ id }) => id);
  return { added: without(after.devices, before.devices), removed: without(before.devices, after.devices) };
}

function isSame(a: ManifestDevice, b: ManifestDevice): boolean {
  return a.id === b.id && a.registration === b.registration && a.deviceKeyThumbprint === b.deviceKeyThumbprint;
}
