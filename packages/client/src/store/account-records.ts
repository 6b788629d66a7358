// Rows about this device itself: its account, its settings, how far it has read, its clocks. Reads and writes them in a
// transaction of the caller.
// Knows nothing of messages, other people or streams.
import type { InteropId } from '@drawbridge/wire/jid';
import type { ElapsedRecord } from '../history/elapsed-time.ts';
import { getJson, putJson } from './json-rows.ts';
import type { Transaction } from './store.ts';

/** This device's place at its gatekeeper. */
export type AccountRecord = {
  readonly gatekeeper: string;
  readonly interopId: InteropId;
  readonly deviceId: number;
  readonly domain: string;
  /** Full JID. */
  readonly jid: string;
  /** The gatekeeper's long-term key (pinned): base64url of 32 bytes. It moves only as it, or its backup, has signed. */
  readonly signingKey?: string;
  /** The key that may follow it, and the time of the statement that both come from. */
  readonly backupKey?: string;
  readonly keysSince?: number;
};

export function readAccount(tx: Transaction): AccountRecord | undefined {
  return getJson(tx, 'setting', 'account');
}

export function writeAccount(tx: Transaction, account: AccountRecord): void {
  putJson(tx, 'setting', 'account', account);
}

export type SettingName =
  | 'manifest-due'
  | 'manifest-removals'
  | 'publication'
  | 'link'
  | 'link-aside'
  | 'people-to-come'
  | 'restored'
  | 'renewal'
  | 'compact-withheld'
  | 'consents'
  | 'decisions-asked'
  | 'static-key'
  | 'store-count'
  | 'transport'
  | 'media-names';

export function readSetting(tx: Transaction, name: SettingName): string | undefined {
  return getJson(tx, 'setting', name);
}

export function writeSetting(tx: Transaction, name: SettingName, value: string | undefined): void {
  if (value === undefined) tx.delete('setting', name);
  else putJson(tx, 'setting', name, value);
}

/** Sequence of the newest message that an iterator has finished with. */
export function readCursor(tx: Transaction): number {
  return getJson<number>(tx, 'setting', 'cursor') ?? 0;
}

export function writeCursor(tx: Transaction, sequence: number): void {
  putJson(tx, 'setting', 'cursor', sequence);
}

/** The last hybrid logical stamp given or heard. */
export function readStamp(tx: Transaction): number {
  return getJson<number>(tx, 'setting', 'stamp') ?? 0;
}

export function writeStamp(tx: Transaction, stampMs: number): void {
  putJson(tx, 'setting', 'stamp', stampMs);
}

export function readElapsed(tx: Transaction): ElapsedRecord | undefined {
  return getJson(tx, 'setting', 'elapsed');
}

export function writeElapsed(tx: Transaction, elapsed: ElapsedRecord): void {
  putJson(tx, 'setting', 'elapsed', elapsed);
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the record's type
export function readTransfer<T>(tx: Transaction, name: string): T | undefined {
  return getJson<T>(tx, 'transfer', name);
}

export function writeTransfer(tx: Transaction, name: string, value: unknown): void {
  if (value === undefined) tx.delete('transfer', name);
  else putJson(tx, 'transfer', name, value);
}
