// A provider changes its signing keys, as it should or because one was stolen: whose streams stay, whose end, how soon.
// docs/protocol/02-ownership-proof.md section 2.2.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gatekeeperIssuer, issuers } from '@drawbridge/gatekeeper/testing/control-fixture';
import { generateSigningKey } from '@drawbridge/identity/jwk';
import { CompactDevice, CompactNetwork } from './compact/network.ts';
import { type Person, RawNetwork } from './raw-network.ts';
import { RawXmpp } from './raw-xmpp.ts';

const provider = 1;
const minutes = 60_000;

async function open(t: { after(close: () => Promise<void>): void }) {
  const network = await RawNetwork.open();
  t.after(() => network.close());
  const { world, clock, control } = network.fixture;
  const first = world.keys.get(issuers.skylark)!;
  /** Some time later somebody logs in, and the set that is due is fetched. */
  const later = async (byNow: Person): Promise<RawXmpp> => {
    clock.nowMs += 10 * minutes;
    return await network.login(byNow);
  };
  return { network, world, control, clock, first, later };
}

/** Whoever shows this proof is told that it is not good: nothing else, such as a time that is over, counts. */
async function isRefused(network: RawNetwork, proof: string): Promise<void> {
  const stranger = await RawXmpp.connect(network.target, 'direct');
  await stranger.secure();
  stranger.sendAuth(proof);
  // RFC 7628 section 3.2.2: what is wrong comes in a challenge.
  const challenge = await stranger.expect('challenge');
  const [text] = challenge.children;
  assert(typeof text === 'string');
  assert.deepEqual(JSON.parse(Buffer.from(text, 'base64').toString()), { status: 'invalid_token' });
  stranger.cut();
}

test('a rotation that overlaps ends nothing, though the old key goes at last', async t => {
  const { network, world, first, later } = await open(t);
  const [anna, bert, carl] = [
    await network.person('anna', provider),
    await network.person('bert', provider),
    await network.person('carl', provider),
  ];
  const streams = [await network.login(anna)];
  const second = generateSigningKey('ES256');
  world.published.set(issuers.skylark, [first, second]);
  streams.push(await later(bert));
  world.keys.set(issuers.skylark, second);
  world.published.set(issuers.skylark, [second]);
  streams.push(await later(carl));
  for (const stream of streams) await stream.ping();
  // And still it is gone: nobody gets in with it.
  const stale = await network.fixture.proof(issuers.skylark, 'anna', anna.sample.jkt, { key: first });
  await isRefused(network, stale);
  for (const stream of streams) stream.cut();
});

test('keys that were revoked take their streams with them within 5 s; others stay, also one that was resumed since', async t => {
  const { network, world, control, clock, first, later } = await open(t);
  const people = ['anna', 'bert', 'carl', 'dora'];
  const [anna, bert, carl, dora] = await Promise.all(people.map(name => network.person(name, provider)));
  const own = await network.person('ella');
  const [annas, owns] = [await network.login(anna!), await network.login(own)];
  // Bert's connection is lost; his session waits to be resumed. Carl's is resumed with the new key.
  const berts = await network.login(bert!);
  berts.cut();
  const carls = await network.login(carl!, 'direct', false);
  const carlsId = await carls.enable();
  const second = generateSigningKey('ES256');
  world.keys.set(issuers.skylark, second);
  world.published.set(issuers.skylark, [first, second]);
  const doras = await later(dora!);
  carls.cut();
  const resumed = await RawXmpp.connect(network.target, 'direct');
  await resumed.authenticate(await network.proof(carl!));
  resumed.send(`<resume xmlns='urn:xmpp:sm:3' previd='${carlsId}' h='0'/>`);
  await resumed.expect('resumed');
  // One whose proof was verified just before: no stream of the old key may begin afterwards.
  const late = await RawXmpp.connect(network.target, 'direct');
  await late.authenticate(await network.fixture.proof(issuers.skylark, 'bert', bert!.sample.jkt, { key: first }));

  world.published.set(issuers.skylark, [second]);
  const beganMs = performance.now();
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'revoked');
  assert.equal(await annas.streamError(), 'not-authorized');
  assert.ok(performance.now() - beganMs < 5_000);
  late.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
  assert.equal(await late.streamError(), 'not-authorized');
  for (const stream of [owns, doras, resumed]) await stream.ping();
  assert.equal(network.core.sessions.count, 3, 'the session that waited to be resumed is over too');
  const again = await network.login(anna!);
  await again.ping();
  const { entries } = await network.fixture.store
    .read('auditPage', { afterSeq: 0, limit: 100 })
    .then(found => ({ entries: found }));
  assert.deepEqual(
    entries.filter(entry => entry.action === 'provider-keys-revoked').map(({ actor, subject }) => [actor, subject]),
    [['admin', '1']],
  );
  for (const stream of [owns, doras, resumed, again]) stream.cut();
});

test('a new key under the id of the stolen one: its streams end, and it lets nobody in', async t => {
  const { network, world, control, clock, first } = await open(t);
  const anna = await network.person('anna', provider);
  const own = await network.person('bert');
  const [annas, owns] = [await network.login(anna), await network.login(own)];
  const second = { ...generateSigningKey('ES256'), kid: first.kid };
  world.keys.set(issuers.skylark, second);
  world.published.set(issuers.skylark, [second]);
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'revoked');
  assert.equal(await annas.streamError(), 'not-authorized');
  const stolen = await network.fixture.proof(issuers.skylark, 'anna', anna.sample.jkt, { key: first });
  await isRefused(network, stolen);
  const again = await network.login(anna);
  for (const stream of [owns, again]) {
    await stream.ping();
    stream.cut();
  }
});

test('the key set has moved, and the stolen key is still served where it was: revoking looks where it is now', async t => {
  const { network, world, control, clock, first } = await open(t);
  const anna = await network.person('anna', provider);
  const annas = await network.login(anna);
  world.published.set(issuers.skylark, [first]);
  world.keys.set(issuers.skylark, generateSigningKey('ES256'));
  world.movedTo.set(issuers.skylark, '/moved/jwks');
  clock.nowMs += minutes;
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'revoked');
  assert.equal(await annas.streamError(), 'not-authorized');
  const stolen = await network.fixture.proof(issuers.skylark, 'anna', anna.sample.jkt, { key: first });
  await isRefused(network, stolen);
  const again = await network.login(anna);
  await again.ping();
  again.cut();
});

test('a set without any key of the one before ends the streams of that provider when it is seen', async t => {
  const { network, world, later } = await open(t);
  const [anna, bert] = [await network.person('anna', provider), await network.person('bert', provider)];
  const own = await network.person('carl');
  const [annas, owns] = [await network.login(anna), await network.login(own)];
  const fresh = generateSigningKey('ES256');
  world.keys.set(issuers.skylark, fresh);
  const berts = await later(bert);
  assert.equal(await annas.streamError(), 'not-authorized');
  for (const stream of [owns, berts]) await stream.ping();
  owns.cut();
  berts.cut();
});

test('when the set can not be fetched nothing is ended, and the operator is told', async t => {
  const { network, world, control, clock } = await open(t);
  const anna = await network.person('anna', provider);
  const annas = await network.login(anna);
  world.published.set(issuers.skylark, []);
  clock.nowMs += minutes;
  assert.equal(await control.registry.revokeKeys(provider, 'admin', clock.nowMs), 'not-fetched');
  assert.equal(await control.registry.revokeKeys(4_711, 'admin', clock.nowMs), 'unknown');
  await annas.ping();
  annas.cut();
});

test('compact streams end too', async t => {
  const network = await CompactNetwork.open();
  t.after(() => network.close());
  const { world, control, clock } = network.fixture;
  const device = await CompactDevice.open(network, await network.person('anna'));
  await device.received.next('enabled');
  world.keys.set(issuers.own, generateSigningKey('ES256'));
  assert.equal(await control.registry.revokeKeys(0, 'admin', clock.nowMs), 'revoked');
  assert.match(JSON.stringify(await device.received.next('error')), /not-authorized/);
  await device.received.closed();
});

test("drill: the embedded issuer's signing key is stolen, and replaced on the running gatekeeper", async t => {
  const network = await RawNetwork.open({
    fixture: { config: { ownUsers: { kind: 'embedded', registration: 'open' } } },
  });
  t.after(() => network.close());
  const { control, clock, folder } = network.fixture;
  const users = control.ownUsers!;
  await users.directory.register?.('anna', 'correct horse');
  const anna = await network.person('anna');
  const bert = await network.person('bert', provider);
  const proof = async (): Promise<string> => {
    const issued = await users.issueProof('anna', {
      audience: gatekeeperIssuer,
      jkt: anna.sample.jkt,
      transport: 'xmpp',
    });
    assert(issued.kind === 'issued');
    return issued.proof;
  };
  const [annas, berts] = [await RawXmpp.login(network.target, 'direct', await proof()), await network.login(bert)];
  const file = join(folder, 'users', 'signing-keys.json');
  const [stolen, before] = [await proof(), readFileSync(file, 'utf8')];

  assert.equal(await control.registry.revokeKeys(0, 'admin', clock.nowMs), 'revoked');
  assert.equal(await annas.streamError(), 'not-authorized');
  await berts.ping();
  await isRefused(network, stolen);
  const again = await RawXmpp.login(network.target, 'direct', await proof());
  await again.ping();
  assert.notEqual(readFileSync(file, 'utf8'), before, 'the new key is there after a restart too');
  const { action, subject } = (await network.fixture.stores.audit.page(0, 10)).at(-1)!;
  assert.deepEqual([action, subject], ['provider-keys-revoked', '0']);
  for (const stream of [again, berts]) stream.cut();
});
