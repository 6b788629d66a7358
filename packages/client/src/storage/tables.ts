// The tables of a store in this process's memory, with transactions that are done or undone as a whole, and a note of which rows
// they changed.
// Knows nothing of keys, sealing or where rows are kept (`stored-tables.ts`).
import { faultOf, isOfOneRow, StoreFault } from '../store/store-errors.ts';
import {
  type Attempted,
  type ListOptions,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  type Row,
  type StoreTable,
  tableLimits,
  tables,
  type Transaction,
} from '../store/store.ts';
import { SortedRows } from './sorted-rows.ts';

export type TableRow = {
  readonly table: StoreTable;
  readonly key: string;
  readonly scope: string | undefined;
  readonly sequence: number;
  /** Where a message stands when it isn't at its sequence. */
  readonly place: number | undefined;
  readonly value: Uint8Array;
};

/** The row there after the transaction; undefined: none. */
export type Changed = { readonly table: StoreTable; readonly key: string; readonly row: TableRow | undefined };

type Orders = { readonly bySequence: SortedRows<TableRow>; readonly byPlace: SortedRows<TableRow> };

const newOrders = (): Orders => ({
  bySequence: new SortedRows(row => row.sequence),
  byPlace: new SortedRows(row => row.place ?? row.sequence),
});

class Table {
  readonly rows = new Map<string, TableRow>();
  readonly all = newOrders();
  readonly scopes = new Map<string, Orders>();

  set(key: string, row: TableRow | undefined): void {
    const before = this.rows.get(key);
    if (before !== undefined) this.#eachOrder(before, order => order.remove(before));
    if (row === undefined) this.rows.delete(key);
    else {
      this.rows.set(key, row);
      this.#eachOrder(row, order => order.add(row));
    }
    if (before?.scope !== undefined && this.scopes.get(before.scope)?.bySequence.length === 0) {
      this.scopes.delete(before.scope);
    }
  }

  #eachOrder(row: TableRow, change: (order: SortedRows<TableRow>) => void): void {
    const scoped = row.scope === undefined ? [] : [this.#scope(row.scope)];
    for (const { bySequence, byPlace } of [this.all, ...scoped]) {
      change(bySequence);
      if (row.table === 'message') change(byPlace);
    }
  }

  #scope(scope: string): Orders {
    const known = this.scopes.get(scope) ?? newOrders();
    this.scopes.set(scope, known);
    return known;
  }
}

export class Tables {
  readonly #tables: ReadonlyMap<StoreTable, Table>;
  readonly #undo: (() => void)[] = [];
  #changed = new Map<string, { readonly table: StoreTable; readonly key: string }>();
  /** Numbers that were never given: they grow, and shrink before all rows. */
  #next = 1;
  #first = 0;

  constructor() {
    const names = Object.keys(tables) as StoreTable[];
    this.#tables = new Map(names.map(name => [name, new Table()]));
  }

  /** The next number that is given. */
  get next(): number {
    return this.#next;
  }

  /** Puts in what was kept, before the first transaction. */
  fill(row: TableRow): void {
    this.#table(row.table).set(row.key, row);
    this.#first = Math.min(this.#first, row.sequence);
    this.#next = Math.max(this.#next, row.sequence + 1, (row.place ?? 0) + 1);
  }

  /** Numbers below this were given before. */
  goOnFrom(next: number): void {
    this.#next = next;
  }

  get(table: StoreTable, key: string): Buffer | undefined {
    const row = this.#table(table).rows.get(key);
    return row === undefined ? undefined : Buffer.from(row.value);
  }

  count(table: StoreTable, scope?: string): number {
    const found = this.#table(table);
    return (scope === undefined ? found.all : found.scopes.get(scope))?.bySequence.length ?? 0;
  }

  /** Runs `work`; gives its value and what it changed. When it throws, all is as it was. */
  transaction<T>(work: (tx: Transaction) => T): { readonly value: T; readonly changed: Changed[] } {
    try {
      const value = work(this.#tx);
      const changed = [...this.#changed.values()].map(({ table, key }) => ({
        table,
        key,
        row: this.#table(table).rows.get(key),
      }));
      return { value, changed };
    } catch (error) {
      this.#undoTo(0);
      throw error;
    } finally {
      this.#undo.length = 0;
      this.#changed = new Map();
    }
  }

  readonly #tx: Transaction = {
    get: (table, key) => this.get(table, key),
    put: (table, key, value, scope) => this.#put(table, key, value, scope, () => this.#next++),
    putFirst: (table, key, value, scope) => this.#put(table, key, value, scope, () => --this.#first),
    newPlace: () => this.#next++,
    place: (table, key, place) => {
      const row = this.#table(table).rows.get(key);
      if (row !== undefined) this.#set(table, key, { ...row, place });
    },
    delete: (table, key) => {
      if (!this.#table(table).rows.has(key)) return false;
      this.#set(table, key, undefined);
      return true;
    },
    deleteScope: (table, scope) => {
      const found = this.#table(table).scopes.get(scope)?.bySequence;
      for (let row = found?.first; row !== undefined; row = found?.first) this.#set(table, row.key, undefined);
    },
    list: (table, options = {}) => this.#list(table, 'bySequence', options),
    listByPlace: (table, options = {}) => this.#list(table, 'byPlace', options),
    dropDamaged: (table, isSound) => {
      const damaged = [...this.#table(table).rows.values()].filter(row => !isSound(Buffer.from(row.value)));
      for (const row of damaged) this.#set(table, row.key, undefined);
      return damaged.length;
    },
    count: (table, scope) => this.count(table, scope),
    attempt: part => this.#attempt(part),
    apply: changes => {
      for (const change of changes) {
        if (change.op === 'put') this.#tx.put(change.table, change.key, change.value, change.scope);
        else if (change.op === 'delete') this.#tx.delete(change.table, change.key);
        else this.#tx.deleteScope(change.table, change.scope);
      }
    },
  };

  #table(name: StoreTable): Table {
    return this.#tables.get(name)!;
  }

  #put(table: StoreTable, key: string, value: Uint8Array, scope: string | undefined, number: () => number): void {
    if (value.length > MAX_VALUE_BYTES || Buffer.byteLength(key) > MAX_KEY_BYTES) {
      throw new StoreFault('value-too-large', { table });
    }
    const before = this.#table(table).rows.get(key);
    const sequence = before?.sequence ?? number();
    this.#set(table, key, { table, key, scope, sequence, place: before?.place, value: Uint8Array.from(value) });
    const limit = tableLimits[table];
    const { bySequence } = this.#table(table).all;
    if (limit !== undefined && bySequence.length > limit) this.#set(table, bySequence.first!.key, undefined);
  }

  #set(table: StoreTable, key: string, row: TableRow | undefined): void {
    const into = this.#table(table);
    const before = into.rows.get(key);
    this.#undo.push(() => into.set(key, before));
    this.#changed.set(`${table} ${key}`, { table, key });
    into.set(key, row);
  }

  #undoTo(length: number): void {
    while (this.#undo.length > length) this.#undo.pop()!();
  }

  #list(table: StoreTable, order: keyof Orders, options: ListOptions): Row[] {
    const found = this.#table(table);
    const orders = options.scope === undefined ? found.all : found.scopes.get(options.scope);
    const numberOf = (row: TableRow): number => (order === 'byPlace' ? (row.place ?? row.sequence) : row.sequence);
    const rows = orders?.[order].list(options) ?? [];
    return rows.map(row => ({ sequence: numberOf(row), key: row.key, value: Buffer.from(row.value) }));
  }

  #attempt<T>(part: () => T): Attempted<T> {
    const before = this.#undo.length;
    try {
      return { ok: true, value: part() };
    } catch (error) {
      const fault = faultOf(error);
      if (fault !== undefined && !isOfOneRow(fault)) throw error;
      this.#undoTo(before);
      return { ok: false, error };
    }
  }
}
