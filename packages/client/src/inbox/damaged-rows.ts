// Rows of what came and waits that the disk has damaged: they go, a notice says so, and what is behind them goes on.
// Knows nothing of streams or decryption.
// Source: docs/protocol/09-content.md section 9.7; docs/decisions/0048-a-fault-costs-the-smallest-thing-it-met.md.
import { addNotice } from '../notices/notice-records.ts';
import { isJson } from '../store/json-bytes.ts';
import { isOfOneRow, storeFaultIn } from '../store/store-errors.ts';
import type { StoreTable, Transaction } from '../store/store.ts';

/**
 * `held`: waits for an acceptance; `unread`: waits to be sent again; `retry`: counts; `asked`: a person decides about sending it
 * again.
 */
const tables: readonly StoreTable[] = ['held', 'unread', 'retry', 'asked'];

/** Reads rows; damaged ones go first. */
export function soundly<T>(tx: Transaction, nowMs: number, read: () => T): T {
  const found = tx.attempt(read);
  if (found.ok) return found.value;
  if (!dropDamaged(tx, found.error, nowMs)) throw found.error;
  return read();
}

/** Whether it was such a row, and is gone. */
export function dropDamaged(tx: Transaction, error: unknown, nowMs: number): boolean {
  const fault = storeFaultIn(error);
  const isHere = fault === undefined ? error instanceof SyntaxError : isOfOneRow(fault) && isOneOf(fault.table);
  if (!isHere) return false;
  // Counts of retries are not JSON.
  const dropped = tables.map(table => tx.dropDamaged(table, table === 'retry' ? () => true : isJson));
  const [held, unread, retry, asked] = dropped as [number, number, number, number];
  if (held + unread + retry > 0) addNotice(tx, { kind: 'unreadable' }, nowMs);
  if (asked > 0) addNotice(tx, { kind: 'unsent-damaged' }, nowMs);
  return held + unread + retry + asked > 0;
}

function isOneOf(table: string | undefined): boolean {
  return tables.some(each => each === table);
}
