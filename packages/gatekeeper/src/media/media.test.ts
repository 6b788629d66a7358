// Media grants and the media proxy against real HTTPS origins on loopback. Every client socket of this process is counted,
// so "fetches nothing" means that not one connection was begun.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, type RequestListener, request } from 'node:http';
import { createServer as createHttpsServer, type Server } from 'node:https';
import { type AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createEgress, type EgressOptions } from '@drawbridge/identity/egress';
import { attribute, element } from '@drawbridge/wire/element';
import * as fc from 'fast-check';
import { createBudgets } from '../budgets.ts';
import type { Account, Device } from '../enlistment/account.ts';
import { buildPublicHttp } from '../http/public.ts';
import { createHttpPort } from '../listeners/http-port.ts';
import { type IqAnswer, iqKey } from '../routing/iq.ts';
import { domain, type Fixture, gatekeeperIssuer, openFixture } from '../testing/control-fixture.ts';
import { createMediaGrants, openMediaGrantKey } from './media-grants.ts';
import { NS_MEDIA } from '@drawbridge/wire/namespaces';
import { createMediaPlaces } from './media-origins.ts';
import { createMediaProxy, type MediaProxy } from './media-proxy.ts';

const authority = createDevelopmentAuthority({ nowMs: Date.now() });
const closers: (() => Promise<void> | void)[] = [];
after(async () => {
  for (const close of closers.reverse()) await close();
});

/** Ports to which this process has begun to connect. */
const connects: unknown[] = [];
const connect = Reflect.get(Socket.prototype, 'connect') as (this: Socket, ...args: unknown[]) => Socket;
before(() => {
  Socket.prototype.connect = function counted(this: Socket, ...args: unknown[]) {
    connects.push(args[0]);
    return connect.apply(this, args);
  };
});
after(() => {
  Socket.prototype.connect = connect;
});

type Origin = { readonly url: string; readonly requests: IncomingMessage[]; readonly server: Server };

/** An HTTPS origin that answers as each test wants. */
async function origin(listener: RequestListener): Promise<Origin> {
  const requests: IncomingMessage[] = [];
  const server = createHttpsServer(authority.issue(['127.0.0.1', 'media.test']), (incoming, response) => {
    requests.push(incoming);
    listener(incoming, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, server };
}

const file = randomBytes(700_000);

/** Serves `file` as it should be. */
const honest: RequestListener = (incoming, response) => {
  const match = /^bytes=([0-9]+)-([0-9]+)$/.exec(incoming.headers.range ?? '');
  if (match === null) {
    response.writeHead(200, { 'content-length': file.length });
    response.end(incoming.method === 'HEAD' ? undefined : file);
    return;
  }
  const [start, end] = [Number(match[1]), Number(match[2]) + 1];
  response.writeHead(206, {
    'content-range': `bytes ${start}-${end - 1}/${file.length}`,
    'content-length': end - start,
  });
  response.end(file.subarray(start, end));
};

type Person = { readonly account: Account; readonly device: Device };
type World = {
  readonly fixture: Fixture;
  /** An own user who has opted in to provider 1; a third-party user of provider 1. */
  readonly anna: Person;
  readonly bert: Person;
  readonly front: string;
  readonly ask: (person: Person, url: string, size: string) => Promise<IqAnswer>;
  /** The path of a grant. */
  readonly grant: (person: Person, url: string, size: number) => Promise<string>;
};

async function world(
  mediaOrigin: string,
  config: Record<string, unknown> = {},
  proxy?: MediaProxyMaker,
  requestTimeoutMs = 30_000,
): Promise<World> {
  const providers = [
    { number: 1, name: 'skylark.example', issuer: 'https://skylark.example', mediaOrigins: [mediaOrigin] },
    {
      number: 2,
      name: 'heron.example',
      issuer: 'https://heron.example',
      mediaOrigins: ['https://media.heron.example'],
    },
  ];
  const folderConfig = { providers, egress: { allowAddresses: ['127.0.0.1'], caFile: caFile() }, ...config };
  const fixture = await openFixture({ config: folderConfig });
  const media = proxy === undefined ? fixture.control.media : proxy(fixture);
  const api = await buildPublicHttp({
    config: fixture.config,
    control: { ...fixture.control, media },
    people: fixture.stores.accounts,
    log: () => {},
    nowMs: () => fixture.clock.nowMs,
    endpoints: () => ({ http: gatekeeperIssuer }),
  });
  const limits = { maxConnections: 100, headersTimeoutMs: 15_000, requestTimeoutMs };
  const port = createHttpPort(api.handler, { tls: undefined, alsoPlain: false, limits, isUpload: api.isUpload });
  const server = port.server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(async () => {
    await port.close();
    media.close();
    await api.close();
    await fixture.close();
  });
  const anna = await fixture.enlist(0, 'anna');
  const bert = await fixture.enlist(1, 'bert');
  await fixture.control.enlistment.setOptIn(anna.account, 1, true);
  const ask = async (person: Person, url: string, size: string): Promise<IqAnswer> => {
    const payload = element('grant', NS_MEDIA, { url, size });
    const account = (await fixture.control.accounts.find(person.account.interopId))!;
    const handler = fixture.control.iqHandlers.get(iqKey('get', NS_MEDIA, 'grant'))!;
    return await handler({ type: 'get', payload, account, device: person.device, nowMs: fixture.clock.nowMs });
  };
  const grant = async (person: Person, url: string, size: number): Promise<string> => {
    const answer = await ask(person, url, String(size));
    assert(answer.kind === 'result' && answer.payload !== undefined, JSON.stringify(answer));
    const href = attribute(answer.payload, 'href')!;
    assert.equal(Date.parse(attribute(answer.payload, 'expires')!), fixture.clock.nowMs + 3_600_000);
    assert(href.startsWith(`${gatekeeperIssuer}/media/`));
    return href.slice(gatekeeperIssuer.length);
  };
  return { fixture, anna, bert, front: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ask, grant };
}
type MediaProxyMaker = (fixture: Fixture) => MediaProxy;

let caPath: string | undefined;
function caFile(): string {
  if (caPath !== undefined) return caPath;
  caPath = join(process.env['TMPDIR'] ?? '/tmp', `drawbridge-media-ca-${process.pid}.pem`);
  writeFileSync(caPath, authority.ca);
  return caPath;
}

type Answer = {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  whole: boolean;
};

function get(url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false }, response => {
      const chunks: Buffer[] = [];
      const done = (whole: boolean): void =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks), whole });
      response.on('data', chunk => chunks.push(chunk));
      response.on('error', () => done(false));
      response.on('end', () => done(true));
    });
    sent.on('error', reject).end();
  });
}
const codeOf = (answer: Answer): unknown => (JSON.parse(answer.body.toString()) as { code?: unknown }).code;
async function settle(done: () => boolean): Promise<void> {
  for (let tries = 0; !done() && tries < 400; tries += 1) await new Promise(resolve => setTimeout(resolve, 5));
  assert(done());
}

test('a granted file comes whole, in ranges and by its head; the origin learns nothing of the person', async () => {
  const media = await origin(honest);
  const { anna, front, grant } = await world(media.url);
  const path = await grant(anna, `${media.url}/m/x?y=1`, file.length);
  const cookies = {
    cookie: 'a=b',
    authorization: 'Bearer secret',
    'x-forwarded-for': '192.0.2.7',
    referer: 'https://x/',
  };
  const whole = await get(front + path, { ...cookies, 'user-agent': 'anna-phone', 'accept-language': 'fr' });
  assert.equal(whole.status, 200);
  assert.ok(whole.body.equals(file));
  assert.equal(whole.headers['content-type'], 'application/octet-stream');
  assert.equal(whole.headers['x-content-type-options'], 'nosniff');
  assert.equal(whole.headers['cache-control'], 'private, no-store');
  const [seen] = media.requests;
  assert.equal(seen!.url, '/m/x?y=1');
  assert.deepEqual(Object.keys(seen!.headers).sort(), ['accept-encoding', 'connection', 'host', 'user-agent']);
  assert.equal(seen!.headers['user-agent'], 'drawbridge');
  for (const [range, start, end] of [
    ['bytes=0-9', 0, 10],
    ['bytes=699990-', 699_990, 700_000],
    ['bytes=-1', 699_999, 700_000],
    ['bytes=5-9999999', 5, 700_000],
  ] as const) {
    const part = await get(front + path, { range });
    assert.equal(part.status, 206);
    assert.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/700000`);
    assert.ok(part.body.equals(file.subarray(start, end)));
  }
  const head = await get(front + path, {}, 'HEAD');
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '700000', 0]);
  const unknownTag = await get(front + path, { range: 'bytes=0-9', 'if-range': '"some-tag"' });
  assert.equal(unknownTag.status, 200);
  const before = media.requests.length;
  const behind = await get(front + path, { range: 'bytes=700000-' });
  assert.deepEqual([behind.status, behind.headers['content-range']], [416, 'bytes */700000']);
  assert.equal((await get(front + path, {}, 'POST')).status, 404);
  assert.equal(media.requests.length, before);
});

test('a grant is for those who may reach the provider of a registered origin, and nothing else is told', async () => {
  const media = await origin(honest);
  const { anna, bert, ask, fixture } = await world(media.url);
  const conditionOf = async (person: Person, url: string, size = '10'): Promise<string> => {
    const answer = await ask(person, url, size);
    return answer.kind === 'error' ? answer.condition : answer.kind;
  };
  const own = `${gatekeeperIssuer}/users/media/${'A'.repeat(43)}`;
  assert.equal(await conditionOf(anna, `${media.url}/x`), 'result');
  assert.equal(await conditionOf(bert, `${media.url}/x`), 'result');
  assert.equal(await conditionOf(anna, 'https://media.heron.example/x'), 'item-not-found', 'not opted in');
  assert.equal(await conditionOf(bert, 'https://media.heron.example/x'), 'item-not-found', 'no pair');
  for (const url of [
    'https://elsewhere.example/x',
    'https://skylark.example/x',
    `${media.url}@elsewhere.example/x`,
    `${media.url.replace('https', 'http')}/x`,
    `${media.url.replace('127.0.0.1', '2130706433')}/x`,
    `${media.url.replace('127.0.0.1', '127.1')}/x`,
    `${media.url.replace('127.0.0.1', '0x7f.1')}/x`,
    `${media.url.replace('127.0.0.1', 'user:pw@127.0.0.1')}/x`,
    `${media.url}/a/../x`,
    `${media.url}/x#y`,
    `${media.url}\\x`,
    `${media.url}/${'x'.repeat(2_100)}`,
    media.url,
    'file:///etc/passwd',
    'data:,x',
    '',
    `${gatekeeperIssuer}/media/x`,
    `${gatekeeperIssuer}/openapi.json`,
    own,
  ]) {
    assert.equal(await conditionOf(anna, url), 'item-not-found', url);
  }
  for (const size of ['0', '-1', '1.5', '1e3', '', ' 1', '01', '9'.repeat(16)]) {
    assert.equal(await conditionOf(anna, `${media.url}/x`, size), 'bad-request', size);
  }
  assert.equal(await conditionOf(anna, `${media.url}/x`, '2170552321'), 'not-acceptable');
  await fixture.control.registry.setStatus(1, 'suspended', 'test', fixture.clock.nowMs);
  assert.equal(await conditionOf(anna, `${media.url}/x`), 'item-not-found', 'suspended');
  for (let i = 0; i < 400; i += 1) await conditionOf(anna, `${media.url}/x`);
  assert.equal(await conditionOf(anna, `${media.url}/x`), 'resource-constraint', 'budget');
});

test('nothing is fetched without a grant, after its end, or when the person may not any more', async () => {
  const media = await origin(honest);
  const { anna, bert, front, grant, fixture } = await world(media.url);
  const path = await grant(anna, `${media.url}/x`, file.length);
  const sealed = path.slice('/media/'.length);
  const foreign = createMediaGrants(openMediaGrantKey(fixture.folder)).seal({
    interopId: anna.account.interopId,
    deviceId: 1,
    url: 'https://elsewhere.example/x',
    sizeBytes: 5,
    expiresAtMs: fixture.clock.nowMs + 1_000,
  });
  const { control } = fixture;
  connects.length = 0;
  const answers: unknown[] = [];
  const tryIt = async (text: string): Promise<void> => {
    const answer = await control.media.fetch(text, 'GET', undefined);
    assert.equal(answer.kind, 'problem');
    answers.push(answer.kind === 'problem' ? answer.code : '');
  };
  await fc.assert(
    fc.asyncProperty(fc.stringMatching(/^[A-Za-z0-9_-]{1,400}$/), async text => await tryIt(text)),
    { numRuns: 50 },
  );
  const bytes = Buffer.from(sealed, 'base64url');
  for (let at = 0; at < bytes.length; at += 7) {
    const altered = Buffer.from(bytes);
    altered[at]! ^= 1 << (at % 8);
    await tryIt(altered.toString('base64url'));
  }
  for (const length of [0, 1, 28, 29, bytes.length - 1]) await tryIt(bytes.subarray(0, length).toString('base64url'));
  assert.deepEqual([...new Set(answers)], ['media-not-found']);

  answers.length = 0;
  await tryIt(foreign);
  await control.enlistment.setOptIn((await control.accounts.find(anna.account.interopId))!, 1, false);
  await tryIt(sealed);
  await control.enlistment.setOptIn((await control.accounts.find(anna.account.interopId))!, 1, true);
  await control.registry.setStatus(1, 'suspended', 'test', fixture.clock.nowMs);
  await tryIt(sealed);
  await control.registry.setStatus(1, 'live', 'test', fixture.clock.nowMs);
  const berts = (await grant(bert, `${media.url}/x`, file.length)).slice('/media/'.length);
  await control.enlistment.withdraw((await control.accounts.find(bert.account.interopId))!);
  await tryIt(berts);
  fixture.clock.nowMs += 3_600_000;
  await tryIt(sealed);
  assert.deepEqual(answers, [
    'media-not-allowed',
    'media-not-allowed',
    'media-not-allowed',
    'media-not-allowed',
    'media-grant-expired',
  ]);
  assert.deepEqual(connects, []);
  assert.equal(media.requests.length, 0);
  assert.equal((await get(front + path)).status, 410);
  assert.equal((await get(`${front}/media/${'x'.repeat(5_000)}`)).status, 414);
  assert.equal((await get(`${front}/media/a.b`)).status, 400);
  assert.equal(media.requests.length, 0);
});

test('an origin that gives anything but the granted file is cut off', async () => {
  const redirect: RequestListener = (_incoming, response) =>
    response.writeHead(302, { location: 'https://127.0.0.1:1/' }).end();
  const cases: readonly (readonly [string, RequestListener, number, string | undefined])[] = [
    ['another size', (_i, r) => r.writeHead(200, { 'content-length': 699_999 }).end(file.subarray(1)), 502, undefined],
    ['no size', (_i, r) => void (r.write('x'), r.end(file)), 502, undefined],
    ['redirect', redirect, 502, undefined],
    ['gone', (_i, r) => r.writeHead(410).end(), 404, undefined],
    ['missing', (_i, r) => r.writeHead(404).end(), 404, undefined],
    ['error', (_i, r) => r.writeHead(500).end(), 502, undefined],
    ['forbidden', (_i, r) => r.writeHead(403).end('<script>'), 502, undefined],
    [
      'a part nobody asked for',
      (_i, r) => r.writeHead(206, { 'content-length': '700000', 'content-range': 'bytes 0-699999/700000' }).end(file),
      502,
      undefined,
    ],
    [
      'another part',
      (_i, r) =>
        r.writeHead(206, { 'content-length': '10', 'content-range': 'bytes 1-10/700000' }).end(file.subarray(1, 11)),
      502,
      'bytes=0-9',
    ],
    [
      'a part of another file',
      (_i, r) =>
        r.writeHead(206, { 'content-length': '10', 'content-range': 'bytes 0-9/800000' }).end(file.subarray(0, 10)),
      502,
      'bytes=0-9',
    ],
    [
      'compressed',
      (_i, r) => r.writeHead(200, { 'content-encoding': 'gzip', 'content-length': file.length }).end(file),
      502,
      undefined,
    ],
    ['no HTTP', (i, _r) => i.socket.end('SSH-2.0-x\r\n'), 502, undefined],
    ['large headers', (_i, r) => r.writeHead(200, { 'x-long': 'x'.repeat(20_000) }).end(), 502, undefined],
  ];
  let listener: RequestListener = honest;
  const media = await origin((incoming, response) => listener(incoming, response));
  const { anna, front, grant, fixture } = await world(media.url);
  const path = await grant(anna, `${media.url}/x`, file.length);
  for (const [name, wrong, status, range] of cases) {
    listener = wrong;
    connects.length = 0;
    const answer = await get(front + path, range === undefined ? {} : { range });
    assert.equal(answer.status, status, name);
    assert.match(String(codeOf(answer)), /^media-/);
    assert.ok(!answer.body.includes('script'));
    // Ours to the front, the proxy's to the origin unless one was kept open: no third.
    assert.ok(connects.length <= 2, name);
  }
  listener = (_incoming, response) => {
    response.writeHead(200, { 'content-length': file.length });
    response.write(file.subarray(0, 300_000), () => setTimeout(() => response.destroy(), 20));
  };
  const short = await get(front + path);
  assert.deepEqual([short.status, short.whole], [200, false], 'an early end is not the end');
  assert.ok(short.body.equals(file.subarray(0, short.body.length)));
  listener = (_incoming, response) => response.writeHead(200, { 'content-length': file.length }).end(file);
  assert.ok((await get(front + path, { range: 'bytes=5-9' })).body.equals(file), 'no ranges there: the whole, said so');
  await settle(() => fixture.control.media.active() === 0);
  assert.ok(fixture.logLines.some(line => line.includes('not-as-granted')));
  assert.ok(!fixture.logLines.some(line => line.includes('127.0.0.1') || line.includes(anna.account.interopId)));
});

const proxyDeps = ({ folder, config, control, clock }: Fixture) => ({
  grants: createMediaGrants(openMediaGrantKey(folder)),
  findPlace: createMediaPlaces(config, control.registry.providerOfOrigin),
  accounts: control.accounts,
  policy: control.registry,
  budgets: control.budgets,
  limits: config.limits,
  ownFiles: undefined,
  nowMs: () => clock.nowMs,
  log: () => {},
});

/** A proxy whose way out is as in production, but for the resolver. */
const withEgress =
  (options: EgressOptions): MediaProxyMaker =>
  fixture =>
    createMediaProxy({ ...proxyDeps(fixture), egress: createEgress(options) });

test('no address that is not public is ever connected to: by name, number, spelling, list or second answer', async () => {
  const addresses =
    '0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 168.63.129.16 169.254.169.254 172.16.0.1 192.0.0.192 192.0.2.1 192.88.99.1 ' +
    '192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:a9fe:a9fe ' +
    '::7f00:1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 fc00::1 fd00:ec2::254 fe80::1 ' +
    'fec0::1 ff02::1 5f00::1';
  let resolved: readonly string[] = [];
  let questions = 0;
  const resolve = async (): Promise<readonly string[]> => {
    questions += 1;
    return resolved;
  };
  const name = 'https://media.skylark.example';
  const named = await world(name, {}, withEgress({ resolve, limits: { connectTimeoutMs: 100 } }));
  const path = (await named.grant(named.anna, `${name}/x`, 5)).slice(1);
  connects.length = 0;
  const fronts = (): number => connects.splice(0).length;
  for (const address of addresses.split(' ')) {
    for (const list of [[address], ['1.1.1.1', address]]) {
      resolved = list;
      assert.equal((await get(`${named.front}/${path}`)).status, 502, address);
      assert.equal(fronts(), 1, `only the test's own connection: ${address}`);
    }
    // As if the address itself had been registered.
    const host = address.includes(':') ? `[${address}]` : address;
    const { fixture } = named;
    const egress = createEgress();
    const direct = createMediaProxy({
      ...proxyDeps(fixture),
      egress,
      findPlace: url => ({ provider: 1, url, ports: [], ownFile: undefined }),
    });
    const sealed = createMediaGrants(openMediaGrantKey(fixture.folder)).seal({
      interopId: named.anna.account.interopId,
      deviceId: named.anna.device.id,
      url: `https://${host}/x`,
      sizeBytes: 5,
      expiresAtMs: fixture.clock.nowMs + 1_000,
    });
    const answer = await direct.fetch(sealed, 'GET', undefined);
    assert.ok(answer.kind === 'problem' && answer.code === 'media-origin-failed', host);
    assert.equal(fronts(), 0, host);
    direct.close();
  }
  assert.ok(questions > 60, 'the name was asked for each time, and only then');
});

test('a second answer of the resolver changes nothing: the address that was checked is the one that is used', async () => {
  const media = await origin(honest);
  const { port } = new URL(media.url);
  let questions = 0;
  const resolve = async (): Promise<readonly string[]> => {
    questions += 1;
    return questions === 1 ? ['127.0.0.1'] : ['169.254.169.254'];
  };
  const name = `https://media.test:${port}`;
  const egress = { allow: { addresses: ['127.0.0.1'], ca: authority.ca }, resolve };
  const { anna, front, grant } = await world(name, {}, withEgress(egress));
  const path = await grant(anna, `${name}/x`, file.length);
  assert.ok((await get(front + path)).body.equals(file));
  assert.equal(questions, 1);
  connects.length = 0;
  assert.equal((await get(front + path)).status, 502);
  assert.equal(connects.length, 1, "the test's own");
});

test('a slow reader holds the origin back; one who leaves, or stops, frees the place at once', async () => {
  const size = 200 * 1_048_576;
  let written = 0;
  const endless: RequestListener = (_incoming, response) => {
    response.writeHead(200, { 'content-length': size });
    const block = Buffer.alloc(262_144, 7);
    const more = (): void => {
      while (written < size && !response.destroyed) {
        written += block.length;
        if (!response.write(block)) return void response.once('drain', more);
      }
    };
    more();
  };
  const media = await origin(endless);
  const { anna, front, grant, fixture } = await world(media.url, {
    limits: { mediaFetchesPerAccount: 2, mediaIdleSeconds: 1 },
  });
  const path = await grant(anna, `${media.url}/x`, size);
  const open = async (): Promise<{ response: IncomingMessage; leave: () => void }> => {
    const sent = request(front + path, { agent: false }).end();
    sent.on('error', () => {});
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.on('error', () => {});
    return { response, leave: () => void sent.destroy() };
  };
  const first = await open();
  await new Promise(resolve => setTimeout(resolve, 300));
  assert.ok(written < 48 * 1_048_576, `${written} bytes left the origin though nobody reads`);
  const second = await open();
  const third = await get(front + path);
  assert.deepEqual([third.status, codeOf(third), third.headers['retry-after']], [503, 'busy', '5']);
  second.leave();
  await settle(() => fixture.control.media.active() === 1);
  // Nothing moves for a second: the proxy lets go by itself.
  await settle(() => fixture.control.media.active() === 0);
  first.leave();
});

test('the people of a provider, and its origins, have a share of the places and no more', async () => {
  const media = await origin((_incoming, response) => {
    response.writeHead(200, { 'content-length': file.length });
    response.write(file.subarray(0, 10));
  });
  const { anna, bert, front, grant, fixture } = await world(media.url, {
    limits: { mediaFetchesPerAccount: 2, mediaFetchesPerProvider: 3 },
  });
  const carl = await fixture.enlist(1, 'carl');
  const open: ClientRequest[] = [];
  const hold = async (person: Person): Promise<number> => {
    const sent = request(front + (await grant(person, `${media.url}/x`, file.length)), { agent: false }).end();
    open.push(sent);
    sent.on('error', () => {});
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.on('error', () => {});
    return response.statusCode ?? 0;
  };
  const statuses: number[] = [];
  for (const person of [bert, bert, carl, carl]) statuses.push(await hold(person));
  assert.deepEqual(statuses, [200, 200, 200, 503]);
  // The origin has a share too: it is provider 1's, and full.
  assert.equal(await hold(anna), 503);
  open[0]!.destroy();
  await settle(() => fixture.control.media.active() === 2);
  assert.equal(await hold(anna), 200);
  for (const each of open) each.destroy();
});

test('an origin that stalls is let go, and does not hold the place of a person who left', async () => {
  const stalls: RequestListener = (incoming, response) => {
    if (incoming.url === '/silent') return;
    response.writeHead(200, { 'content-length': file.length });
    response.write(file.subarray(0, 10));
  };
  const media = await origin(stalls);
  const { anna, front, grant, fixture } = await world(media.url, { limits: { mediaIdleSeconds: 1 } });
  const silent = await get(front + (await grant(anna, `${media.url}/silent`, 5)));
  assert.deepEqual([silent.status, codeOf(silent)], [504, 'media-origin-timed-out']);
  const path = await grant(anna, `${media.url}/x`, file.length);
  const sent = request(front + path, { agent: false }).end();
  sent.on('error', () => {});
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  assert.equal(fixture.control.media.active(), 1);
  const leftAtMs = performance.now();
  sent.destroy();
  await settle(() => fixture.control.media.active() === 0);
  assert.ok(performance.now() - leftAtMs < 800, 'before the idle time');
  assert.equal((await get(front + path)).whole, false);
});

test('bytes have a budget: above it slower, never refused; consent is asked for again on the way', async () => {
  const size = 20 * 1_048_576;
  const big = Buffer.alloc(size, 3);
  const media = await origin((_i, response) => response.writeHead(200, { 'content-length': size }).end(big));
  const { anna, front, grant, fixture } = await world(media.url, {
    budgets: { mediaMebibytesPerAccount: { burst: 18, refillSeconds: 1 } },
  });
  const path = await grant(anna, `${media.url}/x`, size);
  const startMs = performance.now();
  const timer = setInterval(() => (fixture.clock.nowMs += 100), 100);
  const answer = await get(front + path);
  clearInterval(timer);
  assert.ok(answer.whole && answer.body.equals(big));
  assert.ok(performance.now() - startMs > 900, 'two MiB more than the burst, one a second');

  const generous = await world(media.url);
  const second = await generous.grant(generous.anna, `${media.url}/x`, size);
  const fetched = await generous.fixture.control.media.fetch(second.slice('/media/'.length), 'GET', undefined);
  assert.ok(fetched.kind === 'answer' && fetched.body !== undefined);
  const account = (await generous.fixture.control.accounts.find(generous.anna.account.interopId))!;
  await generous.fixture.control.enlistment.setOptIn(account, 1, false);
  let bytes = 0;
  await assert.rejects(async () => {
    for await (const chunk of fetched.body as AsyncIterable<Buffer>) bytes += chunk.length;
  });
  assert.ok(bytes < size);
});

test('grants survive a restart and are short enough; their text tells nothing', async () => {
  const media = await origin(honest);
  const { anna, grant, fixture } = await world(media.url);
  const longest = `${media.url}/${'x'.repeat(2_000)}`;
  const path = await grant(anna, longest, 2_170_552_320);
  assert.ok(path.length < 4_000);
  const plain = Buffer.from(path.slice('/media/'.length), 'base64url').toString('latin1');
  for (const secret of [anna.account.interopId, 'xxxx', domain]) assert.ok(!plain.includes(secret));
  assert.notEqual(path, await grant(anna, longest, 2_170_552_320));
  const again = createMediaGrants(openMediaGrantKey(fixture.folder));
  const opened = again.open(path.slice('/media/'.length), fixture.clock.nowMs);
  assert.ok(opened.kind === 'opened' && opened.grant.url === longest);
  writeFileSync(join(fixture.folder, 'media-grant-key'), 'nonsense');
  assert.throws(() => openMediaGrantKey(fixture.folder), /remove it/);
  assert.equal(createBudgets(fixture.config.budgets, () => 0).take([{ budget: 'mediaGrantsPerAccount', key: '1' }]), 0);
});

test("own users' files are read in this process, through the same grants, and not by their URL", async () => {
  const { front, ask, fixture, bert } = await world('https://media.skylark.example', {
    ownUsers: { kind: 'embedded', registration: 'open' },
  });
  const anna = { identifier: 'anna-own', password: 'a long enough password' };
  const post = async (path: string, headers: Record<string, string>, body: string | Buffer): Promise<Response> =>
    await fetch(front + path, { method: 'POST', headers, body: new Uint8Array(Buffer.from(body)) });
  const json = { 'content-type': 'application/json' };
  await post('/users/v1/users', json, JSON.stringify(anna));
  const { session } = (await (await post('/users/v1/sessions', json, JSON.stringify(anna))).json()) as {
    session: string;
  };
  const created = await post(
    '/users/media',
    {
      authorization: `Bearer ${session}`,
      'tus-resumable': '1.0.0',
      'upload-length': String(file.length),
      'content-type': 'application/offset+octet-stream',
    },
    file,
  );
  assert.equal(created.status, 201);
  const url = created.headers.get('location')!;
  assert.ok(url.startsWith(`${gatekeeperIssuer}/users/media/`));
  assert.equal((await get(front + url.slice(gatekeeperIssuer.length))).status, 404, 'not by its URL');
  const answer = await ask(bert, url, String(file.length));
  assert.ok(answer.kind === 'result' && answer.payload !== undefined);
  const path = attribute(answer.payload, 'href')!.slice(gatekeeperIssuer.length);
  connects.length = 0;
  assert.ok((await get(front + path)).body.equals(file));
  const part = await get(front + path, { range: 'bytes=100-199' });
  assert.equal(part.status, 206);
  assert.ok(part.body.equals(file.subarray(100, 200)));
  assert.equal((await get(front + path, {}, 'HEAD')).headers['content-length'], '700000');
  assert.equal(connects.length, 3, "the test's own");
  const lying = await ask(bert, url, '5');
  assert.ok(lying.kind === 'result' && lying.payload !== undefined);
  const lyingPath = attribute(lying.payload, 'href')!.slice(gatekeeperIssuer.length);
  assert.equal((await get(front + lyingPath)).status, 502);
  assert.equal((await get(front + lyingPath, {}, 'HEAD')).status, 502);
  await settle(() => fixture.control.media.active() === 0);
});

test('an upload takes as long as bytes come; every other request has a time', async () => {
  const requestTimeoutMs = 300;
  const { front } = await world(
    'https://media.skylark.example',
    { ownUsers: { kind: 'embedded', registration: 'open' } },
    undefined,
    requestTimeoutMs,
  );
  const anna = JSON.stringify({ identifier: 'anna-slow', password: 'a long enough password' });
  const json = { 'content-type': 'application/json' };
  await fetch(`${front}/users/v1/users`, { method: 'POST', headers: json, body: anna });
  const begun = await fetch(`${front}/users/v1/sessions`, { method: 'POST', headers: json, body: anna });
  const { session } = (await begun.json()) as { session: string };

  /** Sends the body in pieces, one each 100 ms. The status; undefined when the connection was cut. */
  const drip = async (path: string, headers: Record<string, string>, body: Buffer): Promise<number | undefined> => {
    const sent = request(front + path, {
      method: 'POST',
      agent: false,
      headers: { ...headers, 'content-length': body.length },
    });
    const status = new Promise<number | undefined>(resolve => {
      sent.on('error', () => resolve(undefined));
      sent.on('response', response => {
        response.resume();
        resolve(response.statusCode);
      });
    });
    const pieceBytes = Math.ceil(body.length / 10);
    for (let at = 0; at < body.length && !sent.destroyed; at += pieceBytes) {
      sent.write(body.subarray(at, at + pieceBytes));
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    sent.end();
    return await status;
  };
  const upload = {
    authorization: `Bearer ${session}`,
    'tus-resumable': '1.0.0',
    'upload-length': String(file.length),
    'content-type': 'application/offset+octet-stream',
  };
  assert.equal(await drip('/users/media', upload, file), 201);
  assert.equal(await drip('/users/v1/sessions', json, Buffer.from(anna)), undefined);
  assert.equal(await drip('/v1/enlistments', json, Buffer.from(anna)), undefined);
  // Refused at once, and not listened to any further.
  const startMs = performance.now();
  const refused = await drip('/users/media', { ...upload, authorization: 'Bearer x' }, Buffer.alloc(1_000));
  assert.ok(refused === 401 || refused === undefined, String(refused));
  assert.ok(performance.now() - startMs < 1_800);
});
