// The sandbox's own HTTP against real issuers: who gets a proof, for which device, and who gets nothing.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { verifyOwnershipProof } from '@drawbridge/identity/verify-ownership-proof';
import { createProvider, type Provider } from '@drawbridge/provider/provider';
import { type DeviceKeyJwk, deviceKeyThumbprint, type SandboxAccount } from './sandbox-accounts.ts';
import { createSandboxHttp, sandboxHttpLimits } from './sandbox-http.ts';

const gatekeeper = 'https://localhost:5226';
const accounts: SandboxAccount[] = Array.from({ length: 130 }, (_, index) => {
  const provider = index % 2 === 0 ? 1 : 0;
  const interopId = `${provider}-${'a'.repeat(23)}${index
    .toString(16)
    .padStart(3, 'b')
    .replaceAll(/[0189]/g, 'z')}${index}`;
  const deviceKey = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' }) as DeviceKeyJwk;
  const account = `u${index}`;
  return { account, jid: `${interopId}@localhost/1`, device: 1, identifier: account, provider, deviceKey };
});
let issuers: Provider[];
let server: ReturnType<typeof createServer>;
let port = 0;

before(async () => {
  const directory = {
    authenticate: async () => ({ kind: 'refused' }) as const,
    exists: async (identifier: string) => accounts.some(account => account.identifier === identifier),
  };
  const open = (path: string): Promise<Provider> =>
    createProvider({
      issuer: `https://localhost:5227${path}`,
      gatekeepers: [{ issuer: gatekeeper }],
      dataFolder: ':memory:',
      directory,
    });
  issuers = [await open('/users'), await open('/skylark')];
  server = createServer(
    createSandboxHttp({
      gatekeeper,
      domain: 'citadel.example',
      issuers: new Map([
        ['/users', issuers[0]!],
        ['/skylark', issuers[1]!],
      ]),
      issuerOf: provider => issuers[provider]!,
      accounts: () => accounts,
      ca: 'PEM',
      page: () => 'page',
    }),
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
});

after(async () => {
  await new Promise(resolve => {
    server.close(resolve);
    server.closeAllConnections();
  });
  await Promise.all(issuers.map(issuer => issuer.close()));
});

function get(path: string, host = `127.0.0.1:${port}`, method = 'GET'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', path, method, headers: { host } }, response => {
      void response
        .setEncoding('utf8')
        .toArray()
        .then(parts => resolve({ status: response.statusCode ?? 0, body: parts.join('') }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function subjectOf(proof: string, account: SandboxAccount, maxLifetimeSeconds: number): Promise<string> {
  const verdict = await verifyOwnershipProof(proof, {
    audience: gatekeeper,
    nowMs: Date.now(),
    maxLifetimeSeconds,
    issuers: iss => {
      const providerNumber = issuers.findIndex(issuer => issuer.issuer === iss);
      return { providerNumber, keys: issuers[providerNumber]!.keySource };
    },
    takeProofId: async () => true,
  });
  assert.ok(verdict.kind === 'verified', verdict.kind === 'refused' ? verdict.code : '');
  assert.equal(verdict.proof.jkt, deviceKeyThumbprint(account.deviceKey));
  assert.equal(verdict.proof.providerNumber, account.provider);
  return verdict.proof.subject;
}

test("a proof is fresh, for the account's own device, by its own issuer, as short as its transport asks for", async () => {
  for (const account of accounts.slice(0, 2)) {
    const { status, body } = await get(`/sandbox/proof?account=${account.account}&transport=xmpp`);
    assert.equal(status, 200);
    assert.equal(await subjectOf(body, account, 120), account.identifier);
    const local = account.jid.slice(0, account.jid.indexOf('@'));
    const byLocal = await get(`/sandbox/proof?account=${local}&transport=compact`);
    assert.equal(await subjectOf(byLocal.body, account, 600), account.identifier);
    assert.notEqual(byLocal.body, body);
  }
});

test('many proofs: a JSON line each, in order, within the bounds asked for', async () => {
  const read = async (query: string): Promise<Record<string, unknown>[]> => {
    const { status, body } = await get(`/sandbox/proofs?${query}`);
    assert.equal(status, 200);
    return body
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line) as Record<string, unknown>);
  };
  const some = await read('from=3&count=110&transport=xmpp');
  assert.equal(some.length, 110);
  for (const [index, line] of some.entries()) {
    const { account, jid, device } = accounts[3 + index]!;
    assert.deepEqual({ ...line, proof: '' }, { account, jid, device, proof: '' });
  }
  assert.equal(await subjectOf(String(some[109]!['proof']), accounts[112]!, 120), 'u112');
  assert.equal((await read('from=129')).length, 1);
  assert.deepEqual(await read('from=1000'), []);
});

test('what can not be answered says what can', async () => {
  const cases: [string, number][] = [
    ['/sandbox/proof', 404],
    ['/sandbox/proof?account=u130', 404],
    ['/sandbox/proof?account=u01', 404],
    ['/sandbox/proof?account=__proto__', 404],
    ['/sandbox/proof?account=u0&transport=smoke', 400],
    [`/sandbox/proofs?count=${sandboxHttpLimits.maxProofs + 1}`, 400],
    ['/sandbox/proofs?from=-1', 400],
    ['/sandbox/nothing', 404],
    ['//', 400],
  ];
  for (const [path, status] of cases) {
    const answer = await get(path);
    assert.equal(answer.status, status, path);
    assert.ok(answer.body.length > 10, path);
  }
  assert.equal((await get('/sandbox/proof?account=u0', undefined, 'POST')).status, 405);
});

test('issuers answer below their paths, and only below them', async () => {
  for (const [path, status] of Object.entries({
    '/skylark/jwks.json': 200,
    '/users/jwks.json': 200,
    '/jwks.json': 404,
  })) {
    assert.equal((await get(path)).status, status, path);
  }
});

test('names that are not of loopback get nothing (DNS rebinding)', async () => {
  for (const host of ['evil.example', 'localhost.evil.example', 'evil.example:5227', '10.0.0.1']) {
    for (const path of ['/', '/sandbox/proof?account=u0', '/skylark/jwks.json']) {
      assert.equal((await get(path, host)).status, 421, `${host} ${path}`);
    }
  }
  for (const host of ['localhost', '127.0.0.1:1', '[::1]:5', 'skylark.localhost', 'citadel.example:5227']) {
    assert.equal((await get('/', host)).body, 'page', host);
  }
});
