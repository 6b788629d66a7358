// Personal links through the SDK and the terminal's words: a stranger comes by one, and by nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

const toBob = { provider: 'citadel.example', identifier: 'bob' };

async function enlisted(network: SdkNetwork, name: string, provider: 'skylark' | 'citadel'): Promise<Client> {
  const client = await network.open(name, provider);
  await client.account.enlist();
  await client.connect();
  return client;
}

test('who requires links is found by nobody else; who comes by one is accepted, knows the key, and stays', async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const [anna, eve, bob] = [
    await enlisted(network, 'anna', 'skylark'),
    await enlisted(network, 'eve', 'skylark'),
    await enlisted(network, 'bob', 'citadel'),
  ];
  await bob.account.optIn('skylark.example');
  await bob.links.require(true);
  assert.equal(await bob.links.required(), true);
  const nobody = await anna.contacts.find('citadel.example', 'nobody').catch((error: unknown) => error);
  for (const stranger of [anna, eve]) {
    assert.deepEqual(
      await stranger.contacts.find(toBob.provider, toBob.identifier).catch((error: unknown) => error),
      nobody,
    );
  }
  await assert.rejects(bob.links.make({ uses: 0 }), { code: 'invalid-argument' });
  const { link, id } = await bob.links.make({ uses: 1, days: 1 });
  assert.deepEqual(
    (await bob.links.list()).map(each => [each.id, each.usesLeft]),
    [[id, 1]],
  );
  const found = await anna.links.open(` ${link}\n`, { verified: true });
  assert.deepEqual([found.interopId, found.identifier], [bob.me!.interopId, 'bob']);
  assert.equal((await anna.identities.get(toBob)).verified, true, 'before anything was said');
  const received = bob.messages();
  await anna.send(toBob, { text: 'I have your link' });
  assert.equal((await received.next()).value?.text, 'I have your link');
  assert.deepEqual(await bob.contacts.requests(), []);
  assert.equal(bob.contacts.decision(anna.me!.interopId), 'accepted');
  const safety = async (client: Client, other: Client) =>
    (await client.identities.safetyNumber(other.me!.interopId)).digits;
  assert.equal(await safety(anna, bob), await safety(bob, anna));
  // It was for one.
  await assert.rejects(eve.links.open(link), { code: 'not-found' });
  assert.deepEqual(await bob.links.list(), []);
  const revoked = await bob.links.make();
  await bob.links.revoke(revoked.id);
  await assert.rejects(eve.links.open(revoked.link), { code: 'not-found' });
  // A link that names another person, another place or another key is refused.
  const fresh = await bob.links.make({ uses: 9 });
  for (const wrong of [
    fresh.link.replace('at=citadel.example', 'at=rampart.example'),
    fresh.link.replace(/key=[^&]*/, 'key=AAAA'),
    'https://citadel.example/',
    '',
  ]) {
    await assert.rejects(eve.links.open(wrong), { code: 'invalid-argument' }, wrong);
  }
  const annasKey = Buffer.from((await bob.identities.get(anna.me!.interopId)).identityKey).toString('base64url');
  await assert.rejects(anna.links.open(fresh.link.replace(/key=[^&]*/, `key=${annasKey}`)), {
    code: 'untrusted-identity',
  });
  await bob.links.require(false);
  assert.equal((await eve.contacts.find('citadel.example', 'bob')).interopId, bob.me!.interopId);
});
