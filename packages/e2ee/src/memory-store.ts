// The store port in memory: for tests, and for devices that live no longer than their process.
// Knows nothing of what the values mean.
import type { E2eeStore, StoreChange } from './stores.ts';

export type MemoryStore = E2eeStore & { apply(changes: readonly StoreChange[]): void };

export function createMemoryStore(): MemoryStore {
  const rows = new Map<string, { value: Uint8Array; scope: string | undefined }>();
  const prefix = (table: string): string => `${table}\0`;
  return {
    read: (table, key) => {
      const row = rows.get(prefix(table) + key);
      return row === undefined ? undefined : Uint8Array.from(row.value);
    },
    count: (table, scope) =>
      [...rows].filter(([key, row]) => key.startsWith(prefix(table)) && row.scope === scope).length,
    apply: changes => {
      for (const change of changes) {
        const table = prefix(change.table);
        if (change.op === 'put')
          rows.set(table + change.key, { value: Uint8Array.from(change.value), scope: change.scope });
        else if (change.op === 'delete') rows.delete(table + change.key);
        else for (const [key, row] of rows) if (key.startsWith(table) && row.scope === change.scope) rows.delete(key);
      }
    },
  };
}
