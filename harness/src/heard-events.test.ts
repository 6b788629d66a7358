// What operators do at a gatekeeper reaches a provider that runs the kit: over real sockets, from the admin API through the
// gatekeeper's queue to the provider's hook, and again when the hook fails. docs/protocol/10 section 10.5.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOfToken, newAdminToken } from '@drawbridge/gatekeeper/admin/admin-accounts';
import { buildAdminHttp } from '@drawbridge/gatekeeper/http/admin';
import { buildPublicHttp } from '@drawbridge/gatekeeper/http/public';
import {
  fakeWorld,
  type Fixture,
  gatekeeperIssuer,
  issuers,
  openFixture,
} from '@drawbridge/gatekeeper/testing/control-fixture';
import { createEgress } from '@drawbridge/identity/egress';
import { createProvider, type GatekeeperNotice, type Provider } from '@drawbridge/provider';
import { Registry } from 'prom-client';

/** Serves on this machine; gives the origin. */
async function serve(t: TestContext, handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function open(t: TestContext, hear: (notice: GatekeeperNotice) => unknown) {
  let provider: Provider;
  const skylark = await serve(t, (request, response) => provider.handler(request, response));
  const allow = { addresses: ['127.0.0.1'], plainHttpOrigins: [skylark] };
  const real = createEgress({ allow });
  t.after(() => real.close());
  const world = fakeWorld(Object.values(issuers));
  const fake = world.egress.fetch;
  const fetchEither: typeof fake = (url, request) => (request?.method === 'POST' ? real.fetch : fake)(url, request);
  const fixture = await openFixture({
    world: { ...world, egress: { ...world.egress, fetch: fetchEither } },
    config: {
      providers: [
        { number: 1, name: 'skylark.example', issuer: issuers.skylark, eventsUrl: `${skylark}/v1/events` },
        { number: 2, name: 'heron.example', issuer: issuers.heron },
      ],
      egress: { allowAddresses: ['127.0.0.1'], allowPlainHttpOrigins: [skylark] },
    },
  });
  t.after(() => fixture.close());
  const { config, control, stores, clock } = fixture;
  const shared = { control, log: () => {}, nowMs: () => clock.nowMs };
  const endpoints = (): { http: string } => ({ http: gatekeeperIssuer });
  const publicHttp = await buildPublicHttp({ ...shared, config, people: stores.accounts, endpoints });
  const citadel = await serve(t, publicHttp.handler);
  const adminHttp = await buildAdminHttp({
    ...{ ...shared, stores, metrics: new Registry(), token: 'f'.repeat(43), metricsToken: 'm'.repeat(43) },
    ...{ isReady: () => true, sessions: { all: () => [], ofDevice: () => undefined } },
  });
  const admin = await serve(t, adminHttp.handler);
  t.after(() => Promise.all([publicHttp.close(), adminHttp.close()]));
  provider = await createProvider({
    issuer: issuers.skylark,
    gatekeepers: [{ issuer: gatekeeperIssuer, keySetUrl: `${citadel}/.well-known/jwks.json` }],
    dataFolder: ':memory:',
    egress: { allow: { addresses: ['127.0.0.1'], plainHttpOrigins: [citadel] } },
    onEvent: hear,
    nowMs: () => clock.nowMs,
  });
  t.after(() => provider.close());
  const token = newAdminToken();
  const rosa = { name: 'rosa', role: 'operator', actor: 'command', nowMs: clock.nowMs } as const;
  assert.equal(await stores.admins.add({ ...rosa, tokenDigest: digestOfToken(token) }), 'added');
  const ask = async (path: string, body: object): Promise<void> => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const response = await fetch(`${admin}/admin/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.equal(response.status, 200, await response.text());
  };
  return { fixture, ask };
}

/** A report of heron's person about skylark's, as it comes from a client. */
async function keepReport({ control, stores, clock, enlist }: Fixture, reported: string): Promise<string> {
  const { account } = await enlist(2, 'rita');
  const [content, salt, atMs] = [Buffer.from('a threat'), Buffer.alloc(16, 1), clock.nowMs];
  const commitment = createHmac('sha256', salt).update(content).digest();
  const way = { from: reported, to: account.interopId, id: 'm1', commitment };
  const messages = [
    { stanzaId: 'm1', acceptedAtMs: atMs, content, salt, commitment, stamp: control.stamps.stamp(way, atMs) },
  ];
  const id = 'r'.repeat(22);
  const report = { id, digest: commitment, account: account.row, reporter: account.interopId, reported };
  const bounds = { perReporter: 9, inAll: 9, bytesInAll: 9_999 };
  await stores.reports.add({ ...report, category: 'abuse', comment: 'help', messages, atMs }, bounds);
  return id;
}

const waitingOf = async ({ stores }: Fixture): Promise<number> =>
  (await stores.outgoingEvents.counts()).reduce((sum, { waiting }) => sum + waiting, 0);

async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 1_000; i++) {
    if (await done()) return;
    await sleep(20);
  }
  assert.fail('in time');
}

test('a suspended provider, a suspended person and an upheld report arrive as values, and leave the queue', async t => {
  const heard: GatekeeperNotice[] = [];
  const { fixture, ask } = await open(t, notice => heard.push(notice));
  const { clock } = fixture;
  const { account } = await fixture.enlist(1, 'anna');
  const report = await keepReport(fixture, account.interopId);
  await ask(`reports/${report}/decide`, { decision: 'upheld', tellProvider: true });
  await ask(`enlistments/${account.interopId}/suspend`, { reason: 'ticket 7' });
  await ask('providers/1/suspend', { reason: 'too many reports' });
  await until(async () => (await waitingOf(fixture)) === 0);
  const told = { gatekeeper: gatekeeperIssuer, occurredAtMs: clock.nowMs };
  const shown = heard.map(({ id, ...says }) => ({ ...says, idLength: id.length }));
  assert.deepEqual(
    shown.toSorted((a, b) => a.kind.localeCompare(b.kind)),
    [
      { kind: 'enlistment-suspended', ...told, identifier: 'anna', idLength: 24 },
      { kind: 'provider-step', ...told, step: 'suspended', reason: 'too many reports', idLength: 24 },
      { kind: 'report-upheld', ...told, identifier: 'anna', report, category: 'abuse', idLength: 24 },
    ],
  );
  // Of one person in the order in which it happened.
  const ofAnna = heard.flatMap(each => ('identifier' in each ? [each.kind] : []));
  assert.deepEqual(ofAnna, ['report-upheld', 'enlistment-suspended']);
  assert.deepEqual(await fixture.stores.outgoingEvents.list({ isDead: true, afterSeq: 0, limit: 9 }), []);
});

test('a hook that fails is told again under the same id by the gatekeeper, until it has taken it', async t => {
  const heard: GatekeeperNotice[] = [];
  const { fixture, ask } = await open(t, notice => {
    heard.push(notice);
    if (heard.length < 3) throw new Error('not now');
  });
  await ask('providers/1/suspend', { reason: 'ticket 9' });
  // Its clock runs ahead, through its pauses; each try is signed again.
  await until(async () => {
    fixture.clock.nowMs += 500;
    return (await waitingOf(fixture)) === 0;
  });
  assert.equal(heard.length, 3);
  assert.deepEqual(heard.slice(1), [heard[0], heard[0]]);
});
