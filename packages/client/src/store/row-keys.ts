// The keys of single rows. Each value is sealed under a key of its own, which is overwritten where it lies when the value is
// replaced or deleted: SQLite moves rows from page to page and leaves bytes of them where `secure_delete` does not look, and what
// is left there opens with nothing any more.
// Keys themselves never move. Their rows are of one size, are added with no key in them, behind all others, and none is ever
// deleted: so SQLite writes a key over the one before (`btreeOverwriteCell`), and fills a further page rather than part a full one
// (`balance_quick`).
// Knows nothing of values.
// Source: docs/decisions/0087-each-value-has-a-key-that-is-overwritten.md; https://www.sqlite.org/src/file/src/btree.c.
import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { ROW_KEY_BYTES } from './store-keys.ts';

/** Places for keys that are added at once. The first ones fill more than a page, so that the pages with keys are leaves for good. */
const slotsAtOnce = 256;

const newSlots = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${slotsAtOnce})
  INSERT INTO row_key (used, key) SELECT 0, zeroblob(${ROW_KEY_BYTES}) FROM n`;

/** `row` has a column `slot`. A key goes with its row, whichever statement deletes that. */
export function createRowKeys(db: DatabaseSync): void {
  db.exec(`
    CREATE TABLE row_key (slot INTEGER PRIMARY KEY, used INTEGER NOT NULL CHECK (used IN (0, 1)),
      key BLOB NOT NULL CHECK (length(key) = ${ROW_KEY_BYTES})) STRICT;
    CREATE INDEX row_key_free ON row_key (slot) WHERE used = 0;
    CREATE TRIGGER row_key_end AFTER DELETE ON row WHEN OLD.slot IS NOT NULL BEGIN
      UPDATE row_key SET used = 0, key = zeroblob(${ROW_KEY_BYTES}) WHERE slot = OLD.slot;
    END;
    ${newSlots};
  `);
}

export type RowKey = { readonly slot: number; readonly key: Buffer };

/** Gives a fresh key, in place of the one of `slot`, which is gone with that; for a new row in a place that is free. */
export function rowKeysOf(db: DatabaseSync): (slot: number | undefined) => RowKey {
  const free = db.prepare('SELECT slot FROM row_key INDEXED BY row_key_free WHERE used = 0 ORDER BY slot LIMIT 1');
  const take = db.prepare('UPDATE row_key SET used = 1, key = ? WHERE slot = ?');
  const replace = db.prepare('UPDATE row_key SET key = ? WHERE slot = ? AND used = 1');
  const add = db.prepare(newSlots);
  const findFree = (): number => {
    let row = free.get();
    if (row === undefined) {
      add.run();
      row = free.get();
    }
    return Number(row?.['slot']);
  };
  return known => {
    const key = randomBytes(ROW_KEY_BYTES);
    // A place that the disk has lost is not one.
    if (known !== undefined && Number(replace.run(key, known).changes) === 1) return { slot: known, key };
    const slot = findFree();
    take.run(key, slot);
    return { slot, key };
  };
}
