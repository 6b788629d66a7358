// What every storage for a client's rows has to do, as cases that any test runner can run. For authors of a storage:
//   import { storageContract } from '@drawbridge/client/storage-contract';
//   for (const { name, run } of storageContract) test(name, () => run(open));
// What it can't try, the author does: that a change which a crash interrupts is there as a whole or not at all.
// Knows nothing of any storage.
import assert from 'node:assert/strict';
import { type RowStorage, type SealedRow, storageLimits } from './row-storage.ts';

/** Opens the storage of that name: what was written to it and closed is there; a name that is new has no rows. */
export type OpenStorage = (name: string) => RowStorage | Promise<RowStorage>;

export type StorageCase = { readonly name: string; readonly run: (open: OpenStorage) => Promise<void> };

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const row = (id: string, value: string | Uint8Array): SealedRow => ({
  id,
  value: typeof value === 'string' ? text(value) : value,
});

/** All rows by their ids; an id that comes twice is a fault. */
async function load(storage: RowStorage): Promise<Map<string, Uint8Array>> {
  const rows = new Map<string, Uint8Array>();
  for await (const { id, value } of storage.load()) {
    assert(!rows.has(id), `load gave ${id} twice`);
    assert(value instanceof Uint8Array, `the value of ${id} is bytes`);
    rows.set(id, Uint8Array.from(value));
  }
  return rows;
}

/** Opens it again and compares what is there. */
async function expect(open: OpenStorage, name: string, rows: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const storage = await open(name);
  assert.deepEqual(sorted(await load(storage)), sorted(rows));
  await storage.close();
}

const sorted = (rows: ReadonlyMap<string, Uint8Array>): [string, string][] =>
  [...rows]
    .map(([id, value]): [string, string] => [id, Buffer.from(value).toString('base64')])
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** Changes one after another, in one opening. */
async function write(open: OpenStorage, name: string, ...changes: Parameters<RowStorage['write']>[0][]): Promise<void> {
  const storage = await open(name);
  await load(storage);
  for (const change of changes) await storage.write(change);
  await storage.close();
}

async function newOneIsEmpty(open: OpenStorage): Promise<void> {
  await expect(open, 'new', new Map());
}

async function keepsRows(open: OpenStorage): Promise<void> {
  await write(open, 'kept', { put: [row('1.aaa', 'one'), row('header', 'two')], remove: [] });
  const rows = new Map([
    ['1.aaa', text('one')],
    ['header', text('two')],
  ]);
  await expect(open, 'kept', rows);
  await expect(open, 'another', new Map());
  await expect(open, 'kept', rows);
}

async function replacesAndRemoves(open: OpenStorage): Promise<void> {
  await write(
    open,
    'changed',
    { put: [row('1.a', 'first'), row('1.b', 'stays'), row('1.c', 'goes')], remove: [] },
    { put: [row('1.a', 'second, and longer')], remove: ['1.c', 'never.there'] },
    { put: [], remove: [] },
  );
  await expect(
    open,
    'changed',
    new Map([
      ['1.a', text('second, and longer')],
      ['1.b', text('stays')],
    ]),
  );
}

async function keepsOddRows(open: OpenStorage): Promise<void> {
  const largest = new Uint8Array(storageLimits.maxRowBytes).map((_, at) => at * 31 + (at >> 8));
  const odd = [
    row('30.Abc-_', new Uint8Array(0)),
    row(
      '30.aBC-_',
      Uint8Array.from({ length: 256 }, (_, at) => at),
    ),
    row('31.'.padEnd(64, 'x'), largest),
  ];
  await write(open, 'odd', { put: odd, remove: [] });
  await expect(open, 'odd', new Map(odd.map(({ id, value }) => [id, value])));
}

async function takesItsOwnCopies(open: OpenStorage): Promise<void> {
  const value = text('as it was');
  const storage = await open('copies');
  await load(storage);
  await storage.write({ put: [row('1.a', value)], remove: [] });
  value.fill(0);
  await storage.close();
  const again = await open('copies');
  for await (const found of again.load()) found.value.fill(0);
  await again.close();
  await expect(open, 'copies', new Map([['1.a', text('as it was')]]));
}

async function keepsManyRows(open: OpenStorage): Promise<void> {
  const many = Array.from({ length: 3_000 }, (_, at) => row(`14.${at}`, `value ${at}`.repeat(20)));
  const gone = many.flatMap(({ id }, at) => (at % 3 === 0 ? [id] : []));
  await write(open, 'many', { put: many, remove: [] }, { put: [], remove: gone });
  await expect(open, 'many', new Map(many.flatMap(({ id, value }, at) => (at % 3 === 0 ? [] : [[id, value]]))));
}

/** The same changes each time, over few ids: puts, replacements and removals in every order. */
async function followsAnyChanges(open: OpenStorage): Promise<void> {
  let state = 7;
  const draw = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  const rows = new Map<string, Uint8Array>();
  for (let opening = 0; opening < 5; opening++) {
    const changes = Array.from({ length: 20 }, () => {
      const change = { put: [] as SealedRow[], remove: [] as string[] };
      for (const id of new Set(Array.from({ length: draw(12) }, () => `2.${draw(40)}`))) {
        if (draw(3) === 0) change.remove.push(id);
        else change.put.push(row(id, `${opening} ${draw(1_000_000)}`.repeat(1 + draw(50))));
      }
      for (const { id, value } of change.put) rows.set(id, value);
      for (const id of change.remove) rows.delete(id);
      return change;
    });
    await write(open, 'any', ...changes);
    await expect(open, 'any', rows);
  }
}

export const storageContract: readonly StorageCase[] = [
  { name: 'a new storage has no rows', run: newOneIsEmpty },
  { name: 'rows last, each storage with its own', run: keepsRows },
  { name: 'a row is replaced and removed; removing what is not there does nothing', run: replacesAndRemoves },
  { name: 'empty and largest values, and ids that differ in case, are kept as they are', run: keepsOddRows },
  { name: 'bytes are copied: whoever gave or got them may change them', run: takesItsOwnCopies },
  { name: 'thousands of rows fit into one change', run: keepsManyRows },
  { name: 'any row of changes is followed', run: followsAnyChanges },
];
