// Requests, denials and blocks through the SDK: the gatekeeper keeps them, for all devices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSdkNetwork } from './sdk-network.ts';

test('a first message waits as a request; an answer accepts, and a block lets nothing through', async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const [anna, bob] = [await network.open('anna', 'skylark'), await network.open('bob', 'citadel')];
  for (const client of [anna, bob]) {
    await client.account.enlist();
    await client.connect();
  }
  await bob.account.optIn('skylark.example');
  const received = bob.messages();
  const toBob = { provider: 'citadel.example', identifier: 'bob' };
  const toAnna = { provider: 'skylark.example', identifier: 'anna' };
  await anna.send(toBob, { text: 'hello' });
  assert.equal((await received.next()).value?.text, 'hello');
  assert.deepEqual(
    (await bob.contacts.requests()).map(each => each.identifier),
    ['anna'],
  );
  const answers = anna.messages();
  await bob.send(toAnna, { text: 'hello to you' });
  assert.equal((await answers.next()).value?.text, 'hello to you');
  assert.deepEqual(await bob.contacts.requests(), []);
  await bob.contacts.block(toAnna);
  assert.deepEqual(
    (await bob.contacts.decisions()).map(each => each.state),
    ['blocked'],
  );
  const lost = await anna.send(toBob, { text: 'are you there?' });
  for (let tries = 0; ; tries++) {
    const [row] = await anna.chats.messages({ limit: 1 });
    if (row?.message.id === lost.id && row.message.state === 'sent') break;
    assert(tries < 200, 'acknowledged, as for somebody who is away');
    await sleep(25);
  }
  await bob.contacts.unblock(toAnna);
  await anna.send(toBob, { text: 'again' });
  assert.equal((await received.next()).value?.text, 'again', 'what came during the block is gone');
});
