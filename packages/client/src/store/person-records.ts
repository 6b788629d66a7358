// Rows about people: their profiles, and what their devices can do. Reads and writes them in a transaction of the caller.
// Contacts have a file of their own beside their domain. Knows nothing of messages or streams.
import type { InteropId } from '@drawbridge/wire/jid';
import type { DeviceCapabilities } from '../history/capabilities.ts';
import type { ProfileRecord } from '../history/chat-state.ts';
import { decodeJson } from './json-bytes.ts';
import { getJson, putJson } from './json-rows.ts';
import type { Transaction } from './store.ts';

export function readProfile(tx: Transaction, interopId: InteropId): ProfileRecord | undefined {
  return getJson(tx, 'profile', interopId);
}

export function writeProfile(tx: Transaction, interopId: InteropId, record: ProfileRecord): void {
  putJson(tx, 'profile', interopId, record);
}

export function readCapabilities(tx: Transaction, person: InteropId, deviceId: number): DeviceCapabilities | undefined {
  return getJson(tx, 'device-list', `${person}/${deviceId}`);
}

export function writeCapabilities(
  tx: Transaction,
  person: InteropId,
  deviceId: number,
  record: DeviceCapabilities,
): void {
  putJson(tx, 'device-list', `${person}/${deviceId}`, record, person);
}

export function listCapabilities(tx: Transaction, person: InteropId): DeviceCapabilities[] {
  return tx.list('device-list', { scope: person }).map(row => decodeJson(row.value) as DeviceCapabilities);
}
