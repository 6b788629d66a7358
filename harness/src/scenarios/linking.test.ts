// Linking with real SDKs and a real gatekeeper, and who would like to take part in it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

async function person(identifier: string, at: 'citadel' | 'skylark') {
  const client = await network.open(identifier, at);
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn('skylark.example');
  return client;
}

test("a ticket of somebody else's leaves nothing behind: the device enlists as its own person with its own key", async () => {
  const mallory = await person('mallory-links', 'skylark');
  const carol = await network.open('carol-links', 'skylark');
  const { code, requestCode } = await carol.devices.beginLink();
  // Whoever sees the code can make a ticket; its person and its code are shown before it is used.
  const theirs = await mallory.devices.readLink(code);
  assert.equal(theirs.requestCode, requestCode);
  const link = await carol.devices.openLink(await theirs.confirm());
  assert.equal(link.identifier, 'mallory-links');
  // Carol confirms all the same: the gatekeeper does not let her in there, and the ticket is gone.
  await assert.rejects(link.confirm(), { code: 'gatekeeper-refused' });
  await assert.rejects(link.confirm(), { code: 'link-failed' });
  // With Mallory's key this would be refused, since it is in use.
  const me = await carol.account.enlist();
  assert.notEqual(me.interopId, mallory.me!.interopId);
  await carol.close();
  await mallory.close();
});

test('a ticket that was refused, or opened and never confirmed, is not used by anything else', async () => {
  const mallory = await person('mallory-waits', 'skylark');
  for (const name of ['dora-refuses', 'dora-forgets']) {
    let dora = await network.open(name, 'skylark');
    const { code } = await dora.devices.beginLink();
    const link = await dora.devices.openLink(await (await mallory.devices.readLink(code)).confirm());
    if (name === 'dora-refuses') {
      link.refuse();
      await assert.rejects(link.confirm(), { code: 'link-failed' });
    }
    await dora.close();
    dora = await network.open(name, 'skylark');
    await dora.account.enlist();
    await assert.rejects(dora.devices.openLink('x'), { code: 'link-failed' });
    await dora.close();
  }
  await mallory.close();
});

test('a code that was swapped on its way shows another confirmation code, and no ticket has left', async () => {
  const anna = await person('anna-swapped', 'skylark');
  const second = await network.open('anna-swapped', 'skylark', { device: '-second' });
  const thief = await network.open('thief-of-codes', 'skylark');
  const shown = await second.devices.beginLink();
  const asked = await anna.devices.readLink((await thief.devices.beginLink()).code);
  assert.notEqual(asked.requestCode, shown.requestCode);
  assert.equal((await anna.devices.list()).length, 1);
  // The ticket is for the request that was read, and for no other.
  await assert.rejects(second.devices.openLink(await asked.confirm()), { code: 'link-failed' });
  for (const client of [thief, second, anna]) await client.close();
});

test('a new device knows the earlier keys and names before it hears anything', async () => {
  const anna = await person('anna-trusts', 'skylark');
  const bob = await person('bob-trusted', 'citadel');
  const name = { provider: 'citadel.example', identifier: 'bob-trusted' };
  await anna.send(name, { text: 'hello' });
  for await (const message of bob.messages()) {
    assert.equal(message.text, 'hello');
    break;
  }
  const known = await anna.identities.get(name);
  await anna.identities.setVerified(name, known.identityKey);
  const second = await network.open('anna-trusts', 'skylark', { device: '-second' });
  const { code } = await second.devices.beginLink();
  const asked = await anna.devices.readLink(code);
  const link = await second.devices.openLink(await asked.confirm());
  assert.equal(link.answerCode, asked.answerCode);
  const me = await link.confirm();
  assert.deepEqual([me.interopId, me.signingKey], [anna.me!.interopId, anna.me!.signingKey]);
  // Not connected yet: nothing of this is the gatekeeper's word.
  const inherited = await second.identities.get({ interopId: bob.me!.interopId });
  assert.deepEqual(Buffer.from(inherited.identityKey), Buffer.from(known.identityKey));
  assert.equal(inherited.verified, true);
  assert.equal(
    second.contacts
      .list()
      .some(({ interopId, identifier }) => interopId === bob.me!.interopId && identifier === name.identifier),
    true,
  );
  await second.connect();
  await second.send(name, { text: 'from the second' });
  for await (const message of bob.messages()) if (message.text === 'from the second') break;
  for (const client of [second, anna, bob]) await client.close();
});

test('every device of the person is told about a new one, whichever let it in', async () => {
  const anna = await person('anna-three', 'skylark');
  const link = async (from: Client, device: string): Promise<Client> => {
    const further = await network.open('anna-three', 'skylark', { device });
    const { code } = await further.devices.beginLink();
    const opened = await further.devices.openLink(await (await from.devices.readLink(code)).confirm());
    await opened.confirm();
    await further.connect();
    return further;
  };
  const isToldOf = (client: Client, id: number): boolean =>
    client.notices
      .list()
      .some(
        ({ change }) =>
          (change.kind === 'devices-changed' && change.isOwn && change.added.includes(id)) ||
          (change.kind === 'own-device-appeared' && change.deviceId === id),
      );
  const second = await link(anna, '-second');
  const third = await link(second, '-third');
  const endMs = performance.now() + 30_000;
  while (!(isToldOf(anna, 3) && isToldOf(second, 3))) {
    if (performance.now() > endMs) assert.fail(`told of it: ${isToldOf(anna, 3)}, ${isToldOf(second, 3)}`);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  for (const client of [anna, second, third]) await client.close();
});
