// Rows in the order of a number that each of them has. Most come last, a few first.
// Knows nothing of what they hold.
import type { ListOptions } from '../store/store.ts';
import { MAX_LIST } from '../store/store.ts';

export class SortedRows<Row> {
  readonly #rows: Row[] = [];
  readonly #numberOf: (row: Row) => number;

  constructor(numberOf: (row: Row) => number) {
    this.#numberOf = numberOf;
  }

  get length(): number {
    return this.#rows.length;
  }

  get first(): Row | undefined {
    return this.#rows[0];
  }

  add(row: Row): void {
    this.#rows.splice(this.#from(this.#numberOf(row)), 0, row);
  }

  /** A row that is there: this one, among those that share its number. */
  remove(row: Row): void {
    this.#rows.splice(this.#rows.indexOf(row, this.#from(this.#numberOf(row))), 1);
  }

  /** As `Transaction.list` says it. */
  list({ newest = false, after, before, limit = MAX_LIST }: ListOptions): Row[] {
    const most = Math.max(0, Math.min(limit, MAX_LIST));
    if (!newest) {
      const start = after === undefined ? 0 : this.#from(after, true);
      return this.#rows.slice(start, start + most);
    }
    const end = before === undefined ? this.#rows.length : this.#from(before);
    return this.#rows.slice(Math.max(0, end - most), end).reverse();
  }

  /** Where the first row stands whose number is at least (`isBeyond`: more than) this. */
  #from(number: number, isBeyond = false): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = this.#numberOf(this.#rows[middle]!);
      if (found < number || (isBeyond && found === number)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
