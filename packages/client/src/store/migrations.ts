// What a store of an earlier version needs before this code may use it: one step for each version, all of them in one
// transaction, whenever the store is opened.
// Knows nothing of keys; a step gets rows that are opened already. Every step has a store in `testing/stores`.
import type { DatabaseSync } from 'node:sqlite';
import { toQuotedWords } from '../history/quotes.ts';
import { toUnreadTable } from './inbox-records.ts';
import { addSentTimes } from './outbox-records.ts';
import { toElapsedTime } from './to-elapsed-time.ts';
import { toLogEntries } from './to-log-entries.ts';
import { toTwoTimers } from './to-two-timers.ts';
import type { Transaction } from './store.ts';

/** `file` is for our own SQLite file alone; `rows` is for every store, and reads and writes the tables of version 1. */
type Migration = {
  readonly file?: (db: DatabaseSync) => void;
  readonly rows?: (rows: Transaction, nowMs: number) => void;
};

/** A store of version n runs steps n, n + 1, … */
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
];

export const SCHEMA_VERSION: number = migrations.length;

/** Within a transaction of the caller. */
export function migrate(db: DatabaseSync, from: number, rows: () => Transaction, nowMs: number): void {
  for (const step of migrations.slice(from)) {
    step.file?.(db);
    step.rows?.(rows(), nowMs);
  }
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}

/** The same for a store that isn't a file of ours. */
export function migrateRows(rows: Transaction, from: number, nowMs: number): void {
  for (const step of migrations.slice(from)) step.rows?.(rows, nowMs);
}
