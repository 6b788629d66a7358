// Writes on a thread of their own: durable, all or nothing, never in the way of this thread, and told when they fail.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { createProvider } from '../provider.ts';
import { DatabaseWriteError, maxWaitingWrites, openLiveDatabase } from './database-writer.ts';
import { runWrite } from './run-write.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-writer-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const steps = ['CREATE TABLE t (k TEXT PRIMARY KEY) STRICT'];
const insert = (k: string) => ({ sql: 'INSERT INTO t VALUES (?)', values: [k] });
const codeOf = (error: unknown): unknown => (error instanceof DatabaseWriteError ? error.code : error);

for (const [kind, path] of [
  ['a file', join(folder, 'a.sqlite')],
  ['memory', ':memory:'],
] as const) {
  test(`${kind}: what is written is read at once; a write that fails leaves nothing, and others alone`, async () => {
    const database = openLiveDatabase(path, 'test', steps);
    const outcomes = await Promise.allSettled([
      database.write(insert('a')),
      database.write(insert('b'), insert('a')),
      database.write(insert('c')),
      database.write({ sql: 'DELETE FROM t WHERE k = ? RETURNING k', values: ['c'], returning: true }, insert('d')),
    ]);
    assert.deepEqual(
      outcomes.map(each => (each.status === 'fulfilled' ? each.value.length : codeOf(each.reason))),
      [1, 'write-failed', 1, 2],
    );
    const kept = database.reads.prepare('SELECT k FROM t ORDER BY k').all();
    assert.deepEqual(
      kept.map(row => row['k']),
      ['a', 'd'],
    );
    const late = database.write(insert('e'));
    await database.close();
    await late;
    assert.equal(await database.write(insert('f')).catch(codeOf), 'closed');
    await database.close();
  });
}

test('writes that wait are bounded, and those that were accepted are written', async () => {
  const database = openLiveDatabase(join(folder, 'many.sqlite'), 'test', steps);
  const all = await Promise.allSettled(
    Array.from({ length: maxWaitingWrites + 1 }, (_, n) => database.write(insert(`k${n}`))),
  );
  const refused = all.flatMap(each => (each.status === 'rejected' ? [codeOf(each.reason)] : []));
  assert.deepEqual(refused, ['too-many-writes']);
  assert.equal(database.reads.prepare('SELECT count(*) AS n FROM t').get()?.['n'], maxWaitingWrites);
  await database.close();
});

test('logins, registrations and uploads that wait for the disk hold nobody up on this thread', async () => {
  const dataFolder = join(folder, 'users');
  const provider = await createProvider({
    ...{ issuer: 'https://citadel.example', dataFolder, registration: 'open', media: {} },
    gatekeepers: [{ issuer: 'https://citadel.example' }],
  });
  await provider.directory.register?.('mia', 'correct horse');
  // Somebody else's transaction stands for a disk that doesn't answer. It is ended by this thread: were the write on this
  // thread too, it would wait for itself.
  const slow = new DatabaseSync(join(dataFolder, 'provider.sqlite'));
  slow.exec('BEGIN IMMEDIATE');
  let begun = false;
  const session = provider.beginSession('mia').finally(() => (begun = true));
  const jkt = 'A'.repeat(43);
  for (let n = 0; n < 20; n++) {
    const wanted = { audience: 'https://citadel.example', jkt, transport: 'compact' } as const;
    assert.equal((await provider.issueProof('mia', wanted)).kind, 'issued');
    await new Promise(resolve => setImmediate(resolve));
  }
  assert.equal(begun, false);
  slow.exec('ROLLBACK');
  slow.close();
  assert.equal((await session).kind, 'begun');
  await provider.close();
});

test('a thread that ended is told to who waits, and the next write starts another', async () => {
  const home = join(folder, 'moved');
  mkdirSync(home);
  const database = openLiveDatabase(join(home, 'a.sqlite'), 'test', steps);
  // The thread begins with the first write, and finds no file then.
  renameSync(home, `${home}.away`);
  const failed = await Promise.all([insert('a'), insert('b')].map(each => database.write(each).catch(codeOf)));
  assert.deepEqual(failed, ['write-failed', 'write-failed']);
  renameSync(`${home}.away`, home);
  assert.equal((await database.write(insert('c'))).length, 1);
  await database.close();
});

test('a full disk is a word of its own, and what makes room is written', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE t (k BLOB) STRICT; PRAGMA max_page_count = 10');
  const big = { sql: 'INSERT INTO t VALUES (?)', values: [new Uint8Array(20_000)] };
  const [first, second] = [runWrite(database, [big]), runWrite(database, [big, big])];
  assert.equal(first.kind, 'written');
  assert.ok(second.kind === 'failed' && second.code === 'disk-full');
  assert.equal(database.prepare('SELECT count(*) AS n FROM t').get()?.['n'], 1);
  assert.equal(runWrite(database, [{ sql: 'DELETE FROM t', values: [] }]).kind, 'written');
  assert.equal(runWrite(database, [big]).kind, 'written');
  database.close();
});

test('a login that can not be written is told to come again, and nothing is begun', async () => {
  const dataFolder = join(folder, 'locked');
  const log: string[] = [];
  const provider = await createProvider({
    ...{ issuer: 'http://127.0.0.1', dataFolder, registration: 'open', media: {} },
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    log: entry => log.push(`${entry.event} ${entry.code}`),
  });
  const { port } = await provider.listen({ host: '127.0.0.1', port: 0 });
  await provider.directory.register?.('mia', 'correct horse');
  const begun = await provider.beginSession('mia');
  assert.ok(begun.kind === 'begun');
  const locks = ['provider.sqlite', 'media/media.sqlite'].map(file => new DatabaseSync(join(dataFolder, file)));
  for (const lock of locks) lock.exec('BEGIN IMMEDIATE');
  const [login, upload] = await Promise.all([
    fetch(`http://127.0.0.1:${port}/v1/sessions`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ identifier: 'mia', password: 'correct horse' }),
    }),
    fetch(`http://127.0.0.1:${port}/media`, {
      method: 'POST',
      headers: { 'tus-resumable': '1.0.0', 'upload-length': '5', authorization: `Bearer ${begun.session}` },
    }),
  ]);
  for (const answer of [login, upload]) {
    assert.equal(answer.status, 503);
    assert.ok(Number(answer.headers.get('retry-after')) > 0);
    assert.equal(((await answer.json()) as { code: string }).code, 'busy');
  }
  assert.deepEqual(log.toSorted(), ['media-failed write-failed', 'request-failed write-failed']);
  for (const lock of locks) lock.close();
  await provider.close();
});
