// Drill: a page of the database is damaged on disk. What lies on it can't be read; everything else goes on.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { StoreError } from '../store-error.ts';
import { backupGatekeeper } from './backup.ts';
import { migrate } from './schema.ts';
import { sqliteStores } from './sqlite-stores.ts';
import { openSqliteStore } from './store.ts';

const pageBytes = 4_096;
/** First byte of a page that holds rows (SQLite's file format, section 1.6). */
const tableLeaf = 0x0d;

test('drill: a damaged page fails what reads it, the workers live, and a backup says that the copy is damaged', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-damaged-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'gatekeeper.sqlite');
  const db = new DatabaseSync(file);
  migrate(db);
  const insert = db.prepare(
    "INSERT INTO audit (at, actor, action, subject) VALUES (?, 'admin', 'provider-suspended', ?)",
  );
  db.exec('BEGIN');
  for (let i = 0; i < 2_000; i++) insert.run(i, 'x'.repeat(400));
  db.exec('COMMIT');
  db.close();
  const bytes = readFileSync(file);
  const entryPages = Array.from({ length: bytes.length / pageBytes }, (_, page) => page).filter(
    page =>
      bytes[page * pageBytes] === tableLeaf &&
      bytes.indexOf('x'.repeat(400), page * pageBytes) < (page + 1) * pageBytes,
  );
  const page = entryPages[Math.floor(entryPages.length / 2)]!;
  bytes.fill(0xa5, page * pageBytes, (page + 1) * pageBytes);
  writeFileSync(file, bytes);

  const store = await openSqliteStore(file);
  t.after(() => store.close());
  const stores = sqliteStores(store);
  let died = false;
  void store.died.then(() => (died = true));
  for (let tries = 0; tries < 3; tries++) {
    await assert.rejects(
      stores.audit.page(0, 2_000),
      (error: unknown) => error instanceof StoreError && error.code === 'store-failed',
    );
  }
  assert.equal((await stores.audit.page(0, 10)).length, 10, 'what lies elsewhere is read');
  assert.deepEqual(await stores.providers.register([{ number: 1, name: 'skylark.example' }], 0), {
    kind: 'registered',
    statuses: ['live'],
  });
  assert.equal(await stores.health(), 'works');
  assert.equal(died, false);
  await assert.rejects(backupGatekeeper(folder, join(folder, 'copy'), 0), { code: 'copy-damaged' });
});
