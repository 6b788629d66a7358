// The tables of an open store: rows with a keyed hash in place of their key and scope, and a sealed value.
// Knows nothing of how the file is opened, locked and wiped, nor of what values mean.
// Source: docs/protocol/09-content.md section 9.8.
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { rowKeysOf } from './row-keys.ts';
import { associatedWith, openRow, packRow, scopeText } from './sealed-rows.ts';
import { faultOf, isOfOneRow, StoreFault } from './store-errors.ts';
import type { StoreKeys } from './store-keys.ts';
import {
  type Attempted,
  type ListOptions,
  MAX_KEY_BYTES,
  MAX_LIST,
  MAX_VALUE_BYTES,
  type Row,
  type StoreTable,
  tableLimits,
  tables,
  type Transaction,
} from './store.ts';

type Statements = ReturnType<typeof prepare>;

function prepare(db: DatabaseSync) {
  const sealed =
    'key, scope, value, (SELECT row_key.key FROM row_key WHERE row_key.slot = row.slot) AS row_key FROM row';
  const placed = `SELECT coalesce(place, sequence) AS sequence, ${sealed} WHERE kind = 14`;
  const placedOldest = 'coalesce(place, sequence) > ? ORDER BY coalesce(place, sequence) LIMIT ?';
  const placedNewest = 'coalesce(place, sequence) < ? ORDER BY coalesce(place, sequence) DESC LIMIT ?';
  const oldest = 'sequence > ? ORDER BY sequence LIMIT ?';
  const newest = 'sequence < ? ORDER BY sequence DESC LIMIT ?';
  const select = `SELECT sequence, ${sealed} WHERE kind = ?`;
  const replace =
    'ON CONFLICT (kind, key) DO UPDATE SET scope = excluded.scope, slot = excluded.slot, value = excluded.value';
  return {
    get: db.prepare(`SELECT ${sealed} WHERE kind = ? AND key = ?`),
    slot: db.prepare('SELECT slot FROM row WHERE kind = ? AND key = ?'),
    put: db.prepare(`INSERT INTO row (kind, key, scope, slot, value) VALUES (?, ?, ?, ?, ?) ${replace}`),
    putFirst: db.prepare(
      `INSERT INTO row (sequence, kind, key, scope, slot, value)
        VALUES (min(0, (SELECT coalesce(min(sequence), 0) FROM row)) - 1, ?, ?, ?, ?, ?) ${replace}`,
    ),
    delete: db.prepare('DELETE FROM row WHERE kind = ? AND key = ?'),
    deleteScope: db.prepare('DELETE FROM row WHERE kind = ? AND scope = ?'),
    count: db.prepare('SELECT count(*) AS n FROM row WHERE kind = ?'),
    countScope: db.prepare('SELECT count(*) AS n FROM row WHERE kind = ? AND scope = ?'),
    newPlace: db.prepare("INSERT INTO row (kind, key, value) VALUES (0, x'', x'') RETURNING sequence"),
    forgetPlace: db.prepare('DELETE FROM row WHERE kind = 0'),
    trim: db.prepare(
      'DELETE FROM row WHERE kind = ?1 AND sequence <= (SELECT sequence FROM row WHERE kind = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)',
    ),
    oldest: db.prepare(`${select} AND ${oldest}`),
    newest: db.prepare(`${select} AND ${newest}`),
    oldestOfScope: db.prepare(`${select} AND scope = ? AND ${oldest}`),
    newestOfScope: db.prepare(`${select} AND scope = ? AND ${newest}`),
    place: db.prepare('UPDATE row SET place = ? WHERE kind = 14 AND key = ?'),
    placedOldest: db.prepare(`${placed} AND ${placedOldest}`),
    placedNewest: db.prepare(`${placed} AND ${placedNewest}`),
    placedOldestOfScope: db.prepare(`${placed} AND scope = ? AND ${placedOldest}`),
    placedNewestOfScope: db.prepare(`${placed} AND scope = ? AND ${placedNewest}`),
  } satisfies Record<string, StatementSync>;
}

/** Reads and writes a database of this version. Whoever uses it sees to it that a transaction is under way. */
export function rowsOf(db: DatabaseSync, keys: StoreKeys): Transaction {
  const sql = prepare(db);
  const freshKey = rowKeysOf(db);
  // Counting what a table holds costs as much as the table is long: done once for every sixteenth of its limit.
  const writesLeft = new Map<StoreTable, number>();
  const trim = (table: StoreTable, kind: number): void => {
    const limit = tableLimits[table];
    if (limit === undefined) return;
    const left = writesLeft.get(table) ?? 0;
    if (left === 0) sql.trim.run(kind, limit);
    writesLeft.set(table, left === 0 ? Math.floor(limit / 16) : left - 1);
  };
  const write = (
    statement: StatementSync,
    table: StoreTable,
    key: string,
    value: Uint8Array,
    scope: string | undefined,
  ): void => {
    if (value.length > MAX_VALUE_BYTES || Buffer.byteLength(key) > MAX_KEY_BYTES) {
      throw new StoreFault('value-too-large', { table });
    }
    const kind = tables[table];
    const lookup = keys.lookup(kind, key);
    const scopeLookup = scope === undefined ? null : keys.lookup(kind, scopeText(scope));
    const known = sql.slot.get(kind, lookup)?.['slot'];
    const rowKey = freshKey(typeof known === 'number' ? known : undefined);
    const associated = associatedWith({ kind, lookup, scope: scopeLookup });
    const sealed = keys.sealUnder(rowKey.key, packRow(key, value), associated);
    statement.run(kind, lookup, scopeLookup, rowKey.slot, sealed);
    trim(table, kind);
  };
  const tx: Transaction = {
    get(table, key) {
      const lookup = keys.lookup(tables[table], key);
      const row = sql.get.get(tables[table], lookup);
      if (row === undefined) return undefined;
      const opened = openRow(keys, table, row);
      if (opened.key !== key) throw new StoreFault('corrupt-row', { table });
      return opened.value;
    },
    put: (table, key, value, scope) => write(sql.put, table, key, value, scope),
    putFirst: (table, key, value, scope) => write(sql.putFirst, table, key, value, scope),
    delete(table, key) {
      return Number(sql.delete.run(tables[table], keys.lookup(tables[table], key)).changes) > 0;
    },
    deleteScope(table, scope) {
      sql.deleteScope.run(tables[table], keys.lookup(tables[table], scopeText(scope)));
    },
    dropDamaged: (table, isSound) => dropDamaged(sql, keys, table, isSound),
    list: (table, options = {}) => listRows(sql, keys, table, options),
    listByPlace: (table, options = {}) => listByPlace(sql, keys, table, options),
    newPlace() {
      const place = Number(sql.newPlace.get()?.['sequence']);
      sql.forgetPlace.run();
      return place;
    },
    place: (table, key, place) => void sql.place.run(place, keys.lookup(tables[table], key)),
    count(table, scope) {
      const kind = tables[table];
      const row =
        scope === undefined ? sql.count.get(kind) : sql.countScope.get(kind, keys.lookup(kind, scopeText(scope)));
      return Number(row?.['n']);
    },
    attempt: part => attempt(db, part),
    apply(changes) {
      for (const change of changes) {
        if (change.op === 'put') tx.put(change.table, change.key, change.value, change.scope);
        else if (change.op === 'delete') tx.delete(change.table, change.key);
        else tx.deleteScope(change.table, change.scope);
      }
    },
  };
  return tx;
}

/** In a savepoint of its own. */
function attempt<T>(db: DatabaseSync, part: () => T): Attempted<T> {
  db.exec('SAVEPOINT part');
  try {
    const value = part();
    db.exec('RELEASE part');
    return { ok: true, value };
  } catch (error) {
    const fault = faultOf(error);
    // A full disk may have ended the transaction already.
    if ((fault !== undefined && !isOfOneRow(fault)) || !db.isTransaction) throw error;
    db.exec('ROLLBACK TO part; RELEASE part');
    return { ok: false, error };
  }
}

function listRows(sql: Statements, keys: StoreKeys, table: StoreTable, options: ListOptions): Row[] {
  const { scope, newest = false, limit = MAX_LIST } = options;
  const bound = newest ? (options.before ?? Number.MAX_SAFE_INTEGER) : (options.after ?? Number.MIN_SAFE_INTEGER);
  const rows = Math.min(limit, MAX_LIST);
  const kind = tables[table];
  const found =
    scope === undefined
      ? (newest ? sql.newest : sql.oldest).all(kind, bound, rows)
      : (newest ? sql.newestOfScope : sql.oldestOfScope).all(kind, keys.lookup(kind, scopeText(scope)), bound, rows);
  return found.map(row => ({ sequence: Number(row['sequence']), ...openRow(keys, table, row) }));
}

function dropDamaged(sql: Statements, keys: StoreKeys, table: StoreTable, isSound: (value: Buffer) => boolean): number {
  const kind = tables[table];
  let dropped = 0;
  for (let after = Number.MIN_SAFE_INTEGER; ; ) {
    const rows = sql.oldest.all(kind, after, MAX_LIST);
    for (const row of rows) {
      after = Number(row['sequence']);
      if (isSoundRow(keys, table, row, isSound)) continue;
      sql.delete.run(kind, row['key'] ?? null);
      dropped++;
    }
    if (rows.length === 0) return dropped;
  }
}

function isSoundRow(
  keys: StoreKeys,
  table: StoreTable,
  row: Record<string, SQLOutputValue>,
  isSound: (value: Buffer) => boolean,
): boolean {
  try {
    return isSound(openRow(keys, table, row).value);
  } catch (error) {
    const fault = faultOf(error);
    if (fault?.code === 'corrupt-row') return false;
    throw error;
  }
}

function listByPlace(sql: Statements, keys: StoreKeys, table: StoreTable, options: ListOptions): Row[] {
  const { scope, newest = false, limit = MAX_LIST } = options;
  const bound = newest ? (options.before ?? Number.MAX_SAFE_INTEGER) : (options.after ?? Number.MIN_SAFE_INTEGER);
  const rows = Math.min(limit, MAX_LIST);
  const found =
    scope === undefined
      ? (newest ? sql.placedNewest : sql.placedOldest).all(bound, rows)
      : (newest ? sql.placedNewestOfScope : sql.placedOldestOfScope).all(
          keys.lookup(tables[table], scopeText(scope)),
          bound,
          rows,
        );
  return found.map(row => ({ sequence: Number(row['sequence']), ...openRow(keys, table, row) }));
}
