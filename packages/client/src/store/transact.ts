// One transaction of the store, and what its failure is: for calls of a person an error that unwinds, for what goes on by itself
// a problem that the app hears of.
// Knows nothing of what is read or written.
import { ClientError } from '../errors.ts';
import type { EncryptedStore, Transaction } from './store.ts';
import { type StoreFault, storeFaultIn } from './store-errors.ts';

/** Runs `work` in one transaction. Throws `closed`, or `store-failed` with the store's code as `detail`; nothing is changed then. */
export function transact<T>(store: EncryptedStore, work: (tx: Transaction) => T): T {
  const result = store.transaction(work);
  if (!result.ok) throw storeError(result.error);
  return result.value;
}

/** Undefined, or fulfilled when all that was done until now is durable. Rejects with `ClientError`. */
export function durable(store: EncryptedStore): Promise<void> | undefined {
  return store.durable()?.catch((error: unknown) => {
    const fault = storeFaultIn(error);
    throw fault === undefined ? error : storeError(fault);
  });
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

/** Undefined when the store failed; the application hears of it. */
export function transaction<T>(
  {
    store,
    emit,
  }: {
    readonly store: EncryptedStore;
    readonly emit: (event: { readonly kind: 'problem'; readonly error: ClientError }) => void;
  },
  work: (tx: Transaction) => T,
): T | undefined {
  const result = store.transaction(work);
  if (result.ok) return result.value;
  if (result.error.code !== 'closed') {
    emit({ kind: 'problem', error: new ClientError('store-failed', { cause: result.error }) });
  }
  return undefined;
}

/** Throws inside a suite's commit when the transaction was not done, so that the operation is not done either. */
export function committed(result: { readonly ok: boolean; readonly error?: unknown }): void {
  if (!result.ok) throw new ClientError('store-failed', { cause: result.error });
}
