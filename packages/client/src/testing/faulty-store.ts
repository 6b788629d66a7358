// A real store that fails where a test says: for one row, for one table, or for everything, as disks and bounds do.
// Knows nothing of what is kept.
import { StoreFault, type StoreErrorCode } from '../store/store-errors.ts';
import type { EncryptedStore, StoreTable, Transaction } from '../store/store.ts';

/** A code: this access fails with it. */
export type Fault = (access: 'read' | 'write', table: StoreTable, key: string) => StoreErrorCode | undefined;

export function faultyStore(store: EncryptedStore, fault: Fault): EncryptedStore {
  const look = (access: 'read' | 'write', table: StoreTable, key: string): void => {
    const code = fault(access, table, key);
    if (code !== undefined) throw new StoreFault(code, { table });
  };
  const faulty = (tx: Transaction): Transaction => {
    const wrapped: Transaction = {
      ...tx,
      get(table, key) {
        look('read', table, key);
        return tx.get(table, key);
      },
      put(table, key, value, scope) {
        look('write', table, key);
        tx.put(table, key, value, scope);
      },
      putFirst(table, key, value, scope) {
        look('write', table, key);
        tx.putFirst(table, key, value, scope);
      },
      delete(table, key) {
        look('write', table, key);
        return tx.delete(table, key);
      },
      apply(changes) {
        for (const change of changes) {
          if (change.op === 'put') wrapped.put(change.table, change.key, change.value, change.scope);
          else if (change.op === 'delete') wrapped.delete(change.table, change.key);
          else tx.deleteScope(change.table, change.scope);
        }
      },
    };
    return wrapped;
  };
  return {
    ...store,
    e2ee: {
      ...store.e2ee,
      read(table, key) {
        look('read', table, key);
        return store.e2ee.read(table, key);
      },
    },
    transaction: work => store.transaction(tx => work(faulty(tx))),
  };
}
