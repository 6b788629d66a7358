// Connections to PostgreSQL when something is wrong: a server that is away, a transaction that failed half-way, a node that
// stands still in the middle of one.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { mailboxRow, unbounded } from '@drawbridge/gatekeeper/testing/mailbox-contract';
import { Database, Lane } from '@drawbridge/gatekeeper/storage/postgres/database';
import { runMailboxCommands } from '@drawbridge/gatekeeper/storage/postgres/mailbox-batch';
import { MailboxLane } from '@drawbridge/gatekeeper/storage/postgres/mailbox-lane';
import { openPostgresStores } from '@drawbridge/gatekeeper/storage/postgres/postgres-stores';
import { postgresAbsence, type PostgresServer, startPostgres } from '../postgres-server.ts';

const absence = postgresAbsence();
let server: PostgresServer | undefined;
after(() => server?.close());
const createDatabase = (): string => (server ??= startPostgres({ isFast: true })).createDatabase();

test('a server that is away is asked once for a batch, not once for each message of it', async () => {
  let asked = 0;
  // It answers the first message with 57P03, as a server that starts up does, and hangs up.
  const starting = createServer(socket => {
    asked++;
    socket.on('error', () => undefined);
    socket.once('data', () => {
      const fields = Buffer.from('SFATAL\0C57P03\0Mthe database system is starting up\0\0');
      const head = Buffer.alloc(5);
      head.write('E');
      head.writeInt32BE(fields.length + 4, 1);
      socket.end(Buffer.concat([head, fields]));
    });
  });
  starting.listen(0, '127.0.0.1');
  await once(starting, 'listening');
  const { port } = starting.address() as { port: number };
  const lane = new MailboxLane(`postgresql://drawbridge@127.0.0.1:${port}/x`, runMailboxCommands);
  const answers = await Promise.allSettled(
    Array.from({ length: 500 }, (_, i) => lane.call({ kind: 'append', rows: [mailboxRow(1, i)], bounds: unbounded })),
  );
  assert(answers.every(answer => answer.status === 'rejected'));
  assert(asked <= 2, `${asked} connections for one batch`);
  await lane.close();
  starting.close();
});

test('a transaction that failed half-way is never called done', { skip: absence }, async () => {
  const url = createDatabase();
  const database = new Database(url);
  await database.rows('CREATE TABLE t (x integer)');
  const halfDone = async (sql: { rows(text: string): Promise<unknown> }): Promise<string> => {
    await sql.rows('INSERT INTO t VALUES (1)');
    await sql.rows('SELECT 1 / 0').catch(() => undefined);
    return 'done';
  };
  const lane = new Lane(url);
  await assert.rejects(database.transaction(halfDone), /ROLLBACK/);
  await assert.rejects(lane.transaction(halfDone), /ROLLBACK/);
  assert.deepEqual(await database.rows('SELECT x FROM t'), []);
  assert.equal(await lane.transaction(async sql => (await sql.rows('SELECT 1')).length), 1, 'it goes on after that');
  await lane.close();
  await database.close();
});

test('a value that can’t be written fails its own command and no other one', { skip: absence }, async () => {
  const { stores, close } = await openPostgresStores(createDatabase());
  const good = stores.mailboxes.append([mailboxRow(1 << 20, 1)], unbounded);
  const bad = stores.mailboxes.append([{ ...mailboxRow(1 << 20, 2), sender: 'no\0text' }], unbounded);
  const after = stores.mailboxes.append([mailboxRow(1 << 20, 3)], unbounded);
  const [first, second, third] = await Promise.allSettled([good, bad, after]);
  assert.deepEqual(
    [first.status, second.status, third.status],
    ['fulfilled', 'rejected', 'fulfilled'],
    'there is no such device, but the question was good',
  );
  await close();
});

test('a node that stands still in a transaction lets go of what it has locked', { skip: absence }, async () => {
  const url = createDatabase();
  const [one, other] = [new Database(url), new Database(url)];
  await one.rows('CREATE TABLE t (x integer)');
  await one.rows('INSERT INTO t VALUES (1)');
  const locked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const standing = one.transaction(async sql => {
    await sql.rows('SELECT x FROM t FOR UPDATE');
    locked.resolve();
    await goOn.promise;
    return await sql.change('UPDATE t SET x = 2');
  });
  standing.catch(() => undefined);
  await locked.promise;
  const begun = performance.now();
  assert.equal(await other.transaction(sql => sql.change('UPDATE t SET x = 3')), 1);
  assert(performance.now() - begun < 8_000);
  goOn.resolve();
  await assert.rejects(standing);
  assert.deepEqual(await other.rows('SELECT x FROM t'), [{ x: 3 }]);
  await one.close();
  await other.close();
});

test('a server that is out of reach does not keep a lane from closing', { skip: absence }, async () => {
  const lane = new Lane(createDatabase());
  await lane.transaction(async sql => await sql.rows('SELECT 1'));
  server!.pause();
  const begun = performance.now();
  await lane.close();
  assert(performance.now() - begun < 4_000);
  server!.goOn();
});
