// Names of people and devices as end-to-end encryption uses them, and their limits.
// Knows nothing of JIDs, gatekeepers' domains or streams.
// Source: docs/protocol/01-identifiers.md.

/** `<provider number>-<26 characters of lower-case base32>`; libsignal's address name. */
export type InteropId = string;

/** One installation of one person; libsignal's protocol address. `deviceId` is 1..127. */
export type DeviceAddress = { readonly interopId: InteropId; readonly deviceId: number };

export const MAX_DEVICE_ID = 127;
/** Largest registration id (docs/protocol/01): Signal uses the same 14 bits. */
export const MAX_REGISTRATION_ID = 16_380;

const interopIdPattern = /^(?:0|[1-9][0-9]{0,4})-[a-z2-7]{26}$/;

export function isInteropId(text: string): boolean {
  return interopIdPattern.test(text);
}

export function isDeviceId(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= MAX_DEVICE_ID;
}

export function isDeviceAddress(address: DeviceAddress): boolean {
  return isInteropId(address.interopId) && isDeviceId(address.deviceId);
}

/** `InteropId.deviceId`: the key of a session in the store. */
export function encodeDeviceAddress(address: DeviceAddress): string {
  return `${address.interopId}.${address.deviceId}`;
}
