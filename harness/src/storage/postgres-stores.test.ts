// The storage ports on PostgreSQL: a real server, the contracts that the embedded store passes.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import pg from 'pg';
import type { MailboxStore } from '@drawbridge/gatekeeper/mailbox/mailbox-store';
import { mailboxRow, testMailboxStore, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { type PgBouncer, pgBouncerAbsence, startPgBouncer } from '../pgbouncer.ts';
import { postgresAbsence, type PostgresServer, startPostgres } from '../postgres-server.ts';
import { testStores } from '@drawbridge/gatekeeper/testing/stores-contract';
import { openPostgresStores } from '@drawbridge/gatekeeper/storage/postgres/postgres-stores';
import { deviceRow } from '@drawbridge/gatekeeper/storage/postgres/rows';

const absence = postgresAbsence();
if (absence !== undefined) {
  console.warn(`SKIPPED: the storage contracts on PostgreSQL: ${absence}`);
  test('the storage contracts on PostgreSQL', { skip: absence }, () => undefined);
} else {
  let server: PostgresServer | undefined;
  let pooler: PgBouncer | undefined;
  after(async () => {
    await pooler?.close();
    server?.close();
  });
  /** With the tables, and these devices; made once. */
  const templates = new Map<number, Promise<string>>();
  const createDatabase = async (devices: number): Promise<string> => {
    const its = (server ??= startPostgres({ isFast: true }));
    let template = templates.get(devices);
    if (template === undefined) templates.set(devices, (template = makeTemplate(its.createDatabase(), devices)));
    return its.createDatabase(await template);
  };
  testContracts('postgres', createDatabase);

  const poolerAbsence = pgBouncerAbsence();
  if (poolerAbsence !== undefined) {
    console.warn(`SKIPPED: the storage contracts behind a pooler: ${poolerAbsence}`);
    test('the storage contracts behind a pooler', { skip: poolerAbsence }, () => undefined);
  } else {
    testContracts('postgres behind PgBouncer', async devices => {
      const url = await createDatabase(devices);
      pooler ??= await startPgBouncer(server!.folder);
      return pooler.addressOf(url);
    });
  }
}

function testContracts(name: string, createDatabase: (devices: number) => Promise<string>): void {
  testStores(name, async () => openPostgresStores(await createDatabase(0)));
  void test(`${name}: a silent node’s claims end, once, and the people who have mail are told`, async t => {
    const { stores, close } = await openPostgresStores(await createDatabase(2_500));
    t.after(close);
    const { cluster, mailboxes } = stores;
    assert(cluster !== undefined);
    await cluster.beat('dead');
    await mailboxes.claim(rowOf(1), 'dead');
    await mailboxes.claim(rowOf(3), 'dead');
    await mailboxes.append([mailboxRow(rowOf(1), 1), mailboxRow(rowOf(3), 2, 10, { silent: true })], unbounded);
    assert.deepEqual(await cluster.waitingHere('dead', 0, 10), [
      { device: rowOf(1), lastSeq: 1 },
      { device: rowOf(3), lastSeq: 1 },
    ]);
    await cluster.beat('here');
    assert.deepEqual(await cluster.endDeadClaims('here', 60_000), [], 'it was heard of a moment ago');
    const both = await Promise.all([cluster.endDeadClaims('here', 0), cluster.endDeadClaims('here', 0)]);
    assert.deepEqual(both.flat(), ['person 1']);
    assert.deepEqual(await cluster.waitingHere('dead', 0, 10), []);
    const [outcome] = await mailboxes.append([mailboxRow(rowOf(1), 5, 10, { epoch: 1 })], unbounded);
    assert.deepEqual(outcome, { kind: 'stored', seq: 2 }, 'it goes on under a claim that nobody has taken');
  });
  void test(`${name}: a node that was taken for dead has the claims again that nobody has taken since`, async t => {
    const { stores, close } = await openPostgresStores(await createDatabase(2_500));
    t.after(close);
    const { cluster, mailboxes } = stores;
    assert(cluster !== undefined);
    assert.equal(await cluster.beat('paused'), 'new');
    assert.equal(await cluster.beat('paused'), 'known');
    await cluster.beat('here');
    for (const device of [1, 3, 4, 5]) await mailboxes.claim(rowOf(device), 'paused');
    await cluster.endDeadClaims('here', 0);
    await mailboxes.claim(rowOf(3), 'here');
    await stores.accounts.withdraw(4);
    assert.equal(await cluster.beat('paused'), 'new');
    const claims = [1, 3, 4, 5].map(device => ({ device: rowOf(device), epoch: 1 }));
    const [first] = await mailboxes.append([mailboxRow(rowOf(1), 1)], unbounded);
    assert.deepEqual(first, { kind: 'stored', seq: 1 }, 'nobody is told');
    // A stream that ends in this moment stays ended.
    const renewing = cluster.renewClaims('paused', claims);
    const releasing = mailboxes.release(rowOf(5), 1);
    await Promise.all([renewing, releasing]);
    const outcomes = await mailboxes.append(
      [1, 3, 5].map(device => mailboxRow(rowOf(device), 2)),
      unbounded,
    );
    assert.deepEqual(outcomes, [
      { kind: 'stored', seq: 2, owner: 'paused' },
      { kind: 'stored', seq: 1, owner: 'here' },
      { kind: 'stored', seq: 1 },
    ]);
    const over = await cluster.claimsOver(claims);
    assert.deepEqual(
      over.map(claim => claim.device).toSorted((a, b) => a - b),
      [rowOf(3), rowOf(4)],
    );
    assert.deepEqual(await cluster.claimsOver([]), []);
  });
  void test(`${name}: what waits for a node’s streams is read in pages`, async t => {
    const { stores, close } = await openPostgresStores(await createDatabase(2_500));
    t.after(close);
    const { cluster, mailboxes } = stores;
    const rows = [1, 3, 4].map(rowOf);
    for (const row of rows) await mailboxes.claim(row, 'here');
    await mailboxes.append(
      rows.map(row => mailboxRow(row, 1)),
      unbounded,
    );
    const pages = [await cluster!.waitingHere('here', 0, 2), await cluster!.waitingHere('here', rows[1]!, 2)];
    assert.deepEqual(
      pages.map(page => page.map(head => head.device)),
      [rows.slice(0, 2), rows.slice(2)],
    );
  });
  void test(`${name}: a node that claims and dies before it says that it lives keeps nobody from being woken`, async t => {
    const { stores, close } = await openPostgresStores(await createDatabase(2_500));
    t.after(close);
    const { cluster, mailboxes } = stores;
    await mailboxes.claim(rowOf(1), 'nameless');
    await mailboxes.claim(rowOf(3), 'also nameless');
    await mailboxes.append([mailboxRow(rowOf(1), 1)], unbounded);
    await cluster!.beat('here');
    await mailboxes.claim(rowOf(4), 'here');
    assert.deepEqual(await cluster!.endDeadClaims('here', 60_000), ['person 1']);
    const outcomes = await mailboxes.append(
      [1, 3, 4].map(device => mailboxRow(rowOf(device), 2)),
      unbounded,
    );
    assert.deepEqual(
      outcomes.map(outcome => 'owner' in outcome && outcome.owner),
      [false, false, 'here'],
    );
  });
  testMailboxStore(name, async () => {
    const { stores, close } = await openPostgresStores(await createDatabase(2_500));
    return {
      store: numbered(stores.mailboxes),
      async removeDevice(device) {
        const account = device === 2 ? 1 : device;
        await stores.accounts.removeDevice({ account, deviceId: device === 2 ? 2 : 1, by: rowOf(device) });
      },
      async withdraw(device) {
        await stores.accounts.withdraw(device);
      },
      close,
    };
  });
}

async function makeTemplate(url: string, devices: number): Promise<string> {
  const { close } = await openPostgresStores(url);
  await close();
  await addDevices(url, devices);
  return url;
}

/** The contract's devices have numbers from 1; here a device's row says whose it is. */
function rowOf(device: number): number {
  return device === 2 ? deviceRow(1, 2) : deviceRow(device, 1);
}

function numberOf(row: number): number {
  if (row === deviceRow(1, 2)) return 2;
  return Math.floor(row / deviceRow(1, 0));
}

function numbered(store: MailboxStore): MailboxStore {
  return {
    ...store,
    claim: (device, node) => store.claim(rowOf(device), node),
    release: (device, epoch) => store.release(rowOf(device), epoch),
    append: (rows, bounds) =>
      store.append(
        rows.map(row => ({ ...row, device: rowOf(row.device) })),
        bounds,
      ),
    remove: ranges => store.remove(ranges.map(range => ({ ...range, device: rowOf(range.device) }))),
    page: (device, ...rest) => store.page(rowOf(device), ...rest),
    hasLoud: device => store.hasLoud(rowOf(device)),
    devices: async () => (await store.devices()).map(numberOf),
    async expired(nowMs, after, maxCount, maxBytes) {
      const place = after === undefined ? undefined : { ...after, device: rowOf(after.device) };
      const { entries, next } = await store.expired(nowMs, place, maxCount, maxBytes);
      return {
        entries: entries.map(entry => ({ ...entry, device: numberOf(entry.device) })),
        next: next === undefined ? undefined : { ...next, device: numberOf(next.device) },
      };
    },
    async orphaned(maxCount, maxBytes) {
      const mail = await store.orphaned(maxCount, maxBytes);
      return mail === undefined ? undefined : { ...mail, device: numberOf(mail.device) };
    },
    removeOrphaned: (device, last, limit) => store.removeOrphaned(rowOf(device), last, limit),
  };
}

/** Devices 1 to `count`, one for each person but for device 2, the second of person 1. Person 3 is of provider 2. */
async function addDevices(url: string, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  const people = numbers.filter(number => number !== 2);
  await client.query(
    `INSERT INTO account (row, interop_id, provider, identifier, identity_key, status, last_device_id, enlisted_at)
     SELECT i, 'person ' || i, CASE i WHEN 3 THEN 2 ELSE 1 END, 'person ' || i, decode(lpad(to_hex(i), 8, '0'), 'hex'), 'active', 1, 0
     FROM unnest($1::bigint[]) AS i`,
    [people],
  );
  await client.query('INSERT INTO mailbox_person (account) SELECT unnest($1::bigint[])', [people]);
  await client.query(
    `INSERT INTO device (account, row, id, registration_id, thumbprint, enlisted_at, signed_prekey_id, signed_prekey,
       signed_prekey_signature, last_resort_id, last_resort, last_resort_signature)
     SELECT account, row, CASE i WHEN 2 THEN 2 ELSE 1 END, 1, 'thumbprint ' || i, 0, 1, '', '', 1, '', ''
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS d (i, account, row)`,
    [numbers, numbers.map(number => (number === 2 ? 1 : number)), numbers.map(rowOf)],
  );
  await client.query(
    `INSERT INTO mailbox_head (account, device, provider)
     SELECT account, row, CASE account WHEN 3 THEN 2 ELSE 1 END FROM device`,
  );
  await client.end();
}
