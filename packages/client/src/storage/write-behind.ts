// What is changed in memory reaches an app's storage behind it: one write at a time, in order, and what comes meanwhile goes in
// the next one together. A write that fails is the last.
// Knows nothing of what the rows are.
import { faultOf, StoreFault } from '../store/store-errors.ts';
import type { RowStorage } from './row-storage.ts';

type Waiting = { readonly until: number; readonly resolve: () => void; readonly reject: (fault: StoreFault) => void };

export class WriteBehind {
  readonly #storage: RowStorage;
  /** What the next write takes; undefined removes. It holds no more rows than the store. */
  #next = new Map<string, Uint8Array | undefined>();
  #added = 0;
  #written = 0;
  #isWriting = false;
  #waiting: Waiting[] = [];
  #fault: StoreFault | undefined;

  constructor(storage: RowStorage) {
    this.#storage = storage;
  }

  get fault(): StoreFault | undefined {
    return this.#fault;
  }

  add(rows: ReadonlyMap<string, Uint8Array | undefined>): void {
    for (const [id, value] of rows) this.#next.set(id, value);
    this.#added++;
    if (!this.#isWriting) void this.#write();
  }

  /** Undefined: all that was added is durable. Otherwise fulfilled when it is; rejects with what the storage failed with. */
  durable(): Promise<void> | undefined {
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    if (this.#written === this.#added) return undefined;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.push({ until: this.#added, resolve, reject });
    return promise;
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#next.size > 0) {
        // What is added in the same turn goes along.
        await Promise.resolve();
        const rows = [...this.#next];
        const until = this.#added;
        this.#next = new Map();
        await this.#storage.write({
          put: rows.flatMap(([id, value]) => (value === undefined ? [] : [{ id, value }])),
          remove: rows.flatMap(([id, value]) => (value === undefined ? [id] : [])),
        });
        this.#written = until;
        this.#settle(until, waiting => waiting.resolve());
      }
    } catch (error) {
      const fault = faultOf(error) ?? new StoreFault('io', { cause: error });
      this.#fault = fault;
      this.#settle(Infinity, waiting => waiting.reject(fault));
    }
    this.#isWriting = false;
  }

  #settle(until: number, end: (waiting: Waiting) => void): void {
    const settled = this.#waiting.filter(each => each.until <= until);
    this.#waiting = this.#waiting.filter(each => each.until > until);
    for (const each of settled) end(each);
  }
}
