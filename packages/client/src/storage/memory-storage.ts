// Rows that are kept in this process alone, for tests and trials: what is opened over the same rows again finds them.
// Knows nothing of what the rows are.
import type { RowStorage } from './row-storage.ts';

/** `rows` is where they are; give the same map again to open what was kept. */
export function memoryStorage(rows: Map<string, Uint8Array> = new Map()): RowStorage {
  return {
    async *load() {
      for (const [id, value] of rows) yield { id, value: Uint8Array.from(value) };
    },
    async write({ put, remove }) {
      for (const { id, value } of put) rows.set(id, Uint8Array.from(value));
      for (const id of remove) rows.delete(id);
    },
    async close() {},
  };
}
