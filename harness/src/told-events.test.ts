// What a gatekeeper tells providers, over the real egress client to real endpoints: in order, again when it fails, dead when it
// is refused, and whatever one endpoint does, the others are told. docs/protocol/10 section 10.5.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventBackOffMs } from '@drawbridge/gatekeeper/events/outbound-events';
import {
  fakeWorld,
  type Fixture,
  gatekeeperIssuer,
  issuers,
  openFixture,
} from '@drawbridge/gatekeeper/testing/control-fixture';
import { createEgress } from '@drawbridge/identity/egress';
import { importVerificationKey } from '@drawbridge/identity/jwk';
import { localKeySource } from '@drawbridge/identity/key-set';
import { type SecurityEvent, verifySecurityEvent } from '@drawbridge/identity/security-event';
import { gatekeeperEvents } from '@drawbridge/identity/security-event-kinds';

type Answer = (response: ServerResponse, token: string, request: IncomingMessage) => unknown;

/** A provider's endpoint on this machine; answers 202 unless told otherwise. */
class Endpoint {
  readonly tokens: string[] = [];
  answer: Answer = response => response.writeHead(202).end();
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
  }

  static async open(t: TestContext): Promise<Endpoint> {
    const server = createServer((request, response) => {
      void request
        .toArray()
        .catch(() => [])
        .then((chunks: Buffer[]) => {
          const token = Buffer.concat(chunks).toString();
          endpoint.tokens.push(token);
          endpoint.answer(response, token, request);
        });
    });
    const endpoint = new Endpoint(server);
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    return endpoint;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/events`;
  }
}

async function open(t: TestContext, limits: object = {}) {
  const [skylark, heron] = [await Endpoint.open(t), await Endpoint.open(t)];
  const real = createEgress({
    allow: {
      addresses: ['127.0.0.1'],
      plainHttpOrigins: [skylark, heron].map(({ url }) => new URL(url).origin),
    },
  });
  t.after(() => real.close());
  const world = fakeWorld(Object.values(issuers));
  const fake = world.egress.fetch;
  const egress = {
    ...world.egress,
    fetch: ((url, request) => (request?.method === 'POST' ? real.fetch : fake)(url, request)) as typeof fake,
  };
  const provider = (number: 1 | 2, name: 'skylark' | 'heron', endpoint: Endpoint) => ({
    ...{ number, name: `${name}.example`, issuer: issuers[name], eventsUrl: endpoint.url },
  });
  const fixture = await openFixture({
    world: { ...world, egress },
    config: {
      limits,
      providers: [provider(1, 'skylark', skylark), provider(2, 'heron', heron)],
      egress: {
        allowAddresses: ['127.0.0.1'],
        allowPlainHttpOrigins: [skylark, heron].map(({ url }) => new URL(url).origin),
      },
    },
  });
  t.after(() => fixture.close());
  // Time goes on by itself here.
  let lastMs = performance.now();
  const running = setInterval(() => {
    const nowMs = performance.now();
    fixture.clock.nowMs += Math.round(nowMs - lastMs);
    lastMs = nowMs;
  }, 20);
  t.after(() => clearInterval(running));
  return { fixture, skylark, heron };
}

async function until(done: () => boolean | Promise<boolean>, what = 'in time'): Promise<void> {
  for (let i = 0; i < 1_500; i++) {
    if (await done()) return;
    await sleep(20);
  }
  assert.fail(what);
}

async function read({ control, clock }: Fixture, token: string, audience: string): Promise<SecurityEvent> {
  const keys = control.signingKeys.published.map(jwk => {
    const imported = importVerificationKey(jwk);
    assert(imported.kind === 'imported');
    return imported.key;
  });
  const verdict = await verifySecurityEvent(token, {
    ...{ issuer: gatekeeperIssuer, audience, keys: localKeySource(() => keys), nowMs: clock.nowMs },
    accepts: gatekeeperEvents,
    provider: audience,
  });
  assert(verdict.kind === 'verified', JSON.stringify(verdict));
  return verdict.event;
}

const steps = async ({ control, clock }: Fixture, number: number, count: number): Promise<void> => {
  for (let i = 0; i < count; i++) {
    const status = i % 2 === 0 ? 'suspended' : 'live';
    await control.registry.setStatus(number, status, 'rosa', clock.nowMs, `step ${i}`);
  }
};
const deadOf = ({ stores }: Fixture, provider: number) =>
  stores.outgoingEvents.list({ provider, isDead: true, afterSeq: 0, limit: 1_000 });
const waitingOf = async ({ stores }: Fixture, provider: number): Promise<number> =>
  (await stores.outgoingEvents.counts()).find(each => each.provider === provider)?.waiting ?? 0;

test('a provider is told about its steps and its people, in order, and of nobody else', async t => {
  const { fixture, skylark, heron } = await open(t);
  const { control, clock } = fixture;
  const [anna, bert] = [await fixture.enlist(1, 'anna'), await fixture.enlist(1, 'bert')];
  const own = await fixture.enlist(0, 'ella');
  await control.enlistment.setStatus(anna.account.interopId, 'suspended', 'rosa', clock.nowMs, 'ticket 7');
  await control.enlistment.setStatus(anna.account.interopId, 'active', 'rosa', clock.nowMs);
  await control.enlistment.remove(anna.account.interopId, 'rosa', clock.nowMs);
  await control.enlistment.withdraw(bert.account);
  await control.enlistment.withdraw(own.account);
  await steps(fixture, 1, 2);
  assert.equal(await control.registry.revokeKeys(1, 'rosa', clock.nowMs, 'asked by phone'), 'revoked');
  await until(async () => skylark.tokens.length === 7 && (await waitingOf(fixture, 1)) === 0);
  const events = await Promise.all(skylark.tokens.map(token => read(fixture, token, issuers.skylark)));
  const said = (subject: string) =>
    events
      .filter(each => each.subject === subject)
      .map(({ event, payload }) => [event.replace('urn:drawbridge:event:', ''), payload]);
  assert.deepEqual(said('anna'), [
    ['enlistment-suspended', {}],
    ['enlistment-resumed', {}],
    ['enlistment-ended', { by: 'operator' }],
  ]);
  assert.deepEqual(said('bert'), [['enlistment-ended', { by: 'person' }]]);
  assert.deepEqual(said(issuers.skylark), [
    ['provider-step', { step: 'suspended', reason: 'step 0' }],
    ['provider-step', { step: 'resumed', reason: 'step 1' }],
    ['provider-step', { step: 'keys-revoked', reason: 'asked by phone' }],
  ]);
  assert.equal(new Set(events.map(({ jti }) => jti)).size, 7);
  assert.deepEqual(heron.tokens, []);
  // Wake-ups have no place of their own here.
  const carl = await fixture.enlist(1, 'carl');
  control.wakeUps.requestWakeUp(carl.account);
  await until(() => skylark.tokens.length === 8);
  assert.equal((await read(fixture, skylark.tokens[7]!, issuers.skylark)).event, 'urn:drawbridge:event:wake-up');
});

test('an endpoint that fails is tried again with the same id, one ahead of the others, and none is overtaken', async t => {
  const { fixture, skylark } = await open(t);
  let isDown = true;
  skylark.answer = response => response.writeHead(isDown ? 503 : 202).end();
  await fixture.enlist(1, 'anna');
  await steps(fixture, 1, 4);
  await until(() => skylark.tokens.length === 1);
  await sleep(300);
  assert.equal(skylark.tokens.length, 1, 'a pause, and nothing before its end');
  isDown = false;
  fixture.clock.nowMs += 1_000 * eventBackOffMs.length;
  await until(async () => (await waitingOf(fixture, 1)) === 0);
  const events = await Promise.all(skylark.tokens.map(token => read(fixture, token, issuers.skylark)));
  assert.deepEqual(
    events.map(({ payload }) => payload['reason']),
    ['step 0', 'step 0', 'step 1', 'step 2', 'step 3'],
  );
  assert.equal(events[0]?.jti, events[1]?.jti);
  assert.equal(events[0]?.occurredAtMs, events[1]?.occurredAtMs);
});

test('what waits is told after a restart, and dead letters are there to be told again', async t => {
  const { fixture, skylark } = await open(t);
  skylark.answer = response =>
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"err":"invalid_key","description":"no"}');
  await steps(fixture, 1, 2);
  await until(async () => (await deadOf(fixture, 1)).length === 2);
  assert.deepEqual(
    (await deadOf(fixture, 1)).map(({ code, attempts }) => [code, attempts]),
    [
      ['status-400', 0],
      ['status-400', 0],
    ],
  );
  fixture.control.outboundEvents.hold();
  await fixture.stores.outgoingEvents.revive({ provider: 1, actor: 'rosa', nowMs: fixture.clock.nowMs });
  skylark.answer = response => response.writeHead(202).end();
  const again = await fixture.restart();
  t.after(() => again.stop());
  again.clock.nowMs = fixture.clock.nowMs + 1_000;
  await until(async () => skylark.tokens.length === 4 && (await waitingOf(again, 1)) === 0);
});

test('an endpoint that hangs, drips, floods or redirects inside costs itself alone', async t => {
  const { fixture, skylark, heron } = await open(t);
  const inside = await Endpoint.open(t);
  const answers: Answer[] = [
    () => undefined,
    response => {
      response.writeHead(202);
      const dripping = setInterval(() => response.write('x'), 100);
      response.on('close', () => clearInterval(dripping));
    },
    response => response.writeHead(202).end(Buffer.alloc(50_000_000)),
    response => response.writeHead(307, { location: inside.url }).end(),
    response => response.destroy(),
  ];
  for (const [i, answer] of answers.entries()) {
    skylark.answer = answer;
    await steps(fixture, 1, 2);
    await until(() => skylark.tokens.length > i);
    const before = heron.tokens.length;
    const beganMs = performance.now();
    await steps(fixture, 2, 2);
    await until(() => heron.tokens.length === before + 2);
    assert.ok(performance.now() - beganMs < 4_000, `answer ${i}`);
    fixture.clock.nowMs += 2_000_000;
  }
  assert.deepEqual(inside.tokens, [], 'nothing follows a redirect');
});

test('an endpoint inside the network is asked nothing, and one that has moved is asked where it is', async t => {
  const { fixture, heron } = await open(t);
  const inside = await Endpoint.open(t);
  const { stores, clock } = fixture;
  const event = (provider: number, url: string) => ({
    ...{ provider, url, audience: issuers.heron, tokenId: 'A'.repeat(24), subject: issuers.heron },
    event: 'urn:drawbridge:event:provider-step' as const,
    payload: { step: 'live' },
    ...{ occurredAtMs: clock.nowMs, maxWaiting: 10, maxDead: 10 },
  });
  // Nobody's number: what stands in the row counts. It is not among the places that may be asked.
  const note = (number: number, url: string) =>
    stores.providers.noteKeysRevoked({ number, actor: 'rosa', nowMs: clock.nowMs, event: event(number, url) });
  await note(77, inside.url);
  await note(77, 'https://169.254.169.254/latest');
  await note(2, inside.url);
  await until(() => heron.tokens.length === 1);
  await until(
    async () =>
      (await stores.outgoingEvents.list({ provider: 77, isDead: false, afterSeq: 0, limit: 9 }))[0]?.attempts === 1,
  );
  assert.deepEqual(inside.tokens, []);
});

test('a queue that is full keeps the latest as dead, says so, and delays nobody', async t => {
  const { fixture, skylark, heron } = await open(t, { eventsWaitingPerProvider: 3, deadEventsPerProvider: 2 });
  skylark.answer = response => response.writeHead(500).end();
  await steps(fixture, 1, 8);
  const dead = await deadOf(fixture, 1);
  assert.deepEqual(
    dead.map(({ code, payload }) => [code, payload['reason']]),
    [
      ['queue-full', 'step 6'],
      ['queue-full', 'step 7'],
    ],
  );
  assert.equal(await waitingOf(fixture, 1), 3);
  await steps(fixture, 2, 1);
  await until(() => heron.tokens.length === 1);
  fixture.clock.nowMs += 73 * 3_600_000;
  await until(async () => (await waitingOf(fixture, 1)) < 3, 'what is too old is given up after one more try');
});
