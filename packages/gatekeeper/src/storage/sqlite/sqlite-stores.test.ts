// The storage ports on the embedded store: real files, real workers. And a file that version 0.1.0 wrote.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { AppendOutcome } from '../../mailbox/mailbox-store.ts';
import { addDevices } from '../../testing/add-devices.ts';
import { mailboxRow, unbounded } from '../../testing/mailbox-contract.ts';
import { testStores } from '../../testing/stores-contract.ts';
import type { Stores } from '../stores.ts';
import { migrate } from './schema.ts';
import { sqliteStores } from './sqlite-stores.ts';
import { openSqliteStore } from './store.ts';

async function open(bytes?: Uint8Array): Promise<{ stores: Stores; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-stores-'));
  const file = join(folder, 'gatekeeper.sqlite');
  if (bytes !== undefined) writeFileSync(file, bytes);
  const store = await openSqliteStore(file);
  return {
    stores: sqliteStores(store),
    async close() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

testStores('sqlite', open);

test('a store of version 0.1.0 is migrated: people, keys, mail and all else are there', async t => {
  const released = new URL('../../testing/store-0.1.0.sqlite.gz', import.meta.url);
  const { stores, close } = await open(gunzipSync(readFileSync(released)));
  t.after(close);
  const anna = (await stores.accounts.findByIdentifier(0, 'anna'))!;
  assert.equal(anna.version, 1);
  assert.deepEqual([...anna.optIns], [1]);
  assert.equal(anna.devices.length, 1);
  const { row: device } = anna.devices[0]!;
  assert.deepEqual(await stores.keys.countOneTimeKeys(device), { prekeys: 1, kemPrekeys: 0 });
  assert.deepEqual(await stores.mailboxes.devices(), [device], 'what outlived its device is gone');
  const claim = await stores.mailboxes.claim(device, 'node');
  assert.deepEqual({ ...claim }, { kind: 'claimed', epoch: 1, lastSeq: 1_003, count: 3, bytes: 36 });
  const waiting = await stores.mailboxes.page(device, 1, 0, 10, 1_000);
  assert(waiting !== 'fenced');
  assert.deepEqual(
    waiting.map(({ seq, stanza }) => [seq, stanza?.length, stanza?.[0]]),
    [
      [1_001, 11, 1],
      [1_002, 12, 2],
      [1_003, 13, 3],
    ],
  );
  assert.equal((await stores.accounts.findByIdentifier(1, 'carl'))?.status, 'suspended');
  const bert = (await stores.accounts.findByIdentifier(1, 'bert'))!;
  assert.deepEqual(
    (await stores.wakeUps.page(0, 10)).map(({ account, tokenId }) => [account, tokenId]),
    [[bert.row, 'token']],
  );
  assert.deepEqual(await stores.proofIds.take([new Uint8Array(32).fill(7)], [1_790_000_060_000]), [false]);
  assert.equal((await stores.audit.page(0, 10)).at(-1)?.action, 'enlistment-suspended');
  // And it goes on from there: what waits counts for the person and the provider.
  const append = (maxBytesPerPerson: number): Promise<readonly AppendOutcome[]> =>
    stores.mailboxes.append([mailboxRow(device, 1, 20)], { ...unbounded, maxBytesPerPerson });
  assert.deepEqual(await append(55), [{ kind: 'person-full' }]);
  assert.deepEqual(await append(56), [{ kind: 'stored', seq: 1_004, owner: 'node' }]);
  assert.equal(await stores.accounts.setOptIn(anna.row, 2, true), true);
  assert.equal((await stores.accounts.find(anna.interopId))?.version, 2);
});

/** The step that gave the mailbox its tree: before it the table had a device and a number. */
const treeVersion = 10;
/** The step from which on storage counts what waits. */
const countedVersion = 6;

test('mail of every earlier version of the tables is there, in order, counted, and goes on from there', async t => {
  for (let version = 2; version < treeVersion; version++) {
    const folder = mkdtempSync(join(tmpdir(), 'drawbridge-stores-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const file = join(folder, 'gatekeeper.sqlite');
    const db = new DatabaseSync(file);
    migrate(db, version);
    addDevices(file, 2);
    const insert = db.prepare('INSERT INTO mailbox (device, seq, expires_at, stanza) VALUES (?, ?, ?, ?)');
    for (const [seq, length] of [
      [7, 10],
      [9, 5_000],
    ] as const) {
      for (const device of [1, 2]) insert.run(device, seq, 5_000, Buffer.alloc(length, seq));
    }
    if (version >= countedVersion) {
      db.exec(`INSERT INTO mailbox_head (device, last_seq, count, bytes, epoch) VALUES (1, 9, 2, 5010, 3), (2, 9, 2, 5010, 0);
        INSERT INTO mailbox_person VALUES (1, 10020); INSERT INTO mailbox_provider VALUES (1, 10020);`);
    }
    db.close();
    const store = await openSqliteStore(file);
    const { mailboxes } = sqliteStores(store);
    const claim = await mailboxes.claim(1, 'node');
    const epoch = version >= countedVersion ? 4 : 1;
    assert.deepEqual(
      { ...claim },
      { kind: 'claimed', epoch, lastSeq: 9, count: 2, bytes: 5_010 },
      `version ${version}`,
    );
    const page = await mailboxes.page(1, epoch, 0, 10, 1e6);
    assert(page !== 'fenced');
    assert.deepEqual(
      page.map(entry =>
        entry.stanza === undefined ? [] : [entry.seq, entry.acceptedAtMs, entry.expiresAtMs, entry.stanza.length],
      ),
      [
        [7, undefined, 5_000, 10],
        [9, undefined, 5_000, 5_000],
      ],
    );
    assert.equal(await mailboxes.hasLoud(1), true, 'what may have been silent is taken for loud');
    const bounds = { ...unbounded, maxBytesPerPerson: 10_040 };
    assert.deepEqual(await mailboxes.append([mailboxRow(1, 1, 20), mailboxRow(2, 2, 20)], bounds), [
      { kind: 'stored', seq: 10, owner: 'node' },
      { kind: 'person-full' },
    ]);
    assert.deepEqual(await mailboxes.remove([{ device: 2, epoch: undefined, first: 7, last: 9 }]), []);
    assert.deepEqual(await mailboxes.devices(), [1]);
    assert.equal((await mailboxes.expired(5_000, undefined, 10, 1e6)).entries.length, 3);
    await store.close();
  }
});
