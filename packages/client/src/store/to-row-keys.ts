// Version 7 to 8: each value gets a key of its own. All rows move into a table that is made anew, and the pages of the one before are
// overwritten as a whole (`secure_delete`), with what SQLite had left of wiped rows between those that are there.
// Knows nothing of what is in rows.
import type { DatabaseSync } from 'node:sqlite';
import { createRowKeys, rowKeysOf } from './row-keys.ts';
import { associatedWith } from './sealed-rows.ts';
import type { StoreKeys } from './store-keys.ts';

const rowsAtOnce = 500;

export function toRowKeys(db: DatabaseSync, keys: StoreKeys): void {
  db.exec(`
    DROP INDEX row_key; DROP INDEX row_scope; DROP INDEX row_kind; DROP INDEX row_place; DROP INDEX row_place_scope;
    ALTER TABLE row RENAME TO row_unkeyed;
    CREATE TABLE row (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, key BLOB NOT NULL,
      scope BLOB, place INTEGER, slot INTEGER, value BLOB NOT NULL) STRICT;
  `);
  createRowKeys(db);
  moveRows(db, keys);
  // No sequence is given twice, not even that of a row that is gone.
  db.exec(`
    DELETE FROM sqlite_sequence WHERE name = 'row';
    INSERT INTO sqlite_sequence (name, seq) SELECT 'row', seq FROM sqlite_sequence WHERE name = 'row_unkeyed';
    DROP TABLE row_unkeyed;
    CREATE UNIQUE INDEX row_by_key ON row (kind, key);
    CREATE INDEX row_by_scope ON row (kind, scope, sequence);
    CREATE INDEX row_by_kind ON row (kind, sequence);
    CREATE INDEX row_by_place ON row (coalesce(place, sequence)) WHERE kind = 14;
    CREATE INDEX row_by_place_of_scope ON row (scope, coalesce(place, sequence)) WHERE kind = 14;
  `);
}

function moveRows(db: DatabaseSync, keys: StoreKeys): void {
  const freshKey = rowKeysOf(db);
  const read = db.prepare('SELECT * FROM row_unkeyed WHERE sequence > ? ORDER BY sequence LIMIT ?');
  const write = db.prepare(
    'INSERT INTO row (sequence, kind, key, scope, place, slot, value) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  for (let after = Number.MIN_SAFE_INTEGER; ; ) {
    const rows = read.all(after, rowsAtOnce);
    if (rows.length === 0) return;
    for (const { sequence, kind, key, scope, place, value } of rows) {
      const at = {
        kind: Number(kind),
        lookup: key as Uint8Array,
        scope: scope instanceof Uint8Array ? scope : null,
      };
      const plain = keys.open(value as Uint8Array, associatedWith(at));
      // What the disk has damaged stays so: whoever reads it says so.
      const rowKey = plain === undefined ? undefined : freshKey(undefined);
      const sealed = rowKey === undefined ? Buffer.alloc(0) : keys.sealUnder(rowKey.key, plain!, associatedWith(at));
      write.run(sequence!, kind!, key!, scope ?? null, place ?? null, rowKey?.slot ?? null, sealed);
      after = Number(sequence);
    }
  }
}
