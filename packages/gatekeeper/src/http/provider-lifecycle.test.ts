// The life of a provider that applies, over both HTTP interfaces of a gatekeeper with a real store: what it may say, what
// operators decide, what is in force, and what strangers and liars get.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { Registry } from 'prom-client';
import { generateSigningKey, type SigningKey } from '@drawbridge/identity/jwk';
import {
  type ApplicationTerms,
  issueProviderStatement,
  type ProviderAct,
} from '@drawbridge/identity/provider-statement';
import {
  type FakeWorld,
  fakeWorld,
  type Fixture,
  type FixtureOptions,
  gatekeeperIssuer,
  issuers,
  openFixture,
} from '../testing/control-fixture.ts';
import { createOpenApiCheck, type OpenApiCheck } from '../testing/openapi-check.ts';
import { buildAdminHttp } from './admin.ts';
import { buildPublicHttp } from './public.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

const wren = 'https://wren.example';
const terms: ApplicationTerms = {
  name: 'wren.example',
  keySetOrigins: [],
  mediaOrigins: ['https://media.wren.example'],
  wakeUpUrl: 'https://wren.example/wake',
  suites: ['signal-1'],
  regions: ['EEA'],
  contact: { name: 'Wren', email: 'interop@wren.example' },
};
const adminToken = 'f'.repeat(43);
const reason = 'checked, ticket 4711';

type Json = Record<string, unknown>;
type Answer = { readonly status: number; readonly json: Json };
type World = Fixture & {
  readonly admin: (method: string, path: string, body?: object) => Promise<Answer>;
  readonly ask: (method: string, path: string, body?: object) => Promise<Answer>;
  /** Says something as the provider of this issuer. */
  readonly say: (
    act: ProviderAct,
    as?: { issuer?: string; key?: SigningKey; jti?: string; audience?: string },
  ) => Promise<Answer>;
  /** Applies with what is in force. */
  readonly apply: (change?: Partial<ApplicationTerms>, issuer?: string) => Promise<Answer>;
};

/** Of each of the two interfaces: what every gatekeeper in these tests was asked and answered. */
const checks: Readonly<Record<'public' | 'admin', OpenApiCheck[]>> = { public: [], admin: [] };

async function serve(
  kind: keyof typeof checks,
  handler: RequestListener,
): Promise<(method: string, path: string, body?: object) => Promise<Answer>> {
  const server = createServer(handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const check = createOpenApiCheck((await (await fetch(`${base}/openapi.json`)).json()) as Json);
  checks[kind].push(check);
  return async (method, path, body) => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json = (await response.json()) as Json;
    if (json['code'] !== 'not-found') check.answer(method, path, response.status, json);
    return { status: response.status, json };
  };
}

async function open(
  config: Json = {},
  world: FakeWorld = fakeWorld([...Object.values(issuers), wren]),
  options: Pick<FixtureOptions, 'expiry'> = {},
): Promise<World> {
  const fixture = await openFixture({ config: { budgets: { unlimited: true }, ...config }, world, ...options });
  const { control, stores, clock, logLines } = fixture;
  const log = (level: string, event: string, data: object): unknown =>
    logLines.push(JSON.stringify({ level, event, ...data }));
  const api = await buildPublicHttp({
    config: fixture.config,
    control,
    people: stores.accounts,
    log,
    nowMs: () => clock.nowMs,
    endpoints: () => ({ http: gatekeeperIssuer }),
  });
  const adminApi = await buildAdminHttp({
    control,
    stores,
    sessions: { all: () => [], ofDevice: () => undefined },
    metrics: new Registry(),
    log,
    nowMs: () => clock.nowMs,
    token: adminToken,
    isReady: () => true,
  });
  closers.push(() => fixture.close(), api.close, adminApi.close);
  const ask = await serve('public', api.handler);
  const say: World['say'] = (act, as = {}) => {
    const issuer = as.issuer ?? wren;
    const statement = issueProviderStatement(as.key ?? world.keys.get(issuer)!, {
      ...act,
      issuer,
      audience: as.audience ?? gatekeeperIssuer,
      jti: as.jti ?? randomBytes(18).toString('base64url'),
      issuedAtSeconds: Math.floor(clock.nowMs / 1000),
    });
    return ask('POST', '/v1/provider-statements', { statement });
  };
  return {
    ...fixture,
    admin: await serve('admin', adminApi.handler),
    ask,
    say,
    async apply(change = {}, issuer = wren) {
      const { version, digest } = (await ask('GET', '/v1/agreement')).json as { version: number; digest: string };
      return await say(
        { act: 'apply', application: { ...terms, ...change }, agreement: { version, digest } },
        { issuer },
      );
    },
  };
}

const stepsOf = ({ json }: Answer): string[] => (json['steps'] as { step: string }[]).map(({ step }) => step);
const codeOf = ({ status, json }: Answer): string => `${status} ${String(json['code'])}`;

test('a provider applies, tests, goes live, is suspended, comes back and leaves; each step is shown with its reason', async () => {
  const world = await open({ applications: { sandboxEnlistments: 2, sandboxPeople: ['tess'] } });
  const { apply, say, admin, ask, control, enlist, events, stores } = world;
  const { registry } = control;
  assert.equal(codeOf(await say({ act: 'status' })), '404 application-unknown');
  const applied = await apply();
  assert.deepEqual([applied.status, applied.json['stage'], stepsOf(applied)], [201, 'applied', ['applied']]);
  assert.equal(registry.issuers(wren), undefined, 'nothing is in force yet');
  const id = String(applied.json['application']);
  const list = (await admin('GET', '/admin/v1/applications?stage=applied')).json['applications'] as Json[];
  assert.deepEqual(
    list.map(each => each['name']),
    ['wren.example'],
  );
  assert.equal(codeOf(await admin('POST', `/admin/v1/applications/${id}/admit`, {})), '400 request-refused');
  const admitted = await admin('POST', `/admin/v1/applications/${id}/admit`, { reason });
  assert.deepEqual([admitted.json['stage'], admitted.json['number']], ['sandbox', 1000]);
  assert.equal(codeOf(await admin('POST', `/admin/v1/applications/${id}/admit`, { reason })), '409 application-stage');

  // In the sandbox: people of its own, and own users who test with it.
  assert.ok(registry.issuers(wren));
  assert.equal(registry.providerOfOrigin('https://media.wren.example'), 1000);
  const [mia, max] = [await enlist(1000, 'mia'), await enlist(1000, 'max')];
  assert.equal(control.mayReach(mia.account, max.account), true);
  await assert.rejects(enlist(1000, 'one too many'), /provider-quota/);
  const [anna, tess] = [await enlist(0, 'anna'), await enlist(0, 'tess')];
  const provider = registry.find(1000)!;
  assert.deepEqual(
    [anna, tess].map(({ account }) => registry.mayChoose(provider, account.identifier)),
    [false, true],
  );
  const offer = await ask('GET', '/.well-known/interop-gatekeeper');
  const named = (json: Json): unknown[] => (json['providers'] as Json[]).map(each => each['number']);
  assert.deepEqual(named(offer.json), [1, 2], 'people are not offered what is still being tested');

  assert.equal(codeOf(await admin('POST', '/admin/v1/providers/1/go-live', { reason })), '404 application-unknown');
  const live = await admin('POST', '/admin/v1/providers/1000/go-live', { reason, enlistments: 3 });
  assert.equal(live.json['stage'], 'live');
  assert.equal(registry.find(1000)?.trustClass, 'standard');
  assert.equal(control.mayReach(mia.account, max.account), false, 'two third-party people by the policy alone');
  await enlist(1000, 'moe');
  await assert.rejects(enlist(1000, 'one too many'), /provider-quota/);
  await admin('POST', '/admin/v1/providers/1000/terms', { reason: 'more people', enlistments: 4 });
  await enlist(1000, 'mel');
  assert.deepEqual(named((await ask('GET', '/.well-known/interop-gatekeeper')).json), [1, 2, 1000]);
  const strange = { reason, suites: ['mls-1'] };
  assert.equal(codeOf(await admin('POST', '/admin/v1/providers/1000/terms', strange)), '409 application-refused');

  await admin('POST', '/admin/v1/providers/1000/suspend', { reason: 'key stolen' });
  assert.deepEqual(events.at(-1), { kind: 'provider-suspended', provider: 1000 });
  assert.equal(registry.issuers(wren), undefined);
  const suspended = await say({ act: 'status' });
  assert.deepEqual([suspended.json['stage'], stepsOf(suspended).at(-1)], ['suspended', 'suspended']);
  const resumed = await admin('POST', '/admin/v1/providers/1000/resume', { reason: 'keys replaced' });
  assert.equal(resumed.json['status'], 'live');
  assert.ok(registry.issuers(wren));

  const left = await say({ act: 'leave', reason: 'the service ends' });
  assert.equal(left.json['stage'], 'withdrawn');
  assert.deepEqual(events.at(-1), { kind: 'provider-suspended', provider: 1000 });
  assert.equal(registry.find(1000), undefined);
  assert.equal(control.mayReach(mia.account, mia.account), false);
  assert.deepEqual(left.json['steps'], [
    ...['applied', 'sandbox', 'live', 'terms-changed', 'suspended', 'resumed', 'withdrawn'].map((step, i) => ({
      at: new Date(world.clock.nowMs).toISOString(),
      step,
      reason: ['wren.example', reason, reason, 'more people', 'key stolen', 'keys replaced', 'the service ends'][i],
    })),
  ]);
  assert.equal(codeOf(await admin('POST', '/admin/v1/providers/1000/withdraw', { reason })), '409 application-stage');
  assert.equal(codeOf(await apply()), '409 application-refused', 'its name and people stay together');
  const actors = (await stores.audit.page(0, 100, '1000')).map(({ actor, action }) => `${actor} ${action}`);
  assert.deepEqual(actors.slice(0, 2), ['admin provider-admitted', 'admin provider-went-live']);
  assert.equal(actors.at(-1), 'provider provider-withdrawn');
});

test('what was decided is in force after a restart, and a configuration may not take its place', async () => {
  const { apply, admin, restart, config } = await open();
  const id = String((await apply()).json['application']);
  await admin('POST', `/admin/v1/applications/${id}/admit`, { reason, number: 77 });
  await admin('POST', '/admin/v1/providers/77/go-live', { reason });
  await admin('POST', '/admin/v1/providers/77/suspend', { reason });
  const again = await restart();
  closers.push(() => again.close());
  const { registry } = again.control;
  assert.equal(registry.find(77)?.status, 'suspended');
  assert.equal(await registry.setStatus(77, 'live', 'rosa', again.clock.nowMs), 'changed');
  assert.ok(registry.issuers(wren));
  const [skylark] = config.providers;
  for (const clash of [
    { number: 77 },
    { name: 'wren.example' },
    { issuer: wren },
    { mediaOrigins: ['https://media.wren.example'] },
  ]) {
    const other = { ...skylark!, number: 9, name: 'other.example', issuer: 'https://other.example', ...clash };
    const fault = await again.control.reconfigure({ ...config, providers: [other] });
    assert.match(fault ?? '', /applied and was admitted: take it out/, JSON.stringify(clash));
  }
  assert.ok(registry.issuers(wren));
});

test('nobody applies for a domain, a name or a place that is not theirs', async () => {
  const world = await open({ applications: { regions: ['EEA', 'CH'] } });
  const { apply, say, ask, stores, world: outside } = world;
  const { version, digest } = (await ask('GET', '/v1/agreement')).json as { version: number; digest: string };
  const application = { act: 'apply', application: terms, agreement: { version, digest } } as const;
  // A key that the issuer does not publish; an issuer that answers nothing; one that names another.
  const thief = generateSigningKey('ES256');
  const stranger = await say(application, { key: thief });
  assert.equal(codeOf(stranger), '401 statement-refused');
  assert.match(String(stranger.json['detail']), /^key-unknown/);
  outside.published.set(wren, []);
  assert.equal(codeOf(await say(application)), '503 statement-not-judged');
  outside.published.delete(wren);
  outside.movedTo.set(wren, '.evil.example/jwks');
  assert.equal(
    codeOf(await say(application, { key: thief })),
    '503 statement-not-judged',
    'keys elsewhere do not count',
  );
  outside.movedTo.delete(wren);
  // Another gatekeeper's statement, and one that was taken already.
  assert.match(String((await say(application, { audience: 'https://other.example' })).json['detail']), /^audience/);
  for (const issuer of [
    'http://wren.example',
    'https://wren.example/',
    'https://wren.example:8443',
    'https://10.0.0.1',
  ]) {
    const refused = await say(application, { issuer, key: thief });
    assert.ok(['401 statement-refused', '503 statement-not-judged'].includes(codeOf(refused)), issuer);
  }
  const wrong: readonly (readonly [Partial<ApplicationTerms>, RegExp])[] = [
    [{ name: 'skylark.example' }, /not the host of the issuer/],
    [{ name: 'example' }, /not the host/],
    [{ mediaOrigins: ['https://media.skylark.example'] }, /not https at wren\.example/],
    [{ mediaOrigins: ['https://evilwren.example'] }, /not https at wren\.example/],
    [{ mediaOrigins: ['https://media.wren.example:8443'] }, /not https at wren\.example/],
    [{ mediaOrigins: ['https://a.wren.example', 'https://a.wren.example'] }, /twice/],
    [{ mediaOrigins: ['https://a.wren.example/path'] }, /not an origin/],
    [{ keySetOrigins: ['https://keys.example'] }, /not https at wren\.example/],
    [{ wakeUpUrl: 'https://victim.example/hook' }, /not https at wren\.example/],
    [{ wakeUpUrl: 'http://wren.example/hook' }, /not https at wren\.example/],
    [{ suites: ['signal-1', 'rot13'] }, /suite rot13 is not admitted/],
    [{ regions: ['US'] }, /region US is not covered/],
    [{ regions: [] }, /declare the regions/],
  ];
  for (const [change, words] of wrong) {
    const refused = await apply(change);
    assert.equal(codeOf(refused), '409 application-refused', JSON.stringify(change));
    assert.match(String(refused.json['detail']), words);
  }
  const other = await say({ ...application, agreement: { version, digest: 'a'.repeat(43) } });
  assert.equal(codeOf(other), '409 agreement-differs');
  assert.deepEqual(await stores.applications.list(10), [], 'nothing of it was kept');
  const jti = 'j'.repeat(24);
  assert.equal((await say(application, { jti })).status, 201);
  assert.match(String((await say({ act: 'status' }, { jti })).json['detail']), /^repeated/);
  assert.equal(codeOf(await apply()), '409 application-refused', 'once');
  const logged = world.logLines.join('\n');
  assert.doesNotMatch(logged, /wren|evil|skylark/);
});

test('a flood of applications has a share below one domain and in all, and leaves room for others; old ones end', async () => {
  const farm = Array.from({ length: 6 }, (_, i) => `https://n${i}.farm.example`);
  const outside = fakeWorld([...Object.values(issuers), ...farm, wren]);
  const { apply, control, clock, stores, admin } = await open(
    { applications: { waiting: 5, waitingPerDomain: 3, waitingDays: 2 } },
    outside,
  );
  const from = (issuer: string): Promise<Answer> =>
    apply({ name: new URL(issuer).hostname, mediaOrigins: [], wakeUpUrl: `${issuer}/wake` }, issuer);
  const codes: string[] = [];
  for (const issuer of farm) codes.push(codeOf(await from(issuer)));
  assert.deepEqual(codes, [
    ...Array.from({ length: 3 }, () => '201 undefined'),
    ...Array.from({ length: 3 }, () => '503 applications-full'),
  ]);
  const mine = await apply();
  assert.equal(mine.status, 201, 'another domain finds room');
  const refused = await admin('POST', `/admin/v1/applications/${String(mine.json['application'])}/refuse`, { reason });
  assert.equal(refused.json['stage'], 'refused');
  assert.equal((await apply()).status, 201, 'a refused one may apply again');
  clock.nowMs += 3 * 86_400_000;
  await control.sweep();
  assert.deepEqual(await stores.applications.list(10, 'applied'), []);
  assert.equal((await from(farm[4]!)).status, 201);
});

test('an application waits from the later of two clocks', async () => {
  const dayMs = 86_400_000;
  const { apply, control, clock, stores } = await open({ applications: { waitingDays: 2 } }, undefined, {
    expiry: wallMs => ({ stampMs: () => wallMs() + 5 * dayMs, judgeMs: wallMs }),
  });
  assert.equal((await apply()).status, 201);
  clock.nowMs += 7 * dayMs;
  await control.sweep();
  assert.equal((await stores.applications.list(10, 'applied')).length, 1);
  clock.nowMs += 1;
  await control.sweep();
  assert.deepEqual(await stores.applications.list(10, 'applied'), []);
});

test('applications can be closed, and statements have a budget of the address', async () => {
  const { apply } = await open({ applications: { open: false } });
  assert.equal(codeOf(await apply()), '403 applications-closed');
  const spent = await open({ budgets: { statementsPerAddress: { burst: 1, refillSeconds: 60 } } });
  assert.equal((await spent.apply()).status, 201);
  assert.equal(codeOf(await spent.say({ act: 'status' })), '429 budget-spent');
});

test('the agreement follows the configuration: another version says what differs, and is asked for', async () => {
  const { apply, ask, say, admin, control, config, stores } = await open();
  const first = (await ask('GET', '/v1/agreement')).json;
  assert.equal(first['version'], 1);
  assert.equal(first['differences'], undefined);
  assert.match(JSON.stringify(first['clauses']), /at most 30 days/);
  const id = String((await apply()).json['application']);
  await admin('POST', `/admin/v1/applications/${id}/admit`, { reason });
  const next = { ...config, limits: { ...config.limits, mailboxDays: 7 }, terms: 'https://citadel.example/terms' };
  assert.equal(await control.reconfigure(next), undefined);
  assert.equal(await control.reconfigure(next), undefined, 'the same again is not another version');
  const second = (await ask('GET', '/v1/agreement')).json as { version: number; digest: string; differences: unknown };
  assert.equal(second.version, 2);
  assert.deepEqual(second.differences, { added: ['terms'], removed: [], changed: ['kept'] });
  assert.deepEqual((await ask('GET', '/v1/agreements/1')).json, first);
  assert.equal((await ask('GET', '/v1/agreements/3')).status, 404);
  const { version, digest } = second;
  assert.deepEqual((await say({ act: 'status' })).json['agreement'], { accepted: 1, inForce: 2 });
  const old = await say({ act: 'accept', agreement: { version: 1, digest: String(first['digest']) } });
  assert.equal(codeOf(old), '409 agreement-differs');
  const accepted = await say({ act: 'accept', agreement: { version, digest } });
  assert.deepEqual(accepted.json['agreement'], { accepted: 2, inForce: 2 });
  assert.equal((await stores.audit.page(0, 100, '1000')).at(-1)?.reason, 'version 2');
});

test('every operation about providers that apply was asked, and answered as OpenAPI says', async () => {
  const { apply, admin } = await open();
  const id = String((await apply()).json['application']);
  assert.equal((await admin('GET', `/admin/v1/applications/${id}`)).json['issuer'], wren);
  assert.equal(codeOf(await admin('GET', `/admin/v1/applications/${'0'.repeat(24)}`)), '404 application-unknown');
  await admin('POST', `/admin/v1/applications/${id}/admit`, { reason });
  assert.equal((await admin('POST', '/admin/v1/providers/1000/withdraw', { reason })).json['stage'], 'withdrawn');
  for (const all of Object.values(checks)) {
    const [first, ...others] = all.map(check => check.unseen());
    const seenByNone = first?.filter(name => others.every(unseen => unseen.includes(name))) ?? [];
    assert.deepEqual(
      seenByNone.filter(name => /agreement|statement|application|go-live|withdraw|terms/.test(name)),
      [],
    );
  }
});
