// What a store of an earlier version needs before this code may use it, in one transaction, whenever the store is opened: first how
// rows lie in our own file is brought to this version, step by step, then what is in them. Every version has a store in
// `testing/stores`.
// Knows nothing of what rows mean; a step that changes that gets rows that are opened already.
import type { DatabaseSync } from 'node:sqlite';
import { toQuotedWords } from '../history/quotes.ts';
import { toUnreadTable } from './inbox-records.ts';
import { addSentTimes } from './outbox-records.ts';
import { rowsOf } from './rows.ts';
import type { StoreKeys } from './store-keys.ts';
import { toElapsedTime } from './to-elapsed-time.ts';
import { toLogEntries } from './to-log-entries.ts';
import { toRowKeys } from './to-row-keys.ts';
import { toTwoTimers } from './to-two-timers.ts';
import type { Transaction } from './store.ts';

/** `file` is for our own SQLite file alone, as the version before left it; `rows` is for every store, and its file has this version. */
type Migration = {
  readonly file?: (db: DatabaseSync, keys: StoreKeys) => void;
  readonly rows?: (rows: Transaction, nowMs: number) => void;
};

/** A store of version n needs steps n, n + 1, … */
const migrations: readonly Migration[] = [
  {
    file: db =>
      db.exec(`
        CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), kdf TEXT NOT NULL, salt BLOB NOT NULL,
          memory_kib INTEGER NOT NULL, passes INTEGER NOT NULL, wrapped BLOB NOT NULL) STRICT;
        CREATE TABLE row (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, key BLOB NOT NULL,
          scope BLOB, value BLOB NOT NULL) STRICT;
        CREATE UNIQUE INDEX row_key ON row (kind, key);
        CREATE INDEX row_scope ON row (kind, scope, sequence);
        CREATE INDEX row_kind ON row (kind, sequence);
      `),
  },
  { rows: toLogEntries },
  { rows: addSentTimes },
  { rows: toElapsedTime },
  {
    // Where a row stands, when it is not where it was written: the history (kind 14) is read in this order.
    file: db =>
      db.exec(`
        ALTER TABLE row ADD COLUMN place INTEGER;
        CREATE INDEX row_place ON row (coalesce(place, sequence)) WHERE kind = 14;
        CREATE INDEX row_place_scope ON row (scope, coalesce(place, sequence)) WHERE kind = 14;
      `),
  },
  { rows: toTwoTimers },
  {
    rows: tx => {
      toUnreadTable(tx);
      toQuotedWords(tx);
    },
  },
  { file: toRowKeys },
];

export const SCHEMA_VERSION: number = migrations.length;

/** Within a transaction of the caller. */
export function migrate(db: DatabaseSync, from: number, keys: StoreKeys, nowMs: number): void {
  for (const { file } of migrations.slice(from)) file?.(db, keys);
  migrateRows(rowsOf(db, keys), from, nowMs);
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}

/** The same for a store that isn't a file of ours. */
export function migrateRows(rows: Transaction, from: number, nowMs: number): void {
  for (const step of migrations.slice(from)) step.rows?.(rows, nowMs);
}
