// A person's devices as one statement that their identity key signs: its canonical form, and the rules by which a reader
// takes it. The signature itself is checked by a function of the caller's.
// Knows nothing of keys, stores, clocks or who serves it.
// Source: docs/protocol/09-content.md section 9.12; canonical form: RFC 8785 for ASCII texts and whole numbers.
import { isInteropId, parseDeviceId, parseRegistrationId, type InteropId } from './jid.ts';

export const manifestLimits = {
  maxDevices: 127,
  /** Of the canonical text. */
  maxBytes: 32_768,
  maxDomainCharacters: 253,
  maxProviderCharacters: 64,
  /** From `issuedAtMs` to `freshUntilMs`, at most. */
  maxLifetimeMs: 90 * 86_400_000,
  /** How far ahead of the reader's clock the issuing device's may be. */
  skewMs: 300_000,
} as const;

export type ManifestDevice = {
  readonly id: number;
  readonly registration: number;
  /** RFC 7638, base64url. */
  readonly deviceKeyThumbprint: string;
  readonly addedAtMs: number;
};

export type DeviceManifest = {
  /** The gatekeeper's. */
  readonly domain: string;
  readonly provider: string;
  readonly interopId: InteropId;
  /** Grows with every manifest of this person, from 1. */
  readonly epoch: number;
  readonly issuedAtMs: number;
  readonly freshUntilMs: number;
  /** By ascending id. */
  readonly devices: readonly ManifestDevice[];
};

/** What travels: the canonical text and the identity key's signature (64 bytes) over `manifestSignedBytes(text)`. */
export type SignedManifest = { readonly text: string; readonly signature: Uint8Array };

export type ManifestRefusal =
  /** Not a manifest in its canonical form, beyond a limit, or with two entries of one id. */
  | 'malformed'
  /** Of another person, provider or gatekeeper than was asked for. */
  | 'wrong-person'
  | 'wrong-signer'
  /** Issued later than now. */
  | 'not-yet'
  | 'expired'
  /** A newer one was seen before. */
  | 'older-epoch'
  /** Another one of this epoch was seen before: somebody tells two stories. */
  | 'two-of-one-epoch';

export type ManifestVerdict =
  | { readonly kind: 'manifest'; readonly manifest: DeviceManifest; readonly text: string }
  | { readonly kind: 'refused'; readonly code: ManifestRefusal };

const thumbprintPattern = /^[A-Za-z0-9_-]{43}$/;
const domainPattern = /^[a-z0-9.-]+$/;
const providerPattern = /^[\x21-\x7e]+$/;
/** The year 9999. */
const maxTimeMs = 253_402_300_799_999;

/** The one text of a manifest: members in alphabetical order, no white space, devices by ascending id. */
export function encodeManifest(manifest: DeviceManifest): string {
  const { domain, provider, interopId, epoch, issuedAtMs, freshUntilMs } = manifest;
  const devices = [...manifest.devices]
    .sort((a, b) => a.id - b.id)
    .map(({ addedAtMs, deviceKeyThumbprint, id, registration }) => ({
      addedAtMs,
      deviceKeyThumbprint,
      id,
      registration,
    }));
  return JSON.stringify({ devices, domain, epoch, freshUntilMs, interopId, issuedAtMs, provider });
}

/** What the identity key signs: no other statement of a key begins so. */
export function manifestSignedBytes(text: string): Uint8Array {
  return new TextEncoder().encode(`drawbridge device manifest 1\n${text}`);
}

/** Undefined for anything but the canonical text of a manifest within the limits. */
export function parseManifest(text: string): DeviceManifest | undefined {
  if (text.length > manifestLimits.maxBytes) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isManifest(value)) return undefined;
  // Only the canonical text comes back as it was: no further member, no other order, no other spelling.
  return encodeManifest(value) === text ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= maxTimeMs;
}

function isManifest(value: unknown): value is DeviceManifest {
  if (!isObject(value)) return false;
  const { domain, provider, interopId, epoch, issuedAtMs, freshUntilMs, devices } = value;
  if (typeof domain !== 'string' || !domainPattern.test(domain)) return false;
  if (typeof provider !== 'string' || !providerPattern.test(provider)) return false;
  if (domain.length > manifestLimits.maxDomainCharacters) return false;
  if (provider.length > manifestLimits.maxProviderCharacters) return false;
  if (typeof interopId !== 'string' || !isInteropId(interopId)) return false;
  if (!Number.isSafeInteger(epoch) || Number(epoch) < 1) return false;
  if (!isTime(issuedAtMs) || !isTime(freshUntilMs) || freshUntilMs < issuedAtMs) return false;
  if (freshUntilMs - issuedAtMs > manifestLimits.maxLifetimeMs) return false;
  if (!Array.isArray(devices) || devices.length > manifestLimits.maxDevices) return false;
  return devices.every(isDevice) && new Set(devices.map(device => device.id)).size === devices.length;
}

function isDevice(value: unknown): value is ManifestDevice {
  if (!isObject(value)) return false;
  const { id, registration, deviceKeyThumbprint, addedAtMs } = value;
  return (
    typeof id === 'number' &&
    parseDeviceId(String(id)) === id &&
    typeof registration === 'number' &&
    parseRegistrationId(String(registration)) === registration &&
    typeof deviceKeyThumbprint === 'string' &&
    thumbprintPattern.test(deviceKeyThumbprint) &&
    isTime(addedAtMs)
  );
}

/**
 * Whether a manifest holds for this person now. `known` is the last one that this reader took; keep what is taken, text and
 * all. `isSignedBy` checks the signature with the identity key that is in force for the person.
 *
 * `expired`, `older-epoch` and `two-of-one-epoch` are signed by the right key: warnings to keep, since only the person's
 * own devices and whoever withholds or repeats their words can cause them.
 */
export function verifyManifest(
  signed: SignedManifest,
  expected: { readonly domain: string; readonly provider: string; readonly interopId: InteropId },
  known: { readonly epoch: number; readonly text: string } | undefined,
  nowMs: number,
  isSignedBy: (bytes: Uint8Array, signature: Uint8Array) => boolean,
): ManifestVerdict {
  const refused = (code: ManifestRefusal): ManifestVerdict => ({ kind: 'refused', code });
  const { text } = signed;
  const manifest = parseManifest(text);
  if (manifest === undefined) return refused('malformed');
  if (manifest.domain !== expected.domain || manifest.provider !== expected.provider) return refused('wrong-person');
  if (manifest.interopId !== expected.interopId) return refused('wrong-person');
  if (!isSignedBy(manifestSignedBytes(text), signed.signature)) return refused('wrong-signer');
  if (known !== undefined && manifest.epoch < known.epoch) return refused('older-epoch');
  if (known !== undefined && manifest.epoch === known.epoch && text !== known.text) return refused('two-of-one-epoch');
  if (manifest.issuedAtMs > nowMs + manifestLimits.skewMs) return refused('not-yet');
  if (manifest.freshUntilMs <= nowMs) return refused('expired');
  return { kind: 'manifest', manifest, text };
}

/** Whether a device that a directory names is one of the manifest's; a thumbprint where the directory gives one. */
export function isListed(
  manifest: DeviceManifest,
  device: { readonly id: number; readonly registration: number; readonly deviceKeyThumbprint?: string },
): boolean {
  return manifest.devices.some(
    ({ id, registration, deviceKeyThumbprint }) =>
      id === device.id &&
      registration === device.registration &&
      (device.deviceKeyThumbprint ?? deviceKeyThumbprint) === deviceKeyThumbprint,
  );
}

/**
 * What a device signs with the identity key when it enlists: that the key is in its hand, for this gatekeeper, this device
 * key, and either the InteropId that is there or the nonce it was given. Nobody can take a published key to their own name.
 */
export function possessionSignedBytes(statement: {
  readonly issuer: string;
  /** RFC 7638 thumbprint of the device key: `jkt` of the ownership proof. */
  readonly deviceKeyThumbprint: string;
  readonly subject: { readonly interopId: InteropId } | { readonly nonce: string };
}): Uint8Array {
  const { issuer, deviceKeyThumbprint, subject } = statement;
  // Members in alphabetical order, as in a manifest.
  const text = JSON.stringify(
    'interopId' in subject
      ? { deviceKeyThumbprint, interopId: subject.interopId, issuer }
      : { deviceKeyThumbprint, issuer, nonce: subject.nonce },
  );
  return new TextEncoder().encode(`drawbridge identity possession 1\n${text}`);
}
