// Drill: a page of the database is damaged on disk. What lies on it can't be read; everything else goes on.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { StoreError } from '../store-error.ts';
import { addDevices } from '../../testing/add-devices.ts';
import { mailboxRow, unbounded } from '../../testing/mailbox-contract.ts';
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

const perDevice = 60;
const stanzaBytes = 1_300;
const devices = [1, 2, 3, 4, 5];

/** Five mailboxes in a file, of which the page that holds one entry of one device is overwritten, or one of its long body. */
async function damagedMailbox(folder: string, owner: number, at: number, bodyBytes: number): Promise<string> {
  const file = join(folder, 'gatekeeper.sqlite');
  const store = await openSqliteStore(file);
  addDevices(file, devices.length);
  const { mailboxes } = sqliteStores(store);
  for (let number = 1; number <= perDevice; number++) {
    const rows = devices.map(device => mailboxRow(device, number, stanzaBytes));
    const marked = Buffer.alloc(bodyBytes, 'the page to lose ');
    if (number === at) rows[owner - 1] = { ...rows[owner - 1]!, stanza: marked };
    await mailboxes.append(rows, unbounded);
  }
  await store.close();
  const bytes = readFileSync(file);
  const marks = Array.from({ length: bytes.length / pageBytes }, (_, i) => i).filter(i =>
    bytes.subarray(i * pageBytes, (i + 1) * pageBytes).includes('the page to lose '),
  );
  // The page that the row is in; of a long body one in the middle.
  const page = marks[marks.length >> 1]!;
  bytes.fill(0xa5, page * pageBytes, (page + 1) * pageBytes);
  writeFileSync(file, bytes);
  return file;
}

for (const [what, owner, at, bodyBytes] of [
  ['a page of rows', 3, 30, stanzaBytes],
  ['a page of a long body', 3, 30, 60_000],
  ['the last page', 5, perDevice, stanzaBytes],
] as const) {
  test(`drill: ${what} of one mailbox is damaged: the rest of it comes, and all others work`, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-damaged-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const store = await openSqliteStore(await damagedMailbox(folder, owner, at, bodyBytes));
    t.after(() => store.close());
    const { mailboxes } = sqliteStores(store);
    for (const device of devices) {
      const claim = await mailboxes.claim(device, 'node');
      assert(claim.kind === 'claimed');
      const read: number[] = [];
      const unreadable: number[] = [];
      for (let after = 0, pages = 0; ; pages++) {
        assert(pages < 10);
        const page = await mailboxes.page(device, claim.epoch, after, perDevice, 1e9);
        assert(page !== 'fenced');
        if (page.length === 0) break;
        for (const { seq, stanza } of page) (stanza === undefined ? unreadable : read).push(seq);
        after = page.at(-1)!.seq;
      }
      if (device !== owner) assert.equal(read.length, perDevice);
      else {
        assert.equal(unreadable.length, 1);
        assert(read.length >= perDevice - 4 && read.length < perDevice, `${read.length} were read`);
        assert(!read.includes(at) && read.includes(1), 'what is before it');
        assert.equal(read.includes(perDevice), at < perDevice, 'and behind it');
      }
    }
    // One call for all: what is damaged costs its own device alone.
    const all = { epoch: undefined, first: 1, last: perDevice };
    assert.deepEqual(await mailboxes.remove(devices.map(device => ({ device, ...all }))), [owner]);
    assert.deepEqual(await mailboxes.devices(), [owner]);
    const outcomes = await mailboxes.append(
      devices.map(device => mailboxRow(device, 99, stanzaBytes)),
      unbounded,
    );
    assert.deepEqual(
      outcomes.filter((_, i) => i !== owner - 1).map(outcome => outcome.kind),
      ['stored', 'stored', 'stored', 'stored'],
    );
    assert.equal(outcomes[owner - 1]!.kind, at < perDevice ? 'stored' : 'damaged');
    const { entries, next } = await mailboxes.expired(1e12, undefined, 1_000, 1e9);
    assert.equal(next, undefined);
    const left = entries.filter(entry => entry.device === owner).map(entry => entry.seq);
    assert(left.length > 0 && left.length < perDevice * 0.7, `${left.length} lie beside it`);
    assert(!left.includes(1) && !left.includes(at < 40 ? perDevice : 20), 'what is far from the damage has gone');
    // A person whose mailbox is damaged may withdraw; others' mail of that kind is cleared all the same.
    await store.run('accountWithdraw', { account: owner });
    await store.run('accountWithdraw', { account: 4 });
    for (let pieces = 0; ; pieces++) {
      assert(pieces < 20);
      const mail = await mailboxes.orphaned(16, 1e6);
      if (mail === undefined) break;
      await mailboxes.removeOrphaned(mail.device, mail.entries.at(-1)?.seq ?? 0, 10);
    }
    assert.deepEqual(
      await mailboxes.devices(),
      devices.filter(device => device !== owner && device !== 4),
    );
  });
}
