// The SDK's store: one SQLite file in which values are encrypted and lookups are keyed hashes. Whoever has the file without
// its key sees how many rows of each kind there are, their order of writing and rough sizes, and nothing else.
// Knows nothing of what the values mean, of streams or of libsignal; serves as the store of the encryption suite.
// Source: docs/protocol/09-content.md section 9.8; https://www.sqlite.org/wal.html.
import assert from 'node:assert/strict';
import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { E2eeStore, E2eeTable, StoreChange } from '@drawbridge/e2ee/stores';
import { createStoreKeys, type KeyHeader, type KeySource, openStoreKeys, type StoreKeys } from './store-keys.ts';
import { faultOf, StoreFault, type StoreResult } from './store-errors.ts';

/**
 * The tables and their numbers in the file, which never change their meaning.
 *
 * `setting` (account, preferences), the suite's own tables, `contact`, `device-list`, `outbox` (in order of writing),
 * `message` (history, in order of writing, scope = chat), `held` (ciphertexts that wait for an acceptance, scope = person),
 * `received` (stanzas seen, bounded), `sent` (content kept for retries, bounded), `retry` (retry counts), `chat`, `orphan`
 * (facts about messages that have not come, scope = chat), `expiry` (running timers), `profile`, `transfer` (of history), `upload` (files to be
 * sent), `saving` (plaintext files that are being written).
 */
const tables = {
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
} as const satisfies Record<string, number> & Record<E2eeTable, number>;

export type StoreTable = keyof typeof tables;

/** Newest rows kept, give or take a sixteenth; older ones are forgotten. Tables without an entry are the SDK's to bound. */
export const tableLimits: { readonly [Table in StoreTable]?: number } = {
  received: 50_000,
  sent: 1_000,
  retry: 2_000,
  held: 2_000,
  orphan: 2_000,
};
export const MAX_VALUE_BYTES = 1_048_576;
export const MAX_KEY_BYTES = 1_024;
/** Rows that one `list` gives back at most. */
export const MAX_LIST = 1_000;
/** Plaintext lengths are rounded up to this, so that the file tells only rough sizes. */
const SIZE_STEP_BYTES = 128;

export const SCHEMA_VERSION = 1;

/** `sequence` grows with each new key of the whole store (`putFirst`: falls); a rewritten row keeps its own. */
export type Row = { readonly sequence: number; readonly key: string; readonly value: Buffer };

/** All of them see and make one state; they throw `StoreFault` alone, which ends the transaction. */
export type Transaction = {
  get(table: StoreTable, key: string): Buffer | undefined;
  put(table: StoreTable, key: string, value: Uint8Array, scope?: string): void;
  /** As `put`; a new row stands before all others of the store. */
  putFirst(table: StoreTable, key: string, value: Uint8Array, scope?: string): void;
  /** Whether the row was there. */
  delete(table: StoreTable, key: string): boolean;
  deleteScope(table: StoreTable, scope: string): void;
  /** Oldest first, after `after` (exclusive); with `newest`, newest first, before `before` (exclusive). */
  list(table: StoreTable, options?: ListOptions): Row[];
  count(table: StoreTable, scope?: string): number;
  /** Carries out what the encryption suite staged. */
  apply(changes: readonly StoreChange[]): void;
};

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
   * Runs `work` in one transaction: durable (synchronous=FULL) when it gives back `ok`, not done at all otherwise.
   * `work` is synchronous and must not open another one. What it throws besides `StoreFault` undoes the transaction and is
   * thrown on: broken code.
   */
  transaction<T>(work: (tx: Transaction) => T): StoreResult<T>;
  /** Wraps the data key for another passphrase, key or key file; rows stay as they are. */
  changeKey(source: KeySource): Promise<StoreResult<void>>;
  close(): void;
};

/**
 * Opens the store, or makes it (folder 0700, file 0600). One process at a time; the operating system frees the lock when
 * that process ends, however it ends. Errors: every code of `StoreErrorCode` but `closed` and `corrupt-row`.
 */
export async function openEncryptedStore(options: {
  readonly path: string;
  readonly key: KeySource;
}): Promise<StoreResult<EncryptedStore>> {
  let db: DatabaseSync | undefined;
  try {
    db = openDatabase(options.path);
    const { header, version } = readHeader(db);
    let keys: StoreKeys;
    if (header === undefined) {
      const made = await createStoreKeys(options.key);
      keys = made.keys;
      inTransaction(db, () => {
        migrate(db!, version);
        writeHeader(db!, made.header);
      });
    } else {
      keys = await openStoreKeys(options.key, header);
      if (version < SCHEMA_VERSION) inTransaction(db, () => migrate(db!, version));
    }
    return { ok: true, value: createStore(db, keys) };
  } catch (error) {
    if (db?.isOpen) db.close();
    const fault = faultOf(error);
    if (fault === undefined) throw error;
    return { ok: false, error: fault };
  }
}

/** One step for each version; a store of version n runs steps n, n + 1, … in one transaction. */
const migrations: readonly ((db: DatabaseSync) => void)[] = [
  db =>
    db.exec(`
      CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), kdf TEXT NOT NULL, salt BLOB NOT NULL,
        memory_kib INTEGER NOT NULL, passes INTEGER NOT NULL, wrapped BLOB NOT NULL) STRICT;
      CREATE TABLE row (sequence INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, key BLOB NOT NULL,
        scope BLOB, value BLOB NOT NULL) STRICT;
      CREATE UNIQUE INDEX row_key ON row (kind, key);
      CREATE INDEX row_scope ON row (kind, scope, sequence);
      CREATE INDEX row_kind ON row (kind, sequence);
    `),
];
assert.equal(migrations.length, SCHEMA_VERSION);

function openDatabase(path: string): DatabaseSync {
  const folder = dirname(path);
  if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 });
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
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function readHeader(db: DatabaseSync): { header: KeyHeader | undefined; version: number } {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > SCHEMA_VERSION) throw new StoreFault('schema-too-new');
  const count = Number(db.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']);
  if (version === 0) {
    if (count > 0) throw new StoreFault('not-a-store');
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

function migrate(db: DatabaseSync, from: number): void {
  for (const step of migrations.slice(from)) step(db);
  db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
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
  const tx = createTransaction(statements, keys);
  let closed = false;
  let busy = false;

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
        return { ok: true, value: undefined };
      } catch (error) {
        const fault = faultOf(error);
        if (fault === undefined) throw error;
        return { ok: false, error: fault };
      }
    },
    close() {
      if (closed) return;
      closed = true;
      db.close();
    },
  };
}

type Statements = ReturnType<typeof prepare>;

function prepare(db: DatabaseSync) {
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
    trim: db.prepare(
      'DELETE FROM row WHERE kind = ?1 AND sequence <= (SELECT sequence FROM row WHERE kind = ?1 ORDER BY sequence DESC LIMIT 1 OFFSET ?2)',
    ),
    oldest: db.prepare(`${select} AND ${oldest}`),
    newest: db.prepare(`${select} AND ${newest}`),
    oldestOfScope: db.prepare(`${select} AND scope = ? AND ${oldest}`),
    newestOfScope: db.prepare(`${select} AND scope = ? AND ${newest}`),
  } satisfies Record<string, StatementSync>;
}

function createTransaction(sql: Statements, keys: StoreKeys): Transaction {
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
    list(table, options = {}) {
      const { scope, newest = false, limit = MAX_LIST } = options;
      const bound = newest ? (options.before ?? Number.MAX_SAFE_INTEGER) : (options.after ?? Number.MIN_SAFE_INTEGER);
      const rows = Math.min(limit, MAX_LIST);
      const kind = tables[table];
      const found =
        scope === undefined
          ? (newest ? sql.newest : sql.oldest).all(kind, bound, rows)
          : (newest ? sql.newestOfScope : sql.oldestOfScope).all(
              kind,
              keys.lookup(kind, scopeText(scope)),
              bound,
              rows,
            );
      return found.map(row => ({ sequence: Number(row['sequence']), ...openRow(keys, table, row) }));
    },
    count(table, scope) {
      const kind = tables[table];
      const row =
        scope === undefined ? sql.count.get(kind) : sql.countScope.get(kind, keys.lookup(kind, scopeText(scope)));
      return Number(row?.['n']);
    },
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
