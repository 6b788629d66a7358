// The mailbox's storage port. Knows no store, no sockets and not what is in a stanza.

export type MailboxRow = {
  readonly device: number;
  readonly seq: number;
  readonly expiresAtMs: number;
  readonly stanza: Uint8Array;
};
export type StoredEntry = { readonly seq: number; readonly expiresAtMs: number; readonly stanza: Uint8Array };

/** `device-gone`: the device was removed, and nothing is kept for it. */
export type AppendOutcome = 'stored' | 'device-gone';

/** Writes take effect in the order of the calls. A device's entries go with the device (`AccountStore`). */
export interface MailboxStore {
  /**
   * Appends all rows in one transaction, durable when it resolves, and gives each row's outcome in their order. Whether a
   * device is there is decided in that same transaction, so that no row outlives its device. Rejects with nothing
   * written, also when a row with that device and sequence is there already: not idempotent.
   */
  append(rows: readonly MailboxRow[]): Promise<readonly AppendOutcome[]>;
  /** Removes the entries from `first` to `last` inclusive, for each device. Idempotent. */
  remove(ranges: readonly { device: number; first: number; last: number }[]): Promise<void>;
  /**
   * Entries after a sequence, in order, at most so many and, beyond the first, so many bytes. Sees all that was appended
   * before.
   */
  page(device: number, afterSeq: number, maxCount: number, maxBytes: number): Promise<readonly StoredEntry[]>;
  /** What a device has waiting; `lastSeq` 0 when nothing. */
  state(device: number): Promise<{ count: number; bytes: number; lastSeq: number }>;
  /** The devices that have anything waiting, in ascending order. */
  devices(): Promise<readonly number[]>;
  /**
   * Removes entries of one device that expired at or before `nowMs`, oldest first, at most `limit`; gives what went.
   * Idempotent.
   */
  expire(device: number, nowMs: number, limit: number): Promise<{ count: number; bytes: number }>;
}
