// The admin API over a real store: who may do what, what is told, what is written down, and whether its OpenAPI is true.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Registry } from 'prom-client';
import { adminRoles, digestOfToken, mayDo, newAdminToken } from '../admin/admin-accounts.ts';
import { openAdmins } from '../storage/admin-store.ts';
import { type Fixture, issuers, openFixture } from '../testing/control-fixture.ts';
import { mailboxRow, unbounded } from '../testing/mailbox-contract.ts';
import { createOpenApiCheck, type OpenApiCheck } from '../testing/openapi-check.ts';
import { buildAdminHttp } from './admin.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

type Answer = { readonly status: number; readonly json: Record<string, unknown> | undefined };
type World = Fixture & {
  readonly connected: Set<number>;
  readonly check: OpenApiCheck;
  /** Asks with a token; every answer is held against the OpenAPI. */
  readonly ask: (token: string | undefined, method: string, path: string, body?: object) => Promise<Answer>;
  /** The token of a new admin of this role. */
  readonly admin: (name: string, role: (typeof adminRoles)[number]) => Promise<string>;
};
const fileToken = 'f'.repeat(43);

async function open(config: Record<string, unknown> = {}): Promise<World> {
  const fixture = await openFixture({ config });
  const { control, stores, clock } = fixture;
  const connected = new Set<number>();
  const api = await buildAdminHttp({
    control,
    stores,
    sessions: {
      all: () => Array.from(connected, () => ({ provider: 1, connected: true })),
      ofDevice: ({ row }) => (connected.has(row) ? { connected: true } : undefined),
    },
    metrics: new Registry(),
    log: (level, event, data) => fixture.logLines.push(JSON.stringify({ level, event, ...data })),
    nowMs: () => clock.nowMs,
    token: fileToken,
    metricsToken: 'm'.repeat(43),
    isReady: () => true,
  });
  const server = createServer(api.handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () => fixture.close(),
    api.close,
    () => {
      server.closeAllConnections();
      server.close();
    },
  );
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const check = createOpenApiCheck((await (await fetch(`${base}/openapi.json`)).json()) as Record<string, unknown>);
  return {
    ...fixture,
    connected,
    check,
    async ask(token, method, path, body) {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const isText = response.headers.get('content-type')?.startsWith('text/') === true;
      const json = text === '' || isText ? undefined : (JSON.parse(text) as Record<string, unknown>);
      check.answer(method, path, response.status, isText ? text : json);
      return { status: response.status, json };
    },
    async admin(name, role) {
      const token = newAdminToken();
      const tokenDigest = digestOfToken(token);
      assert.equal(await stores.admins.add({ name, role, tokenDigest, actor: 'command', nowMs: clock.nowMs }), 'added');
      return token;
    },
  };
}

const nobody = `1-${'a'.repeat(26)}`;

test('a person is found by provider and identifier, suspended with a reason, let in again, and deleted', async () => {
  const { ask, admin, enlist, control, store, stores, connected, clock, events } = await open();
  const rosa = await admin('rosa', 'owner');
  const { account, device } = await enlist(1, 'anna', { prekeys: 3, kemPrekeys: 2 });
  const { account: bert } = await enlist(1, 'bert');
  connected.add(device.row);
  await stores.mailboxes.append(
    [mailboxRow(device.row, 1, 300), mailboxRow(device.row, 2, 300, { sender: bert.interopId })],
    unbounded,
  );
  const find = (provider: string, identifier: string) =>
    ask(rosa, 'GET', `/admin/v1/enlistments?${new URLSearchParams({ provider, identifier }).toString()}`);
  const found = await find('skylark.example', 'anna');
  const at = new Date(clock.nowMs).toISOString();
  const shown = {
    interopId: account.interopId,
    provider: { number: 1, name: 'skylark.example' },
    identifier: 'anna',
    status: 'active',
    enlistedAt: at,
    optIns: [],
    devices: [
      {
        deviceId: 1,
        registrationId: device.registrationId,
        deviceKeyThumbprint: device.thumbprint,
        listed: true,
        enlistedAt: at,
        oneTimeKeys: { prekeys: 3, kemPrekeys: 2 },
        waiting: { count: 2, bytes: 600 },
        stream: 'connected',
      },
    ],
  };
  assert.deepEqual([found.status, found.json], [200, shown]);
  assert.deepEqual((await find('1', 'anna')).json, shown);
  assert.equal((await find('1', 'Anna')).status, 404);
  assert.equal((await find('2', 'anna')).status, 404);
  assert.equal((await find('nobody.example', 'anna')).json?.['code'], 'provider-unknown');

  const path = `/admin/v1/enlistments/${account.interopId}`;
  assert.equal((await ask(rosa, 'POST', `${path}/suspend`, { reason: 'spam, ticket 4711' })).status, 200);
  assert.equal(
    (await ask(rosa, 'POST', `${path}/suspend`, { reason: 'again' })).status,
    200,
    'a repeat changes nothing',
  );
  assert.deepEqual((await ask(rosa, 'GET', path)).json?.['suspension'], {
    at,
    actor: 'rosa',
    reason: 'spam, ticket 4711',
  });
  for (const reason of ['', 'x'.repeat(501), 'two\nlines', 5]) {
    assert.equal((await ask(rosa, 'POST', `${path}/suspend`, { reason })).status, 400);
  }
  assert.equal((await ask(rosa, 'POST', `${path}/resume`)).status, 200);
  assert.equal((await ask(rosa, 'GET', path)).json?.['suspension'], undefined);
  await ask(rosa, 'POST', `${path}/suspend`, { reason: 'spam' });

  const deleted = await ask(rosa, 'DELETE', `${path}?reason=their%20request`);
  assert.deepEqual([deleted.status, deleted.json], [200, { interopId: account.interopId, devices: 1 }]);
  assert.equal((await ask(rosa, 'DELETE', path)).status, 404);
  assert.equal((await ask(rosa, 'GET', path)).status, 404);
  assert.equal(await control.accounts.find(account.interopId), undefined);
  assert.deepEqual(events.at(-1), {
    kind: 'account-withdrawn',
    interopId: account.interopId,
    devices: account.devices,
  });
  assert.deepEqual(rowsLeft(store.reads, account.row, [device.row]), 'mailbox_share mailbox_orphan');
  // What waited for them leaves in pieces, after those who wrote it have been told.
  for (const last of [1e9, 0]) {
    await store.run('mailboxRemoveOrphaned', { device: device.row, last, limit: 10 });
  }
  assert.equal(rowsLeft(store.reads, account.row, [device.row]), '');
  assert.equal((await find('1', 'bert')).status, 200, 'nobody else is touched');
  const { entries } = (await ask(rosa, 'GET', `/admin/v1/audit?subject=${account.interopId}`)).json as {
    entries: { action: string; actor: string; reason?: string }[];
  };
  assert.deepEqual(
    entries
      .filter(({ action }) => action !== 'enlistment-looked-up')
      .map(each => [each.actor, each.action, each.reason]),
    [
      ['rosa', 'enlistment-suspended', 'spam, ticket 4711'],
      ['rosa', 'enlistment-resumed', undefined],
      ['rosa', 'enlistment-suspended', 'spam'],
      ['rosa', 'enlistment-deleted', 'their request'],
    ],
  );
  assert.equal(entries.filter(({ action }) => action === 'enlistment-looked-up').length, 4, 'who looked is known too');
});

/** Tables in which something still names the account or the devices. */
function rowsLeft(db: DatabaseSync, account: number, devices: readonly number[]): string {
  const left: string[] = [];
  for (const [column, values] of [
    ['account', [account]],
    ['device', devices],
  ] as const) {
    const tables = db.prepare(
      `SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.name = ?`,
    );
    for (const { name } of tables.all(column)) {
      for (const value of values) {
        const row = db.prepare(`SELECT 1 FROM ${String(name)} WHERE ${column} = ?`).get(value);
        if (row !== undefined) left.push(String(name));
      }
    }
  }
  return left.join(' ');
}

test('an export holds every row that names the person, and the mail that waits', async () => {
  const { ask, admin, enlist, control, store, stores, clock } = await open();
  const ben = await admin('ben', 'operator');
  const { account, device } = await enlist(0, 'anna', { prekeys: 2, kemPrekeys: 1 });
  await control.enlistment.setOptIn(account, 1, true);
  await control.enlistment.authorise(account, device, 'x'.repeat(43));
  await stores.wakeUps.write([{ account: account.row, tokenId: 'token', requestedAtMs: clock.nowMs }]);
  const rows = Array.from({ length: 1_200 }, (_, i) => mailboxRow(device.row, i + 1, 3_000, { sender: nobody }));
  await stores.mailboxes.append(rows, unbounded);
  const path = `/admin/v1/enlistments/${account.interopId}/export`;
  const { status, json } = await ask(ben, 'GET', path);
  assert.equal(status, 200);
  const { kept, mail, identifier } = json as {
    identifier: string;
    kept: Record<string, Record<string, unknown>[]>;
    mail: { deviceId: number; seq: number; stanza: string }[];
  };
  assert.equal(identifier, 'anna');
  assert.deepEqual(
    mail.map(({ seq }) => seq),
    rows.map((_, i) => i + 1),
  );
  assert.deepEqual(Buffer.from(mail[1_199]!.stanza, 'base64'), Buffer.from(rows[1_199]!.stanza));
  assert.equal(kept['one_time_key']?.length, 3);
  assert.equal(kept['opt_in']?.[0]?.['provider'], 1);
  // Each table with such a row is there: none was forgotten.
  const named = new Set(rowsLeft(store.reads, account.row, [device.row]).split(' '));
  named.delete('mailbox');
  for (const table of named) assert.ok((kept[table]?.length ?? 0) > 0, table);
  assert.equal((await ask(ben, 'GET', `/admin/v1/enlistments/${nobody}/export`)).status, 404);
  const audit = await stores.audit.page(0, 100, account.interopId);
  assert.deepEqual(
    audit.map(entry => [entry.actor, entry.action]),
    [['ben', 'enlistment-exported']],
  );
});

test("an own user's login, sessions and files are in the export, and go with the enlistment", async () => {
  const world = await open({ ownUsers: { kind: 'embedded', registration: 'open' } });
  const { ask, admin, enlist, control, stores, clock } = world;
  const rosa = await admin('rosa', 'owner');
  const users = control.ownUsers!;
  const server = createServer(users.handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => server.close());
  const media = `http://127.0.0.1:${(server.address() as AddressInfo).port}/users/media`;
  const sessions = new Map<string, string>();
  for (const identifier of ['anna', 'bert']) {
    await users.directory.register?.(identifier, 'correct horse');
    const begun = await users.beginSession(identifier);
    assert.ok(begun.kind === 'begun');
    sessions.set(identifier, begun.session);
    const headers = {
      'tus-resumable': '1.0.0',
      'upload-length': '5',
      'content-type': 'application/offset+octet-stream',
      connection: 'close',
      authorization: `Bearer ${begun.session}`,
    };
    assert.equal((await fetch(media, { method: 'POST', headers, body: 'hello' })).status, 201);
  }
  const { account } = await enlist(0, 'anna');
  const { account: elsewhere } = await enlist(1, 'bert');
  const path = `/admin/v1/enlistments/${account.interopId}`;
  const day = 86_400_000;
  const at = (ms: number): string => new Date(clock.nowMs + ms).toISOString();
  const exported = await ask(rosa, 'GET', `${path}/export`);
  assert.deepEqual(exported.json?.['ownUser'], {
    login: { suspended: false, registeredAt: at(0) },
    sessions: [{ expiresAt: at(30 * day) }],
    files: [{ sizeBytes: 5, keptBytes: 5, complete: true, expiresAt: at(45 * day) }],
    wakeUps: [],
    givenUpWakeUps: [],
  });
  assert.doesNotMatch(JSON.stringify(exported.json), /scrypt|argon/);

  const deleted = await ask(rosa, 'DELETE', `${path}?reason=asked`);
  assert.deepEqual(deleted.json, {
    interopId: account.interopId,
    devices: 1,
    ownUser: { login: true, sessions: 1, files: { count: 1, bytes: 5 }, wakeUps: 0 },
  });
  assert.equal((await users.directory.authenticate('anna', 'correct horse')).kind, 'refused');
  assert.deepEqual((await users.exportPerson('anna')).files, []);
  const audit = await stores.audit.page(0, 100, account.interopId);
  assert.deepEqual(
    audit.map(entry => [entry.actor, entry.action, entry.reason]),
    [
      ['rosa', 'enlistment-exported', undefined],
      ['rosa', 'own-user-deleted', 'asked'],
      ['rosa', 'enlistment-deleted', 'asked'],
    ],
  );

  // A namesake at another provider has nothing to do with the own user.
  const other = `/admin/v1/enlistments/${elsewhere.interopId}`;
  assert.equal((await ask(rosa, 'GET', `${other}/export`)).json?.['ownUser'], undefined);
  assert.deepEqual((await ask(rosa, 'DELETE', other)).json, { interopId: elsewhere.interopId, devices: 1 });
  assert.equal((await users.exportPerson('bert')).files.length, 1);

  // What the issuer could not delete is said, and the enlistment stays to be found again.
  const { account: again } = await enlist(0, 'bert');
  await users.close();
  const failed = await ask(rosa, 'DELETE', `/admin/v1/enlistments/${again.interopId}`);
  assert.deepEqual([failed.status, failed.json?.['code']], [503, 'storage-unavailable']);
  assert.match(String(failed.json?.['detail']), /Delete again/);
  assert.equal((await ask(rosa, 'GET', `/admin/v1/enlistments/${again.interopId}`)).status, 200);
});

/** A report by this person: one message that was said to them, and one that was not. */
async function keepReport(
  world: World,
  account: { readonly row: number; readonly interopId: string },
  reported = `1-${'z'.repeat(26)}`,
) {
  const content = Buffer.from('a threat');
  const salt = Buffer.alloc(16, 1);
  const commitment = createHmac('sha256', salt).update(content).digest();
  const reporter = account.interopId;
  const atMs = world.clock.nowMs;
  const stamp = world.control.stamps.stamp({ from: reported, to: reporter, id: 'm1', commitment }, atMs);
  const id = 'r'.repeat(22);
  const message = { acceptedAtMs: atMs, content, salt, commitment, stamp };
  const messages = [
    { ...message, stanzaId: 'm1' },
    { ...message, stanzaId: 'm2' },
  ];
  const kept = {
    id,
    digest: commitment,
    account: account.row,
    reporter,
    reported,
    category: 'abuse',
    comment: 'help',
  } as const;
  await world.stores.reports.add({ ...kept, messages, atMs }, { perReporter: 9, inAll: 9, bytesInAll: 9_999 });
  return { id, content };
}

test('each role may do what it may and nothing above it; a removed admin may do nothing', async () => {
  const world = await open({ ownUsers: { kind: 'embedded', registration: 'open' } });
  const { ask, admin, folder, clock, logLines } = world;
  await world.control.ownUsers!.directory.register!('mia', 'correct horse');
  const { account } = await world.enlist(1, 'anna');
  const person = `/admin/v1/enlistments/${account.interopId}`;
  const report = `/admin/v1/reports/${(await keepReport(world, account)).id}`;
  const asked: readonly (readonly [
    needed: (typeof adminRoles)[number],
    method: string,
    path: string,
    body?: object,
  ])[] = [
    ['metrics', 'GET', '/metrics'],
    ['viewer', 'GET', '/admin/v1/providers'],
    ['viewer', 'GET', '/admin/v1/streams'],
    ['viewer', 'GET', '/admin/v1/audit'],
    ['viewer', 'GET', '/admin/v1/audit/head'],
    ['viewer', 'GET', '/admin/v1/enlistments?provider=1&identifier=anna'],
    ['viewer', 'GET', person],
    ['viewer', 'GET', `${person}/devices`],
    ['operator', 'GET', `${person}/export`],
    ['viewer', 'GET', '/admin/v1/reports'],
    ['viewer', 'GET', '/admin/v1/events'],
    ['operator', 'POST', '/admin/v1/providers/1/resend-events'],
    ['operator', 'GET', report],
    ['operator', 'POST', `${report}/decide`, { decision: 'dismissed' }],
    ['viewer', 'GET', '/admin/v1/restrictions'],
    ['viewer', 'GET', '/admin/v1/restrictions/1'],
    ['operator', 'POST', `/admin/v1/restrictions/${account.interopId}/forgive`, { reason: 'ticket 7' }],
    ['operator', 'POST', `${person}/suspend`],
    ['operator', 'POST', `${person}/resume`],
    ['operator', 'GET', '/admin/v1/own-users?identifier=mia'],
    ['operator', 'POST', '/admin/v1/own-users/suspend', { identifier: 'mia' }],
    ['operator', 'POST', '/admin/v1/own-users/resume', { identifier: 'mia' }],
    ['owner', 'DELETE', '/admin/v1/own-users?identifier=mia'],
    ['operator', 'POST', '/admin/v1/providers/1/suspend'],
    ['operator', 'POST', '/admin/v1/providers/1/resume'],
    ['operator', 'POST', '/admin/v1/providers/1/revoke-keys'],
    ['owner', 'DELETE', person],
  ];
  const tokens = new Map<string, string>();
  for (const role of adminRoles) tokens.set(role, await admin(`the-${role}`, role));
  for (const [needed, method, path, body] of asked) {
    for (const role of adminRoles.filter(each => !mayDo(each, needed))) {
      const answer = await ask(tokens.get(role), method, path, body);
      assert.deepEqual(
        [answer.status, answer.json?.['code']],
        [403, 'admin-role-required'],
        `${role} ${method} ${path}`,
      );
    }
    for (const token of [undefined, 'x'.repeat(43), 'short']) {
      const answer = await ask(token, method, path, body);
      assert.deepEqual([answer.status, answer.json?.['code']], [401, 'admin-credential-required'], `${method} ${path}`);
    }
    assert.ok((await ask(tokens.get(needed), method, path, body)).status < 300, `${needed} ${method} ${path}`);
  }
  await ask(undefined, 'GET', '/healthz');
  await ask(undefined, 'GET', '/readyz');
  const elsewhere = /applications|events\/\{id\}|go-live|providers\/\{number\}\/(terms|withdraw)/;
  assert.deepEqual(
    world.check.unseen().filter(name => !elsewhere.test(name)),
    [],
    'every operation of the OpenAPI was asked, and answered as it says; those of applications and single events in their own test',
  );
  assert.equal((await ask('m'.repeat(43), 'GET', '/metrics')).status, 200);
  assert.equal((await ask('m'.repeat(43), 'GET', '/admin/v1/providers')).status, 403);

  // A command on the machine removes one while the gatekeeper runs.
  const beside = await openAdmins({ storage: { kind: 'sqlite' }, dataFolder: folder });
  assert.deepEqual(
    (await beside.admins.list()).map(({ name, role }) => [name, role]),
    [
      ['the-metrics', 'metrics'],
      ['the-operator', 'operator'],
      ['the-owner', 'owner'],
      ['the-viewer', 'viewer'],
    ],
  );
  assert.equal(await beside.admins.remove({ name: 'the-owner', actor: 'command', nowMs: clock.nowMs }), 'removed');
  assert.equal(await beside.admins.remove({ name: 'the-owner', actor: 'command', nowMs: clock.nowMs }), 'unknown');
  await beside.close();
  assert.equal((await ask(tokens.get('owner'), 'GET', '/admin/v1/providers')).status, 401);
  const { entries } = (await ask(fileToken, 'GET', '/admin/v1/audit?subject=the-owner')).json as {
    entries: { action: string; actor: string; reason?: string }[];
  };
  assert.deepEqual(
    entries.map(({ actor, action, reason }) => [actor, action, reason]),
    [
      ['command', 'admin-added', 'owner'],
      ['command', 'admin-removed', undefined],
    ],
  );
  // No token is on the disk, nor in the log.
  const disk = new DatabaseSync(join(folder, 'gatekeeper.sqlite'), { readOnly: true });
  const kept = JSON.stringify(disk.prepare('SELECT * FROM admin').all()) + logLines.join('\n');
  disk.close();
  for (const token of tokens.values()) assert.ok(!kept.includes(token));
});

test('events that could not be told are listed without any person, and told again by operators', async () => {
  const world = await open({
    providers: [
      {
        ...{ number: 1, name: 'skylark.example', issuer: issuers.skylark },
        ...{ wakeUpUrl: `${issuers.skylark}/wake`, eventsUrl: `${issuers.skylark}/events` },
      },
      { number: 2, name: 'heron.example', issuer: issuers.heron },
    ],
  });
  const { ask, admin, stores, clock, enlist } = world;
  world.control.outboundEvents.hold();
  const [viewer, operator] = [await admin('vera', 'viewer'), await admin('otto', 'operator')];
  const { account } = await enlist(1, 'anna');
  await ask(operator, 'POST', `/admin/v1/enlistments/${account.interopId}/suspend`, { reason: 'ticket 7' });
  const list = async (query: string) =>
    (await ask(viewer, 'GET', `/admin/v1/events?${query}`)).json!['events'] as Record<string, unknown>[];
  const [waiting] = await list('');
  const id = Number(waiting?.['id']);
  const shown = {
    ...{ id, provider: 1, event: 'urn:drawbridge:event:enlistment-suspended', about: 'person', attempts: 0 },
    occurredAt: new Date(clock.nowMs).toISOString(),
  };
  assert.deepEqual(waiting, shown);
  await stores.outgoingEvents.bury(id, clock.nowMs, 'status-400', 9);
  const dead = { ...shown, code: 'status-400', deadAt: shown.occurredAt };
  assert.deepEqual(await list('state=dead&provider=1'), [dead]);
  assert.deepEqual(await list('state=dead&provider=2'), []);
  assert.equal((await ask(viewer, 'POST', `/admin/v1/events/${id}/resend`)).status, 403);
  assert.deepEqual((await ask(operator, 'POST', `/admin/v1/events/${id}/resend`)).json, { resent: 1 });
  assert.equal((await ask(operator, 'POST', `/admin/v1/events/${id}/resend`)).json!['code'], 'event-unknown');
  assert.deepEqual((await ask(operator, 'POST', '/admin/v1/providers/1/resend-events')).json, { resent: 0 });
  // A report that is upheld is told when the operator says so: whom it is about, and no more.
  const reporter = await enlist(2, 'rita');
  const { id: report } = await keepReport(world, reporter.account, account.interopId);
  const decide = (decision: string, tellProvider: boolean) =>
    ask(operator, 'POST', `/admin/v1/reports/${report}/decide`, { decision, tellProvider });
  assert.equal((await decide('dismissed', true)).status, 400);
  assert.equal((await decide('upheld', true)).status, 200);
  const events = await stores.outgoingEvents.list({ isDead: false, afterSeq: id, limit: 9 });
  assert.deepEqual(
    events.map(({ event, subject, payload }) => [event, subject, payload]),
    [['urn:drawbridge:event:report-upheld', 'anna', { report, category: 'abuse' }]],
  );
});

test('reports are listed to viewers, read and decided by operators, once; who looked is written down', async () => {
  const world = await open();
  const bob = await world.enlist(0, 'bob');
  const [viewer, operator] = [await world.admin('vera', 'viewer'), await world.admin('otto', 'operator')];
  const { id, content } = await keepReport(world, bob.account);
  const list = await world.ask(viewer, 'GET', '/admin/v1/reports?open=true');
  assert.equal(
    JSON.stringify(list.json).includes(content.toString('base64')),
    false,
    'a list says nothing of what was said',
  );
  assert.equal((list.json!['reports'] as { id: string }[])[0]?.id, id);
  assert.equal((await world.ask(viewer, 'GET', `/admin/v1/reports/${id}`)).status, 403);
  const shown = await world.ask(operator, 'GET', `/admin/v1/reports/${id}`);
  const said = shown.json!['messages'] as { content: string; verdict: string }[];
  assert.deepEqual(
    said.map(each => [Buffer.from(each.content, 'base64').toString(), each.verdict]),
    [
      ['a threat', 'verified'],
      ['a threat', 'not-stamped'],
    ],
  );
  const decide = (token: string, decision: string) =>
    world.ask(token, 'POST', `/admin/v1/reports/${id}/decide`, { decision, reason: 'ticket 7' });
  assert.equal((await decide(viewer, 'upheld')).status, 403);
  assert.equal((await decide(operator, 'maybe')).status, 400);
  assert.equal((await decide(operator, 'upheld')).status, 200);
  assert.equal((await decide(operator, 'dismissed')).status, 409);
  assert.equal((await world.ask(operator, 'GET', `/admin/v1/reports/${'x'.repeat(22)}`)).status, 404);
  assert.equal(
    (await world.ask(operator, 'POST', `/admin/v1/reports/${'x'.repeat(22)}/decide`, { decision: 'upheld' })).status,
    404,
  );
  const audit = (await world.stores.audit.page(0, 20, id)).map(({ actor, action, reason }) => [actor, action, reason]);
  assert.deepEqual(audit, [
    ['otto', 'report-looked-at', undefined],
    ['otto', 'report-upheld', 'ticket 7'],
  ]);
});

test('an own user who never enlisted is found, kept out, let in again and deleted; the log names nobody', async () => {
  const world = await open({ ownUsers: { kind: 'embedded', registration: 'open' } });
  const { ask, admin, control, stores } = world;
  const rosa = await admin('rosa', 'owner');
  const { directory } = control.ownUsers!;
  const logsIn = async (): Promise<boolean> =>
    (await directory.authenticate('mia+1@mail', 'correct horse')).kind === 'authenticated';
  assert.equal((await directory.register!('mia+1@mail', 'correct horse')).kind, 'registered');
  const begun = await control.ownUsers!.beginSession('mia+1@mail');
  assert.equal(begun.kind, 'begun');
  const path = `/admin/v1/own-users?identifier=${encodeURIComponent('mia+1@mail')}`;
  const found = await ask(rosa, 'GET', path);
  assert.equal(found.json?.['interopId'], undefined);
  assert.match(JSON.stringify(found.json), /"sessions":\[\{"expiresAt":"[^"]+"\}\]/);
  assert.equal((await ask(rosa, 'GET', '/admin/v1/own-users?identifier=nobody')).json?.['code'], 'own-user-unknown');

  const told = { identifier: 'mia+1@mail', reason: 'spam' };
  assert.deepEqual((await ask(rosa, 'POST', '/admin/v1/own-users/suspend', told)).json, {
    identifier: 'mia+1@mail',
    suspended: true,
  });
  assert.equal(await logsIn(), false);
  assert.equal(await directory.exists('mia+1@mail'), false, 'no proof is made');
  assert.equal((await control.ownUsers!.exportPerson('mia+1@mail')).sessions.length, 0);
  assert.deepEqual(await directory.register!('mia+1@mail', 'another horse'), {
    kind: 'refused',
    code: 'identifier-taken',
  });
  await ask(rosa, 'POST', '/admin/v1/own-users/resume', told);
  assert.equal(await logsIn(), true);

  const gone = await ask(rosa, 'DELETE', `${path}&reason=asked`);
  assert.deepEqual(gone.json, { login: true, sessions: 0, files: { count: 0, bytes: 0 }, wakeUps: 0 });
  assert.equal((await ask(rosa, 'GET', path)).status, 404);
  const entries = (await stores.audit.page(0, 100)).filter(({ action }) => action.startsWith('own-user'));
  assert.deepEqual(
    entries.map(({ action, actor, subject, reason }) => [action, actor, subject, reason]),
    [
      ['own-user-looked-up', 'rosa', '0', undefined],
      ['own-user-suspended', 'rosa', '0', 'spam'],
      ['own-user-resumed', 'rosa', '0', 'spam'],
      ['own-user-deleted', 'rosa', '0', 'asked'],
    ],
  );
});
