// Requests, denials and blocks through the SDK: the gatekeeper keeps them, for all devices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import type { Client, ClientEvent } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

const toBob = { provider: 'citadel.example', identifier: 'bob' };
const toAnna = { provider: 'skylark.example', identifier: 'anna' };

/** Anna of a provider and bob, who lets its people in; first contacts are requests. */
async function people(network: SdkNetwork): Promise<{ anna: Client; bob: Client }> {
  const [anna, bob] = [await network.open('anna', 'skylark'), await network.open('bob', 'citadel')];
  for (const client of [anna, bob]) {
    await client.account.enlist();
    await client.connect();
  }
  await bob.account.optIn('skylark.example');
  return { anna, bob };
}

/** Another device of bob. */
async function linked(network: SdkNetwork, bob: Client): Promise<Client> {
  const second = await network.open('bob', 'citadel', { device: '-second' });
  const { code } = await second.devices.beginLink();
  const ticket = await (await bob.devices.readLink(code)).confirm({});
  await (await second.devices.openLink(ticket)).confirm();
  await second.connect();
  return second;
}

async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  for (let tries = 0; tries < 600; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(25);
  }
  throw new Error(`did not happen: ${what}`);
}

/** What a client says of decisions, as it comes. */
function heard(client: Client): string[] {
  const states: string[] = [];
  const events: AsyncIterable<ClientEvent> = client.events();
  void (async () => {
    for await (const event of events) if (event.kind === 'contact') states.push(event.state);
  })();
  return states;
}

test('a first message waits as a request; an answer accepts, and a block lets nothing through', async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const { anna, bob } = await people(network);
  const received = bob.messages();
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

test('a provider is blocked on one device for all, and nothing is said to its people; unblocking gives back what was', async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const { anna, bob } = await people(network);
  const second = await linked(network, bob);
  const blocks: (boolean | undefined)[] = [];
  const events: AsyncIterable<ClientEvent> = second.events();
  void (async () => {
    for await (const event of events) if (event.kind === 'provider-block') blocks.push(event.isBlocked);
  })();
  const received = second.messages();
  await anna.send(toBob, { text: 'hello' });
  assert.equal((await received.next()).value?.text, 'hello');
  await bob.contacts.accept(toAnna);
  await assert.rejects(bob.contacts.blockProvider('nowhere.example'), { code: 'not-found' });
  await assert.rejects(bob.contacts.blockProvider('citadel.example'), { code: 'not-found' });
  await assert.rejects(bob.contacts.blockProvider(-1), { code: 'invalid-argument' });
  await bob.contacts.blockProvider('skylark.example');
  await until(() => (blocks.includes(true) ? true : undefined), 'the second device hears of it');
  const annaId = anna.me!.interopId;
  for (const device of [bob, second]) {
    assert.deepEqual(
      device.contacts.blockedProviders().map(({ name }) => name),
      ['skylark.example'],
    );
    assert.equal(device.contacts.decision(annaId), 'blocked');
  }
  assert.deepEqual(await second.contacts.requests(), []);
  const lost = await anna.send(toBob, { text: 'are you there?' });
  const stateOf = async (client: Client, id: string): Promise<string | undefined> =>
    (await client.chats.messages({ limit: 20 })).find(({ message }) => message.id === id)?.message.state;
  await until(async () => ((await stateOf(anna, lost.id)) === 'sent' ? true : undefined), 'as to somebody away');
  const refused = await second.send(toAnna, { text: 'to somebody who is blocked' });
  await until(async () => ((await stateOf(second, refused.id)) === 'failed' ? true : undefined), 'nothing is sent');
  // A device that is linked now has never heard a notice of it.
  const third = await network.open('bob', 'citadel', { device: '-third' });
  const { code } = await third.devices.beginLink();
  const ticket = await (await bob.devices.readLink(code)).confirm({});
  await (await third.devices.openLink(ticket)).confirm();
  assert.equal(third.contacts.blockedProviders().length, 1, 'by the ticket alone');
  await second.contacts.unblockProvider('skylark.example');
  await until(() => (bob.contacts.blockedProviders().length === 0 ? true : undefined), 'the first device hears of it');
  assert.equal(bob.contacts.decision(annaId), 'accepted');
  await anna.send(toBob, { text: 'again' });
  assert.equal((await received.next()).value?.text, 'again');
  const others = (await second.chats.list()).filter(chat => chat.with.interopId !== bob.me!.interopId);
  assert.deepEqual(
    others.map(chat => chat.with.identifier),
    ['anna'],
  );
});

test('a request is not answered by anything, and its files are not fetched, until it is accepted on any device', async t => {
  const network = await startSdkNetwork(undefined, 'across-providers');
  t.after(() => network.close());
  const { anna, bob } = await people(network);
  const second = await linked(network, bob);
  const [onFirst, onSecond] = [heard(bob), heard(second)];
  const path = join(network.folder, 'hello.txt');
  writeFileSync(path, 'a file of a stranger');
  const received = bob.messages();
  const file = await anna.files.send(toBob, { path });
  const arrived = (await received.next()).value!;
  assert.equal(arrived.id, file.id);
  await until(() => (onSecond.includes('request') ? true : undefined), 'the second device hears of the request');
  const annaId = anna.me!.interopId;
  assert.equal(second.contacts.decision(annaId), 'request');
  const save = (at: Client): Promise<void> => at.files.save(arrived, 0, join(network.folder, 'saved'));
  for (const device of [bob, second]) {
    await assert.rejects(save(device), { code: 'not-accepted' });
    await assert.rejects(device.files.open(arrived, 0), { code: 'not-accepted' });
  }
  await arrived.markRead();
  await bob.chats.typing(toAnna);
  // Beyond the bounds of a first contact a message waits; one that is too long says so.
  for (let i = 0; i < 2; i++) await anna.send(toBob, { text: `more ${i}` });
  const long = await anna.send(toBob, { text: 'x'.repeat(6_000) });
  const stateOf = async (id: string): Promise<string | undefined> => {
    const rows = await anna.chats.messages({ limit: 20 });
    const message = rows.find(row => row.message.id === id)?.message;
    return `${message?.state} ${message?.failure?.code ?? ''}`;
  };
  await until(
    async () => ((await stateOf(long.id)) === 'failed first-contact' ? true : undefined),
    'the long one fails',
  );
  const waiting = await anna.send(toBob, { text: 'a fourth' });
  await sleep(500);
  assert.equal(await stateOf(file.id), 'sent ', 'neither delivered nor read');
  assert.equal(await stateOf(waiting.id), 'queued ');
  // Without a stream the request is still known.
  await second.disconnect();
  assert.deepEqual(
    (await second.contacts.requests()).map(each => each.interopId),
    [annaId],
  );
  await second.connect();
  await second.contacts.accept(annaId);
  await until(
    async () => ((await stateOf(file.id)) === 'delivered ' ? true : undefined),
    'its author learns that it came',
  );
  await until(() => (onFirst.includes('accepted') ? true : undefined), 'the first device hears of it');
  await save(bob);
  // A device that was away learns of a block with its next session.
  await second.disconnect();
  await bob.contacts.block(annaId);
  await second.connect();
  await until(() => (second.contacts.decision(annaId) === 'blocked' ? true : undefined), 'the block is learnt');
  await assert.rejects(second.files.open(arrived, 0), { code: 'not-accepted' });
  await bob.contacts.unblock(annaId);
  await until(() => (second.contacts.decision(annaId) === 'accepted' ? true : undefined), 'the block is over');
});

test('opting out makes chats with that provider read-only on all devices, and says so; opting in opens them again', async t => {
  const network = await startSdkNetwork();
  t.after(() => network.close());
  const { anna, bob } = await people(network);
  const second = await linked(network, bob);
  const received = bob.messages();
  await anna.send(toBob, { text: 'hello' });
  await received.next();
  const [there] = await until(async () => {
    const chats = await second.chats.list({ of: 'third-parties' });
    return chats.length === 1 ? chats : undefined;
  }, 'the chat is on the second device');
  assert.deepEqual([there!.thirdParty, there!.readOnly], [true, false]);
  const own = await second.chats.list({ of: 'own-service' });
  assert(
    own.every(chat => chat.with.interopId === bob.me!.interopId),
    'at most the chat with oneself',
  );
  const textOfMine = async (): Promise<string | undefined> =>
    (await anna.chats.messages({ limit: 20 })).find(({ message }) => message.id === mine.id)?.message.text;
  const mine = await bob.send(anna.me!.interopId, { text: 'mine' });
  await until(async () => ((await textOfMine()) === 'mine' ? true : undefined), 'Anna has it');
  await bob.chats.setDefaults({ separateInbox: true });
  await until(() => (second.chats.defaults().separateInbox === true ? true : undefined), 'one choice on all devices');

  await bob.account.optOut('skylark.example');
  const isReadOnly = async (device: Client): Promise<boolean> =>
    (await device.chats.list({ of: 'third-parties' }))[0]!.readOnly;
  for (const device of [bob, second]) {
    await until(async () => ((await isReadOnly(device)) ? true : undefined), 'the chat is read-only');
    await assert.rejects(device.send(anna.me!.interopId, { text: 'anybody?' }), { code: 'opted-out' });
    const [, row] = await device.chats.messages({ chat: anna.me!.interopId, limit: 2 });
    assert.equal(row!.message.text, 'hello', 'what was said stays');
    await assert.rejects(device.chats.react(row!.message, '👍'), { code: 'opted-out' });
  }
  // What is here can be deleted here, and what was said taken back: from Anna when the chat is open again.
  const [, hers] = await bob.chats.messages({ chat: anna.me!.interopId, limit: 2 });
  await bob.chats.hide(hers!.message);
  await until(async () => {
    const rows = await second.chats.messages({ chat: anna.me!.interopId });
    return rows.some(({ message }) => message.text === 'hello') ? undefined : true;
  }, 'it is gone from the other device too');
  await bob.chats.delete(mine.id);
  await until(async () => {
    const rows = await second.chats.messages({ chat: anna.me!.interopId });
    return rows.find(({ message }) => message.id === mine.id)?.message.kind === 'deleted' ? true : undefined;
  }, 'it is taken back on the other device');
  assert.equal(await textOfMine(), 'mine');
  const refused = await anna.send(toBob, { text: 'are you there?' });
  await until(async () => {
    const [row] = await anna.chats.messages({ limit: 1 });
    return row!.message.id === refused.id && row!.message.failure?.code === 'not-reachable' ? true : undefined;
  }, 'the other side hears that nobody is reached');
  // Also without a stream.
  await second.disconnect();
  assert.equal(await isReadOnly(second), true);
  await bob.account.optIn('skylark.example');
  await second.connect();
  await until(async () => ((await isReadOnly(second)) ? undefined : true), 'it is open again');
  await until(async () => ((await textOfMine()) === 'mine' ? undefined : true), 'it is taken back from Anna as well');
  await second.send(anna.me!.interopId, { text: 'back again' });
  await anna.send(toBob, { text: 'good' });
  const next = await received.next();
  assert.equal(next.value?.text, 'good');
});
