// The storage that ships for tests and trials passes what is asked of every storage, and a storage that is wrong does not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryStorage } from './memory-storage.ts';
import type { RowStorage } from './row-storage.ts';
import { type OpenStorage, storageContract } from './storage-contract.ts';

/** A storage for each name, changed by `mend`. */
function opener(change: (storage: RowStorage, rows: Map<string, Uint8Array>) => RowStorage): OpenStorage {
  const places = new Map<string, Map<string, Uint8Array>>();
  return name => {
    const rows = places.get(name) ?? new Map<string, Uint8Array>();
    places.set(name, rows);
    return change(memoryStorage(rows), rows);
  };
}

for (const { name, run } of storageContract) test(name, () => run(opener(storage => storage)));

const wrong: Record<string, OpenStorage> = {
  'forgets removals': opener(storage => ({ ...storage, write: change => storage.write({ ...change, remove: [] }) })),
  'keeps the first value': opener((storage, rows) => ({
    ...storage,
    write: ({ put, remove }) => storage.write({ put: put.filter(({ id }) => !rows.has(id)), remove }),
  })),
  'folds case': opener(storage => ({
    ...storage,
    write: ({ put, remove }) =>
      storage.write({ put: put.map(({ id, value }) => ({ id: id.toLowerCase(), value })), remove }),
  })),
  'keeps what it is given': opener((storage, rows) => ({
    ...storage,
    async write({ put, remove }) {
      for (const { id, value } of put) rows.set(id, value);
      for (const id of remove) rows.delete(id);
    },
  })),
  'takes a thousand rows': opener(storage => ({
    ...storage,
    write: ({ put, remove }) => storage.write({ put: put.slice(0, 1_000), remove }),
  })),
  'has one place for all': (() => {
    const rows = new Map<string, Uint8Array>();
    return () => memoryStorage(rows);
  })(),
};
for (const [fault, open] of Object.entries(wrong)) {
  test(`a storage that ${fault} is found`, async () => {
    const found: string[] = [];
    for (const { name, run } of storageContract) await run(open).catch(() => found.push(name));
    assert.notDeepEqual(found, []);
  });
}
