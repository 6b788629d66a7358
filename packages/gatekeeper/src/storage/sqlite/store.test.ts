// The storage engine on real files: group commits, failures of one command and of all, a full disk, death of the worker
// and of the process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Claim, MailboxRow } from '../../mailbox/mailbox-store.ts';
import { addDevices } from '../../testing/add-devices.ts';
import { mailboxRow, unbounded } from '../../testing/mailbox-contract.ts';
import { StoreError } from '../store-error.ts';
import { migrate } from './schema.ts';
import { maxWaitingCommands, openSqliteStore, type SqliteStore, type StoreOptions } from './store.ts';

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-store-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function openFor(
  t: TestContext,
  file = join(folderFor(t), 'store.sqlite'),
  options: StoreOptions = {},
): Promise<SqliteStore> {
  const isThere = existsSync(file);
  const store = await openSqliteStore(file, options);
  if (!isThere) addDevices(file, 4);
  t.after(() => store.close());
  return store;
}

const append = (store: SqliteStore, rows: readonly MailboxRow[]): Promise<unknown> =>
  store.run('mailboxAppend', { rows, bounds: unbounded });
const row = (device: number, number: number, length = 100): MailboxRow => mailboxRow(device, number, length);

const isStoreError =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof StoreError && error.code === code;

function count(store: SqliteStore, device: number): number {
  const row = store.reads.prepare('SELECT count(*) AS n FROM mailbox WHERE device = ?').get(device);
  return Number(row!['n']);
}

test('what run resolved is read by all three connections', async t => {
  const store = await openFor(t);
  await append(store, [row(1, 1), row(1, 2)]);
  assert.equal(count(store, 1), 2);
  assert.equal(store.reads.prepare('SELECT count(*) AS n FROM mailbox').get()!['n'], 2);
});

test('commands keep their order and answer in it, in one commit or many', async t => {
  const store = await openFor(t);
  const order: number[] = [];
  const work = Array.from({ length: 500 }, async (_, i) => {
    await append(store, [row(1, i + 1)]);
    order.push(i);
  });
  assert(store.waiting > 0);
  await Promise.all(work);
  assert.equal(store.waiting, 0);
  assert.deepEqual(
    order,
    Array.from({ length: 500 }, (_, i) => i),
  );
  assert.equal(count(store, 1), 500);
});

test('a command that throws writes nothing and fails alone', async t => {
  const store = await openFor(t);
  const broken = { ...row(1, 4), expiresAtMs: 'never' as unknown as number };
  const outcomes = await Promise.allSettled([
    append(store, [row(1, 1)]),
    // Its first row is new, its second is not one.
    append(store, [row(1, 2), broken]),
    append(store, [row(1, 3)]),
    store.run('mailboxRemove', [{ device: 1, epoch: undefined, first: 2, last: 2 }]),
    append(store, [broken]),
    append(store, [row(1, 5)]),
  ]);
  assert.deepEqual(
    outcomes.map(outcome => outcome.status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') assert(isStoreError('store-failed')(outcome.reason));
  const kept = store.reads.prepare('SELECT seq, stanza FROM mailbox ORDER BY seq').all();
  assert.deepEqual(
    kept.map(each => [each['seq'], (each['stanza'] as Uint8Array)[0]]),
    [
      [1, 1],
      [3, 5],
    ],
  );
  // Alone in its batch, where there is no savepoint, it fails just the same.
  await assert.rejects(append(store, [row(1, 6), broken]), isStoreError('store-failed'));
  assert.equal(count(store, 1), 2);
});

test('a read that fails answers with an error and the reader lives', async t => {
  const store = await openFor(t);
  await assert.rejects(store.read('mailboxPage', undefined as never), isStoreError('store-failed'));
  assert.equal(count(store, 1), 0);
});

test('reads are answered one by one, in their order: a quick one does not wait for a long one behind it', async t => {
  const store = await openFor(t);
  for (let first = 1; first <= 20_000; first += 1_000) {
    await append(
      store,
      Array.from({ length: 1_000 }, (_, i) => row(1, first + i, 400)),
    );
  }
  const order: string[] = [];
  const { epoch } = (await store.run('mailboxClaim', { device: 1, node: 'a' })) as Claim;
  const quick = store.read('mailboxPage', { device: 1, epoch, afterSeq: 0, maxCount: 1, maxBytes: 1 });
  const long = Array.from({ length: 10 }, () =>
    store.read('mailboxPage', { device: 1, epoch, afterSeq: 0, maxCount: 20_000, maxBytes: 1e9 }),
  );
  const beganMs = performance.now();
  await quick;
  const quickMs = performance.now() - beganMs;
  order.push('quick');
  await Promise.all(long.map(each => each.then(() => order.push('long'))));
  const longMs = performance.now() - beganMs;
  assert.deepEqual(order, ['quick', ...Array.from({ length: 10 }, () => 'long')]);
  assert(quickMs < longMs / 2, `${quickMs} ms of ${longMs} ms`);
});

test('a full disk is said to be full, nothing of the batch is kept, and room makes it work again', async t => {
  const disk = await smallDisk(t);
  if (disk === undefined) {
    t.skip('needs the right to mount a tmpfs');
    return;
  }
  // Without a look at the room beforehand: the disk itself refuses.
  const store = await openFor(t, join(disk, 'store.sqlite'), { diskReserveBytes: Number.NEGATIVE_INFINITY });
  let stored = 0;
  let failure: unknown;
  for (let i = 0; failure === undefined && i < 1_000; i++) {
    const batch = [0, 1, 2].map(part => append(store, [row(1, i * 3 + part + 1, 20_000)]));
    const outcomes = await Promise.allSettled(batch);
    failure = outcomes.find(outcome => outcome.status === 'rejected')?.reason;
    if (failure === undefined) stored += 3;
    else assert(outcomes.every(outcome => outcome.status === 'rejected' && isStoreError('disk-full')(outcome.reason)));
  }
  assert(isStoreError('disk-full')(failure));
  assert(stored > 10);
  assert.equal(count(store, 1), stored, 'all that was acknowledged, and nothing else');
  rmSync(join(disk, 'ballast'));
  await append(store, [row(2, 1)]);
  assert.equal(count(store, 1), stored);
  assert.equal(count(store, 2), 1);
});

test('a disk that its own mailboxes have filled: removals are written, and make room without help', async t => {
  const disk = await smallDisk(t, 24);
  if (disk === undefined) {
    t.skip('needs the right to mount a tmpfs');
    return;
  }
  const store = await openFor(t, join(disk, 'store.sqlite'), { diskReserveBytes: 8 * 1024 * 1024 });
  const appendOne = (number: number): Promise<unknown> => append(store, [row(1, number, 20_000)]);
  let stored = 0;
  await assert.rejects(async () => {
    for (; stored < 1_500; stored++) await appendOne(stored + 1);
  }, isStoreError('disk-full'));
  assert(stored > 200);
  for (let time = 0; time < 3; time++) {
    // Also beside what is refused: more than the disk could ever hold, however much of it is measured as free just now.
    const [more, removed] = await Promise.allSettled([
      append(store, [row(1, 0, 13_000_000)]),
      store.run('mailboxRemove', [{ device: 1, epoch: undefined, first: 1, last: 1e9 }]),
    ]);
    assert(more.status === 'rejected' && isStoreError('disk-full')(more.reason));
    assert.equal(removed.status, 'fulfilled');
    assert.equal(count(store, 1), 0);
    await new Promise(resolve => setTimeout(resolve, 60));
    await assert.rejects(async () => {
      for (stored = 0; stored < 1_500; stored++) await appendOne((time + 1) * 10_000 + 1 + stored);
    }, isStoreError('disk-full'));
    assert(stored > 200);
  }
});

/** A file system of which 2 MB are taken by `ballast`; undefined where mounting is not allowed. */
async function smallDisk(t: TestContext, sizeMiB = 4): Promise<string | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-disk-'));
  const run = (command: string, args: string[]): Promise<number | null> =>
    new Promise(resolve => {
      const child = spawn(command, args, { stdio: 'ignore' });
      child.on('error', () => resolve(null));
      child.on('exit', resolve);
    });
  const isMounted = (await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder])) === 0;
  t.after(async () => {
    if (isMounted) await run('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  });
  if (!isMounted) return undefined;
  writeFileSync(join(folder, 'ballast'), new Uint8Array(2 * 1024 * 1024));
  return folder;
}

test('closing waits for what was accepted and refuses what comes after', async t => {
  const file = join(folderFor(t), 'store.sqlite');
  const store = await openSqliteStore(file);
  addDevices(file, 1);
  const accepted = Array.from({ length: 50 }, (_, i) => append(store, [row(1, i + 1)]));
  const closed = store.close();
  await assert.rejects(append(store, [row(1, 99)]), isStoreError('store-closed'));
  await Promise.all(accepted);
  await closed;
  await store.close();
  await assert.rejects(append(store, [row(1, 99)]), isStoreError('store-closed'));
  await assert.rejects(store.read('mailboxDevices', { afterRow: 0, limit: 1 }), isStoreError('store-closed'));
  const again = await openFor(t, file);
  assert.equal(count(again, 1), 50);
});

test('more commands than the queue holds are refused at once, the others are kept', async t => {
  const store = await openFor(t);
  const outcomes = Promise.allSettled(
    Array.from({ length: maxWaitingCommands + 10 }, () => store.run('mailboxRemove', [])),
  );
  const refused = (await outcomes).filter(outcome => outcome.status === 'rejected');
  assert.equal(refused.length, 10);
  for (const { reason } of refused) assert(isStoreError('store-overloaded')(reason));
});

test('a file that is not a database, or of a newer version, or in no folder, is refused with its name', async t => {
  const folder = folderFor(t);
  const garbage = join(folder, 'garbage.sqlite');
  writeFileSync(garbage, 'x'.repeat(10_000));
  const newer = join(folder, 'newer.sqlite');
  const db = new DatabaseSync(newer);
  db.exec('PRAGMA user_version=999');
  db.close();
  for (const file of [garbage, newer, join(folder, 'missing', 'store.sqlite')]) {
    await assert.rejects(openSqliteStore(file), error => {
      assert(error instanceof StoreError);
      assert(error.message.includes(file));
      return true;
    });
  }
});

test('opening again changes nothing; the tables are made once', async t => {
  const file = join(folderFor(t), 'store.sqlite');
  for (let i = 1; i <= 3; i++) {
    const store = await openSqliteStore(file);
    if (i === 1) addDevices(file, 1);
    await append(store, [row(1, i)]);
    assert.equal(count(store, 1), i);
    await store.close();
  }
  const db = new DatabaseSync(file);
  assert.doesNotThrow(() => migrate(db));
  db.close();
});

test('a clean close leaves one file', async t => {
  const folder = folderFor(t);
  const store = await openSqliteStore(join(folder, 'store.sqlite'));
  addDevices(join(folder, 'store.sqlite'), 1);
  await append(store, [row(1, 1)]);
  await store.close();
  assert.deepEqual(readdirSync(folder), ['store.sqlite']);
});

test('kill -9 in the midst of appends: whatever run resolved is there, and every command whole', async t => {
  const child = fileURLToPath(new URL('../../testing/store-crash-child.ts', import.meta.url));
  const folder = folderFor(t);
  for (let round = 0; round < 3; round++) {
    const file = join(folder, `store-${round}.sqlite`);
    const process_ = spawn(process.execPath, ['--conditions=drawbridge-source', child, file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    process_.stdout.setEncoding('utf8');
    process_.stdout.on('data', (text: string) => {
      said += text;
      if (said.length > 2_000 + round * 3_000) process_.kill('SIGKILL');
    });
    await new Promise(resolve => process_.once('close', resolve));
    assert.equal(process_.signalCode, 'SIGKILL');
    const acknowledged = said
      .split('\n')
      .slice(0, -1)
      .map(line => line.split(' ').map(Number) as [number, number]);
    assert(acknowledged.length > 100);

    const store = await openSqliteStore(file);
    const kept = store.reads.prepare('SELECT device, stanza FROM mailbox ORDER BY device, seq').all() as unknown as {
      device: number;
      stanza: Uint8Array;
    }[];
    const there = new Map(
      kept.map(each => [
        `${each.device} ${new DataView(each.stanza.buffer, each.stanza.byteOffset).getUint32(4)}`,
        each,
      ]),
    );
    for (const [device, first] of acknowledged) {
      for (const seq of [first, first + 1, first + 2]) {
        assert.equal(there.get(`${device} ${seq}`)?.stanza[0], seq % 251, `round ${round}: ${device} ${seq}`);
      }
    }
    assert.equal(kept.length % 3, 0, 'commands are whole');
    assert.equal(store.reads.prepare('PRAGMA integrity_check').get()!['integrity_check'], 'ok');
    await store.close();
  }
});
