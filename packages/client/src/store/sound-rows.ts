// Rows that the disk has damaged, of what nobody has to be told about: they count as not there, and go. What a person has to hear of
// is told by whoever reads it (`inbox/damaged-rows.ts`, `outbox/damaged-rows.ts`).
// Knows nothing of what is in rows.
import { decodeJson, isJson } from './json-bytes.ts';
import { getJson } from './json-rows.ts';
import type { ListOptions, Row, StoreTable, Transaction } from './store.ts';

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the table's type
export function getSound<T>(tx: Transaction, table: StoreTable, key: string): T | undefined {
  const read = tx.attempt(() => getJson<T>(tx, table, key));
  if (read.ok) return read.value;
  tx.delete(table, key);
  return undefined;
}

/** Damaged rows of the whole table go when one stands in the way. */
export function listSound(tx: Transaction, table: StoreTable, options: ListOptions = {}): Row[] {
  const listed = tx.attempt(() => {
    const rows = tx.list(table, options);
    for (const { value } of rows) decodeJson(value);
    return rows;
  });
  if (listed.ok) return listed.value;
  tx.dropDamaged(table, isJson);
  return tx.list(table, options);
}
