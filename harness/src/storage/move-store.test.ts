// An embedded store moves to PostgreSQL: all of it, or nothing; people, mail, reports and decisions go on there.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { commandFile, makeGatekeeperFolder } from '@drawbridge/cli/testing/running-gatekeeper';
import { moveStore } from '@drawbridge/gatekeeper/move-store';
import { contactKeys } from '@drawbridge/gatekeeper/consent/contact';
import { mailboxRow, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { type Fixture, openFixture } from '@drawbridge/gatekeeper/testing/control-fixture';
import { movedTables, numberedTables } from '@drawbridge/gatekeeper/storage/moved-tables';
import { openPostgresStores } from '@drawbridge/gatekeeper/storage/postgres/postgres-stores';
import { migrate, schemaVersion } from '@drawbridge/gatekeeper/storage/sqlite/schema';
import type { Stores } from '@drawbridge/gatekeeper/storage/stores';
import { postgresAbsence, type PostgresServer, startPostgres } from '../postgres-server.ts';

const skip = postgresAbsence() ?? false;
if (skip !== false) console.warn(`SKIPPED: moving a store to PostgreSQL: ${skip}`);
let server: PostgresServer | undefined;
after(() => server?.close());
const createDatabase = (): string => (server ??= startPostgres({ isFast: true })).createDatabase();

type NewEvent = NonNullable<Parameters<Stores['providers']['noteKeysRevoked']>[0]['event']>;

const newEvent = (subject: string, occurredAtMs: number): NewEvent => ({
  provider: 1,
  url: 'https://skylark.example/events',
  audience: 'https://skylark.example',
  tokenId: `token ${subject}`,
  subject,
  event: 'urn:drawbridge:event:enlistment-suspended',
  payload: { reason: 'Grüße' },
  occurredAtMs,
  maxWaiting: 9,
  maxDead: 9,
});

/** Everything that there is: people with devices that came and went, mail, decisions, reports, admins, what operators did. */
async function filled(
  t: TestContext,
): Promise<Fixture & { readonly file: string; readonly people: readonly string[] }> {
  const fixture = await openFixture();
  t.after(() => rmSync(fixture.folder, { recursive: true, force: true }));
  const { stores, control, clock } = fixture;
  const { nowMs } = clock;
  const people: string[] = [];
  for (let i = 0; i < 40; i++) {
    const { account, device } = await fixture.enlist(i % 3, `+49151123456${String(i).padStart(2, '0')}`, {
      prekeys: 20,
      kemPrekeys: 3,
    });
    people.push(account.interopId);
    await stores.mailboxes.claim(device.row, 'old');
    const rows = Array.from({ length: i }, (_, k) =>
      mailboxRow(device.row, k, 10 + 37 * k, { sender: people[k % people.length]!, silent: k % 4 === 0 }),
    );
    await stores.mailboxes.append(rows, unbounded);
    if (i > 3) await stores.mailboxes.remove([{ device: device.row, epoch: undefined, first: 1, last: 2 }]);
    await stores.keys.takeBundles([device.row]);
    if (i % 3 === 0) await control.enlistment.setOptIn(account, 1, true);
    const about = {
      interopId: people[0],
      provider: 0,
      contacts: contactKeys({ provider: 0, identifier: '+4915112345600' }),
    };
    if (i > 0) await control.contacts.decide(account, about, i % 2 === 0 ? 'block' : 'accept');
    await stores.wakeUps.write([{ account: account.row, tokenId: `token ${i}`, requestedAtMs: nowMs }]);
  }
  await control.enlistment.setStatus(people[5]!, 'suspended', 'rosa', nowMs, 'spam');
  // Mail of somebody who is gone waits for its senders to hear of it.
  const gone = (await control.accounts.find(people[38]!))!;
  assert.equal(await control.enlistment.withdraw(gone), 'withdrawn');
  people.splice(38, 1);
  await stores.admins.add({
    name: 'rosa',
    role: 'owner',
    tokenDigest: new Uint8Array(32).fill(1),
    actor: 'command',
    nowMs,
  });
  await stores.proofIds.take([new Uint8Array(32).fill(3)], [nowMs + 60_000]);
  await stores.providers.keepKeySet({ number: 1, places: 'x', body: new Uint8Array([1, 0, 255]), fetchedAtMs: nowMs });
  // One waits to be told, one could not be told, and the last number is given to nobody again.
  for (const subject of ['waits', 'dead', 'told']) {
    await stores.providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs, event: newEvent(subject, nowMs) });
  }
  const told = await stores.outgoingEvents.list({ isDead: false, afterSeq: 0, limit: 9 });
  await stores.outgoingEvents.bury(told[1]!.seq, nowMs, 'status-400', 9);
  await stores.outgoingEvents.remove(told[2]!.seq);
  const reporter = (await control.accounts.find(people[1]!))!;
  const bytes = new Uint8Array(32).fill(9);
  const message = { stanzaId: 's', acceptedAtMs: 1, content: bytes, salt: bytes, commitment: bytes, stamp: bytes };
  await stores.reports.add(
    {
      id: 'r1',
      digest: bytes,
      account: reporter.row,
      reporter: reporter.interopId,
      reported: people[2]!,
      category: 'fraud',
      comment: 'Grüße 🐦',
      messages: [message],
      atMs: nowMs,
    },
    { perReporter: 9, inAll: 9, bytesInAll: 1_000_000 },
  );
  return { ...fixture, file: join(fixture.folder, 'gatekeeper.sqlite'), people };
}

/** What the ports say of all of it. Devices get new numbers, which are left out. */
async function picture(stores: Stores, people: readonly string[]): Promise<unknown> {
  const views = [];
  for (const interopId of people) {
    const view = (await stores.people.view(interopId))!;
    const account = (await stores.accounts.find(interopId))!;
    const mail = [];
    for (const device of view.devices) {
      mail.push(await stores.people.mail(device.row, 0, 1_000, 10_000_000), await stores.mailboxes.hasLoud(device.row));
    }
    const devices = view.devices.map(device => ({ ...device, row: 0 }));
    const { decided, ...names } = account.contacts;
    const contacts = [names, [...decided].toSorted(([a], [b]) => (a < b ? -1 : 1))];
    const manifest = await stores.accounts.readManifest(account.row);
    views.push({ ...view, devices, version: account.version, row: account.row, contacts, mail, manifest });
  }
  const orphan = await stores.mailboxes.orphaned(100, 10_000_000);
  return JSON.parse(
    JSON.stringify({
      views,
      audit: await stores.audit.page(0, 1_000),
      head: await stores.audit.head(),
      admins: await stores.admins.list(),
      keySets: await stores.providers.keptKeySets(),
      use: await stores.providers.listUse(),
      report: await stores.reports.find('r1'),
      wakeUps: await stores.wakeUps.page(0, 1_000),
      toTell: await stores.outgoingEvents.list({ isDead: false, afterSeq: 0, limit: 9 }),
      notTold: await stores.outgoingEvents.list({ isDead: true, afterSeq: 0, limit: 9 }),
      depth: await stores.measureDepth(),
      orphan: orphan === undefined ? undefined : { ...orphan, device: undefined },
    }),
  );
}

test('everything is there afterwards, and goes on: ports give the same answers, numbers go on behind the last', {
  skip,
}, async t => {
  const fixture = await filled(t);
  const before = await picture(fixture.stores, fixture.people);
  await fixture.stop();
  const url = createDatabase();
  const steps: string[] = [];
  const { rows } = await moveStore(fixture.file, url, ({ step, table }) => steps.push(`${step} ${table}`));
  assert(rows > 1_000, `${rows} rows`);
  assert.equal(steps.length, 2 * movedTables.length);
  const { stores, close } = await openPostgresStores(url);
  t.after(close);
  assert.deepEqual(await picture(stores, fixture.people), before);
  // Proof ids, given keys and retired names are still taken.
  assert.deepEqual(await stores.proofIds.take([new Uint8Array(32).fill(3)], [1]), [false]);
  const anna = (await stores.accounts.find(fixture.people[7]!))!;
  const device = anna.devices[0]!;
  const head = await stores.mailboxes.claim(device.row, 'new');
  assert(head.kind === 'claimed');
  assert.deepEqual([head.epoch, head.lastSeq, head.count], [2, 7, 5]);
  const [stored] = await stores.mailboxes.append([mailboxRow(device.row, 500)], unbounded);
  assert.deepEqual(stored, { kind: 'stored', seq: 8, owner: 'new' });
  const [repeat] = await stores.mailboxes.append([mailboxRow(device.row, 6, 10 + 37 * 6)], unbounded);
  assert.equal(repeat!.kind, 'duplicate');
  await stores.audit.note({ atMs: 1, actor: 'rosa', action: 'enlistment-looked-up', subject: 'x' });
  await stores.providers.noteKeysRevoked({ number: 1, actor: 'rosa', nowMs: 1, event: newEvent('later', 1) });
  const toTell = await stores.outgoingEvents.list({ isDead: false, afterSeq: 0, limit: 9 });
  assert.deepEqual(
    toTell.map(({ seq, subject }) => [seq, subject]),
    [
      [1, 'waits'],
      [4, 'later'],
    ],
  );
  const orphan = (await stores.mailboxes.orphaned(1_000, 10_000_000))!;
  await stores.mailboxes.removeOrphaned(orphan.device, orphan.entries.at(-1)!.seq, 100);
  await stores.mailboxes.removeOrphaned(orphan.device, 0, 100);
  assert.equal(await stores.mailboxes.orphaned(1, 1), undefined);
});

test('the move names every table and column of both stores', { skip }, async () => {
  const url = createDatabase();
  await (await openPostgresStores(url)).close();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ name: string; column: string; type: string }>(
    `SELECT table_name AS name, column_name AS column, data_type AS type FROM information_schema.columns
     WHERE table_schema = current_schema() ORDER BY table_name, column_name`,
  );
  const { rows: sequences } = await client.query<{ name: string }>(
    'SELECT sequencename AS name FROM pg_sequences WHERE schemaname = current_schema() ORDER BY sequencename',
  );
  await client.end();
  // A sequence that is not set gives numbers again that were given.
  const set = ['account_row', ...numberedTables.map(table => `${table}_seq_seq`)];
  assert.deepEqual(
    sequences.map(({ name }) => name),
    set.toSorted(),
  );
  // Of nodes and of sums alone; a claim's node is over with the move.
  const own = new Set(['drawbridge_schema', 'audit_head', 'mailbox_provider', 'node', 'heartbeat']);
  const there = rows
    .filter(({ name, column }) => !own.has(name) && !(name === 'mailbox_head' && column === 'node'))
    .map(({ name, column, type }) => `${name}.${column} ${type}`);
  const named = movedTables.flatMap(({ name, columns }) =>
    Object.entries(columns).map(([column, type]) => `${name}.${column} ${type}`),
  );
  assert.deepEqual(named.toSorted(), there.toSorted());
  const db = new DatabaseSync(':memory:');
  migrate(db);
  const columns = db
    .prepare(
      `SELECT m.name AS name, c.name AS "column" FROM sqlite_schema AS m JOIN pragma_table_xinfo(m.name) AS c
       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'`,
    )
    .all() as { name: string; column: string }[];
  db.close();
  const elsewhere = new Set([
    'mailbox.key',
    'mailbox_head.node',
    'mailbox_provider.provider',
    'mailbox_provider.bytes',
  ]);
  const known = new Set(
    movedTables.flatMap(({ name, columns: its }) => Object.keys(its).map(column => `${name}.${column}`)),
  );
  const missing = columns
    .map(({ name, column }) => `${name}.${column}`)
    .filter(each => !known.has(each) && !elsewhere.has(each));
  assert.deepEqual(
    missing.filter(each => !each.startsWith('heartbeat.')),
    [],
  );
});

test('a store that is in use, damaged or of another version, and a database with rows, are refused', {
  skip,
}, async t => {
  const fixture = await filled(t);
  const url = createDatabase();
  const refused = async (code: string, target = url): Promise<void> => {
    await assert.rejects(
      moveStore(fixture.file, target, () => undefined),
      { name: 'Error', code },
    );
  };
  await refused('store-in-use');
  await fixture.stop();
  const used = createDatabase();
  const { stores, close } = await openPostgresStores(used);
  await stores.cluster!.beat('somebody');
  await refused('target-in-use', used);
  const other = createDatabase();
  const withRows = await openPostgresStores(other);
  await withRows.stores.providers.register([{ number: 9, name: 'x' }], 1);
  await refused('target-not-empty', other);
  await Promise.all([close(), withRows.close()]);
  const db = new DatabaseSync(fixture.file);
  db.exec(`PRAGMA user_version = ${schemaVersion - 1}`);
  db.close();
  await refused('other-version');
  const again = new DatabaseSync(fixture.file);
  again.exec(`PRAGMA user_version = ${schemaVersion}; PRAGMA wal_checkpoint(TRUNCATE)`);
  again.close();
  await refused('database-failed', 'postgresql://nobody@127.0.0.1:1/x');
  assert((await moveStore(fixture.file, createDatabase(), () => undefined)).rows > 0, 'it is whole after all of that');
  truncateSync(fixture.file, 40_960);
  await refused('store-damaged');
});

test('a row that comes out otherwise stops the move, and nothing of it is left', { skip }, async t => {
  const fixture = await filled(t);
  await fixture.stop();
  const url = createDatabase();
  await (await openPostgresStores(url)).close();
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.seq = 7 THEN NEW.silent = NOT NEW.silent; END IF; RETURN NEW; END $$`);
  await client.query('CREATE TRIGGER spoil BEFORE INSERT ON mailbox FOR EACH ROW EXECUTE FUNCTION spoil()');
  await assert.rejects(
    moveStore(fixture.file, url, () => undefined),
    { code: 'rows-differ' },
  );
  await client.query('DROP TRIGGER spoil ON mailbox');
  await client.query(
    `CREATE OR REPLACE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`,
  );
  await client.query('CREATE TRIGGER spoil BEFORE INSERT ON contact FOR EACH ROW EXECUTE FUNCTION spoil()');
  await assert.rejects(
    moveStore(fixture.file, url, () => undefined),
    { code: 'rows-differ' },
  );
  await client.query('DROP TRIGGER spoil ON contact');
  assert.deepEqual((await client.query('SELECT 1 FROM account UNION ALL SELECT 1 FROM mailbox')).rows, []);
  await client.end();
  assert((await moveStore(fixture.file, url, () => undefined)).rows > 0, 'and it can be done again');
});

test('drill: a gatekeeper’s people, mail and decisions move by the command; killed in the middle, nothing has moved', {
  skip,
  timeout: 180_000,
}, async t => {
  const home = await makeGatekeeperFolder();
  t.after(() => home.remove());
  const first = await home.start();
  t.after(() => first.signal('SIGKILL'));
  const [anna, bob, eve] = [await home.person('anna'), await home.person('bob'), await home.person('eve')];
  t.after(() => Promise.all([anna.close(), bob.close(), eve.close()]));
  await anna.connect();
  const bobName = { provider: 'citadel.example', identifier: 'bob' };
  for (const text of ['one', 'two', 'three']) await anna.send(bobName, { text });
  await anna.contacts.block({ provider: 'citadel.example', identifier: 'eve' });
  await sleep(1_000);
  const url = createDatabase();
  const storage = { kind: 'postgres', url };
  const command = [
    process.execPath,
    '--conditions=drawbridge-source',
    commandFile,
    'gatekeeper',
    'migrate-store',
    '--config',
    home.file,
  ];
  const move = () => spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
  assert.match(move().stderr, /names the embedded store[^]*Next: /);
  home.write({ storage });
  assert.match(move().stderr, /another gatekeeper is using/);
  await anna.disconnect();
  await first.stop();

  for (const when of [/copied account/, /copied mailbox_orphan/, /checked device/]) {
    const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (when.test(text)) child.kill('SIGKILL');
    });
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    // A quick one may be done before it is killed.
    if (code === 0) break;
    assert.equal(signal, 'SIGKILL');
    assert(existsSync(join(home.folder, 'data', 'gatekeeper.sqlite')));
  }
  if (existsSync(join(home.folder, 'data', 'gatekeeper.sqlite'))) {
    const moved = move();
    assert.equal(moved.status, 0, moved.stderr);
    assert.match(moved.stdout, /checked mailbox: 3 rows[^]*rows moved and compared[^]*Next: start the gatekeeper/);
  }
  assert(existsSync(join(home.folder, 'data', 'gatekeeper.sqlite.moved')));
  assert.match(move().stderr, /there is nothing to move/);

  const second = await home.start();
  t.after(() => second.signal('SIGKILL'));
  const texts: string[] = [];
  void (async () => {
    for await (const message of bob.messages()) texts.push(message.text ?? '');
  })().catch(() => undefined);
  await bob.connect();
  await anna.connect();
  await anna.send(bobName, { text: 'four' });
  const end = Date.now() + 20_000;
  while (texts.length < 4 && Date.now() < end) await sleep(50);
  assert.deepEqual(texts, ['one', 'two', 'three', 'four']);
  const toAnna: string[] = [];
  void (async () => {
    for await (const message of anna.messages()) toAnna.push(message.text ?? '');
  })().catch(() => undefined);
  await eve.connect();
  await eve.send({ provider: 'citadel.example', identifier: 'anna' }, { text: 'psst' });
  await bob.send({ provider: 'citadel.example', identifier: 'anna' }, { text: 'five' });
  while (toAnna.length < 1 && Date.now() < end) await sleep(50);
  await sleep(1_000);
  assert.deepEqual(toAnna, ['five'], 'who was blocked is blocked');
});
