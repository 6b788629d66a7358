import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { importVerificationKey, type VerificationKey } from '@drawbridge/identity/jwk';
import { localKeySource } from '@drawbridge/identity/key-set';
import { verifySecurityEvent } from '@drawbridge/identity/security-event';
import { PlayedTimers } from '@drawbridge/identity/testing/played-timers';
import { type Fixture, gatekeeperIssuer, issuers, openFixture } from '../testing/control-fixture.ts';
import { openEventKeys } from './event-keys.ts';

const opened: Fixture[] = [];
async function open(...options: Parameters<typeof openFixture>): Promise<Fixture> {
  const fixture = await openFixture(...options);
  opened.push(fixture);
  return fixture;
}
after(async () => {
  for (const fixture of opened) await fixture.close();
});

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 300 && !condition(); i++) await sleep(10);
  assert(condition(), 'in time');
}
const pendingRows = ({ store }: Fixture): number =>
  (store.reads.prepare('SELECT count(*) AS n FROM wake_up').get() as { n: number }).n;

test('a wake-up is one signed token about one person, with nothing else in it', async () => {
  const fixture = await open();
  const { account } = await fixture.enlist(1, 'anna');
  for (let i = 0; i < 100; i++) fixture.control.wakeUps.requestWakeUp(account);
  await until(() => fixture.world.posted.length > 0 && pendingRows(fixture) === 0);
  assert.equal(fixture.world.posted.length, 1, 'coalesced');
  const [{ url, body }] = fixture.world.posted as [{ url: string; body: string }];
  assert.equal(url, `${issuers.skylark}/wake`);
  const keys: VerificationKey[] = fixture.control.signingKeys.published.map(jwk => {
    const imported = importVerificationKey(jwk);
    assert(imported.kind === 'imported');
    return imported.key;
  });
  const verdict = await verifySecurityEvent(body, {
    issuer: gatekeeperIssuer,
    audience: issuers.skylark,
    keys: localKeySource(() => keys),
    nowMs: fixture.clock.nowMs,
    accepts: ['urn:drawbridge:event:wake-up'],
    takeEventId: async () => true,
  });
  assert(verdict.kind === 'verified' && verdict.event.subject === 'anna');
  const claims = JSON.parse(Buffer.from(body.split('.')[1]!, 'base64url').toString()) as object;
  assert.deepEqual(Object.keys(claims).sort(), ['aud', 'events', 'iat', 'iss', 'jti', 'sub_id']);
});

test('a person is woken again after the interval when somebody asked meanwhile, and only then', async () => {
  const timers = new PlayedTimers();
  const fixture = await open({ after: timers.after });
  const { account } = await fixture.enlist(1, 'anna');
  const { posted } = fixture.world;
  const pass = async (ms: number): Promise<void> => {
    fixture.clock.nowMs += ms;
    timers.advance(ms);
    await until(() => pendingRows(fixture) <= 1 && fixture.control.wakeUps.counters.sent === posted.length);
  };
  fixture.control.wakeUps.requestWakeUp(account);
  await until(() => posted.length === 1);
  await pass(10_000);
  fixture.control.wakeUps.requestWakeUp(account);
  fixture.control.wakeUps.requestWakeUp(account);
  await pass(19_000);
  assert.equal(posted.length, 1);
  await pass(2_000);
  await until(() => posted.length === 2);
  await pass(60_000);
  assert.equal(posted.length, 2);
});

test('what could not be sent is tried again later, one at a time, and survives a restart', async () => {
  const first = await open();
  const people = [];
  for (let i = 0; i < 5; i++) people.push((await first.enlist(1, `user ${i}`)).account);
  first.world.wakeUpAnswer = 'down';
  for (const account of people) first.control.wakeUps.requestWakeUp(account);
  await until(() => first.control.wakeUps.counters.failed > 0 && pendingRows(first) === 5);
  const failed = first.control.wakeUps.counters.failed;
  await sleep(600);
  assert.equal(first.control.wakeUps.counters.failed, failed, 'the clock stands still: nothing is tried in the pause');
  const second = await first.restart();
  opened.push(second);
  assert.equal(second.control.wakeUps.waiting(), 5);
  second.world.wakeUpAnswer = 202;
  await until(() => second.world.posted.length === 5 && pendingRows(second) === 0);
  assert.equal(second.control.wakeUps.waiting(), 0);
});

test('a refusal is final, an old wake-up is given up, and providers without an address get none', async () => {
  const fixture = await open();
  const { wakeUps } = fixture.control;
  const { account } = await fixture.enlist(1, 'anna');
  fixture.world.wakeUpAnswer = 400;
  wakeUps.requestWakeUp(account);
  await until(() => wakeUps.counters.givenUp === 1 && pendingRows(fixture) === 0);
  fixture.world.wakeUpAnswer = 503;
  fixture.clock.nowMs += 60_000;
  wakeUps.requestWakeUp(account);
  await until(() => wakeUps.counters.failed === 1);
  fixture.clock.nowMs += 3_600_001;
  await until(() => wakeUps.counters.givenUp === 2 && wakeUps.waiting() === 0);
  wakeUps.requestWakeUp((await fixture.enlist(2, 'heron')).account);
  assert.equal(wakeUps.waiting(), 0);
});

test('an account that its provider does not know, and one on which it always breaks, hold up nobody else', async () => {
  const fixture = await open();
  const { wakeUps } = fixture.control;
  const subjectOf = (token: string): string => {
    const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as { sub_id: { id?: string } };
    return JSON.stringify(claims.sub_id);
  };
  fixture.world.wakeUpAnswer = token => {
    if (subjectOf(token).includes('unknown')) return 404;
    return subjectOf(token).includes('breaks') ? 500 : 202;
  };
  const woken = (): string[] =>
    fixture.world.posted.map(({ body }) => subjectOf(body)).filter(each => /good/.test(each));
  for (const name of ['breaks', 'unknown', 'good 1', 'good 2', 'good 3'])
    wakeUps.requestWakeUp((await fixture.enlist(1, name)).account);
  for (let i = 0; i < 300 && woken().length < 3; i++) {
    // Its pauses pass.
    fixture.clock.nowMs += 1_000;
    await sleep(10);
  }
  assert.equal(new Set(woken()).size, 3);
  await until(() => wakeUps.counters.givenUp === 1 && wakeUps.waiting() === 1);
  fixture.clock.nowMs += 3_600_001;
  await until(() => wakeUps.counters.givenUp === 2 && wakeUps.waiting() === 0 && pendingRows(fixture) === 0);
});

test('a failing endpoint, its refusals and its return are logged once each, without anybody in it', async () => {
  const fixture = await open();
  const lines = (): string[] => fixture.logLines.filter(line => line.includes('wake-ups'));
  const { account } = await fixture.enlist(1, 'anna');
  fixture.world.wakeUpAnswer = 'down';
  fixture.control.wakeUps.requestWakeUp(account);
  await until(() => fixture.control.wakeUps.counters.failed === 1);
  fixture.clock.nowMs += 1_001;
  await until(() => fixture.control.wakeUps.counters.failed === 2);
  fixture.world.wakeUpAnswer = 202;
  fixture.clock.nowMs += 5_001;
  await until(() => fixture.control.wakeUps.counters.sent === 1);
  fixture.world.wakeUpAnswer = 400;
  for (let refused = 1; refused <= 2; refused++) {
    fixture.clock.nowMs += 30_001;
    fixture.control.wakeUps.requestWakeUp(account);
    await until(() => fixture.control.wakeUps.counters.givenUp === refused);
  }
  assert.deepEqual(
    lines().map(line => JSON.parse(line) as unknown),
    [
      { level: 'warn', event: 'wake-ups-failing', provider: 1, code: 'connect-failed' },
      { level: 'info', event: 'wake-ups-arrive-again', provider: 1, code: 'status-202' },
      { level: 'warn', event: 'wake-ups-refused', provider: 1, code: 'status-400' },
    ],
  );
});

test('own users of the embedded issuer are woken without the network', async () => {
  const fixture = await open({ config: { ownUsers: { kind: 'embedded', registration: 'open' } } });
  fixture.world.wakeUpAnswer = 'down';
  const { account } = await fixture.enlist(0, 'anna');
  const woken: string[] = [];
  const server = createServer((request, response) => fixture.control.ownUsers!.handler(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/users/v1`;
  const json = { 'content-type': 'application/json' };
  const login = { identifier: 'anna', password: 'correct horse' };
  const body = JSON.stringify(login);
  await fetch(`${at}/users`, { method: 'POST', headers: json, body });
  const session = await fetch(`${at}/sessions`, { method: 'POST', headers: json, body });
  const { session: token } = (await session.json()) as { session: string };
  const stream = await fetch(`${at}/wake-ups/stream`, { headers: { authorization: `Bearer ${token}` } });
  void (async () => {
    for await (const chunk of stream.body!) woken.push(Buffer.from(chunk).toString());
  })().catch(() => {});
  fixture.control.wakeUps.requestWakeUp(account);
  await until(() => woken.join('').includes('event: wake-up'));
  assert.equal(fixture.control.wakeUps.counters.sent, 1);
  server.closeAllConnections();
  server.close();
});

test('while it is held, a wake-up is written and goes out after the restart', async () => {
  const first = await open();
  const { account } = await first.enlist(1, 'anna');
  first.control.wakeUps.hold();
  first.control.wakeUps.requestWakeUp(account);
  await until(() => pendingRows(first) === 1);
  const second = await first.restart();
  opened.push(second);
  assert.equal(first.world.posted.length, 0);
  await until(() => second.world.posted.length === 1);
});

test('the queue is bounded, and a withdrawn person is forgotten', async () => {
  const fixture = await open({ config: { limits: { wakeUpsWaiting: 3 } } });
  fixture.world.wakeUpAnswer = 'down';
  const people = [];
  for (let i = 0; i < 5; i++) people.push((await fixture.enlist(1, `user ${i}`)).account);
  for (const account of people) fixture.control.wakeUps.requestWakeUp(account);
  assert.equal(fixture.control.wakeUps.waiting(), 3);
  assert.equal(fixture.control.wakeUps.counters.dropped, 2);
  await until(() => fixture.control.wakeUps.counters.failed > 0);
  await sleep(50);
  await fixture.control.enlistment.withdraw(people[0]!);
  assert.equal(fixture.control.wakeUps.waiting(), 2);
  assert.equal(pendingRows(fixture), 2);
});

test("one dead provider fills its own share of the queue, not another's", async () => {
  const fixture = await open({
    config: {
      limits: { wakeUpsWaiting: 100, wakeUpsWaitingPerProvider: 3 },
      providers: [
        { number: 1, name: 'skylark.example', issuer: issuers.skylark, wakeUpUrl: `${issuers.skylark}/wake` },
        { number: 2, name: 'heron.example', issuer: issuers.heron, wakeUpUrl: `${issuers.heron}/wake` },
      ],
    },
  });
  fixture.world.wakeUpAnswer = 'down';
  const { wakeUps } = fixture.control;
  for (let i = 0; i < 10; i++) wakeUps.requestWakeUp((await fixture.enlist(1, `user ${i}`)).account);
  assert.deepEqual([wakeUps.waiting(), wakeUps.counters.dropped], [3, 7]);
  wakeUps.requestWakeUp((await fixture.enlist(2, 'heron')).account);
  assert.deepEqual([wakeUps.waiting(), wakeUps.counters.dropped], [4, 7]);
  await until(() => wakeUps.counters.failed > 0);
});

test('whoever has another name by then is woken under that name', async () => {
  const fixture = await open();
  const { account } = await fixture.enlist(1, 'anna');
  const { wakeUps } = fixture.control;
  fixture.world.wakeUpAnswer = 'down';
  wakeUps.requestWakeUp(account);
  await until(() => wakeUps.counters.failed === 1);
  wakeUps.rename(account.interopId, 'anna.new');
  fixture.world.wakeUpAnswer = 202;
  fixture.clock.nowMs += 2_000;
  await until(() => fixture.world.posted.length === 1);
  const [, claims = ''] = fixture.world.posted[0]!.body.split('.');
  const { sub_id: subject } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { sub_id: { id: string } };
  assert.equal(subject.id, 'anna.new');
});

test('whoever gets another name while a wake-up under the old one is under way, and fails, is woken under the new one', async () => {
  const fixture = await open();
  const { account } = await fixture.enlist(1, 'anna');
  const { wakeUps } = fixture.control;
  const { posted } = fixture.world;
  fixture.world.wakeUpAnswer = () => {
    if (posted.length > 1) return 202;
    wakeUps.rename(account.interopId, 'anna.new');
    return 503;
  };
  wakeUps.requestWakeUp(account);
  await until(() => wakeUps.counters.failed === 1);
  fixture.clock.nowMs += 2_000;
  await until(() => wakeUps.counters.sent === 1);
  const names = posted.map(({ body }) => {
    const claims = JSON.parse(Buffer.from(body.split('.')[1]!, 'base64url').toString()) as { sub_id: { id: string } };
    return claims.sub_id.id;
  });
  assert.deepEqual(names, ['anna', 'anna.new']);
});

test("the event key stays the same, is nobody else's to read, and a damaged file is not replaced in silence", async () => {
  const fixture = await open();
  const file = join(fixture.folder, 'event-keys.json');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(openEventKeys(fixture.folder).published, fixture.control.signingKeys.published);
  assert(fixture.control.signingKeys.published.every(jwk => !('d' in jwk)));
  const before = readFileSync(file, 'utf8');
  for (const damaged of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"EC"}]}', before.slice(0, -20)]) {
    writeFileSync(file, damaged);
    assert.throws(() => openEventKeys(fixture.folder), { code: 'event-keys-unusable' });
    assert.equal(readFileSync(file, 'utf8'), damaged);
  }
});
