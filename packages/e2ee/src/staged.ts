// One operation's view of the store: reads what is committed, keeps its own changes to itself, hands them over at the end.
// A decryption or encryption that fails leaves nothing behind, because nothing was written.
// Knows nothing of what the values mean.
import type { E2eeStore, E2eeTable, StoreChange } from './stores.ts';

/** The store refused a read, or holds something that this package did not write. */
export class StoreFailure extends Error {
  constructor(cause: unknown) {
    super('the end-to-end encryption store failed', { cause });
  }
}

/** A store that has device keys lacks what is written together with them: it is damaged. */
export class MissingRecord extends Error {
  readonly table: E2eeTable;
  readonly key: string;
  constructor(table: E2eeTable, key: string) {
    super(`the store has no ${key} in ${table}`);
    this.table = table;
    this.key = key;
  }
}

export class StagedStore {
  readonly #store: E2eeStore;
  readonly #changes: StoreChange[] = [];
  /** The first failure, kept here because libsignal wraps what a store throws. */
  failure: StoreFailure | undefined;

  constructor(store: E2eeStore) {
    this.#store = store;
  }

  get changes(): readonly StoreChange[] {
    return this.#changes;
  }

  async read(table: E2eeTable, key: string, scope?: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (let i = this.#changes.length - 1; i >= 0; i--) {
      const change = this.#changes[i]!;
      if (change.table !== table) continue;
      if (change.op === 'delete-scope' ? change.scope === scope : change.key === key) {
        return change.op === 'put' ? Uint8Array.from(change.value) : undefined;
      }
    }
    try {
      const value = await this.#store.read(table, key);
      return value === undefined ? undefined : Uint8Array.from(value);
    } catch (cause) {
      throw this.fail(cause);
    }
  }

  /** Rows of a scope as committed. */
  async count(table: E2eeTable, scope: string): Promise<number> {
    try {
      return await this.#store.count(table, scope);
    } catch (cause) {
      throw this.fail(cause);
    }
  }

  put(table: E2eeTable, key: string, value: Uint8Array, scope?: string): void {
    // A session that several messages advance in one operation is written once.
    const last = this.#changes.findLastIndex(
      change => change.op === 'put' && change.table === table && change.key === key,
    );
    const deleted = this.#changes.findLastIndex(change => change.op !== 'put' && change.table === table);
    if (last > deleted) this.#changes.splice(last, 1);
    this.#changes.push({ op: 'put', table, key, value, ...(scope === undefined ? {} : { scope }) });
  }

  delete(table: E2eeTable, key: string): void {
    this.#changes.push({ op: 'delete', table, key });
  }

  deleteScope(table: E2eeTable, scope: string): void {
    this.#changes.push({ op: 'delete-scope', table, scope });
  }

  fail(cause: unknown): StoreFailure {
    this.failure ??= new StoreFailure(cause);
    return this.failure;
  }
}
