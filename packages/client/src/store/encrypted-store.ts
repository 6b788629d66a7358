// The store port on SQLite: one file in which values are encrypted and lookups are keyed hashes. Whoever has the file without
// its key sees how many rows of each kind there are, their order of writing and rough sizes, and nothing else.
// Knows nothing of what the values mean, of streams or of libsignal; serves as the store of the encryption suite.
// Source: docs/protocol/09-content.md section 9.8; https://www.sqlite.org/wal.html.
import assert from 'node:assert/strict';
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { migrate, SCHEMA_VERSION } from './migrations.ts';
import { rowsOf } from './rows.ts';
import { faultOf, StoreFault, type StoreResult } from './store-errors.ts';
import { createStoreKeys, type KeyHeader, type KeySource, openStoreKeys, type StoreKeys } from './store-keys.ts';
import type { EncryptedStore } from './store.ts';

export const wipeLimits = {
  /** What was deleted or replaced is gone from the files after this time at the latest; after a crash, at the next start. */
  withinMs: 5_000,
} as const;

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
    const made = header === undefined ? await createStoreKeys(options.key) : undefined;
    const keys = made?.keys ?? (await openStoreKeys(options.key, header!));
    if (version < SCHEMA_VERSION) {
      inTransaction(db, () => {
        migrate(db!, version, keys, nowMs);
        if (made !== undefined) writeHeader(db!, made.header);
      });
      wipe(db);
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
  const tx = rowsOf(db, keys);
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
