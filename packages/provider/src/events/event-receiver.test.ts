// What gatekeepers tell this provider, over its HTTP and with real tokens: verified, handed on as values, told again when the
// hook fails, and called no more once it was handled. docs/protocol/10 section 10.5.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { createEgress } from '@drawbridge/identity/egress';
import { generateSigningKey, publicJwk, type SigningKey } from '@drawbridge/identity/jwk';
import { signJws } from '@drawbridge/identity/jws';
import { issueSecurityEvent, type SecurityEventClaims } from '@drawbridge/identity/security-event';
import { createProvider, type Provider, type ProviderOptions } from '../provider.ts';
import { openProviderDatabase } from '../storage/provider-database.ts';
import { createEventReceiver, type EventHook, eventReceiverLimits } from './event-receiver.ts';
import type { GatekeeperNotice } from './gatekeeper-notice.ts';
import { createTokenVerifier } from './gatekeeper-tokens.ts';
import { createHandledEvents, handledEventLimits } from './handled-events.ts';

const issuer = 'https://skylark.example/interop';
const happenedAtMs = Date.now() - 86_400_000;
let count = 0;
const newId = (): string => `event-${String(count++).padStart(16, '0')}`;

type Gatekeeper = { readonly issuer: string; readonly key: SigningKey };

async function gatekeeper(t: TestContext): Promise<Gatekeeper> {
  const key = generateSigningKey('ES256');
  const server = createServer((_request, response) => response.end(JSON.stringify({ keys: [publicJwk(key)] })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key };
}

function token(from: Gatekeeper, change: Partial<SecurityEventClaims> = {}): Promise<string> {
  return issueSecurityEvent(from.key, {
    ...{ issuer: from.issuer, audience: issuer, jti: newId(), issuedAtSeconds: Math.floor(Date.now() / 1_000) },
    ...{ subject: 'mia', event: 'urn:drawbridge:event:enlistment-suspended', occurredAtMs: happenedAtMs },
    ...change,
  });
}

async function world(t: TestContext, change: Partial<ProviderOptions> = {}) {
  const [citadel, fortress] = [await gatekeeper(t), await gatekeeper(t)];
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-told-'));
  const heard: GatekeeperNotice[] = [];
  const woken: string[] = [];
  const log: string[] = [];
  let provider: Provider;
  const server = createServer((request, response) => provider.handler(request, response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const start = async (): Promise<void> => {
    provider = await createProvider({
      issuer,
      gatekeepers: [{ issuer: citadel.issuer }, { issuer: fortress.issuer }],
      dataFolder: folder,
      egress: { allow: { plainHttpOrigins: [citadel.issuer, fortress.issuer] } },
      onEvent: notice => heard.push(notice),
      onWakeUp: identifier => woken.push(identifier),
      log: ({ event, code }) => log.push(`${event} ${code}`),
      ...change,
    });
  };
  await start();
  t.after(async () => {
    server.close();
    server.closeAllConnections();
    await provider.close();
    rmSync(folder, { recursive: true });
  });
  const restart = async (): Promise<void> => {
    await provider.close();
    await start();
  };
  const push = async (body: string, type = 'application/secevent+jwt') => {
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/interop/v1/events`;
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': type }, body });
    const text = await response.text();
    const err = text === '' ? undefined : (JSON.parse(text) as { err?: string }).err;
    return { status: response.status, err, retryAfter: response.headers.get('retry-after') };
  };
  return { citadel, fortress, heard, woken, log, push, restart };
}

test('each event arrives as a value, once for an id, also in a token signed again and after a restart', async t => {
  const { citadel, heard, push, restart } = await world(t);
  const person = { gatekeeper: citadel.issuer, occurredAtMs: happenedAtMs, identifier: 'mia' };
  const events = [
    ['enlistment-suspended', {}, {}],
    ['enlistment-resumed', {}, {}],
    ['enlistment-ended', { by: 'person' }, { by: 'person' }],
    ['report-upheld', { report: 'r1', category: 'abuse' }, { report: 'r1', category: 'abuse' }],
  ] as const;
  for (const [kind, payload, says] of events) {
    const change = { jti: newId(), event: `urn:drawbridge:event:${kind}`, payload } as const;
    assert.equal((await push(await token(citadel, change))).status, 202);
    assert.deepEqual(heard.at(-1), { kind, ...person, id: change.jti, ...says });
  }
  const step = { jti: newId(), subject: issuer, event: 'urn:drawbridge:event:provider-step' } as const;
  const payload = { step: 'suspended', reason: 'too many reports' };
  const again = [0, 300, 599].map(ago => ({ ...step, payload, issuedAtSeconds: Math.floor(Date.now() / 1_000) - ago }));
  for (const change of again) assert.equal((await push(await token(citadel, change))).status, 202);
  await restart();
  assert.equal((await push(await token(citadel, again[0]))).status, 202);
  const told = { gatekeeper: citadel.issuer, id: step.jti, occurredAtMs: happenedAtMs };
  assert.deepEqual(heard.slice(events.length), [{ kind: 'provider-step', ...told, ...payload }]);
});

test('what is forged, old, for somebody else or of another gatekeeper is refused, and nobody hears it', async t => {
  const { citadel, fortress, heard, woken, log, push } = await world(t);
  const good = await token(citadel);
  const claims = JSON.parse(Buffer.from(good.split('.')[1]!, 'base64url').toString());
  const stranger = generateSigningKey('ES256');
  const now = Math.floor(Date.now() / 1_000);
  const step = { event: 'urn:drawbridge:event:provider-step', payload: { step: 'live' } } as const;
  const signed = (value: object, key = citadel.key, typ = 'secevent+jwt') => signJws(key, typ, { ...claims, ...value });
  const refused: readonly (readonly [string, string])[] = [
    ['', 'invalid_request'],
    ['x', 'invalid_request'],
    ['A'.repeat(9_000), 'invalid_request'],
    [`${good.slice(0, -8)}AAAAAAAA`, 'invalid_key'],
    [signed({}, stranger), 'invalid_key'],
    [signed({}, { ...stranger, kid: citadel.key.kid }), 'invalid_key'],
    // Another gatekeeper of this provider, in the name of the first: its own key, and its own key under the other's name.
    [signed({}, fortress.key), 'invalid_key'],
    [signed({}, { ...fortress.key, kid: citadel.key.kid }), 'invalid_key'],
    [signed({}, citadel.key, 'JWT'), 'invalid_request'],
    [signed({ admin: true }), 'invalid_request'],
    [signed({ toe: undefined }), 'invalid_request'],
    [signed({ toe: now + 600 }), 'invalid_request'],
    [signed({ jti: 'short' }), 'invalid_request'],
    [signed({ sub_id: { format: 'opaque', id: 'mia', more: 1 } }), 'invalid_request'],
    [signed({ events: {} }), 'invalid_request'],
    [signed({ events: { ...claims.events, 'urn:drawbridge:event:wake-up': {} } }), 'invalid_request'],
    [signed({ events: { 'urn:drawbridge:event:enlistment-ended': { by: 'nobody' } } }), 'invalid_request'],
    [await token(citadel, { issuer: 'https://evil.example' }), 'invalid_issuer'],
    [await token(citadel, { audience: 'https://heron.example' }), 'invalid_audience'],
    [await token(citadel, { audience: `${issuer}/` }), 'invalid_audience'],
    [await token(citadel, { issuedAtSeconds: now - 601 }), 'invalid_request'],
    [await token(citadel, { issuedAtSeconds: now + 120 }), 'invalid_request'],
    [await token(citadel, { ...step, subject: 'https://heron.example' }), 'invalid_request'],
    // What providers tell gatekeepers is not told to providers.
    [await token(citadel, { event: 'urn:drawbridge:event:keys-rotated', subject: issuer }), 'invalid_request'],
  ];
  for (const [index, [body, err]] of refused.entries()) {
    assert.deepEqual(await push(body), { status: 400, err, retryAfter: null }, `${index}`);
  }
  assert.equal((await push(JSON.stringify({ good }), 'application/json')).status, 400);
  assert.deepEqual([heard, woken], [[], []]);
  assert.ok(!log.join().includes('mia'));
  assert.equal((await push(good)).status, 202, 'and the good one was not used up');
  assert.equal(heard.length, 1);
});

test('an id is of one gatekeeper: another one’s is its own', async t => {
  const { citadel, fortress, heard, push } = await world(t);
  const jti = newId();
  for (const each of [citadel, fortress]) assert.equal((await push(await token(each, { jti }))).status, 202);
  assert.deepEqual(
    heard.map(each => each.gatekeeper),
    [citadel.issuer, fortress.issuer],
  );
});

test('a hook that throws is answered with 500 and called again, until it has taken it', async t => {
  let calls = 0;
  const { citadel, log, push } = await world(t, {
    onEvent: async notice => {
      assert.equal(notice.kind, 'enlistment-suspended');
      if (++calls === 1) throw new Error('mia: not now');
      if (calls === 2) await Promise.reject();
    },
  });
  const body = await token(citadel);
  const statuses: number[] = [];
  for (let n = 0; n < 5; n++) statuses.push((await push(body)).status);
  assert.deepEqual([statuses, calls], [[500, 500, 202, 202, 202], 3]);
  assert.deepEqual(log, ['event-hook-failed failed', 'event-hook-failed failed']);
});

test('one that comes again while the hook works on it gets the same answer from the same call', async t => {
  const work = Promise.withResolvers<void>();
  let calls = 0;
  const { citadel, push } = await world(t, {
    onEvent: async () => {
      calls++;
      await work.promise;
    },
  });
  const body = await token(citadel);
  const answers = Promise.all(Array.from({ length: 5 }, () => push(body)));
  while (calls === 0) await sleep(5);
  await sleep(50);
  work.resolve();
  assert.deepEqual([(await answers).map(({ status }) => status), calls], [[202, 202, 202, 202, 202], 1]);
});

test('wake-ups that come here wake, once, also without a hook; then events are left with the gatekeeper', async t => {
  const { citadel, heard, woken, push } = await world(t, { onEvent: undefined! });
  const now = Math.floor(Date.now() / 1_000);
  const claims = { iss: citadel.issuer, aud: issuer, jti: newId(), iat: now, sub_id: { format: 'opaque', id: 'mia' } };
  const wakeUp = signJws(citadel.key, 'secevent+jwt', { ...claims, events: { 'urn:drawbridge:event:wake-up': {} } });
  for (let n = 0; n < 2; n++) assert.equal((await push(wakeUp)).status, 202);
  while (woken.length === 0) await sleep(5);
  assert.equal((await push(await token(citadel))).status, 400);
  await sleep(20);
  assert.deepEqual([heard, woken], [[], ['mia']]);
});

async function receiver(t: TestContext, hook: EventHook, limits = eventReceiverLimits) {
  const [from, other] = [await gatekeeper(t), await gatekeeper(t)];
  const database = openProviderDatabase(':memory:');
  t.after(() => database.close());
  const log: string[] = [];
  const note = (event: string, code: string): void => void log.push(`${event} ${code}`);
  const egress = createEgress({ allow: { plainHttpOrigins: [from.issuer, other.issuer] } });
  t.after(() => egress.close());
  const verify = createTokenVerifier({
    ...{ audience: issuer, gatekeepers: [from, other], fetch: egress.fetch, log: note },
    ...{ nowMs: Date.now, monotonicMs: () => performance.now() },
  });
  const receive = createEventReceiver({
    ...{ verify, hook, handled: createHandledEvents(database), limits, log: note },
    wakeUps: { takeEventId: () => assert.fail('no wake-up'), onWakeUp: () => assert.fail('no wake-up'), log: note },
  });
  return { receive, from, other, database, log };
}

test('a hook that never ends has failed, and the next try calls it again', async t => {
  let calls = 0;
  const hang = (): unknown => (++calls === 1 ? new Promise(() => {}) : undefined);
  const { receive, from, log } = await receiver(t, hang, { atOnce: 1, timeoutMs: 20, maxLate: 2 });
  const body = await token(from);
  assert.deepEqual([await receive(body), log], [{ kind: 'failed' }, ['event-hook-failed timed-out']]);
  assert.deepEqual([await receive(body), await receive(body), calls], [{ kind: 'accepted' }, { kind: 'accepted' }, 2]);
});

test('hooks of a gatekeeper that run on after their time are told, and bounded; others are heard meanwhile', async t => {
  const running: { readonly signal: AbortSignal; readonly end: () => void }[] = [];
  const hook: EventHook = ({ gatekeeper: by }, signal) => {
    if (by === from.issuer) return new Promise<void>(end => running.push({ signal, end }));
  };
  const { receive, from, other, log } = await receiver(t, hook, { atOnce: 1, timeoutMs: 20, maxLate: 2 });
  const body = await token(from);
  for (let call = 1; call <= 2; call++) assert.equal((await receive(body)).kind, 'failed');
  assert.deepEqual(
    running.map(each => each.signal.aborted),
    [true, true],
  );
  for (let call = 1; call <= 3; call++) assert.equal((await receive(body)).kind, 'refused');
  assert.deepEqual([running.length, log.at(-1)], [2, 'event-refused all-hang']);
  assert.equal((await receive(await token(other))).kind, 'accepted');
  running[0]!.end();
  await sleep(0);
  assert.equal((await receive(body)).kind, 'failed', 'there is room for one more');
  assert.equal(running.length, 3);
});

test('a gatekeeper that tells too much at once comes again, and nothing of it is used up', async t => {
  const work = Promise.withResolvers<void>();
  let calls = 0;
  const hook = async (): Promise<void> => {
    calls++;
    await work.promise;
  };
  const { receive, from } = await receiver(t, hook, { ...eventReceiverLimits, atOnce: 2 });
  const bodies = await Promise.all(Array.from({ length: 5 }, () => token(from)));
  const answers = bodies.map(receive);
  while (calls < 2) await sleep(5);
  await sleep(20);
  work.resolve();
  const kinds = (await Promise.all(answers)).map(each => each.kind);
  assert.deepEqual(kinds.toSorted(), ['accepted', 'accepted', 'refused', 'refused', 'refused']);
  for (const body of bodies) assert.equal((await receive(body)).kind, 'accepted');
  assert.equal(calls, 5);
});

test('a database that can not note it: the gatekeeper comes again', async t => {
  let calls = 0;
  const { receive, from, database } = await receiver(t, () => calls++);
  const body = await token(from);
  const { reads } = database;
  await database.write({
    sql: `CREATE TRIGGER broken BEFORE INSERT ON event_ids BEGIN SELECT RAISE(ABORT, 'broken'); END`,
    values: [],
  });
  const receipt = await receive(body);
  assert.ok(receipt.kind === 'refused' && receipt.retry);
  await database.write({ sql: 'DROP TRIGGER broken', values: [] });
  assert.deepEqual([await receive(body), await receive(body), calls], [{ kind: 'accepted' }, { kind: 'accepted' }, 2]);
  // Remembered for longer than a gatekeeper tells it, in tokens that are signed again.
  const [row] = reads.prepare('SELECT expires_at_ms AS at FROM event_ids').all();
  assert.ok(Number(row?.['at']) > Date.now() + handledEventLimits.rememberMs);
});

test('ids beyond the bound of a gatekeeper are remembered while their tokens may be used', async t => {
  const database = openProviderDatabase(':memory:');
  t.after(() => database.close());
  const handled = createHandledEvents(database, { rememberMs: 86_400_000, maxRemembered: 3 });
  const usableUntilMs = 1_790_000_000_000;
  for (const gatekeeperName of ['loud', 'loud', 'loud', 'loud', 'loud', 'quiet']) {
    await handled.note({ issuer: gatekeeperName, jti: newId(), usableUntilMs });
  }
  const rows = database.reads.prepare('SELECT issuer, expires_at_ms AS at FROM event_ids ORDER BY jti').all();
  const long = usableUntilMs + 86_400_000;
  assert.deepEqual(
    rows.map(({ issuer: name, at }) => [name, at]),
    [...[long, long, long, usableUntilMs, usableUntilMs].map(at => ['loud', at]), ['quiet', long]],
  );
});
