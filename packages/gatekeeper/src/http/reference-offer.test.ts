// The reference offer in all its forms: JSON, page, schema and signature say the same, and what the configuration says.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Check } from 'typebox/schema';
import { verifySignedOffer } from '@drawbridge/identity/signed-offer';
import { importPinnedKey } from '@drawbridge/identity/static-key-certificate';
import { parseConfig } from '../config.ts';
import { loadCompactKeys, rotateSigningKey } from '../listeners/compact-keys.ts';
import { startGatekeeper } from '../main.ts';
import { domain, type Fixture, gatekeeperIssuer, openFixture } from '../testing/control-fixture.ts';
import { offerSchema } from './offer-documents.ts';
import { buildPublicHttp } from './public.ts';
import type { ReferenceOffer } from './reference-offer.ts';

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});
const schemaFile = new URL('../../../../schema/interop-gatekeeper.json', import.meta.url);

type World = Fixture & {
  readonly get: (path: string) => Promise<Response>;
  readonly keyFile: string;
  readonly rotate: () => void;
};

async function open(config: Record<string, unknown> = {}): Promise<World> {
  const fixture = await openFixture({ config });
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-offer-'));
  const keyFile = join(folder, 'compact-keys.json');
  let keys = loadCompactKeys(keyFile, domain, fixture.clock.nowMs);
  const api = await buildPublicHttp({
    config: fixture.config,
    control: fixture.control,
    people: fixture.stores.accounts,
    log: () => {},
    nowMs: () => fixture.clock.nowMs,
    endpoints: () => ({
      http: gatekeeperIssuer,
      xmpps: { host: domain, port: 5223 },
      compact: { host: domain, port: 5280 },
    }),
    compactKeys: () => keys,
  });
  const server = createServer(api.handler);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () => rmSync(folder, { recursive: true, force: true }),
    () => fixture.close(),
    api.close,
    () => {
      server.closeAllConnections();
      server.close();
    },
  );
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...fixture,
    keyFile,
    get: path => fetch(`${base}${path}`),
    rotate: () => {
      keys = rotateSigningKey(keyFile, domain, fixture.clock.nowMs);
    },
  };
}

const offerOf = async ({ get }: World): Promise<ReferenceOffer> =>
  (await (await get('/.well-known/interop-gatekeeper')).json()) as ReferenceOffer;

test('the offer fits the published schema, which is the one in the repository', async () => {
  const world = await open({ contact: { name: 'Citadel', email: 'dma@citadel.example' } });
  const offer = await offerOf(world);
  const published: unknown = await (await world.get('/schema/interop-gatekeeper.json')).json();
  if (process.env['WRITE_SCHEMA'] !== undefined)
    writeFileSync(schemaFile, `${JSON.stringify(published, undefined, 2)}\n`);
  assert.deepEqual(
    published,
    JSON.parse(readFileSync(schemaFile, 'utf8')),
    'write it again: WRITE_SCHEMA=1 and this test',
  );
  assert.ok(Check(offerSchema, offer));
  assert.ok(!Check(offerSchema, { ...offer, limits: {} }));
  assert.ok(!Check(offerSchema, { ...offer, more: 1 }));
  assert.deepEqual(offer.transports, ['compact', 'direct-tls']);
  assert.deepEqual(offer.contact, { name: 'Citadel', email: 'dma@citadel.example' });
});

test('the signed offer is the offer, under the long-term key that clients pin, also after the key was replaced', async () => {
  const world = await open();
  const offer = await offerOf(world);
  assert.equal(offer.documents.signed, `${gatekeeperIssuer}/.well-known/interop-gatekeeper.jws`);
  const signed = async (): Promise<string> => await (await world.get('/.well-known/interop-gatekeeper.jws')).text();
  const token = await signed();
  const first = importPinnedKey(offer.compactKeys!.signingKey.x)!;
  const read = verifySignedOffer(token, first);
  assert.deepEqual(read?.offer, offer);
  assert.equal(read?.issuedAtSeconds, world.clock.nowMs / 1000);
  assert.equal(await signed(), token, 'signed once');
  world.clock.nowMs += 3_600_000;
  assert.notEqual(await signed(), token, 'and again when it is an hour old');
  world.rotate();
  const after = await signed();
  assert.equal(verifySignedOffer(after, first), undefined);
  assert.ok(verifySignedOffer(after, importPinnedKey((await offerOf(world)).compactKeys!.signingKey.x)!));
});

test('the page holds every value and nothing that runs', async () => {
  const world = await open({ contact: { name: '<script>alert(1)</script>', email: 'a@b.example' } });
  const { get } = world;
  const answer = await get('/reference-offer');
  const page = await answer.text();
  assert.doesNotMatch(page, /<script/);
  assert.match(page, /&lt;script&gt;/);
  const [, style = ''] = /<style>([^]*)<\/style>/.exec(page) ?? [];
  const hash = createHash('sha256').update(style).digest('base64');
  assert.equal(
    answer.headers.get('content-security-policy'),
    `default-src 'none'; style-src 'sha256-${hash}'; frame-ancestors 'none'`,
  );
  const offer = await offerOf(world);
  const leaves = (value: unknown): unknown[] =>
    typeof value === 'object' && value !== null ? Object.values(value).flatMap(leaves) : [value];
  const escaped = (value: unknown): string =>
    String(value).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
  for (const value of leaves(offer)) assert.ok(page.includes(escaped(value)), String(value));
  assert.match(page, /Agreement, version 1</);
});

test('a reload of a running gatekeeper changes the offer, the page and the agreement with it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-offer-'));
  const parsed = parseConfig(
    {
      mode: 'development',
      domain,
      issuer: 'http://127.0.0.1',
      dataFolder: folder,
      listeners: { http: { host: '127.0.0.1', port: 0 }, admin: { host: '127.0.0.1', port: 0 } },
    },
    folder,
  );
  assert.ok(parsed.kind === 'loaded');
  const { config } = parsed;
  const gatekeeper = await startGatekeeper({ config, log: () => {} });
  closers.push(
    () => rmSync(folder, { recursive: true, force: true }),
    () => gatekeeper.close(),
  );
  const base = `http://127.0.0.1:${gatekeeper.ports.http}`;
  const read = async (): Promise<ReferenceOffer> =>
    (await (await fetch(`${base}/.well-known/interop-gatekeeper`)).json()) as ReferenceOffer;
  assert.equal((await read()).contact, undefined);
  const next = structuredClone(config);
  next.limits.mailboxDays = 3;
  next.applications.sandboxEnlistments = 7;
  next.contact = { name: 'Citadel', email: 'dma@citadel.example' };
  assert.deepEqual(await gatekeeper.reload(next), { kind: 'reloaded', needsRestart: [] });
  const changed = await read();
  assert.equal(changed.limits.mailboxDays, 3);
  assert.match(JSON.stringify(changed.kept), /3 days at most/);
  assert.equal(changed.applications.sandboxEnlistments, 7);
  assert.equal(changed.contact?.name, 'Citadel');
  assert.equal(changed.agreement.version, 2);
  const page = await (await fetch(`${base}/reference-offer`)).text();
  assert.match(page, /Agreement, version 2[^]*<mark>changed<\/mark>/);
});

test('relays that have shares are named where clients reach them; one without an endpoint is nobody’s business', async () => {
  const relays = [
    { addresses: ['192.0.2.7'], endpoint: 'relay.skylark.example:8444' },
    { addresses: ['2001:db8::/64'], shares: 5 },
  ];
  const offer = await offerOf(await open({ relays }));
  assert.deepEqual(offer.relays, { accepted: true, named: ['relay.skylark.example:8444'] });
});
