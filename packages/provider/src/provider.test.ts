// A provider as its apps and gatekeepers see it: real HTTP and HTTPS on loopback, and a gatekeeper's own verifier.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createEgress, type Egress } from '@drawbridge/identity/egress';
import { generateSigningKey, publicJwk, thumbprintX25519 } from '@drawbridge/identity/jwk';
import { signJws } from '@drawbridge/identity/jws';
import { createKeySet } from '@drawbridge/identity/key-set';
import { issueSecurityEvent } from '@drawbridge/identity/security-event';
import { type ProofVerdict, verifyOwnershipProof } from '@drawbridge/identity/verify-ownership-proof';
import {
  createProvider,
  type Provider,
  providerLimits,
  type ProviderLogEntry,
  type ProviderOptions,
} from './provider.ts';

const jkt = thumbprintX25519(new Uint8Array(32).fill(9));
const open: { close: () => unknown }[] = [];
after(async () => {
  for (const each of open.reverse()) await each.close();
});

/** A port that is free now: the issuer URL must be known before the provider listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** A gatekeeper reduced to its published keys. */
async function gatekeeper(): Promise<{
  issuer: string;
  key: ReturnType<typeof generateSigningKey>;
  fetches: () => number;
}> {
  const key = generateSigningKey('EdDSA');
  let fetches = 0;
  const server = createServer((request, response) => {
    if (request.url === '/.well-known/jwks.json') fetches++;
    response.end(JSON.stringify({ keys: [publicJwk(key)] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push(server);
  return { issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, key, fetches: () => fetches };
}

type World = {
  readonly provider: Provider;
  readonly gate: Awaited<ReturnType<typeof gatekeeper>>;
  readonly woken: string[];
  readonly log: ProviderLogEntry[];
  readonly call: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  readonly sessionOf: (identifier: string) => Promise<string>;
};
type Answer = { readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> };

async function world(change: Partial<ProviderOptions> = {}, path = ''): Promise<World> {
  const gate = await gatekeeper();
  const port = await freePort();
  const woken: string[] = [];
  const log: ProviderLogEntry[] = [];
  const provider = await createProvider({
    issuer: `http://127.0.0.1:${port}${path}`,
    gatekeepers: [{ issuer: 'https://heron.example' }, { issuer: gate.issuer }],
    dataFolder: ':memory:',
    registration: 'open',
    egress: { allow: { plainHttpOrigins: [gate.issuer] } },
    onWakeUp: identifier => woken.push(identifier),
    log: entry => log.push(entry),
    ...change,
  });
  open.push(provider);
  await provider.listen({ host: '127.0.0.1', port });
  const call: World['call'] = async (method, where, body, headers = {}) => {
    const response = await fetch(`${provider.issuer}${where}`, {
      method,
      headers: { ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text.startsWith('{') ? JSON.parse(text) : {} };
  };
  const sessionOf = async (identifier: string): Promise<string> => {
    await call('POST', '/v1/users', { identifier, password: 'correct horse' });
    const { body } = await call('POST', '/v1/sessions', { identifier, password: 'correct horse' });
    return `Bearer ${String(body['session'])}`;
  };
  return { provider, gate, woken, log, call, sessionOf };
}

/** What a gatekeeper thinks of a proof, with the provider's keys discovered and fetched over the network. */
function judge(provider: Provider, audience: string, egress: Egress): (token: string) => Promise<ProofVerdict> {
  const keys = createKeySet({ issuer: provider.issuer, fetch: egress.fetch, nowMs: () => performance.now() });
  const taken = new Set<string>();
  return token =>
    verifyOwnershipProof(token, {
      audience,
      nowMs: Date.now(),
      maxLifetimeSeconds: 120,
      issuers: iss => (iss === provider.issuer ? { providerNumber: 7, keys } : undefined),
      takeProofId: async id => !taken.has(id.jti) && taken.add(id.jti).size > 0,
    });
}

function loopback(...origins: readonly string[]): Egress {
  const egress = createEgress({ allow: { plainHttpOrigins: origins } });
  open.push(egress);
  return egress;
}

test('register, log in, get a proof: a gatekeeper verifies it, once', async () => {
  const { provider, gate, call } = await world();
  const mia = { identifier: 'mia', password: 'correct horse' };
  assert.deepEqual(
    [(await call('POST', '/v1/users', mia)).status, (await call('POST', '/v1/users', mia)).status],
    [201, 409],
  );
  const session = await call('POST', '/v1/sessions', mia);
  const authorization = `Bearer ${String(session.body['session'])}`;
  const wanted = { audience: gate.issuer, jkt, transport: 'xmpp' };
  const answer = await call('POST', '/v1/ownership-proofs', wanted, { authorization });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  const lifeSeconds = (Date.parse(String(answer.body['expiresAt'])) - Date.now()) / 1000;
  assert.ok(lifeSeconds > 115 && lifeSeconds <= 120, `${lifeSeconds} s`);
  const verify = judge(provider, gate.issuer, loopback(new URL(provider.issuer).origin));
  const verdict = await verify(String(answer.body['proof']));
  assert.ok(verdict.kind === 'verified');
  assert.deepEqual([verdict.proof.subject, verdict.proof.jkt, verdict.proof.providerNumber], ['mia', jkt, 7]);
  assert.equal((await verify(String(answer.body['proof']))).kind, 'refused');
  for (const transport of ['compact', 'http'] as const) {
    const issue = await provider.issueProof('mia', { audience: gate.issuer, jkt, transport });
    assert.ok(issue.kind === 'issued' && issue.expiresAtMs > Date.now() + 295_000);
  }
});

test('discovery and key set: where they must be, and how long they may be kept', async () => {
  const { provider, call } = await world({}, '/identity/v2');
  const discovery = await call('GET', '/.well-known/openid-configuration');
  assert.equal(discovery.body['issuer'], provider.issuer);
  assert.equal(discovery.body['jwks_uri'], `${provider.issuer}/jwks.json`);
  const keys = await call('GET', '/jwks.json');
  assert.equal(keys.headers.get('cache-control'), 'public, max-age=300');
  assert.deepEqual(keys.body, provider.keySet());
  assert.ok(!JSON.stringify(keys.body).includes('"d"'));
  assert.equal((await fetch(`${new URL(provider.issuer).origin}/jwks.json`)).status, 404);
});

test('replacing all keys: old proofs end, new ones are verified at once', async () => {
  const { provider, gate, sessionOf } = await world();
  await sessionOf('mia');
  const verify = judge(provider, gate.issuer, loopback(new URL(provider.issuer).origin));
  const issue = async (): Promise<string> => {
    const issued = await provider.issueProof('mia', { audience: gate.issuer, jkt, transport: 'xmpp' });
    return issued.kind === 'issued' ? issued.proof : '';
  };
  const old = await issue();
  assert.equal((await verify(await issue())).kind, 'verified');
  await provider.replaceAllKeys();
  assert.equal((await verify(await issue())).kind, 'verified');
  assert.deepEqual(await verify(old), { kind: 'refused', code: 'key-unknown' });
});

test('what is refused is refused with its problem, and nothing is coerced', async () => {
  const { call, sessionOf, gate } = await world();
  const authorization = await sessionOf('mia');
  const good = { audience: gate.issuer, jkt, transport: 'xmpp' };
  const proof = (body: unknown, headers: Record<string, string> = { authorization }): Promise<Answer> =>
    call('POST', '/v1/ownership-proofs', body, headers);
  const json = { 'content-type': 'application/json' };
  const expected: readonly (readonly [Promise<Answer>, number, string])[] = [
    [proof(good, {}), 401, 'not-authorized'],
    [proof(good, { authorization: 'Bearer' }), 401, 'not-authorized'],
    [proof(good, { authorization: authorization.slice(0, -1) }), 401, 'not-authorized'],
    [proof(good, { authorization: authorization.replace('Bearer', 'Basic') }), 401, 'not-authorized'],
    [proof({ ...good, audience: 'https://evil.example' }), 403, 'audience-refused'],
    [proof({ ...good, audience: `${gate.issuer}/` }), 403, 'audience-refused'],
    [proof({ ...good, jkt: `${'A'.repeat(42)}B` }), 400, 'request-refused'],
    [proof({ ...good, jkt: 7 }), 400, 'request-refused'],
    [proof({ ...good, transport: 'smoke' }), 400, 'request-refused'],
    [proof({ ...good, identifier: 'otto' }), 400, 'request-refused'],
    [proof({ audience: gate.issuer, jkt }), 400, 'request-refused'],
    [proof([]), 400, 'request-refused'],
    [proof('{', { authorization, ...json }), 400, 'request-refused'],
    [proof('', { authorization, ...json }), 400, 'request-refused'],
    [proof('{"__proto__":{}}', { authorization, ...json }), 400, 'request-refused'],
    [proof('x', { authorization, 'content-type': 'text/plain' }), 415, 'media-type-refused'],
    [proof('x', { authorization, 'content-type': 'application/x-www-form-urlencoded' }), 415, 'media-type-refused'],
    [proof({ ...good, audience: 'x'.repeat(20_000) }), 413, 'body-too-large'],
    [call('POST', '/v1/users', { identifier: 7, password: 'correct horse' }), 400, 'request-refused'],
    [call('POST', '/v1/users', { identifier: 'a', password: 'correct horse', admin: true }), 400, 'request-refused'],
    [call('POST', '/v1/users', { identifier: ' a', password: 'correct horse' }), 400, 'identifier-refused'],
    [call('POST', '/v1/users', { identifier: 'a\u202eb', password: 'correct horse' }), 400, 'identifier-refused'],
    [call('POST', '/v1/users', { identifier: 'a\ufffe', password: 'correct horse' }), 400, 'identifier-refused'],
    [call('POST', '/v1/users', { identifier: 'a', password: 'short' }), 400, 'password-refused'],
    [call('POST', '/v1/sessions', { identifier: 'mia', password: 'wrong horse' }), 401, 'credentials-refused'],
    [call('POST', '/v1/sessions', { identifier: 'nobody', password: 'wrong horse' }), 401, 'credentials-refused'],
    [call('GET', '/v1/users'), 404, 'not-found'],
    [call('GET', '/../../etc/passwd'), 404, 'not-found'],
    [call('GET', '/v1/wake-ups/stream'), 401, 'not-authorized'],
    [call('DELETE', '/v1/sessions'), 401, 'not-authorized'],
  ];
  for (const [answered, status, code] of expected) {
    const answer = await answered;
    assert.deepEqual([answer.status, answer.body['code']], [status, code]);
    assert.equal(answer.body['type'], `urn:drawbridge:problem:${code}`);
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/);
  }
  assert.equal((await proof(good)).status, 200, 'and the session still works');
});

test('sessions end by log-out, by ending all, and with the user', async () => {
  const { provider, gate, call, sessionOf } = await world();
  const wanted = { audience: gate.issuer, jkt, transport: 'http' };
  const statusWith = async (authorization: string): Promise<number> =>
    (await call('POST', '/v1/ownership-proofs', wanted, { authorization })).status;
  const first = await sessionOf('mia');
  const second = await sessionOf('mia');
  assert.equal((await call('DELETE', '/v1/sessions', undefined, { authorization: first })).status, 204);
  assert.deepEqual([await statusWith(first), await statusWith(second)], [401, 200]);
  await provider.endSessions('mia');
  assert.equal(await statusWith(second), 401);
  const users = new Set(['otto']);
  const other = await world({
    directory: {
      authenticate: async identifier => ({ kind: users.has(identifier) ? 'authenticated' : 'refused' }),
      exists: async identifier => users.has(identifier),
      region: async () => 'covered',
    },
  });
  assert.equal(
    (await other.call('POST', '/v1/users', { identifier: 'x', password: 'correct horse' })).body['code'],
    'registration-closed',
  );
  const session = await other.call('POST', '/v1/sessions', { identifier: 'otto', password: 'x' });
  const authorization = `Bearer ${String(session.body['session'])}`;
  const ask = (): Promise<Answer> =>
    other.call('POST', '/v1/ownership-proofs', { ...wanted, audience: other.gate.issuer }, { authorization });
  const claims = String((await ask()).body['proof']).split('.')[1] ?? '';
  assert.equal(JSON.parse(Buffer.from(claims, 'base64url').toString()).region, 'covered');
  users.delete('otto');
  assert.equal((await ask()).status, 401);
});

test('closed registration is the default', async () => {
  const { call } = await world({ registration: 'closed' });
  const answer = await call('POST', '/v1/users', { identifier: 'mia', password: 'correct horse' });
  assert.deepEqual([answer.status, answer.body['code']], [403, 'registration-closed']);
});

test('guessing is stopped for known and unknown names alike, where it comes from and nowhere else', async () => {
  const { call, sessionOf, gate } = await world({
    clientAddress: request => String(request.headers['x-test-address'] ?? ''),
  });
  const authorization = await sessionOf('mia');
  for (const identifier of ['mia', 'nobody']) {
    const statuses: number[] = [];
    for (let n = 0; n <= providerLimits.pairAttempts.burst; n++) {
      const answer = await call(
        'POST',
        '/v1/sessions',
        { identifier, password: 'wrong horse' },
        // Each guess from another address of one /64, which one customer has.
        { 'x-test-address': `2001:db8:0:1::${n.toString(16)}` },
      );
      statuses.push(answer.status);
      if (answer.status === 429) {
        assert.ok(Number(answer.body['retryAfterSeconds']) > 0);
        assert.equal(answer.headers.get('retry-after'), String(answer.body['retryAfterSeconds']));
      }
    }
    assert.deepEqual(statuses.slice(-2), [401, 429]);
  }
  const owner = await call(
    'POST',
    '/v1/sessions',
    { identifier: 'mia', password: 'correct horse' },
    { 'x-test-address': '2001:db8:0:2::1' },
  );
  assert.equal(owner.status, 201);
  const proof = await call(
    'POST',
    '/v1/ownership-proofs',
    { audience: gate.issuer, jkt, transport: 'xmpp' },
    { authorization },
  );
  assert.equal(proof.status, 200);
});

async function event(
  { gate, provider }: World,
  change: {
    readonly subject?: string;
    readonly jti?: string;
    readonly issuer?: string;
    readonly audience?: string;
  } = {},
): Promise<string> {
  return issueSecurityEvent(gate.key, {
    issuer: gate.issuer,
    audience: provider.issuer,
    jti: Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('base64url'),
    issuedAtSeconds: Math.floor(Date.now() / 1000),
    subject: 'mia',
    event: 'urn:drawbridge:event:wake-up',
    ...change,
  });
}
const secevent = { 'content-type': 'application/secevent+jwt' };

test('a wake-up is verified with the gatekeeper’s published keys and wakes once, however often it is sent', async () => {
  const it = await world();
  const token = await event(it);
  for (let n = 0; n < 3; n++) assert.equal((await it.call('POST', '/v1/wake-ups', token, secevent)).status, 202);
  assert.deepEqual(it.woken, ['mia']);
  await it.call('POST', '/v1/wake-ups', await event(it, { subject: 'nobody here' }), secevent);
  assert.equal(it.gate.fetches(), 1);
});

test('a forged wake-up wakes nobody', async () => {
  const it = await world();
  const token = await event(it);
  const stranger = generateSigningKey('EdDSA');
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  const expected: readonly (readonly [string, string])[] = [
    ['', 'invalid_request'],
    ['x', 'invalid_request'],
    ['A'.repeat(9000), 'invalid_request'],
    [signJws({ ...stranger, kid: it.gate.key.kid }, 'secevent+jwt', claims), 'invalid_key'],
    [signJws(stranger, 'secevent+jwt', claims), 'invalid_key'],
    [signJws(it.gate.key, 'JWT', claims), 'invalid_request'],
    [await event(it, { issuer: 'https://evil.example' }), 'invalid_issuer'],
    [await event(it, { audience: 'https://heron.example' }), 'invalid_audience'],
  ];
  for (const [body, err] of expected) {
    const answer = await it.call('POST', '/v1/wake-ups', body, secevent);
    assert.deepEqual([answer.status, answer.body['err']], [400, err]);
    assert.equal(typeof answer.body['description'], 'string');
  }
  assert.equal((await it.call('POST', '/v1/wake-ups', { token })).status, 400);
  assert.deepEqual(it.woken, []);
  assert.ok(it.gate.fetches() <= 2);
});

test('keys that cannot be fetched: the gatekeeper is asked to try again, and nothing is used up', async () => {
  // The egress client of this provider allows nothing on loopback.
  const it = await world({ egress: {} });
  const answer = await it.call('POST', '/v1/wake-ups', await event(it), secevent);
  assert.deepEqual([answer.status, it.woken.length, it.gate.fetches()], [503, 0, 0]);
  assert.ok(it.log.some(entry => entry.code === 'key-set-unavailable'));
});

/** Opens the event stream; gives the text received so far and a way to wait for more. */
async function listenToWakeUps(
  provider: Provider,
  authorization: string,
): Promise<{
  text: () => string;
  until: (what: RegExp) => Promise<void>;
  ended: Promise<unknown>;
  close: () => void;
  status: number;
}> {
  const request = httpRequest(`${provider.issuer}/v1/wake-ups/stream`, { headers: { authorization } });
  request.on('error', () => undefined);
  request.end();
  const [response] = await once(request, 'response');
  let text = '';
  response.on('error', () => undefined);
  response.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise(resolve => response.on('close', resolve));
  const until = async (what: RegExp): Promise<void> => {
    while (!what.test(text)) await once(response, 'data', { signal: AbortSignal.timeout(2000) });
  };
  return { text: () => text, until, ended, close: () => request.destroy(), status: response.statusCode };
}

test('a sleeping app hears of a wake-up, also of one that came just before it listened; others hear nothing', async () => {
  const it = await world();
  const [mia, otto] = [await it.sessionOf('mia'), await it.sessionOf('otto')];
  const other = await listenToWakeUps(it.provider, otto);
  await other.until(/retry/);
  await it.call('POST', '/v1/wake-ups', await event(it), secevent);
  const stream = await listenToWakeUps(it.provider, mia);
  const data = `event: wake-up\ndata: {"gatekeeper":"${it.gate.issuer}"}\n\n`;
  await stream.until(/wake-up/);
  await it.call('POST', '/v1/wake-ups', await event(it), secevent);
  await stream.until(/wake-up[^]*wake-up/);
  assert.equal(stream.text(), `retry: 5000\n\n${data}${data}`);
  assert.ok(!other.text().includes('wake-up'));
  await it.provider.endSessions('mia');
  await stream.ended;
  other.close();
});

test('streams of one person are bounded, and closing ends them', async () => {
  const it = await world();
  const mia = await it.sessionOf('mia');
  const streams = await Promise.all(Array.from({ length: 16 }, () => listenToWakeUps(it.provider, mia)));
  assert.equal((await listenToWakeUps(it.provider, mia)).status, 429);
  streams[0]?.close();
  await streams[0]?.ended;
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal((await listenToWakeUps(it.provider, mia)).status, 200);
  const start = performance.now();
  await it.provider.close();
  await Promise.all(streams.map(each => each.ended));
  assert.ok(performance.now() - start < 2000);
  await it.provider.close();
});

test('mounted into another server beside its own routes', async () => {
  const port = await freePort();
  const provider = await createProvider({
    issuer: `http://127.0.0.1:${port}/interop`,
    gatekeepers: [],
    dataFolder: ':memory:',
  });
  const server: Server = createServer((request, response) => {
    if (request.url?.startsWith('/interop/') === true) provider.handler(request, response);
    else response.end('own page');
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  open.push(server, provider);
  assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), 'own page');
  const discovery = await (await fetch(`${provider.issuer}/.well-known/openid-configuration`)).json();
  assert.equal((discovery as { issuer: string }).issuer, provider.issuer);
});

test('over TLS, discovered by a gatekeeper through its egress client; keys and users survive a restart', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'provider-'));
  const authority = createDevelopmentAuthority({ nowMs: Date.now() });
  const port = await freePort();
  const options: ProviderOptions = {
    issuer: `https://127.0.0.1:${port}`,
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    dataFolder: join(folder, 'data'),
  };
  const egress = createEgress({ allow: { addresses: ['127.0.0.1'], ca: authority.ca } });
  open.push(egress);
  try {
    const first = await createProvider(options);
    await first.directory.register?.('mia', 'correct horse');
    const keys = first.keySet();
    await first.close();
    const second = await createProvider(options);
    await second.listen({ host: '127.0.0.1', port, tls: authority.issue(['127.0.0.1']) });
    assert.deepEqual(second.keySet(), keys);
    const issue = await second.issueProof('mia', { audience: 'https://citadel.example', jkt, transport: 'compact' });
    assert.ok(issue.kind === 'issued');
    const keySet = createKeySet({ issuer: second.issuer, fetch: egress.fetch, nowMs: () => performance.now() });
    assert.equal((await keySet.findKey(keys.keys[0]?.kid ?? '')).kind, 'found');
    assert.ok(!readFileSync(join(folder, 'data', 'provider.sqlite')).includes('correct horse'));
    await second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('in one process with a gatekeeper: proofs and keys without any network', async () => {
  const provider = await createProvider({
    issuer: 'https://citadel.example',
    gatekeepers: [{ issuer: 'https://citadel.example' }],
    dataFolder: ':memory:',
  });
  open.push(provider);
  await provider.directory.register?.('mia', 'correct horse');
  const wanted = { audience: 'https://citadel.example', jkt, transport: 'compact' } as const;
  const issue = await provider.issueProof('mia', wanted);
  assert.ok(issue.kind === 'issued');
  const verdict = await verifyOwnershipProof(issue.proof, {
    audience: 'https://citadel.example',
    nowMs: Date.now(),
    maxLifetimeSeconds: 600,
    issuers: () => ({ providerNumber: 0, keys: provider.keySource }),
    takeProofId: async () => true,
  });
  assert.equal(verdict.kind, 'verified');
  const code = async (identifier: string, change: object): Promise<string> => {
    const refused = await provider.issueProof(identifier, { ...wanted, ...change });
    return refused.kind === 'refused' ? refused.code : refused.kind;
  };
  assert.equal(await code('otto', {}), 'identifier-unknown');
  assert.equal(await code('mia ', {}), 'identifier-refused');
  assert.equal(await code('mia\ufffe', {}), 'identifier-refused');
  assert.equal(await code('mia', { audience: 'https://heron.example' }), 'audience-refused');
  assert.equal(await code('mia', { jkt: 'x' }), 'key-binding-refused');
});

test('garbage on the wire leaves the server able to serve others, and the log without personal data', async () => {
  const it = await world();
  await it.sessionOf('mia');
  const port = Number(new URL(it.provider.issuer).port);
  for (const bytes of [
    '\u0000\u0001\u0002',
    'GET / HTTP/9.9\r\n\r\n',
    `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`,
  ]) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.end(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  await it.call('POST', '/v1/sessions', { identifier: 'mia', password: 'wrong horse' });
  await it.call('POST', '/v1/wake-ups', await event(it, { issuer: 'https://evil.example' }), secevent);
  assert.equal((await it.call('GET', '/jwks.json')).status, 200);
  assert.ok(it.log.length >= 2);
  assert.ok(!/mia|horse|127\.0\.0\.1|eyJ/.test(JSON.stringify(it.log)));
});

test('options that cannot work are refused at the start', async () => {
  for (const issuer of [
    'not a URL',
    'ftp://a.example',
    'https://a.example/',
    'https://a.example/x?y',
    'https://a.example#z',
  ]) {
    await assert.rejects(createProvider({ issuer, gatekeepers: [], dataFolder: ':memory:' }), issuer);
  }
});

test('a service with a login of its own begins sessions: proofs and media without a password', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-own-login-'));
  const users = new Set(['otto']);
  const { provider, call, gate } = await world({
    media: { folder },
    directory: { authenticate: async () => ({ kind: 'refused' }), exists: async identifier => users.has(identifier) },
  });
  const begun = await provider.beginSession('otto');
  assert.ok(begun.kind === 'begun');
  assert.equal(begun.mediaUrl, `${provider.issuer}/media`);
  const authorization = `Bearer ${begun.session}`;
  const proof = await call(
    'POST',
    '/v1/ownership-proofs',
    { audience: gate.issuer, jkt, transport: 'compact' },
    { authorization },
  );
  assert.equal(proof.status, 200);
  const upload = { 'tus-resumable': '1.0.0', 'upload-length': '0', authorization };
  assert.equal((await fetch(begun.mediaUrl, { method: 'POST', headers: upload })).status, 201);
  await provider.endSessions('otto');
  assert.equal((await fetch(begun.mediaUrl, { method: 'POST', headers: upload })).status, 401);
  assert.deepEqual(await provider.beginSession('nobody'), { kind: 'refused', code: 'identifier-unknown' });
  assert.deepEqual(await provider.beginSession(' otto'), { kind: 'refused', code: 'identifier-refused' });
  assert.deepEqual(await provider.beginSession('otto\ufffe'), { kind: 'refused', code: 'identifier-refused' });
  await provider.close();
  rmSync(folder, { recursive: true, force: true });
});
