// Rows whose value is JSON. Knows nothing of what is in them.
import { decodeJson, encodeJson } from './json-bytes.ts';
import type { StoreTable, Transaction } from './store.ts';

/** Rows are authentic: nobody but the SDK wrote them, and each table holds one type. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the table's type
export function getJson<T>(tx: Transaction, table: StoreTable, key: string): T | undefined {
  const value = tx.get(table, key);
  return value === undefined ? undefined : (decodeJson(value) as T);
}

export function putJson(tx: Transaction, table: StoreTable, key: string, value: unknown, scope?: string): void {
  tx.put(table, key, encodeJson(value), scope);
}
