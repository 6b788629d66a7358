// What a provider tells of its people and keys, over real sockets: what it ends on open streams and how soon, and what comes of
// forged, repeated, late and misdirected events. docs/protocol/10 section 10.5.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildPublicHttp } from '@drawbridge/gatekeeper/http/public';
import type { FixtureOptions } from '@drawbridge/gatekeeper/testing/control-fixture';
import { gatekeeperIssuer, issuers } from '@drawbridge/gatekeeper/testing/control-fixture';
import { createOpenApiCheck } from '@drawbridge/gatekeeper/testing/openapi-check';
import { generateSigningKey, type SigningKey, verificationKey } from '@drawbridge/identity/jwk';
import { issueSecurityEvent, type SecurityEventClaims } from '@drawbridge/identity/security-event';
import type { ProviderEvent } from '@drawbridge/identity/security-event-kinds';
import { type Person, RawNetwork } from './raw-network.ts';
import type { RawXmpp } from './raw-xmpp.ts';

const risc = 'https://schemas.openid.net/secevent/risc/event-type';
/** So soon a step has to be in force on open streams. */
const inForceMs = 2_000;

type Claims = Partial<SecurityEventClaims> & { readonly key?: SigningKey };
type Answer = { readonly status: number; readonly text: string };

async function open(t: TestContext, fixture: FixtureOptions = {}) {
  const network = await RawNetwork.open({ fixture: { config: { budgets: { unlimited: true } }, ...fixture } });
  t.after(() => network.close());
  const { control, stores, clock, config, world } = network.fixture;
  const api = await buildPublicHttp({
    config,
    control,
    people: stores.accounts,
    log: () => {},
    nowMs: () => clock.nowMs,
    endpoints: () => ({ http: gatekeeperIssuer }),
  });
  const server = createServer(api.handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await api.close();
  });
  const { port } = server.address() as AddressInfo;
  const document = (await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json()) as Record<string, unknown>;
  const described = createOpenApiCheck(document);
  const post = async (token: string, type = 'application/secevent+jwt'): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${port}/v1/events`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: token,
      redirect: 'error',
    });
    const text = await response.text();
    described.answer('POST', '/v1/events', response.status, text === '' ? undefined : JSON.parse(text));
    return { status: response.status, text };
  };
  const token = ({ key, ...claims }: Claims): Promise<string> =>
    issueSecurityEvent(key ?? world.keys.get(claims.issuer ?? issuers.skylark)!, {
      issuer: issuers.skylark,
      audience: gatekeeperIssuer,
      jti: randomBytes(18).toString('base64url'),
      issuedAtSeconds: Math.floor(clock.nowMs / 1000),
      subject: 'anna',
      event: `${risc}/account-disabled`,
      occurredAtMs: clock.nowMs,
      ...claims,
    });
  /** Something happens later than what happened before. */
  const tell = async (event: ProviderEvent, claims: Claims = {}): Promise<Answer> => {
    clock.nowMs += 1_000;
    return await post(await token({ event, occurredAtMs: clock.nowMs, ...claims }));
  };
  return { network, world, control, clock, post, token, tell, port };
}

/** What becomes of a login: `admitted`, or why not. */
async function loginOf(network: RawNetwork, person: Person, proof?: string): Promise<string> {
  const { control, clock } = network.fixture;
  const shown = proof ?? (await network.proof(person));
  const result = await control.login.authenticate(shown, { transport: 'xmpp', nowMs: clock.nowMs });
  return result.kind === 'refused' ? result.code : result.kind;
}

const taken: Answer = { status: 202, text: '' };

async function endsSoon(stream: RawXmpp, condition: string): Promise<void> {
  const beganMs = performance.now();
  assert.equal(await stream.streamError(), condition);
  assert.ok(performance.now() - beganMs < inForceMs);
}

function errOf({ status, text }: Answer): string {
  assert.equal(status, 400, text);
  const { err, description, ...rest } = JSON.parse(text) as Record<string, string>;
  assert.ok(description !== undefined && description.length > 0, text);
  assert.deepEqual(rest, {});
  return err ?? '';
}

test('an account that its provider disables is out within 2 s, and in again when it is enabled', async t => {
  const { network, control, tell } = await open(t);
  const [anna, bert] = [await network.person('anna', 1), await network.person('bert', 1)];
  const [annas, berts] = [await network.login(anna), await network.login(bert)];
  assert.deepEqual(await tell(`${risc}/account-disabled`, { payload: { reason: 'hijacking' } }), taken);
  await endsSoon(annas, 'policy-violation');
  assert.equal(await loginOf(network, anna), 'account-suspended');
  await berts.ping();
  assert.deepEqual(await tell(`${risc}/account-enabled`), taken);
  await (await network.login(anna)).ping();
  // An operator's suspension is not the provider's to lift.
  await control.enlistment.setStatus(anna.account.interopId, 'suspended', 'rosa', 0);
  assert.deepEqual(await tell(`${risc}/account-enabled`), taken);
  assert.equal(await loginOf(network, anna), 'account-suspended');
});

test('an account that is closed is deleted with what waits for it, within 2 s', async t => {
  const { network, control, tell } = await open(t);
  const anna = await network.person('anna', 1);
  const annas = await network.login(anna);
  assert.deepEqual(await tell(`${risc}/account-purged`), taken);
  await endsSoon(annas, 'not-authorized');
  assert.equal(await control.accounts.find(anna.account.interopId), undefined);
  assert.deepEqual(await tell(`${risc}/account-purged`), taken, 'nobody is there, and it says nothing else');
});

test('another name: the stream goes on, the new name finds the person, a proof for the old one is good for nothing', async t => {
  const { network, control, tell } = await open(t);
  const [anna] = [await network.person('anna', 1), await network.person('bert', 1)];
  const annas = await network.login(anna);
  // In memory under the old name.
  assert.equal((await control.accounts.findByIdentifier(1, 'anna'))?.interopId, anna.account.interopId);
  const change = (name: string) => tell(`${risc}/identifier-changed`, { payload: { 'new-value': name } });
  assert.equal(errOf(await change('bert')), 'invalid_request');
  assert.deepEqual(await change('anna.new'), taken);
  await annas.ping();
  assert.equal(await control.accounts.findByIdentifier(1, 'anna'), undefined);
  assert.equal((await control.accounts.findByIdentifier(1, 'anna.new'))?.interopId, anna.account.interopId);
  assert.equal(await loginOf(network, anna), 'account-unknown');
  await (await network.login({ ...anna, identifier: 'anna.new' })).ping();
});

test('compromised credentials: streams end within 2 s, and no proof from before lets anybody in', async t => {
  const { network, clock, tell } = await open(t);
  const [anna, bert] = [await network.person('anna', 1), await network.person('bert', 1)];
  const [annas, berts] = [await network.login(anna), await network.login(bert)];
  // Whoever has the password got this a moment ago.
  const stolen = await network.proof(anna);
  assert.deepEqual(await tell(`${risc}/credential-compromise`, { payload: { credential_type: 'password' } }), taken);
  await endsSoon(annas, 'not-authorized');
  await berts.ping();
  assert.equal(await loginOf(network, anna, stolen), 'proof-outdated');
  clock.nowMs += 1_000;
  await (await network.login(anna)).ping();
});

test('rotated keys are fetched at once; compromised ones take their streams along within 2 s', async t => {
  const { network, world, clock, post, token, tell } = await open(t);
  const anna = await network.person('anna', 1);
  const annas = await network.login(anna);
  const first = world.keys.get(issuers.skylark)!;
  const [second, third] = [generateSigningKey('ES256'), generateSigningKey('EdDSA')];
  world.published.set(issuers.skylark, [first, second]);
  const about = { subject: issuers.skylark };
  assert.deepEqual(await tell('urn:drawbridge:event:keys-rotated', about), taken);
  world.published.set(issuers.skylark, []);
  assert.ok(network.fixture.control.registry.keyStands(1, verificationKey(second).thumbprint));
  const failed = await tell('urn:drawbridge:event:keys-rotated', about);
  assert.equal(failed.status, 503, 'a set that can not be had now is asked for again');
  await annas.ping();
  world.published.set(issuers.skylark, [second, third]);
  world.keys.set(issuers.skylark, second);
  clock.nowMs += 31_000;
  assert.deepEqual(await tell('urn:drawbridge:event:keys-compromised', { ...about, key: third }), taken);
  await endsSoon(annas, 'not-authorized');
  // Sent again, at once or later, one of them is done once.
  clock.nowMs += 31_000;
  const again = await token({ ...about, event: 'urn:drawbridge:event:keys-compromised', occurredAtMs: clock.nowMs });
  const { seq } = (await network.fixture.stores.audit.head())!;
  for (const answer of await Promise.all(Array.from({ length: 5 }, () => post(again)))) assert.deepEqual(answer, taken);
  for (let i = 0; i < 3; i++) assert.deepEqual(await post(again), taken);
  assert.equal((await network.fixture.stores.audit.head())!.seq, seq + 1);
  assert.equal(errOf(await tell(`${risc}/account-disabled`, { key: first })), 'authentication_failed');
});

test('repeated, overtaken, late and early events change nothing', async t => {
  const { network, clock, post, token, tell } = await open(t);
  const anna = await network.person('anna', 1);
  const early = await token({});
  assert.deepEqual(await post(early), taken);
  assert.deepEqual(await tell(`${risc}/account-enabled`), taken);
  const stream = await network.login(anna);
  for (let i = 0; i < 3; i++) assert.deepEqual(await post(early), taken, 'the same token again');
  const overtaken = await token({ occurredAtMs: clock.nowMs - 500 });
  assert.deepEqual(await post(overtaken), taken, 'it happened before what was applied');
  await stream.ping();
  assert.equal(errOf(await post(await token({ occurredAtMs: clock.nowMs + 61_000 }))), 'invalid_request');
  const ahead = Math.floor(clock.nowMs / 1000) + 61;
  assert.equal(errOf(await post(await token({ issuedAtSeconds: ahead }))), 'invalid_request');
  const old = Math.floor(clock.nowMs / 1000) - 600;
  assert.equal(errOf(await post(await token({ issuedAtSeconds: old }))), 'invalid_request');
  await stream.ping();
  assert.deepEqual(await tell(`${risc}/account-disabled`), taken);
  await endsSoon(stream, 'policy-violation');
});

test("a provider speaks of nobody else's people, and nobody speaks for it", async t => {
  const { network, world, control, clock, post, token, tell } = await open(t);
  const [anna, own] = [await network.person('anna', 1), await network.person('anna', 0)];
  const [annas, owns] = [await network.login(anna), await network.login(own)];
  const purge = `${risc}/account-purged` as const;
  // Heron has nobody of that name.
  assert.deepEqual(await tell(purge, { issuer: issuers.heron }), taken);
  const heronsKey = world.keys.get(issuers.heron)!;
  assert.equal(errOf(await tell(purge, { key: heronsKey })), 'authentication_failed');
  const claimed = { ...heronsKey, kid: world.keys.get(issuers.skylark)!.kid };
  assert.equal(errOf(await tell(purge, { key: claimed })), 'authentication_failed');
  assert.equal(errOf(await tell(purge, { issuer: 'https://nobody.example', key: heronsKey })), 'authentication_failed');
  assert.equal(errOf(await tell(purge, { audience: 'https://fortress.example' })), 'invalid_audience');
  const rotated = 'urn:drawbridge:event:keys-compromised';
  assert.equal(errOf(await tell(rotated, { issuer: issuers.heron, subject: issuers.skylark })), 'invalid_request');
  const good = await token({ event: purge });
  const [, body, signature] = good.split('.');
  const none = Buffer.from('{"alg":"none","kid":"k","typ":"secevent+jwt"}').toString('base64url');
  for (const forged of [`${none}.${body}.`, `${none}.${body}.${signature}`, good.slice(0, -4), `${good}AA`, '', 'x']) {
    assert.match(errOf(await post(forged)), /^(?:invalid_(?:request|key)|authentication_failed)$/);
  }
  assert.equal(errOf(await post(good, 'application/json')), 'invalid_request');
  assert.equal(errOf(await post('x'.repeat(8_193))), 'invalid_request');
  assert.equal(errOf(await post('x'.repeat(300_000))), 'invalid_request');
  for (const stream of [annas, owns]) await stream.ping();
  // While it is suspended it says nothing; keys may be in wrong hands.
  const asLive = await tell(purge, { key: heronsKey });
  await control.registry.setStatus(1, 'suspended', 'rosa', clock.nowMs);
  assert.equal(errOf(await tell(purge)), 'access_denied');
  assert.deepEqual(await tell(purge, { key: heronsKey }), asLive, 'a stranger is not told that it is suspended');
  assert.deepEqual(await tell(purge, { issuer: 'https://nobody.example', key: heronsKey }), asLive, 'nor who is here');
  assert.notEqual(await control.accounts.find(anna.account.interopId), undefined);
});

test('a key set that flips costs its provider the streams of the old keys, and lets no old key speak', async t => {
  const { network, world, clock, tell, post, token } = await open(t);
  const anna = await network.person('anna', 1);
  const annas = await network.login(anna);
  const [first, second] = [world.keys.get(issuers.skylark)!, generateSigningKey('ES256')];
  const byOld = await token({ key: first });
  world.keys.set(issuers.skylark, second);
  world.published.set(issuers.skylark, [second]);
  clock.nowMs += 31_000;
  // By a key that nobody knows yet: the set is fetched once, and then no more for 30 s.
  assert.deepEqual(await tell('urn:drawbridge:event:keys-rotated', { subject: issuers.skylark }), taken);
  await endsSoon(annas, 'not-authorized');
  assert.equal(errOf(await post(byOld)), 'authentication_failed');
  world.published.set(issuers.skylark, [first]);
  assert.equal(
    errOf(await post(await token({ key: first }))),
    'authentication_failed',
    'not before it is asked for again',
  );
});

test('a provider that tells without end is told to wait, and others are heard; what it told then is not used up', async t => {
  const budgets = { eventsPerProvider: { burst: 3, refillSeconds: 60 } };
  const { network, clock, post, token, tell } = await open(t, { config: { budgets } });
  const anna = await network.person('anna', 1);
  for (let i = 0; i < 3; i++) assert.deepEqual(await tell(`${risc}/account-enabled`), taken);
  const late = await token({});
  assert.equal((await post(late)).status, 429);
  assert.deepEqual(await tell(`${risc}/account-enabled`, { issuer: issuers.heron }), taken);
  clock.nowMs += 61_000;
  const stream = await network.login(anna);
  assert.deepEqual(await post(late), taken);
  await endsSoon(stream, 'policy-violation');
});

test('a body that drips keeps nobody waiting', async t => {
  const { port, tell } = await open(t);
  const sockets = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  t.after(() => sockets.forEach(socket => socket.destroy()));
  for (const socket of sockets) {
    socket.on('error', () => undefined);
    socket.write(
      'POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/secevent+jwt\r\nContent-Length: 8000\r\n\r\ne',
    );
  }
  await sleep(50);
  const beganMs = performance.now();
  assert.deepEqual(await tell(`${risc}/account-enabled`), taken);
  assert.ok(performance.now() - beganMs < 1_000);
});
