// What readiness checks hear of storage that is full, late, broken or dead; and that asking costs no more than a write a second.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { StoreError } from '../store-error.ts';
import { sqliteHeartbeat } from './heartbeat.ts';
import { openSqliteStore, type SqliteStore, type StoreOptions } from './store.ts';

async function openFor(t: TestContext, options: StoreOptions = {}): Promise<{ store: SqliteStore; file: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-heartbeat-'));
  const file = join(folder, 'store.sqlite');
  const store = await openSqliteStore(file, options);
  t.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { store, file };
}

test('storage that works says so, by a write that reaches the file', async t => {
  const { store, file } = await openFor(t);
  const { size: before } = statSync(`${file}-wal`);
  assert.equal(await sqliteHeartbeat(store, () => 0)(), 'works');
  assert(statSync(`${file}-wal`).size > before);
});

test('a disk with the reserve alone is full: mail is refused', async t => {
  const { store } = await openFor(t, { diskReserveBytes: Number.MAX_SAFE_INTEGER });
  assert.equal(await sqliteHeartbeat(store, () => 0)(), 'full');
});

test('a writer that waits for a lock is late, and is not asked again until it has answered', async t => {
  const { store, file } = await openFor(t);
  const other = new DatabaseSync(file);
  other.exec('BEGIN IMMEDIATE');
  let nowMs = 0;
  let writes = 0;
  const counted: Pick<SqliteStore, 'run' | 'read'> = {
    read: (command, args) => store.read(command, args),
    run: (command, args) => {
      writes++;
      return store.run(command, args);
    },
  };
  const health = sqliteHeartbeat(counted, () => nowMs, 20);
  assert.equal(await health(), 'late');
  nowMs += 2_000;
  assert.equal(await health(), 'late');
  assert.equal(writes, 1);
  other.exec('ROLLBACK');
  other.close();
  for (let tries = 0; tries < 200 && (await health()) !== 'works'; tries++) {
    nowMs += 2_000;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  assert.equal(await health(), 'works');
});

test('answers are shared for a second', async () => {
  let nowMs = 0;
  let writes = 0;
  let outcome: Error | undefined;
  const store = {
    read: async () => undefined as never,
    run: async () => {
      writes++;
      if (outcome !== undefined) throw outcome;
      return undefined as never;
    },
  };
  const health = sqliteHeartbeat(store, () => nowMs);
  assert.deepEqual(await Promise.all([health(), health(), health()]), ['works', 'works', 'works']);
  nowMs += 999;
  await health();
  assert.equal(writes, 1);
  nowMs += 1;
  outcome = new StoreError('store-failed', 'the worker ended');
  assert.equal(await health(), 'failed');
  assert.equal(writes, 2);
});

test('a writer that ends is told: no further write works, and a restart is needed', async t => {
  const { store, file } = await openFor(t);
  const dying = new URL('../../testing/dying-worker.ts', import.meta.url);
  const broken = await openSqliteStore(file, { writerProgram: dying });
  assert.equal(await sqliteHeartbeat(broken, () => 0)(), 'failed');
  assert.match((await broken.died).message, /stopped/);
  assert.equal(await sqliteHeartbeat(broken, () => 0)(), 'failed');
  await broken.close();
  let told: StoreError | undefined;
  void store.died.then(error => (told = error));
  await store.close();
  await new Promise(resolve => setImmediate(resolve));
  assert.equal(told, undefined, 'one that is closed is not');
});
