// The store over an app's storage: it does what the SQLite store does, whatever is asked of both; what it changed is in the storage
// when it says so; what the storage holds is sealed; and a storage that fails or was tampered with costs no more than it must.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { StoreFault } from '../store/store-errors.ts';
import type { KeySource } from '../store/store-keys.ts';
import type { EncryptedStore, ListOptions, Row, StoreTable, Transaction } from '../store/store.ts';
import { MAX_VALUE_BYTES, tableLimits } from '../store/store.ts';
import { testStore } from '../testing/test-store.ts';
import { memoryStorage } from './memory-storage.ts';
import type { RowStorage } from './row-storage.ts';
import { openStoredTables } from './stored-tables.ts';

const key: KeySource = { kind: 'key', key: randomBytes(32) };
const bytes = (text: string): Buffer => Buffer.from(text);

async function open(storage: RowStorage, source: KeySource = key): Promise<EncryptedStore> {
  const opened = await openStoredTables({ storage, key: source });
  assert(opened.ok, opened.ok ? '' : opened.error.message);
  return opened.value;
}

async function refusal(storage: RowStorage, source: KeySource = key): Promise<string> {
  const opened = await openStoredTables({ storage, key: source });
  assert(!opened.ok);
  return opened.error.code;
}

function inStore<T>(store: EncryptedStore, work: (tx: Transaction) => T): T {
  const done = store.transaction(work);
  assert(done.ok, done.ok ? '' : done.error.message);
  return done.value;
}

async function close(store: EncryptedStore): Promise<void> {
  store.close();
  await store.durable();
}

// One command of a transaction, with its answer as plain data.

type Command = (tx: Transaction, places: number[]) => unknown;

const tablesUsed = ['message', 'outbox', 'setting'] as const satisfies readonly StoreTable[];
const aTable = fc.constantFrom(...tablesUsed);
const aKey = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const aScope = fc.constantFrom(undefined, 's', 't');
const aValue = fc.uint8Array({ maxLength: 8 });
const plain = (rows: readonly Row[]): unknown => rows.map(row => [row.key, row.value.toString('hex')]);

/** `nth` counts among the rows of the whole list: numbers of rows differ from store to store. */
function bounded(all: readonly Row[], nth: number | undefined, options: ListOptions): ListOptions {
  const at = nth === undefined ? undefined : all[nth]?.sequence;
  if (at === undefined) return options;
  return options.newest === true ? { ...options, before: at } : { ...options, after: at };
}

const aList = fc.record({
  scope: aScope,
  newest: fc.boolean(),
  limit: fc.constantFrom(undefined, 1, 2, 50),
  nth: fc.option(fc.nat(6), { nil: undefined }),
});

type Listing = {
  readonly scope: string | undefined;
  readonly newest: boolean;
  readonly limit: number | undefined;
  readonly nth: number | undefined;
};

const listing = (
  list: (tx: Transaction, options?: ListOptions) => Row[],
  { scope, newest, limit, nth }: Listing,
): Command => {
  const options = {
    newest,
    ...(scope === undefined ? {} : { scope }),
    ...(limit === undefined ? {} : { limit }),
  };
  return tx => plain(list(tx, bounded(list(tx), nth, options)));
};

const aCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.tuple(aTable, aKey, aValue, aScope).map(
    ([table, name, value, scope]): Command =>
      tx =>
        tx.put(table, name, value, scope),
  ),
  fc.tuple(aTable, aKey, aValue, aScope).map(
    ([table, name, value, scope]): Command =>
      tx =>
        tx.putFirst(table, name, value, scope),
  ),
  fc.tuple(aTable, aKey).map(
    ([table, name]): Command =>
      tx =>
        tx.get(table, name)?.toString('hex'),
  ),
  fc.tuple(aTable, aKey).map(
    ([table, name]): Command =>
      tx =>
        tx.delete(table, name),
  ),
  fc.tuple(aTable, fc.constantFrom('s', 't')).map(
    ([table, scope]): Command =>
      tx =>
        tx.deleteScope(table, scope),
  ),
  fc.tuple(aTable, aScope).map(
    ([table, scope]): Command =>
      tx =>
        tx.count(table, scope),
  ),
  fc.constant<Command>((tx, places) => void places.push(tx.newPlace())),
  fc.tuple(aKey, fc.nat(3)).map(
    ([name, nth]): Command =>
      (tx, places) => {
        const place = places[nth];
        if (place !== undefined) tx.place('message', name, place);
      },
  ),
  fc.tuple(aTable, aList).map(([table, list]) => listing((tx, options) => tx.list(table, options), list)),
  aList.map(list => listing((tx, options) => tx.listByPlace('message', options), list)),
  fc.tuple(aTable, fc.nat(3)).map(
    ([table, most]): Command =>
      tx =>
        tx.dropDamaged(table, value => value.length > most),
  ),
  fc.tuple(aTable, aKey, fc.constantFrom('whole', 'broken', 'one-row', 'store')).map(
    ([table, name, end]): Command =>
      tx => {
        const done = tx.attempt(() => {
          tx.put(table, name, bytes('tried'));
          tx.delete(table, 'a');
          if (end === 'broken') throw new Error('broken');
          if (end === 'one-row') throw new StoreFault('corrupt-row');
          if (end === 'store') throw new StoreFault('disk-full');
        });
        return done.ok;
      },
  ),
);
const aTransaction = fc.record({ commands: fc.array(aCommand, { maxLength: 12 }), fails: fc.boolean() });

/** Everything that is there. */
const everything: Command = tx => [...tablesUsed.map(table => plain(tx.list(table))), plain(tx.listByPlace('message'))];

test('whatever is asked of it, it answers as the SQLite store does, also when it is opened again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(aTransaction, { maxLength: 12 }), async transactions => {
      const sqlite = await testStore('tables');
      const rows = new Map<string, Uint8Array>();
      let tables = await open(memoryStorage(rows));
      const places: [number[], number[]] = [[], []];
      try {
        for (const [index, { commands, fails }] of transactions.entries()) {
          const [expected, found] = [sqlite.store, tables].map((store, which) => {
            const answers: unknown[] = [];
            const done = store.transaction(tx => {
              for (const command of commands) answers.push(command(tx, places[which]!));
              if (fails) throw new StoreFault('io');
            });
            return { answers, code: done.ok ? 'ok' : done.error.code, all: inStore(store, tx => everything(tx, [])) };
          });
          assert.deepEqual(found, expected);
          if (index % 3 !== 2) continue;
          await close(tables);
          tables = await open(memoryStorage(rows));
        }
      } finally {
        sqlite.remove();
      }
      await close(tables);
    }),
    { numRuns: 60 },
  );
});

test('bounded tables forget the oldest, and no number is given twice', async () => {
  const rows = new Map<string, Uint8Array>();
  const limit = tableLimits.asked!;
  let store = await open(memoryStorage(rows));
  inStore(store, tx => {
    for (let at = 0; at < limit + 5; at++) tx.put('asked', `${at}`, bytes('x'));
  });
  const last = inStore(store, tx => {
    assert.equal(tx.count('asked'), limit);
    assert.equal(tx.get('asked', '4'), undefined);
    const [row] = tx.list('asked', { newest: true, limit: 1 });
    tx.deleteScope('asked', 'none');
    for (const each of tx.list('asked')) tx.delete('asked', each.key);
    return row!.sequence;
  });
  await close(store);
  store = await open(memoryStorage(rows));
  const next = inStore(store, tx => {
    tx.put('asked', 'next', bytes('x'));
    return tx.list('asked')[0]!.sequence;
  });
  assert(next > last);
  await close(store);
});

test('a transaction is synchronous, alone, and not done when it throws', async () => {
  const store = await open(memoryStorage());
  assert.throws(() => store.transaction(() => store.transaction(() => 1)), /under way/);
  assert.throws(() => store.transaction(async () => 1), /synchronous/);
  assert.throws(() =>
    store.transaction(tx => {
      tx.put('setting', 'a', bytes('1'));
      throw new Error('broken code');
    }),
  );
  const tooLarge = store.transaction(tx => {
    tx.put('setting', 'a', bytes('1'));
    tx.put('setting', 'b', new Uint8Array(MAX_VALUE_BYTES + 1));
  });
  assert(!tooLarge.ok && tooLarge.error.code === 'value-too-large');
  assert.equal(
    inStore(store, tx => tx.get('setting', 'a')),
    undefined,
  );
  await close(store);
  const closed = store.transaction(() => 1);
  assert(!closed.ok && closed.error.code === 'closed');
});

/** A storage whose writes wait until they are let through. */
function slowStorage(rows: Map<string, Uint8Array>) {
  const waiting: (() => void)[] = [];
  const storage = memoryStorage(rows);
  const slow: RowStorage = {
    ...storage,
    async write(change) {
      await new Promise<void>(resolve => waiting.push(resolve));
      await storage.write(change);
    },
  };
  return { slow, waiting, letOne: () => waiting.shift()?.() };
}

test('it is durable when the storage has it, and not before; what comes meanwhile goes in the next write', async () => {
  const rows = new Map<string, Uint8Array>();
  const { slow, waiting, letOne } = slowStorage(rows);
  const opening = open(slow);
  while (waiting.length === 0) await new Promise(setImmediate);
  letOne();
  const store = await opening;
  assert.equal(store.durable(), undefined);
  inStore(store, tx => tx.put('setting', 'a', bytes('1')));
  await new Promise(setImmediate);
  const order: string[] = [];
  const first = store.durable()?.then(() => order.push(`first: ${rows.size} rows`));
  for (const name of ['b', 'c', 'd']) inStore(store, tx => tx.put('setting', name, bytes(name)));
  const second = store.durable()?.then(() => order.push(`second: ${rows.size} rows`));
  assert(waiting.length < 2, 'one write at a time');
  letOne();
  await first;
  while (waiting.length === 0) await new Promise(setImmediate);
  letOne();
  await second;
  // One row is the header.
  assert.deepEqual(order, ['first: 2 rows', 'second: 5 rows']);
  assert.equal(store.durable(), undefined);
  store.close();
  await store.durable();
});

test('a write that fails is the last: nothing is durable any more, and the next opening finds what was written before', async () => {
  const rows = new Map<string, Uint8Array>();
  const storage = memoryStorage(rows);
  let isFull = false;
  const store = await open({
    ...storage,
    write: change => (isFull ? Promise.reject(new Error('the disk is full')) : storage.write(change)),
  });
  inStore(store, tx => tx.put('setting', 'a', bytes('kept')));
  await store.durable();
  isFull = true;
  inStore(store, tx => tx.put('setting', 'a', bytes('lost')));
  await assert.rejects(async () => store.durable(), { code: 'io' });
  const refused = store.transaction(tx => tx.get('setting', 'a'));
  assert(!refused.ok && refused.error.code === 'io');
  store.close();
  const again = await open(memoryStorage(rows));
  assert.equal(
    inStore(again, tx => tx.get('setting', 'a')?.toString()),
    'kept',
  );
  await close(again);
});

test('the storage sees neither names nor contents, and sizes only roughly', async () => {
  const rows = new Map<string, Uint8Array>();
  const store = await open(memoryStorage(rows));
  const secrets = ['alice@skylark.example', 'meet me at noon', 'chat-with-bob'];
  inStore(store, tx => {
    tx.put('message', secrets[0]!, bytes(secrets[1]!), secrets[2]);
    for (const length of [0, 1, 50]) tx.put('outbox', `o-${length}`.padEnd(4), new Uint8Array(length));
  });
  await close(store);
  const seen = [...rows].map(([id, value]) => `${id} ${Buffer.from(value).toString('latin1')}`).join('\n');
  for (const secret of secrets) assert(!seen.includes(secret), secret);
  const sizes = new Set([...rows].flatMap(([id, value]) => (id.startsWith('13.') ? [value.length] : [])));
  assert.equal(sizes.size, 1);
});

test('what is not its own, of a later version or under another key is refused', async () => {
  const rows = new Map<string, Uint8Array>();
  const store = await open(memoryStorage(rows), { kind: 'passphrase', passphrase: 'correct horse' });
  inStore(store, tx => tx.put('setting', 'a', bytes('1')));
  await close(store);
  assert.equal(await refusal(memoryStorage(rows), { kind: 'passphrase', passphrase: 'wrong' }), 'wrong-key');
  assert.equal(await refusal(memoryStorage(rows)), 'wrong-key');
  const header = rows.get('header')!;
  const text = Buffer.from(header).toString();
  const later = text.replace(/"version":\d+/, '"version":9999');
  assert.equal(await refusal(memoryStorage(new Map(rows).set('header', bytes(later)))), 'schema-too-new');
  for (const broken of ['', '{', '[]', 'null', '{}', text.replace('argon2id', 'md5')]) {
    assert.equal(await refusal(memoryStorage(new Map(rows).set('header', bytes(broken)))), 'not-a-store', broken);
  }
  assert.equal(await refusal(memoryStorage(new Map([['14.x', bytes('strange')]]))), 'not-a-store');
  const fails: RowStorage = {
    ...memoryStorage(rows),
    // oxlint-disable-next-line require-yield -- it fails before the first row
    async *load() {
      throw new Error('no such place');
    },
  };
  assert.equal(await refusal(fails), 'io');
});

test('another key takes the place of the first', async () => {
  const rows = new Map<string, Uint8Array>();
  const store = await open(memoryStorage(rows));
  inStore(store, tx => tx.put('setting', 'a', bytes('1')));
  const other: KeySource = { kind: 'key', key: randomBytes(32) };
  assert((await store.changeKey(other)).ok);
  await close(store);
  assert.equal(await refusal(memoryStorage(rows)), 'wrong-key');
  const again = await open(memoryStorage(rows), other);
  assert.equal(
    inStore(again, tx => tx.get('setting', 'a')?.toString()),
    '1',
  );
  await close(again);
});

test('a row that was changed or put elsewhere is refused by its name until it is replaced or dropped', async () => {
  const rows = new Map<string, Uint8Array>();
  const store = await open(memoryStorage(rows));
  inStore(store, tx => {
    for (const name of ['a', 'b', 'c']) tx.put('setting', name, bytes(name));
    tx.put('outbox', 'sound', bytes('sound'));
  });
  await close(store);
  const ids = [...rows.keys()].filter(id => id.startsWith('1.'));
  const [first, second] = ids.map(id => rows.get(id)!);
  rows.set(ids[0]!, second!);
  rows.set(ids[1]!, first!);
  rows.get(ids[2]!)![40]! ^= 1;
  let again = await open(memoryStorage(rows));
  const codes = ['a', 'b', 'c'].map(name => {
    const got = again.transaction(tx => tx.get('setting', name));
    return got.ok ? 'read' : `${got.error.code} in ${got.error.table}`;
  });
  assert.deepEqual(codes, Array(3).fill('corrupt-row in setting'));
  assert.equal(
    inStore(again, tx => tx.list('setting').length),
    0,
  );
  assert.equal(
    inStore(again, tx => tx.get('outbox', 'sound')?.toString()),
    'sound',
  );
  inStore(again, tx => tx.put('setting', 'a', bytes('mended')));
  assert.equal(
    inStore(again, tx => tx.get('setting', 'a')?.toString()),
    'mended',
  );
  // Undone with its transaction, then done.
  again.transaction(tx => {
    tx.dropDamaged('setting', () => true);
    throw new StoreFault('io');
  });
  assert.equal(
    inStore(again, tx => tx.dropDamaged('setting', () => true)),
    2,
  );
  await close(again);
  again = await open(memoryStorage(rows));
  assert.deepEqual(
    inStore(again, tx => ['a', 'b', 'c'].map(name => tx.get('setting', name)?.toString())),
    ['mended', undefined, undefined],
  );
  await close(again);
});
