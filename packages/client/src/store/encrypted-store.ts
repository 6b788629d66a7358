// The store port on SQLite: one file in which values are encrypted and lookups are keyed hashes. Whoever has the file without
// its key sees how many rows of each kind there are, their order of writing and rough sizes, and nothing else.
// Knows nothing of what the values mean, of streams or of libsignal; serves as the store of the encryption suite.
// Source: docs/protocol/09-content.md section 9.8; https://www.sqlite.org/wal.html.
import assert from 'node:assert/strict';
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { migrate, SCHEMA_VERSION } from './migrations.ts';
import { createStoreKeys, type KeyHeader, type KeySource, openStoreKeys, type StoreKeys } from './store-keys.ts';
import { faultOf, isOfOneRow, StoreFault, type StoreResult } from './store-errors.ts';
import {
  type Attempted,
  type EncryptedStore,
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

export const wipeLimits = {
  /** What was deleted or replaced is gone from the files after this time at the latest; after a crash, at the next start. */
  withinMs: 5_000,
} as const;

/** Plaintext lengths are rounded up to this, so that the file tells only rough sizes. */
const SIZE_STEP_BYTES = 128;

/**
 * Opens the store, or makes it (folder 0700, file 0600). One process at a time; the operating system frees the lock when
 * that process ends, however it ends. Errors: every code of `StoreErrorCode` but `closed` and `corrupt-row`.
 */
export async function openEncryptedStore(options: {
  readonly path: string;
  readonly key: KeySource;
  /** For what an earlier version kept without a time. */
  readonly nowMs?: () => number;
}): Promise<StoreResult<EncryptedStore>> {
  let db: DatabaseSync | undefined;
  const nowMs = (options.nowMs ?? Date.now)();
  try {
    db = openDatabase(options.path);
    const { header, version } = readHeader(db);
    let keys: StoreKeys;
    if (header === undefined) {
      const made = await createStoreKeys(options.key);
      keys = made.keys;
      inTransaction(db, () => {
        migrate(db!, version, () => createTransaction(db!, prepare(db!), keys), nowMs);
        writeHeader(db!, made.header);
      });
    } else {
      keys = await openStoreKeys(options.key, header);
      if (version < SCHEMA_VERSION)
        inTransaction(db, () => migrate(db!, version, () => createTransaction(db!, prepare(db!), keys), nowMs));
    }
    return { ok: true, value: createStore(db, keys) };
  } catch (error) {
    if (db?.isOpen) db.close();
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    return { ok: false, error: fault };
  }
}

function openDatabase(path: string): DatabaseSync {
  makeFolder(dirname(path));
  // Made by us, so that nobody else can read it even for a moment; SQLite gives its side files the same mode.
  if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600));
  else if (process.platform !== 'win32') chmodSync(path, 0o600);
  const db = new DatabaseSync(path, { timeout: 0, enableForeignKeyConstraints: false, allowExtension: false });
  try {
    // Exclusive before WAL: no shared-memory file, and the lock is held until the process ends.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    // What was deleted is overwritten, since deleted ratchet keys would open old messages.
    db.exec('PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;');
    // Takes the lock now rather than at the first write.
    db.exec('BEGIN IMMEDIATE; COMMIT');
    wipe(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * The log holds every page as it was before: deleted contents, used ratchet keys. All of it goes into the file, where pages
 * are overwritten, and the log is cut to nothing. A disk that is full now refuses nobody for it: the next write tries again,
 * and so does the next start.
 */
function wipe(db: DatabaseSync): void {
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch (error) {
    if (faultOf(error) === undefined) throw error;
  }
}

function readHeader(db: DatabaseSync): { header: KeyHeader | undefined; version: number } {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > SCHEMA_VERSION) throw new StoreFault('schema-too-new');
  const count = Number(db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
  if (version <= 0) {
    if (count > 0 || version < 0) throw new StoreFault('not-a-store');
    return { header: undefined, version };
  }
  const row = db.prepare('SELECT kdf, salt, memory_kib, passes, wrapped FROM header WHERE id = 1').get();
  const kdf = row?.['kdf'];
  const salt = row?.['salt'];
  const wrapped = row?.['wrapped'];
  if ((kdf !== 'argon2id' && kdf !== 'none') || !(salt instanceof Uint8Array) || !(wrapped instanceof Uint8Array)) {
    throw new StoreFault('not-a-store');
  }
  return {
    header: { kdf, salt, wrapped, memoryKib: Number(row?.['memory_kib']), passes: Number(row?.['passes']) },
    version,
  };
}

function writeHeader(db: DatabaseSync, header: KeyHeader): void {
  db.prepare(
    'INSERT OR REPLACE INTO header (id, kdf, salt, memory_kib, passes, wrapped) VALUES (1, ?, ?, ?, ?, ?)',
  ).run(header.kdf, header.salt, header.memoryKib, header.passes, header.wrapped);
}

function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const value = work();
    db.exec('COMMIT');
    return value;
  } catch (error) {
    // A full disk may have ended the transaction already.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function createStore(db: DatabaseSync, keys: StoreKeys): EncryptedStore {
  const statements = prepare(db);
  const tx = createTransaction(db, statements, keys);
  let closed = false;
  let busy = false;
  let wiping: NodeJS.Timeout | undefined;

  const wipeSoon = (): void => {
    wiping ??= setTimeout(() => {
      wiping = undefined;
      wipe(db);
    }, wipeLimits.withinMs).unref();
  };
  const needOpen = (): void => {
    if (closed) throw new StoreFault('closed');
  };
  const read = <T>(work: () => T): T => {
    needOpen();
    try {
      return work();
    } catch (error) {
      throw faultOf(error) ?? error;
    }
  };

  return {
    e2ee: {
      read: (table, key) => read(() => tx.get(table, key)),
      count: (table, scope) => read(() => tx.count(table, scope)),
    },
    transaction(work) {
      assert(!busy, 'a transaction is under way: pass its `tx` on instead of opening another');
      busy = true;
      try {
        needOpen();
        const value = inTransaction(db, () => {
          const made = work(tx);
          assert(!(made instanceof Promise), 'a transaction is synchronous: await before or after it');
          return made;
        });
        wipeSoon();
        return { ok: true, value };
      } catch (error) {
        const fault = faultOf(error);
        if (fault === undefined) throw error;
        return { ok: false, error: fault };
      } finally {
        busy = false;
      }
    },
    async changeKey(source) {
      try {
        needOpen();
        const header = await keys.rewrap(source);
        needOpen();
        inTransaction(db, () => writeHeader(db, header));
        wipe(db);
        return { ok: true, value: undefined };
      } catch (error) {
        const fault = faultOf(error);
        if (fault === undefined) throw error;
        return { ok: false, error: fault };
      }
    },
    durable: () => undefined,
    close() {
      if (closed) return;
      closed = true;
      clearTimeout(wiping);
      db.close();
    },
  };
}

type Statements = ReturnType<typeof prepare>;

function prepare(db: DatabaseSync) {
  const placed = 'SELECT coalesce(place, sequence) AS sequence, key, scope, value FROM row WHERE kind = 14';
  const placedOldest = 'coalesce(place, sequence) > ? ORDER BY coalesce(place, sequence) LIMIT ?';
  const placedNewest = 'coalesce(place, sequence) < ? ORDER BY coalesce(place, sequence) DESC LIMIT ?';
  // A store that is being brought to this version has no places yet.
  const whenPlaced = (sql: string): (() => StatementSync) => {
    let statement: StatementSync | undefined;
    return () => (statement ??= db.prepare(sql));
  };
  const oldest = 'sequence > ? ORDER BY sequence LIMIT ?';
  const newest = 'sequence < ? ORDER BY sequence DESC LIMIT ?';
  const select = 'SELECT sequence, key, scope, value FROM row WHERE kind = ?';
  return {
    get: db.prepare('SELECT key, scope, value FROM row WHERE kind = ? AND key = ?'),
    put: db.prepare(
      'INSERT INTO row (kind, key, scope, value) VALUES (?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET scope = excluded.scope, value = excluded.value',
    ),
    putFirst: db.prepare(
      'INSERT INTO row (sequence, kind, key, scope, value) VALUES (min(0, (SELECT coalesce(min(sequence), 0) FROM row)) - 1, ?, ?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET scope = excluded.scope, value = excluded.value',
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
    place: whenPlaced('UPDATE row SET place = ? WHERE kind = 14 AND key = ?'),
    placedOldest: whenPlaced(`${placed} AND ${placedOldest}`),
    placedNewest: whenPlaced(`${placed} AND ${placedNewest}`),
    placedOldestOfScope: whenPlaced(`${placed} AND scope = ? AND ${placedOldest}`),
    placedNewestOfScope: whenPlaced(`${placed} AND scope = ? AND ${placedNewest}`),
  } satisfies Record<string, StatementSync | (() => StatementSync)>;
}

function createTransaction(db: DatabaseSync, sql: Statements, keys: StoreKeys): Transaction {
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
    statement.run(kind, lookup, scopeLookup, keys.seal(packRow(key, value), associated(kind, lookup, scopeLookup)));
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
    place: (table, key, place) => void sql.place().run(place, keys.lookup(tables[table], key)),
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
      ? (newest ? sql.placedNewest : sql.placedOldest)().all(bound, rows)
      : (newest ? sql.placedNewestOfScope : sql.placedOldestOfScope)().all(
          keys.lookup(tables[table], scopeText(scope)),
          bound,
          rows,
        );
  return found.map(row => ({ sequence: Number(row['sequence']), ...openRow(keys, table, row) }));
}

/** Keys and scopes never share a hash, so that a scope that equals a key says nothing. */
function scopeText(scope: string): string {
  return `\0scope\0${scope}`;
}

/** Binds a value to its table, key and scope: a row can't be put in another's place. */
function associated(kind: number, lookup: Uint8Array, scope: Uint8Array | null): Buffer {
  return Buffer.concat([Buffer.of(kind, scope === null ? 0 : 1), lookup, scope ?? Buffer.alloc(0)]);
}

const ROW_HEADER_BYTES = 6;

/** 2 bytes key length, 4 bytes value length, key, value, zeros. */
function packRow(key: string, value: Uint8Array): Buffer {
  const keyBytes = Buffer.from(key);
  const size = ROW_HEADER_BYTES + keyBytes.length + value.length;
  const packed = Buffer.alloc(Math.ceil(size / SIZE_STEP_BYTES) * SIZE_STEP_BYTES);
  packed.writeUInt16BE(keyBytes.length, 0);
  packed.writeUInt32BE(value.length, 2);
  packed.set(keyBytes, ROW_HEADER_BYTES);
  packed.set(value, ROW_HEADER_BYTES + keyBytes.length);
  return packed;
}

function openRow(keys: StoreKeys, table: StoreTable, row: Record<string, unknown>): { key: string; value: Buffer } {
  const { key: lookup, scope, value: sealed } = row;
  if (!(lookup instanceof Uint8Array) || !(sealed instanceof Uint8Array))
    throw new StoreFault('corrupt-row', { table });
  const scopeLookup = scope instanceof Uint8Array ? scope : null;
  const packed = keys.open(sealed, associated(tables[table], lookup, scopeLookup));
  // Authentic rows have a sound shape; the checks below hold against nothing but a mistake of this file.
  if (packed === undefined) throw new StoreFault('corrupt-row', { table });
  const keyLength = packed.readUInt16BE(0);
  const valueLength = packed.readUInt32BE(2);
  const start = ROW_HEADER_BYTES + keyLength;
  return { key: packed.toString('utf8', ROW_HEADER_BYTES, start), value: packed.subarray(start, start + valueLength) };
}
