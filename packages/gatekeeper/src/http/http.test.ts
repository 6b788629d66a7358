import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Registry } from 'prom-client';
import { type SampleDevice, sampleDevice, samplePossession } from '../testing/sample-device.ts';
import { loadCompactKeys } from '../listeners/compact-keys.ts';
import { StoreError } from '../storage/store-error.ts';
import {
  domain,
  type FakeWorld,
  fakeWorld,
  type Fixture,
  gatekeeperIssuer,
  issuers,
  openFixture,
} from '../testing/control-fixture.ts';
import { buildAdminHttp } from './admin.ts';
import { openAdminToken } from './admin-token.ts';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { clientAddress } from './client-address.ts';
import { createOpenApiCheck, type OpenApiCheck } from '../testing/openapi-check.ts';
import { buildPublicHttp } from './public.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

type Answer = { status: number; headers: Headers; json: Record<string, unknown> };
type Ask = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

/** Of every gatekeeper in these tests: what each of them was asked and answered. */
const checks: OpenApiCheck[] = [];

async function serve(handler: Parameters<typeof createServer>[1], document?: unknown): Promise<Ask> {
  const check = document === undefined ? undefined : createOpenApiCheck(document as Record<string, unknown>);
  if (check !== undefined) checks.push(check);
  const server: Server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return async (method, path, body, headers = {}) => {
    const raw = typeof body === 'string' || body === undefined;
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : { text };
    const isDescribed = path !== '/openapi.json' && !path.startsWith('/users') && json['code'] !== 'not-found';
    if (isDescribed) check?.answer(method, path, response.status, 'text' in json ? text || undefined : json);
    return { status: response.status, headers: response.headers, json };
  };
}

const keyFolder = mkdtempSync(join(tmpdir(), 'drawbridge-offer-keys-'));
const longTermKeys = loadCompactKeys(join(keyFolder, 'compact-keys.json'), domain, Date.now());
closers.push(() => rmSync(keyFolder, { recursive: true, force: true }));

async function open(
  config: Record<string, unknown> = {},
  world: FakeWorld = fakeWorld(Object.values(issuers)),
): Promise<Fixture & { ask: Ask }> {
  const fixture = await openFixture({ config, world });
  const api = await buildPublicHttp({
    config: fixture.config,
    control: fixture.control,
    people: fixture.stores.accounts,
    log: (level, event, data) => fixture.logLines.push(JSON.stringify({ level, event, ...data })),
    nowMs: () => fixture.clock.nowMs,
    endpoints: () => ({ http: gatekeeperIssuer, xmpp: { host: domain, port: 5222 } }),
    compactKeys: () => longTermKeys,
  });
  closers.push(() => fixture.close(), api.close);
  // A question more would be one of a budget that is counted.
  const isCounted = 'budgets' in config;
  const { json: document } = isCounted ? { json: undefined } : await (await serve(api.handler))('GET', '/openapi.json');
  return { ...fixture, ask: await serve(api.handler, document) };
}

/** The body of an enlistment. */
function bodyOf(sample: SampleDevice, proof: unknown, of?: { readonly interopId: string }) {
  assert(typeof proof === 'string');
  return { proof, device: sample.json, possession: samplePossession(sample, gatekeeperIssuer, of ?? { proof }) };
}

function isProblem(answer: Answer, status: number, code: string): void {
  assert.deepEqual([answer.status, answer.json['code']], [status, code], JSON.stringify(answer.json));
  assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(answer.json['type'], `urn:drawbridge:problem:${code}`);
  assert.equal(answer.json['status'], status);
  assert(typeof answer.json['detail'] === 'string' && answer.json['detail'].length > 10);
}

test('a life of an enlistment: enlist, repeat, look, add a device, remove it, withdraw', async () => {
  const { ask, proof, control, clock } = await open();
  const sample = sampleDevice({ prekeys: 3, kemPrekeys: 3 });
  const enlist = async (device = sample, more: object = {}) =>
    ask('POST', '/v1/enlistments', {
      ...bodyOf(device, await proof(issuers.skylark, 'anna', device.jkt)),
      ...more,
    });
  const bearer = async (jkt: string, subject = 'anna') => ({
    authorization: `Bearer ${await proof(issuers.skylark, subject, jkt)}`,
  });
  const created = await enlist();
  assert.equal(created.status, 201);
  const { interopId } = created.json as { interopId: string };
  assert.deepEqual(created.json, {
    interopId,
    deviceId: 1,
    jid: `${interopId}@${domain}`,
    domain,
    provider: 'skylark.example',
  });
  assert.deepEqual([(await enlist()).status, (await enlist()).json], [200, created.json]);
  const path = `/v1/enlistments/${interopId}`;
  const status = await ask('GET', path, undefined, await bearer(sample.jkt));
  assert.deepEqual(status.json, {
    interopId,
    identifier: 'anna',
    provider: 'skylark.example',
    status: 'active',
    devices: [{ deviceId: 1, enlistedAt: new Date(clock.nowMs).toISOString() }],
  });

  const second = sampleDevice({ identity: sample.identity });
  isProblem(await enlist(second), 409, 'device-authorisation-required');
  isProblem(await enlist(sampleDevice()), 409, 'identity-key-differs');
  const join = async () =>
    ask('POST', `${path}/devices`, bodyOf(second, await proof(issuers.skylark, 'anna', second.jkt), { interopId }));
  isProblem(await join(), 409, 'device-authorisation-required');
  const now = (await control.accounts.find(interopId))!;
  await control.enlistment.authorise(now, now.devices[0]!, second.jkt);
  const joined = await join();
  assert.deepEqual([joined.status, joined.json['deviceId']], [201, 2]);
  const stranger = sampleDevice();
  await ask('POST', '/v1/enlistments', bodyOf(stranger, await proof(issuers.skylark, 'bert', stranger.jkt)));
  isProblem(
    await ask('DELETE', `${path}/devices/2`, undefined, await bearer(stranger.jkt, 'bert')),
    404,
    'enlistment-unknown',
  );
  isProblem(await ask('DELETE', `${path}/devices/2`, undefined, await bearer(stranger.jkt)), 401, 'proof-refused');
  isProblem(await ask('DELETE', `${path}/devices/9`, undefined, await bearer(sample.jkt)), 404, 'device-unknown');
  assert.equal((await ask('DELETE', `${path}/devices/2`, undefined, await bearer(sample.jkt))).status, 204);
  isProblem(await ask('GET', path, undefined, await bearer(second.jkt)), 401, 'proof-refused');
  const takenAlong = sampleDevice({ identity: sample.identity });
  isProblem(await enlist(takenAlong, { replace: true }), 409, 'identity-key-not-fresh');
  const replaced = await enlist(sampleDevice(), { replace: true });
  assert.deepEqual([replaced.status, replaced.json['interopId'], replaced.json['deviceId']], [201, interopId, 3]);
  isProblem(await ask('DELETE', path, undefined, await bearer(sample.jkt)), 401, 'proof-refused');
});

test('a device renews the identity: it stays under a fresh key, every other one is gone with its proofs', async () => {
  const { ask, proof, control } = await open();
  const proofOf = (jkt: string) => proof(issuers.skylark, 'anna', jkt);
  const anna = sampleDevice({ prekeys: 3, kemPrekeys: 3 });
  const enlisted = await ask('POST', '/v1/enlistments', bodyOf(anna, await proofOf(anna.jkt)));
  const { interopId } = enlisted.json as { interopId: string };
  const path = `/v1/enlistments/${interopId}`;
  const stolen = sampleDevice({ identity: anna.identity });
  const now = (await control.accounts.find(interopId))!;
  await control.enlistment.authorise(now, now.devices[0]!, stolen.jkt);
  await ask('POST', `${path}/devices`, bodyOf(stolen, await proofOf(stolen.jkt), { interopId }));
  const offer = await ask('GET', '/.well-known/interop-gatekeeper');
  assert.equal(offer.json['identityRenewal'], 1);

  /** This device under the keys of another. */
  const under = ({ json }: SampleDevice, keys: SampleDevice): SampleDevice => ({
    ...keys,
    jkt: anna.jkt,
    json: { ...keys.json, deviceKey: json.deviceKey },
  });
  const fresh = under(anna, sampleDevice({ prekeys: 2, kemPrekeys: 2 }));
  const renew = async (device: SampleDevice, jkt = device.jkt) =>
    ask('POST', `${path}/identity`, bodyOf(device, await proofOf(jkt)));
  const removed: number[] = [];
  control.onEvent(event => {
    if (event.kind === 'device-removed') removed.push(event.device.id);
  });
  isProblem(await renew(under(anna, sampleDevice({ identity: anna.identity }))), 409, 'identity-key-not-fresh');
  isProblem(await renew(sampleDevice()), 404, 'device-unknown');
  isProblem(await renew(fresh, stolen.jkt), 401, 'proof-refused');
  const other = bodyOf(fresh, await proofOf(anna.jkt), { interopId });
  isProblem(await ask('POST', `${path}/identity`, other), 400, 'possession-refused');
  assert.deepEqual(removed, []);
  const renewed = await renew(fresh);
  assert.deepEqual([renewed.status, renewed.json['deviceId']], [201, 1]);
  assert.deepEqual(removed, [2]);
  assert.equal((await renew(fresh)).status, 200, 'a repeat');
  // Whoever has the removed device knows the identity key and the provider's password.
  const bearer = async (jkt: string) => ({ authorization: `Bearer ${await proofOf(jkt)}` });
  isProblem(await ask('GET', path, undefined, await bearer(stolen.jkt)), 401, 'proof-refused');
  isProblem(await renew(stolen), 404, 'device-unknown');
  for (const replace of [false, true]) {
    const again = await ask('POST', '/v1/enlistments', { ...bodyOf(stolen, await proofOf(stolen.jkt)), replace });
    isProblem(again, 409, replace ? 'identity-key-not-fresh' : 'identity-key-differs');
  }
  assert.equal((await control.accounts.find(interopId))!.devices.length, 1);
});

test('a published identity key serves nobody else, whoever relays what its owner has signed', async () => {
  const { ask, proof, control } = await open();
  const anna = sampleDevice({ prekeys: 3, kemPrekeys: 3 });
  const post = async (body: object, path = '/v1/enlistments') => ask('POST', path, body);
  const mallory = sampleDevice();
  const proofOf = (subject: string, jkt: string) => proof(issuers.skylark, subject, jkt);
  // Everything that Anna has published, under Mallory's name and device key.
  const published = { ...anna.json, deviceKey: mallory.json.deviceKey };
  const taking = await proofOf('mallory', mallory.jkt);
  const without = { proof: taking, device: published, possession: 'A'.repeat(86) + '==' };
  isProblem(await post(without), 400, 'possession-refused');
  const ownKey = bodyOf(mallory, await proofOf('mallory', mallory.jkt));
  isProblem(await post({ ...ownKey, device: published }), 400, 'possession-refused');
  // What Anna said to a gatekeeper that relays it: of another issuer, device key, or proof.
  const relayed = await proofOf('mallory', mallory.jkt);
  const said = [
    samplePossession(anna, gatekeeperIssuer, { proof: relayed }),
    samplePossession({ ...anna, jkt: mallory.jkt }, 'https://liar.example', { proof: relayed }),
    samplePossession({ ...anna, jkt: mallory.jkt }, gatekeeperIssuer, { proof: taking }),
    samplePossession({ ...anna, jkt: mallory.jkt }, gatekeeperIssuer, { interopId: `1-${'a'.repeat(26)}` }),
  ];
  for (const possession of said) {
    const fresh = await proofOf('mallory', mallory.jkt);
    isProblem(await post({ proof: fresh, device: published, possession }), 400, 'possession-refused');
  }
  assert.equal(await control.accounts.findByIdentifier(1, 'mallory'), undefined);
  // The key is still free for its owner, for their further device alone where they said so.
  const enlisted = await post(bodyOf(anna, await proofOf('anna', anna.jkt)));
  assert.equal(enlisted.status, 201, JSON.stringify(enlisted.json));
  const interopId = String(enlisted.json['interopId']);
  const second = sampleDevice({ identity: anna.identity });
  const account = (await control.accounts.find(interopId))!;
  await control.enlistment.authorise(account, account.devices[0]!, second.jkt);
  const path = `/v1/enlistments/${interopId}/devices`;
  isProblem(await post(bodyOf(second, await proofOf('anna', second.jkt)), path), 400, 'possession-refused');
  const joined = await post(bodyOf(second, await proofOf('anna', second.jkt), { interopId }), path);
  assert.equal(joined.status, 201, JSON.stringify(joined.json));
});

test('a withdrawal answers 204 once; a suspended person may look and not leave', async () => {
  const { ask, proof, enlist, control, clock } = await open();
  const { account, sample } = await enlist(1, 'anna');
  const path = `/v1/enlistments/${account.interopId}`;
  const call = async (method: string) =>
    ask(method, path, undefined, { authorization: `Bearer ${await proof(issuers.skylark, 'anna', sample.jkt)}` });
  await control.enlistment.setStatus(account.interopId, 'suspended', 'admin', clock.nowMs);
  assert.equal((await call('GET')).json['status'], 'suspended');
  isProblem(await call('DELETE'), 403, 'enlistment-suspended');
  await control.enlistment.setStatus(account.interopId, 'active', 'admin', clock.nowMs);
  assert.equal((await call('DELETE')).status, 204);
  isProblem(await call('DELETE'), 404, 'enlistment-unknown');
});

/** A proof as an issuer would sign it that does not look at identifiers. */
function signedFor(world: FakeWorld, sub: string, proof: string): string {
  const [header, payload] = proof.split('.') as [string, string];
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
  const signed = `${header}.${Buffer.from(JSON.stringify({ ...claims, sub })).toString('base64url')}`;
  const { privateKey: key } = world.keys.get(issuers.skylark)!;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

test('wrong requests get a problem that says what to do, and cost no storage', async () => {
  const { ask, proof, store, world } = await open();
  const sample = sampleDevice();
  const good = bodyOf(sample, await proof(issuers.skylark, 'anna', sample.jkt));
  const refused: unknown[] = [
    {},
    [],
    'not json',
    '{"proof":"a","proof":"b"}',
    `\uFEFF${JSON.stringify(good)}`,
    { ...good, extra: 1 },
    { ...good, proof: 5 },
    { ...good, replace: 'yes' },
    { ...good, device: { ...sample.json, registrationId: 0 } },
    { ...good, device: { ...sample.json, registrationId: '5' } },
    { ...good, device: { ...sample.json, deviceKey: 'short' } },
    { ...good, device: { ...sample.json, capabilities: { suites: ['other'] } } },
    {
      ...good,
      device: {
        ...sample.json,
        prekeys: Array.from({ length: 101 }, (_, i) => ({ id: i + 1, publicKey: 'A'.repeat(44) })),
      },
    },
    { ...good, device: { ...sample.json, identityKey: undefined } },
    { ...good, possession: undefined },
  ];
  for (const body of refused) isProblem(await ask('POST', '/v1/enlistments', body), 400, 'request-refused');
  isProblem(await ask('POST', '/v1/enlistments', 'x'.repeat(600_000)), 413, 'body-too-large');
  isProblem(await ask('POST', '/v1/enlistments', 'a=b', { 'content-type': 'text/plain' }), 415, 'media-type-refused');
  isProblem(await ask('GET', '/v1/nothing'), 404, 'not-found');
  isProblem(await ask('PUT', '/v1/enlistments', {}), 404, 'not-found');
  isProblem(await ask('GET', '/v1/enlistments/nonsense'), 400, 'request-refused');
  const id = `/v1/enlistments/1-${'a'.repeat(26)}`;
  isProblem(await ask('GET', id), 401, 'proof-refused');
  isProblem(await ask('GET', id, undefined, { authorization: 'Basic abc' }), 401, 'proof-refused');
  isProblem(await ask('POST', '/v1/enlistments', { ...good, proof: 'a.b.c' }), 401, 'proof-refused');
  const noncharacter = bodyOf(sample, signedFor(world, 'anna\ufffe', good.proof));
  isProblem(await ask('POST', '/v1/enlistments', noncharacter), 401, 'proof-refused');
  assert.deepEqual({ ...store.reads.prepare('SELECT count(*) AS n FROM proof_id').get() }, { n: 0 });

  const otherKey = { ...good, proof: await proof(issuers.skylark, 'anna', sampleDevice().jkt) };
  isProblem(await ask('POST', '/v1/enlistments', otherKey), 401, 'proof-refused');
  const unsigned = {
    ...sample.json,
    signedPrekey: { ...sample.json.signedPrekey, signature: sampleDevice().json.signedPrekey.signature },
  };
  const fresh = { ...bodyOf(sample, await proof(issuers.skylark, 'anna', sample.jkt)), device: unsigned };
  isProblem(await ask('POST', '/v1/enlistments', fresh), 400, 'device-keys-refused');
  const sound = bodyOf(sample, signedFor(world, 'anna', good.proof));
  assert.equal((await ask('POST', '/v1/enlistments', sound)).status, 201);
  isProblem(await ask('POST', '/v1/enlistments', good), 401, 'proof-refused');
});

test('requests and enlistments are budgets of the address, with the time to wait', async () => {
  const { ask } = await open({
    budgets: {
      enlistmentsPerAddress: { burst: 2, refillSeconds: 30 },
      requestsPerAddress: { burst: 5, refillSeconds: 9 },
    },
  });
  const sample = sampleDevice();
  const enlist = () => ask('POST', '/v1/enlistments', bodyOf(sample, 'a.b.c'));
  await enlist();
  await enlist();
  const third = await enlist();
  isProblem(third, 429, 'budget-spent');
  assert.deepEqual([third.json['retryAfterSeconds'], third.headers.get('retry-after')], [30, '30']);
  await ask('GET', '/.well-known/jwks.json');
  await ask('GET', '/.well-known/jwks.json');
  const sixth = await ask('GET', '/.well-known/jwks.json');
  isProblem(sixth, 429, 'budget-spent');
  assert.equal(sixth.json['retryAfterSeconds'], 9);
});

test('a wall clock that is set back locks nobody out, whatever they had spent', async () => {
  const { ask, clock } = await open({ budgets: { requestsPerAddress: { burst: 3, refillSeconds: 9 } } });
  const get = () => ask('GET', '/.well-known/jwks.json');
  assert.equal((await get()).status, 200);
  clock.setBackMs = 600_000;
  assert.equal((await get()).status, 200);
  clock.setBackMs = -600_000;
  assert.equal((await get()).status, 200);
  isProblem(await get(), 429, 'budget-spent');
  clock.setBackMs = 600_000;
  clock.nowMs += 9_000;
  assert.equal((await get()).status, 200, 'time that went by fills it again');
});

test('the well-known documents and OpenAPI say what is there', async () => {
  const { ask, control, clock } = await open();
  await control.registry.setStatus(2, 'suspended', 'admin', clock.nowMs);
  const offer = await ask('GET', '/.well-known/interop-gatekeeper');
  // What the parts hold is looked at in reference-offer.test.ts.
  const { limits, functions, security, rates, kept, applications, agreement, documents, ...rest } = offer.json;
  for (const part of [functions, security, rates, kept, applications, agreement, documents]) assert.ok(part);
  assert.deepEqual(rest, {
    version: 1,
    issuer: gatekeeperIssuer,
    domain,
    possession: 1,
    identityRenewal: 1,
    stampEpochs: control.stamps.epochCommitments(clock.nowMs),
    endpoints: { http: gatekeeperIssuer, xmpp: { host: domain, port: 5222 } },
    compactKeys: {
      signingKey: longTermKeys.signingJwk,
      succession: longTermKeys.succession,
      ciphers: ['ChaChaPoly', 'AESGCM'],
    },
    suites: ['signal-1'],
    transports: ['starttls'],
    relays: { accepted: true, named: [] },
    jwksUri: `${gatekeeperIssuer}/.well-known/jwks.json`,
    providers: [{ number: 1, name: 'skylark.example' }],
  });
  assert.deepEqual((limits as { proofLifetimeSeconds: unknown }).proofLifetimeSeconds, {
    xmpp: 120,
    compact: 600,
    http: 600,
  });
  for (const path of ['host-meta', 'host-meta.json']) {
    assert.equal((await ask('GET', `/.well-known/${path}`)).status, 200);
  }
  const keys = (await ask('GET', '/.well-known/jwks.json')).json['keys'] as object[];
  assert(keys.length === 1 && !('d' in keys[0]!));
  const openapi = (await ask('GET', '/openapi.json')).json as { openapi: string; paths: Record<string, object> };
  assert.equal(openapi.openapi, '3.1.0');
  assert.deepEqual(Object.keys(openapi.paths).sort(), [
    '/.well-known/host-meta',
    '/.well-known/host-meta.json',
    '/.well-known/interop-gatekeeper',
    '/.well-known/jwks.json',
    '/media/{grant}',
    '/v1/agreement',
    '/v1/agreements/{version}',
    '/v1/enlistments',
    '/v1/enlistments/{interopId}',
    '/v1/enlistments/{interopId}/devices',
    '/v1/enlistments/{interopId}/devices/{deviceId}',
    '/v1/enlistments/{interopId}/identity',
    '/v1/events',
    '/v1/provider-statements',
  ]);
});

test('own users register, get a proof and enlist through the same handler', async () => {
  const { ask, control } = await open({ ownUsers: { kind: 'embedded', registration: 'open' } });
  const person = { identifier: 'anna', password: 'a long enough password' };
  assert.equal((await ask('POST', '/users/v1/users', person)).status, 201);
  const { session } = (await ask('POST', '/users/v1/sessions', person)).json as { session: string };
  const sample = sampleDevice();
  const issued = await ask(
    'POST',
    '/users/v1/ownership-proofs',
    { audience: gatekeeperIssuer, jkt: sample.jkt, transport: 'http' },
    { authorization: `Bearer ${session}` },
  );
  const enlisted = await ask('POST', '/v1/enlistments', bodyOf(sample, issued.json['proof']));
  assert.equal(enlisted.status, 201, JSON.stringify(enlisted.json));
  assert.match(enlisted.json['interopId'] as string, /^0-/);
  assert.equal((await control.accounts.findByIdentifier(0, 'anna'))?.devices.length, 1);
  const discovery = await ask('GET', '/users/.well-known/openid-configuration');
  assert.equal(discovery.json['issuer'], `${gatekeeperIssuer}/users`);
  isProblem(await ask('GET', '/usersx/v1/users'), 404, 'not-found');
});

test('no request leaves a person, a proof or an address in the log', async () => {
  const { ask, proof, logLines } = await open();
  const sample = sampleDevice();
  const token = await proof(issuers.skylark, 'anna-the-person', sample.jkt);
  await ask('POST', '/v1/enlistments', bodyOf(sample, token));
  await ask('POST', '/v1/enlistments', bodyOf(sample, token));
  await ask('GET', `/v1/enlistments/1-${'a'.repeat(26)}`, undefined, { authorization: `Bearer ${token}` });
  const log = logLines.join('\n');
  assert.match(log, /replayed/);
  for (const secret of ['anna', token.slice(0, 24), sample.jkt, '127.0.0.1', sample.json.identityKey]) {
    assert(!log.includes(secret), secret);
  }
});

test('storage that fails is our trouble: 503 with the time to wait', async () => {
  const { ask, proof, store } = await open();
  const sample = sampleDevice();
  const token = await proof(issuers.skylark, 'anna', sample.jkt);
  const run = store.run.bind(store);
  Object.assign(store, { run: async () => Promise.reject(new StoreError('disk-full', 'full')) });
  const answer = await ask('POST', '/v1/enlistments', bodyOf(sample, token));
  isProblem(answer, 503, 'storage-unavailable');
  assert.equal(answer.headers.get('retry-after'), '5');
  Object.assign(store, { run });
  assert.equal((await ask('POST', '/v1/enlistments', bodyOf(sample, token))).status, 201);
});

test('the admin API asks for its credential, suspends, resumes and tells', async () => {
  const fixture = await openFixture();
  closers.push(() => fixture.close());
  const { control, stores, clock, logLines, enlist } = fixture;
  const token = openAdminToken(fixture.folder);
  const file = join(fixture.folder, 'admin-token');
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(openAdminToken(fixture.folder), token);
  let ready = false;
  const admin = await buildAdminHttp({
    control,
    stores,
    metrics: new Registry(),
    log: (level, event, data) => logLines.push(JSON.stringify({ level, event, ...data })),
    nowMs: () => clock.nowMs,
    token,
    sessions: { all: () => [], ofDevice: () => undefined },
    isReady: () => ready,
  });
  closers.push(admin.close);
  const ask = await serve(admin.handler);
  const call = (method: string, path: string) => ask(method, path, undefined, { authorization: `Bearer ${token}` });

  for (const path of ['/admin/v1/providers', '/admin/v1/audit', '/metrics', '/nothing']) {
    isProblem(await ask('GET', path), 401, 'admin-credential-required');
    const wrong = { authorization: `Bearer ${token.slice(0, -1)}x` };
    isProblem(await ask('GET', path, undefined, wrong), 401, 'admin-credential-required');
  }
  assert.equal((await ask('GET', '/healthz')).status, 200);
  assert.equal((await ask('GET', '/readyz')).status, 503);
  ready = true;
  assert.equal((await ask('GET', '/readyz')).status, 200);
  assert.equal((await call('GET', '/metrics')).status, 200);

  const { account } = await enlist(1, 'anna');
  const person = `/admin/v1/enlistments/${account.interopId}`;
  assert.equal((await call('POST', '/admin/v1/providers/1/suspend')).json['status'], 'suspended');
  assert.equal((await call('POST', `${person}/suspend`)).json['status'], 'suspended');
  assert.equal((await control.accounts.find(account.interopId))?.status, 'suspended');
  assert.equal((await call('POST', `${person}/resume`)).status, 200);
  assert.equal((await call('POST', '/admin/v1/providers/1/resume')).status, 200);
  assert.equal((await call('POST', '/admin/v1/providers/1/resume')).status, 200, 'again changes nothing');
  assert.deepEqual((await call('POST', '/admin/v1/providers/1/revoke-keys')).json, { number: 1 });
  isProblem(await call('POST', '/admin/v1/providers/77/revoke-keys'), 404, 'provider-unknown');
  fixture.world.published.set(issuers.heron, []);
  fixture.clock.nowMs += 1_000;
  isProblem(await call('POST', '/admin/v1/providers/2/revoke-keys'), 502, 'key-set-not-fetched');
  isProblem(await call('POST', '/admin/v1/providers/77/suspend'), 404, 'provider-unknown');
  isProblem(await call('POST', `/admin/v1/enlistments/1-${'a'.repeat(26)}/suspend`), 404, 'enlistment-unknown');
  isProblem(await call('POST', '/admin/v1/providers/x/suspend'), 400, 'request-refused');
  const { entries } = (await call('GET', '/admin/v1/audit?after=3')).json as {
    entries: { action: string; actor: string }[];
  };
  assert.deepEqual(
    entries.map(entry => [entry.action, entry.actor]),
    [
      ['provider-suspended', 'admin'],
      ['enlistment-suspended', 'admin'],
      ['enlistment-resumed', 'admin'],
      ['provider-resumed', 'admin'],
      ['provider-keys-revoked', 'admin'],
    ],
  );
  const providers = (await call('GET', '/admin/v1/providers')).json['providers'] as { number: number }[];
  assert.deepEqual(
    providers.map(each => each.number),
    [0, 1, 2],
  );

  chmodSync(file, 0o644);
  assert.throws(() => openAdminToken(fixture.folder), { code: 'admin-token-unusable', message: /0600/ });
  chmodSync(file, 0o600);
  writeFileSync(file, 'short');
  assert.throws(() => openAdminToken(fixture.folder), { code: 'admin-token-unusable' });
});

test('the audit log can only grow', async () => {
  const fixture = await openFixture();
  closers.push(() => fixture.close());
  const { DatabaseSync } = await import('node:sqlite');
  const db = new DatabaseSync(join(fixture.folder, 'gatekeeper.sqlite'), { timeout: 30_000 });
  assert.throws(() => db.exec('DELETE FROM audit'), /only grows/);
  assert.throws(() => db.exec("UPDATE audit SET actor = 'nobody'"), /only grows/);
  db.close();
});

test('addresses: one key for an IPv4 address and for an IPv6 /64; forwarded ones count through trusted proxies alone', () => {
  assert.equal(addressKey('192.0.2.1'), '192.0.2.1');
  assert.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(addressKey('2001:db8::1'), addressKey('2001:db8:0:0:ffff::1'));
  assert.notEqual(addressKey('2001:db8::1'), addressKey('2001:db8:0:1::1'));
  assert.equal(addressKey('2001:0db8::'), '2001:db8:0:0');
  const request = (remoteAddress: string, forwarded?: string) =>
    ({ socket: { remoteAddress }, headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded } }) as never;
  assert.equal(clientAddress([])(request('192.0.2.1', '10.0.0.9')), '192.0.2.1');
  const behind = clientAddress(['10.0.0.0/8']);
  assert.equal(behind(request('10.0.0.1', '198.51.100.7')), '198.51.100.7');
  assert.equal(
    behind(request('10.0.0.1', '203.0.113.5, 198.51.100.7, 10.0.0.2')),
    '198.51.100.7',
    'what the client wrote does not count',
  );
  assert.equal(behind(request('192.0.2.1', '198.51.100.7')), '192.0.2.1');
  assert.equal(behind(request('10.0.0.1', 'nonsense')), '10.0.0.1');
});

test('every operation of the OpenAPI has answered as it says, in one of these tests or, for media, applications and events, in their own', () => {
  const unseen = checks.map(check => new Set(check.unseen()));
  const [first = new Set()] = unseen;
  assert.deepEqual(
    [...first].filter(operation => unseen.every(each => each.has(operation))),
    [
      'get /media/{grant}',
      'head /media/{grant}',
      'get /v1/agreement',
      'get /v1/agreements/{version}',
      'post /v1/provider-statements',
      'post /v1/events',
    ],
  );
});

test('a proof that can not be judged for want of keys is told as that, with when to come again; nothing is changed', async () => {
  const world = fakeWorld(Object.values(issuers));
  world.published.set(issuers.skylark, []);
  const { ask, proof, control, clock } = await open({}, world);
  const sample = sampleDevice({ prekeys: 3, kemPrekeys: 3 });
  const body = bodyOf(sample, await proof(issuers.skylark, 'anna', sample.jkt));
  const answer = await ask('POST', '/v1/enlistments', body);
  isProblem(answer, 503, 'proof-not-judged');
  assert.equal(answer.headers.get('retry-after'), '5');
  assert.equal(answer.json['retryAfterSeconds'], 5);
  const headers = { authorization: `Bearer ${body.proof}` };
  isProblem(await ask('GET', `/v1/enlistments/1-${'a'.repeat(26)}`, undefined, headers), 503, 'proof-not-judged');
  assert.equal(await control.accounts.findByIdentifier(1, 'anna'), undefined);
  // Another provider's people are served, and the very proof is good when its keys are there: it was not used up.
  const other = sampleDevice();
  const theirs = bodyOf(other, await proof(issuers.heron, 'bert', other.jkt));
  assert.equal((await ask('POST', '/v1/enlistments', theirs)).status, 201);
  world.published.delete(issuers.skylark);
  assert.equal(await control.registry.revokeKeys(1, 'admin', clock.nowMs), 'revoked');
  assert.equal((await ask('POST', '/v1/enlistments', body)).status, 201);
});
