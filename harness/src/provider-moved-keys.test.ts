// `revoke-keys` over real HTTPS: a provider whose discovery has moved its key set to another origin, while caches and the old
// place go on with the stolen key. docs/protocol/02-ownership-proof.md section 2.2.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { fakeWorld } from '@drawbridge/gatekeeper/testing/control-fixture';
import { createDevelopmentAuthority } from '@drawbridge/identity/development-certificates';
import { createEgress } from '@drawbridge/identity/egress';
import { generateSigningKey, publicJwk, type SigningKey } from '@drawbridge/identity/jwk';
import { RawNetwork } from './raw-network.ts';
import { RawXmpp } from './raw-xmpp.ts';

const provider = 1;
const authority = createDevelopmentAuthority({ nowMs: Date.now() });

/** Answers with JSON by path, which whoever fetches it may keep for an hour; counts what is asked. */
async function serve(t: TestContext, answers: Map<string, unknown>) {
  const asked: string[] = [];
  const server: Server = createServer(authority.issue(['localhost']), (request, response) => {
    asked.push(request.url!);
    const answer = answers.get(request.url!);
    const headers = { 'content-type': 'application/json', 'cache-control': 'public, max-age=3600' };
    response.writeHead(answer === undefined ? 404 : 200, headers).end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `https://localhost:${(server.address() as AddressInfo).port}`, asked };
}

test('a key set that has moved to another origin: revoking asks discovery again, and the stolen key is out', async t => {
  const [before, since] = [new Map<string, unknown>(), new Map<string, unknown>()];
  const [{ origin: issuer, asked }, moved] = [await serve(t, before), await serve(t, since)];
  const [stolen, fresh] = [generateSigningKey('ES256'), generateSigningKey('ES256')];
  const discovery = '/.well-known/openid-configuration';
  before.set(discovery, { issuer, jwks_uri: `${issuer}/jwks` });
  before.set('/jwks', { keys: [publicJwk(stolen)] });

  const egress = createEgress({ allow: { addresses: ['127.0.0.1', '::1'], ca: authority.ca } });
  t.after(() => egress.close());
  const keySetOrigins = [moved.origin];
  const network = await RawNetwork.open({
    fixture: {
      world: { ...fakeWorld([issuer]), egress },
      config: { providers: [{ number: provider, name: 'skylark.example', issuer, keySetOrigins }] },
    },
  });
  t.after(() => network.close());
  const anna = await network.person('anna', provider);
  const proof = (key: SigningKey): Promise<string> => network.fixture.proof(issuer, 'anna', anna.sample.jkt, { key });
  const annas = await RawXmpp.login(network.target, 'direct', await proof(stolen));
  await annas.ping();
  assert.deepEqual(asked, [discovery, '/jwks']);

  // The thief still serves the old set where it was; a minute later the caches are far from old.
  before.set(discovery, { issuer, jwks_uri: `${moved.origin}/keys/now` });
  since.set('/keys/now', { keys: [publicJwk(fresh)] });
  const { control, clock } = network.fixture;
  clock.nowMs += 60_000;
  const beganMs = performance.now();
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'revoked');
  assert.equal(await annas.streamError(), 'not-authorized');
  assert(performance.now() - beganMs < 5_000);
  assert.deepEqual(moved.asked, ['/keys/now']);

  const stranger = await RawXmpp.connect(network.target, 'direct');
  await stranger.secure();
  stranger.sendAuth(await proof(stolen));
  const [told] = (await stranger.expect('challenge')).children;
  assert(typeof told === 'string');
  assert.deepEqual(JSON.parse(Buffer.from(told, 'base64').toString()), { status: 'invalid_token' });
  stranger.cut();
  const again = await RawXmpp.login(network.target, 'direct', await proof(fresh));
  await again.ping();
  again.cut();

  // Discovery that names an origin which was not registered moves nothing: the operator is told, and nobody loses a stream.
  before.set(discovery, { issuer, jwks_uri: 'https://elsewhere.example/keys' });
  clock.nowMs += 60_000;
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'not-fetched');
});
