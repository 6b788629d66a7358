// Names of people and devices as end-to-end encryption uses them, and their limits.
// Knows nothing of JIDs, gatekeepers' domains or streams.
// Source: docs/protocol/01-identifiers.md.

import { type InteropId, isInteropId } from '@drawbridge/wire/jid';
import { maxDeviceId } from '@drawbridge/wire/limits';

/** One installation of one person; libsignal's protocol address. `deviceId` is 1..127. */
export type DeviceAddress = { readonly interopId: InteropId; readonly deviceId: number };

export function isDeviceId(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= maxDeviceId;
}

export function isDeviceAddress(address: DeviceAddress): boolean {
  return isInteropId(address.interopId) && isDeviceId(address.deviceId);
}

/** `InteropId.deviceId`: the key of a session in the store. */
export function encodeDeviceAddress(address: DeviceAddress): string {
  return `${address.interopId}.${address.deviceId}`;
}
