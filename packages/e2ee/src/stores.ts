// The port through which end-to-end encryption reads what it must remember, and the changes it asks for.
// It never writes by itself: the caller commits the changes together with its own rows, in one transaction.
// Knows nothing of files, databases or keys at rest.
import { type DeviceAddress, encodeDeviceAddress, isDeviceAddress } from './addresses.ts';

/**
 * What is kept. Keys are text, values are bytes that only this package reads.
 *
 * | table | key | scope |
 * | --- | --- | --- |
 * | `device` | `local`, `key-index` | |
 * | `session` | `InteropId.deviceId`; `former InteropId.deviceId`: of the identity before (renewal.ts) | `InteropId` |
 * | `identity` | `InteropId`; `key <fingerprint>`: whose key it is | |
 * | `prekey`, `signed-prekey`, `kem-prekey`, `last-resort-kem-prekey` | decimal id | |
 * | `kem-base-key` | `<kem id>:<signed prekey id>:<hex of the base key>` | kem id: remembers base keys seen with a last-resort key |
 * | `sender-key` | kept for groups | |
 */
export type E2eeTable =
  | 'device'
  | 'session'
  | 'identity'
  | 'prekey'
  | 'signed-prekey'
  | 'kem-prekey'
  | 'last-resort-kem-prekey'
  | 'kem-base-key'
  | 'sender-key';

/** The device of a row of `session`; undefined for what isn't a key of that table. */
export function deviceOfSession(key: string): DeviceAddress | undefined {
  const dot = key.lastIndexOf('.');
  const address = { interopId: key.slice(0, dot), deviceId: Number(key.slice(dot + 1)) };
  return isDeviceAddress(address) && encodeDeviceAddress(address) === key ? address : undefined;
}

/** One change. `delete` of a row that is not there, and `delete-scope` of an empty scope, do nothing. */
export type StoreChange =
  | {
      readonly op: 'put';
      readonly table: E2eeTable;
      readonly key: string;
      readonly scope?: string;
      readonly value: Uint8Array;
    }
  | { readonly op: 'delete'; readonly table: E2eeTable; readonly key: string }
  | { readonly op: 'delete-scope'; readonly table: E2eeTable; readonly scope: string };

/**
 * Reads of the last committed state. One store belongs to one process and one suite: two suites over one store would
 * use message keys twice. A failure rejects (or throws); the suite turns it into `store-failed`.
 */
export interface E2eeStore {
  /** The value, or undefined. The bytes belong to the caller. */
  read(table: E2eeTable, key: string): Uint8Array | undefined | Promise<Uint8Array | undefined>;
  /** How many rows that scope has. */
  count(table: E2eeTable, scope: string): number | Promise<number>;
}

/**
 * Makes the staged changes durable, in one transaction with the caller's own rows (outbox, history, …).
 *
 * The suite calls it once for each operation, while it holds the locks of the people concerned, and waits for it. When it
 * throws or rejects, the changes count as not made and the operation answers `commit-failed`: nothing of its result may be
 * used, above all no ciphertext sent. It must not call the suite.
 */
export type Commit<T> = (staged: T) => void | Promise<void>;
