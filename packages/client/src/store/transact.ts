// One transaction of the store, for calls of a person: a failure of the store is a `ClientError` that unwinds.
// Knows nothing of what is read or written.
import { ClientError } from '../errors.ts';
import type { EncryptedStore, Transaction } from './store.ts';
import type { StoreFault } from './store-errors.ts';

/** Runs `work` in one transaction. Throws `closed`, or `store-failed` with the store's code as `detail`; nothing is changed then. */
export function transact<T>(store: EncryptedStore, work: (tx: Transaction) => T): T {
  const result = store.transaction(work);
  if (!result.ok) throw storeError(result.error);
  return result.value;
}

export function storeError(fault: StoreFault): ClientError {
  switch (fault.code) {
    case 'wrong-key':
    case 'key-missing':
      return new ClientError('wrong-passphrase', { cause: fault });
    case 'store-in-use':
      return new ClientError('store-locked', { cause: fault });
    case 'closed':
      return new ClientError('closed', { cause: fault });
    default:
      return new ClientError('store-failed', { detail: fault.code, cause: fault });
  }
}
