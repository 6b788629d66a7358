// A real store in a folder of its own. Knows nothing of what is kept in it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

export type TestStore = {
  readonly folder: string;
  readonly store: EncryptedStore;
  /** One transaction that has to be done; what `work` throws is thrown. */
  readonly inStore: <T>(work: (tx: Transaction) => T) => T;
  /** Closes it and removes its folder. */
  readonly remove: () => void;
};

export async function testStore(name: string): Promise<TestStore> {
  const folder = mkdtempSync(join(tmpdir(), `drawbridge-${name}-`));
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, 'store.db'), key });
  assert(opened.ok);
  const store = opened.value;
  const inStore = <T>(work: (tx: Transaction) => T): T => {
    const done = store.transaction(work);
    assert(done.ok);
    return done.value;
  };
  const remove = (): void => {
    store.close();
    rmSync(folder, { recursive: true });
  };
  return { folder, store, inStore, remove };
}
