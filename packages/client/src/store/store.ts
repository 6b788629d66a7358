// The store port: what the SDK asks of the place where it keeps keys, sessions, history and outbox. `encrypted-store.ts` is SQLite
// on Node; `storage/stored-tables.ts` is any storage that an app brings.
// Knows nothing of how rows are kept or encrypted, nor of what values mean.
// Source: docs/protocol/09-content.md section 9.8; docs/decisions/0026-the-sdk-s-store-is-a-port-with-short-transactions.md.
import type { E2eeStore, E2eeTable, StoreChange } from '@drawbridge/e2ee/stores';
import type { StoreResult } from './store-errors.ts';
import type { KeySource } from './store-keys.ts';

/**
 * The tables and their numbers in the file, which never change their meaning.
 *
 * `setting` (account, preferences), the suite's own tables, `contact`, `device-list`, `outbox` (in order of writing),
 * `message` (history, in order of writing, scope = chat), `held` (ciphertexts that wait for an acceptance, scope = person),
 * `received` (stanzas seen, bounded), `sent` (content kept for retries, bounded), `retry` (retry counts), `unread` (stanzas that
 * wait to be sent again by their senders, scope = person), `chat`, `orphan`
 * (facts about messages that have not come, scope = chat), `expiry` (running timers), `profile`, `transfer` (of history), `upload` (files to be
 * sent), `saving` (plaintext files that are being written), `notice` (changes that the application
 * has not taken yet), `device-manifest` (the last one of each person), `transcript`
 * (own messages whose place the gatekeeper has not told yet), `accepted` (own messages that the gatekeeper has taken over,
 * by the stanza that carried them), `asked` (requests to send again that a person decides about, scope = person), `evidence` (what
 * a report of a message needs, scope = author), `quoting` (replies, scope = the message that they quote).
 */
export const tables = {
  setting: 1,
  device: 2,
  session: 3,
  identity: 4,
  prekey: 5,
  'signed-prekey': 6,
  'kem-prekey': 7,
  'last-resort-kem-prekey': 8,
  'kem-base-key': 9,
  'sender-key': 10,
  contact: 11,
  'device-list': 12,
  outbox: 13,
  message: 14,
  held: 15,
  received: 16,
  sent: 17,
  retry: 18,
  chat: 19,
  orphan: 20,
  expiry: 21,
  profile: 22,
  transfer: 23,
  upload: 24,
  saving: 25,
  notice: 26,
  'device-manifest': 27,
  transcript: 28,
  accepted: 29,
  asked: 30,
  evidence: 31,
  unread: 32,
  quoting: 33,
} as const satisfies Record<string, number> & Record<E2eeTable, number>;

export type StoreTable = keyof typeof tables;

/** Newest rows kept, give or take a sixteenth; older ones are forgotten. Tables without an entry are the SDK's to bound. */
export const tableLimits: { readonly [Table in StoreTable]?: number } = {
  received: 50_000,
  // Its own bounds are lower (outbox/kept-sent.ts).
  sent: 2_000,
  retry: 20_000,
  // Its own bounds, and those of `asked`, are lower (fair-share.ts).
  held: 2_500,
  evidence: 2_500,
  asked: 1_000,
  // Its own bounds are lower (inbox/retry-quota.ts).
  unread: 2_000,
  orphan: 2_000,
  notice: 10_000,
  transcript: 10_000,
  accepted: 50_000,
};
export const MAX_VALUE_BYTES = 1_048_576;
export const MAX_KEY_BYTES = 1_024;
/** Rows that one `list` gives back at most. */
export const MAX_LIST = 1_000;
/** `sequence` grows with each new key of the whole store (`putFirst`: falls); a rewritten row keeps its own. */
export type Row = { readonly sequence: number; readonly key: string; readonly value: Buffer };

/** All of them see and make one state; they throw `StoreFault` alone, which ends the transaction. */
export type Transaction = {
  get(table: StoreTable, key: string): Buffer | undefined;
  put(table: StoreTable, key: string, value: Uint8Array, scope?: string): void;
  /** As `put`; a new row stands before all others of the store. */
  putFirst(table: StoreTable, key: string, value: Uint8Array, scope?: string): void;
  /** A place behind all rows that are there and before all that come. */
  newPlace(): number;
  /** Puts a message there, in lists by place; its sequence stays. Nothing when there is no such row. */
  place(table: 'message', key: string, place: number): void;
  /** Whether the row was there. */
  delete(table: StoreTable, key: string): boolean;
  deleteScope(table: StoreTable, scope: string): void;
  /** Oldest first, after `after` (exclusive); with `newest`, newest first, before `before` (exclusive). */
  list(table: StoreTable, options?: ListOptions): Row[];
  /**
   * As `list`, but by place: `after`, `before` and the rows' `sequence` are places. A message that was never placed stands at
   * its sequence.
   */
  listByPlace(table: 'message', options?: ListOptions): Row[];
  /** Deletes the rows that can't be opened any more, or that `isSound` does not take. Gives how many. */
  dropDamaged(table: StoreTable, isSound: (value: Buffer) => boolean): number;
  count(table: StoreTable, scope?: string): number;
  /**
   * A part that may fail alone: what it wrote is undone when it throws, and the rest goes on. A fault of the whole store
   * (a full disk) is thrown on.
   */
  attempt<T>(part: () => T): { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };
  /** Carries out what the encryption suite staged. */
  apply(changes: readonly StoreChange[]): void;
};

export type Attempted<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

export type ListOptions = {
  readonly scope?: string;
  readonly after?: number;
  readonly before?: number;
  readonly newest?: boolean;
  readonly limit?: number;
};

export type EncryptedStore = {
  /** For `openSignalSuite` and `readDeviceKeys`. Its reads throw `StoreFault`. */
  readonly e2ee: E2eeStore;
  /**
   * Runs `work` in one transaction: done when it gives back `ok` (and durable when `durable` says so), not done at all otherwise.
   * `work` is synchronous and must not open another one. What it throws besides `StoreFault` undoes the transaction and is
   * thrown on: broken code.
   */
  transaction<T>(work: (tx: Transaction) => T): StoreResult<T>;
  /** Wraps the data key for another passphrase, key or key file; rows stay as they are. */
  changeKey(source: KeySource): Promise<StoreResult<void>>;
  /**
   * Undefined: all that was done is durable, as always in SQLite (synchronous=FULL). Otherwise fulfilled when what was done until
   * now is; rejects with `StoreFault`. Nothing that rests on a transaction may leave the device before.
   */
  durable(): Promise<void> | undefined;
  /** What isn't durable yet becomes so behind it, and `durable` says when. */
  close(): void;
};
