// A log that was cut, edited or reordered is told, on a real database that somebody opened with rights to all of it.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { openAuditLog } from '../storage/sqlite/audit-reader.ts';
import { migrate } from '../storage/sqlite/schema.ts';
import { sqliteStores } from '../storage/sqlite/sqlite-stores.ts';
import { openSqliteStore } from '../storage/sqlite/store.ts';
import { type ChainFault, type ChainHead, ChainWalk } from './audit-chain.ts';

async function written(t: { after: (done: () => void) => void }): Promise<{ folder: string; file: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-chain-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'gatekeeper.sqlite');
  const store = await openSqliteStore(file);
  const { audit } = sqliteStores(store);
  assert.equal(await audit.head(), undefined);
  // In one commit and in several; with and without a reason.
  const notes = Array.from({ length: 250 }, (_, i) =>
    audit.note({
      atMs: 1_000 + i,
      actor: 'rosa',
      action: 'enlistment-looked-up',
      subject: `1-${i}`,
      ...(i % 2 === 0 ? { reason: `why "${i}"\\ é` } : {}),
    }),
  );
  await Promise.all(notes);
  await audit.note({ atMs: 5_000, actor: 'zoe', action: 'provider-suspended', subject: '1', reason: 'key stolen' });
  await store.close();
  return { folder, file };
}

function verified(
  folder: string,
  heads: readonly ChainHead[] = [],
): { fault: ChainFault | undefined; head: ChainHead } {
  const log = openAuditLog(folder);
  const walk = new ChainWalk(heads);
  try {
    let fault: ChainFault | undefined;
    for (;;) {
      const page = log.page(walk.head.seq, 100);
      if (page.length === 0) return { fault: walk.end(log.head()?.lastSeq), head: walk.head };
      fault = walk.take(page);
      if (fault !== undefined) return { fault, head: walk.head };
    }
  } finally {
    log.close();
  }
}

/** As somebody does who has the file: the triggers do not hinder them. */
function tamper(file: string, sql: string): void {
  const db = new DatabaseSync(file);
  db.exec(`DROP TRIGGER audit_keeps; DROP TRIGGER audit_stays; ${sql}`);
  db.close();
}

test('a log as it was written is unbroken, and its head is the one that the store names', async t => {
  const { folder } = await written(t);
  const { fault, head } = verified(folder);
  assert.equal(fault, undefined);
  assert.equal(head.seq, 251);
  assert.match(head.digest, /^[0-9a-f]{64}$/);
  const log = openAuditLog(folder);
  assert.deepEqual(log.head(), { ...head, lastSeq: 251 });
  log.close();
  assert.equal(verified(folder, [head, { seq: 251, digest: head.digest }]).fault, undefined);
});

const attacks: readonly (readonly [string, string, ChainFault])[] = [
  ['an actor is changed', "UPDATE audit SET actor = 'zoe' WHERE seq = 20", { kind: 'altered', seq: 20 }],
  ['a reason is changed', "UPDATE audit SET reason = 'other' WHERE seq = 251", { kind: 'altered', seq: 251 }],
  ['a reason is taken away', 'UPDATE audit SET reason = NULL WHERE seq = 21', { kind: 'altered', seq: 21 }],
  ['a time is changed', 'UPDATE audit SET at = at + 1 WHERE seq = 1', { kind: 'altered', seq: 1 }],
  ['the first is cut', 'DELETE FROM audit WHERE seq = 1', { kind: 'missing', seq: 1 }],
  ['the middle is cut', 'DELETE FROM audit WHERE seq BETWEEN 100 AND 110', { kind: 'missing', seq: 100 }],
  ['the end is cut', 'DELETE FROM audit WHERE seq > 200', { kind: 'missing', seq: 201 }],
  ['all is cut', 'DELETE FROM audit', { kind: 'missing', seq: 1 }],
  [
    'two entries change places',
    'UPDATE audit SET seq = -1 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 8; UPDATE audit SET seq = 8 WHERE seq = -1',
    { kind: 'altered', seq: 7 },
  ],
  [
    'one is cut and the rest moves up',
    'DELETE FROM audit WHERE seq = 50; UPDATE audit SET seq = seq - 1 WHERE seq > 50',
    { kind: 'altered', seq: 50 },
  ],
  [
    'one is put in',
    "INSERT INTO audit (seq, at, actor, action, subject, digest) SELECT 252, 1, 'rosa', 'provider-resumed', '1', digest FROM audit WHERE seq = 251",
    { kind: 'altered', seq: 252 },
  ],
];

for (const [name, sql, expected] of attacks) {
  test(`${name}: told`, async t => {
    const { folder, file } = await written(t);
    tamper(file, sql);
    assert.deepEqual(verified(folder).fault, expected);
  });
}

test('a cut that hides itself, and a log that was written again, are told by a head that was kept elsewhere alone', async t => {
  const { folder, file } = await written(t);
  const kept = verified(folder).head;
  tamper(file, "DELETE FROM audit WHERE seq > 200; UPDATE sqlite_sequence SET seq = 200 WHERE name = 'audit'");
  assert.equal(verified(folder).fault, undefined, 'nothing in the file says that there was more');
  assert.deepEqual(verified(folder, [kept]).fault, { kind: 'head-missing', seq: 251 });
  const store = await openSqliteStore(file);
  const { audit } = sqliteStores(store);
  for (let i = 0; i < 60; i++) {
    await audit.note({ atMs: 1, actor: 'rosa', action: 'enlistment-looked-up', subject: '1' });
  }
  await store.close();
  assert.equal(verified(folder).fault, undefined);
  assert.deepEqual(verified(folder, [kept]).fault, { kind: 'head-differs', seq: 251 });
});

test('entries after a cut go on behind the gap', async t => {
  const { folder, file } = await written(t);
  tamper(file, 'DELETE FROM audit WHERE seq > 200');
  const store = await openSqliteStore(file);
  await sqliteStores(store).audit.note({ atMs: 1, actor: 'rosa', action: 'provider-resumed', subject: '1' });
  await store.close();
  assert.deepEqual(verified(folder).fault, { kind: 'missing', seq: 201 });
});

test('a log of an earlier version is chained once, as it stands', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-chain-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'gatekeeper.sqlite');
  const db = new DatabaseSync(file);
  migrate(db, 10);
  db.exec('BEGIN');
  for (let i = 0; i < 1_500; i++) {
    db.prepare('INSERT INTO audit (at, actor, action, subject) VALUES (?, ?, ?, ?)').run(i, 'admin', 'x', '1');
  }
  db.exec('COMMIT');
  db.close();
  const store = await openSqliteStore(file);
  const { audit } = sqliteStores(store);
  await audit.note({ atMs: 5, actor: 'rosa', action: 'provider-resumed', subject: '1' });
  await store.close();
  assert.deepEqual([verified(folder).fault, verified(folder).head.seq], [undefined, 1_501]);
  const after = new DatabaseSync(file);
  assert.throws(() => after.exec("UPDATE audit SET actor = 'nobody'"), /only grows/);
  after.close();
});
