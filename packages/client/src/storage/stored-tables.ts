// The store port over an app's storage: all rows are in memory, transactions are done there at once, and what they change is
// sealed and written behind them, in order and in batches. What leaves the device waits for it (`durable`).
// Knows nothing of what the values mean, nor of how the storage keeps rows.
// Source: docs/decisions/0074-an-app-s-storage-takes-sealed-rows.md.
import assert from 'node:assert/strict';
import { faultOf, StoreFault, type StoreResult } from '../store/store-errors.ts';
import { createStoreKeys, type KeyHeader, type KeySource, openStoreKeys, type StoreKeys } from '../store/store-keys.ts';
import type { EncryptedStore, StoreTable, Transaction } from '../store/store.ts';
import { migrateRows, SCHEMA_VERSION } from '../store/migrations.ts';
import { decodeHeader, encodeHeader, headerId } from './storage-header.ts';
import type { RowStorage } from './row-storage.ts';
import { openRow, rowId, sealRow, tableOfId } from './sealed-rows.ts';
import { type Changed, Tables } from './tables.ts';
import { WriteBehind } from './write-behind.ts';

/** Opens the rows, or begins with none. Errors: `wrong-key`, `not-a-store`, `schema-too-new`, and `io` for what the storage throws. */
export async function openStoredTables(options: {
  readonly storage: RowStorage;
  readonly key: KeySource;
  /** For what an earlier version kept without a time. */
  readonly nowMs?: () => number;
}): Promise<StoreResult<EncryptedStore>> {
  const { storage, key, nowMs = Date.now } = options;
  try {
    const rows = await loaded(storage);
    const header = decodeHeader(rows.get(headerId));
    rows.delete(headerId);
    if (header === undefined && rows.size > 0) throw new StoreFault('not-a-store');
    if (header !== undefined && header.version > SCHEMA_VERSION) throw new StoreFault('schema-too-new');
    const made = header === undefined ? await createStoreKeys(key) : undefined;
    const keys = made?.keys ?? (await openStoreKeys(key, header!.keys));
    const store = new StoredTables(storage, keys, made?.header ?? header!.keys);
    store.fill(rows, header?.next ?? 1);
    store.migrate(header?.version ?? SCHEMA_VERSION, nowMs());
    await store.durable();
    return { ok: true, value: store };
  } catch (error) {
    await storage.close().catch(() => undefined);
    return { ok: false, error: storageFault(error) };
  }
}

async function loaded(storage: RowStorage): Promise<Map<string, Uint8Array>> {
  const rows = new Map<string, Uint8Array>();
  for await (const { id, value } of storage.load()) rows.set(id, value);
  return rows;
}

function storageFault(error: unknown): StoreFault {
  return faultOf(error) ?? new StoreFault('io', { cause: error });
}

class StoredTables implements EncryptedStore {
  readonly #storage: RowStorage;
  readonly #keys: StoreKeys;
  readonly #tables = new Tables();
  readonly #behind: WriteBehind;
  /** Ids of rows that can't be opened. Each is refused by its name until another is put there, and no list has it. */
  readonly #damaged = new Set<string>();
  #header: KeyHeader;
  #headerNext: number | undefined;
  #busy = false;
  #closed: Promise<void> | undefined;

  constructor(storage: RowStorage, keys: StoreKeys, header: KeyHeader) {
    this.#storage = storage;
    this.#keys = keys;
    this.#header = header;
    this.#behind = new WriteBehind(storage);
  }

  fill(rows: ReadonlyMap<string, Uint8Array>, next: number): void {
    this.#tables.goOnFrom(next);
    for (const [id, value] of rows) {
      try {
        this.#tables.fill(openRow(this.#keys, { id, value }));
      } catch (error) {
        if (faultOf(error) === undefined) throw error;
        this.#damaged.add(id);
      }
    }
  }

  migrate(from: number, nowMs: number): void {
    const { changed } = this.#tables.transaction(tx => migrateRows(tx, from, nowMs));
    this.#keep(changed);
  }

  readonly e2ee: EncryptedStore['e2ee'] = {
    read: (table, key) => {
      this.#needOpen();
      return this.#get(table, key);
    },
    count: (table, scope) => {
      this.#needOpen();
      return this.#tables.count(table, scope);
    },
  };

  transaction<T>(work: (tx: Transaction) => T): StoreResult<T> {
    assert(!this.#busy, 'a transaction is under way: pass its `tx` on instead of opening another');
    this.#busy = true;
    const dropped = new Set<string>();
    try {
      this.#needOpen();
      const { value, changed } = this.#tables.transaction(tx => {
        const made = work(this.#damaged.size === 0 ? tx : this.#besideDamaged(tx, dropped));
        assert(!(made instanceof Promise), 'a transaction is synchronous: await before or after it');
        return made;
      });
      this.#keep(changed, dropped);
      return { ok: true, value };
    } catch (error) {
      const fault = faultOf(error);
      if (fault === undefined) throw error;
      return { ok: false, error: fault };
    } finally {
      this.#busy = false;
    }
  }

  durable(): Promise<void> | undefined {
    return this.#closed ?? this.#behind.durable();
  }

  async changeKey(source: KeySource): Promise<StoreResult<void>> {
    try {
      this.#needOpen();
      const header = await this.#keys.rewrap(source);
      this.#needOpen();
      this.#header = header;
      this.#headerNext = undefined;
      this.#keep([]);
      await this.#behind.durable();
      return { ok: true, value: undefined };
    } catch (error) {
      const fault = faultOf(error);
      if (fault === undefined) throw error;
      return { ok: false, error: fault };
    }
  }

  close(): void {
    this.#closed ??= this.#end();
    // Whoever wants to know asks `durable`.
    this.#closed.catch(() => undefined);
  }

  async #end(): Promise<void> {
    try {
      await this.#behind.durable();
    } finally {
      await this.#storage.close();
    }
  }

  #needOpen(): void {
    if (this.#closed !== undefined) throw new StoreFault('closed');
    if (this.#behind.fault !== undefined) throw this.#behind.fault;
  }

  #get(table: StoreTable, key: string, dropped: ReadonlySet<string> = new Set()): Buffer | undefined {
    const value = this.#tables.get(table, key);
    if (value !== undefined || this.#damaged.size === 0) return value;
    const id = rowId(this.#keys, table, key);
    if (this.#damaged.has(id) && !dropped.has(id)) throw new StoreFault('corrupt-row', { table });
    return undefined;
  }

  #besideDamaged(tx: Transaction, dropped: Set<string>): Transaction {
    return {
      ...tx,
      get: (table, key) => this.#get(table, key, dropped),
      dropDamaged: (table, isSound) => {
        const found = [...this.#damaged].filter(id => tableOfId(id) === table && !dropped.has(id));
        for (const id of found) dropped.add(id);
        return found.length + tx.dropDamaged(table, isSound);
      },
    };
  }

  /** Hands on what a transaction changed; `dropped` are damaged rows that it let go. */
  #keep(changed: readonly Changed[], dropped: ReadonlySet<string> = new Set()): void {
    const rows = new Map<string, Uint8Array | undefined>([...dropped].map(id => [id, undefined]));
    for (const { table, key, row } of changed) {
      const sealed = row === undefined ? undefined : sealRow(this.#keys, row);
      rows.set(sealed?.id ?? rowId(this.#keys, table, key), sealed?.value);
    }
    const { next } = this.#tables;
    if (next !== this.#headerNext) {
      rows.set(headerId, encodeHeader({ version: SCHEMA_VERSION, next, keys: this.#header }));
      this.#headerNext = next;
    }
    for (const id of rows.keys()) this.#damaged.delete(id);
    if (rows.size > 0) this.#behind.add(rows);
  }
}
