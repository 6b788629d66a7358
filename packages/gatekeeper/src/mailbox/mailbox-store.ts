// The mailbox's storage port. Knows no store.

/** What storage must do. `append` is atomic and durable when it resolves; `page` sees all that was appended before. */
export interface MailboxStore {
  /** Rejects, with nothing written, also when a row with that device and sequence is there already. */
  append(rows: readonly MailboxRow[]): Promise<void>;
  remove(ranges: readonly { device: number; first: number; last: number }[]): Promise<void>;
  page(device: number, afterSeq: number, maxCount: number, maxBytes: number): Promise<readonly StoredEntry[]>;
  state(device: number): Promise<{ count: number; bytes: number; lastSeq: number }>;
  /** Removes entries whose device is gone (written while it was being removed). */
  sweepOrphans(): Promise<void>;
  devices(): Promise<readonly number[]>;
  /** Removes entries of one device that expired at or before `nowMs`, oldest first, at most `limit`; gives what went. */
  expire(device: number, nowMs: number, limit: number): Promise<{ count: number; bytes: number }>;
}
export type MailboxRow = {
  readonly device: number;
  readonly seq: number;
  readonly expiresAtMs: number;
  readonly stanza: Uint8Array;
};
export type StoredEntry = { readonly seq: number; readonly expiresAtMs: number; readonly stanza: Uint8Array };
