// Reports through the SDK and a real gatekeeper: what was said is believed, and nothing but what the person chose leaves.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { decodeContent } from '@drawbridge/e2ee/content';
import { type Client, type ClientOptions, defaultTransports, type Message } from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

async function person(
  identifier: string,
  at: 'citadel' | 'skylark',
  extra: Partial<ClientOptions> = {},
): Promise<Client> {
  const client = await network.open(identifier, at, extra);
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn('skylark.example');
  return client;
}

async function pair(name: string, extra: Partial<ClientOptions> = {}): Promise<{ anna: Client; bob: Client }> {
  const bob = await person(`bob-${name}`, 'citadel', extra);
  const anna = await person(`anna-${name}`, 'skylark', extra);
  return { anna, bob };
}

async function read(client: Client, count: number): Promise<Message[]> {
  const got: Message[] = [];
  const messages = client.messages();
  while (got.length < count) {
    const next = await messages.next();
    assert.ok(next.done !== true);
    got.push(next.value);
  }
  void messages.next();
  void messages.return();
  return got;
}

const bobOf = (name: string) => ({ provider: 'citadel.example', identifier: `bob-${name}` });

/** What the operator's side has of a report, in order. */
function keptWords(id: string): string[] {
  const db = new DatabaseSync(join(network.folder, 'citadel', 'gatekeeper.sqlite'), { readOnly: true });
  const row = db.prepare('SELECT messages FROM report WHERE id = ?').get(id) as { messages: Uint8Array };
  db.close();
  const list = JSON.parse(Buffer.from(row.messages).toString()) as { content: string }[];
  return list.map(({ content }) => {
    const decoded = decodeContent(Buffer.from(content, 'base64'));
    assert.ok(decoded.ok);
    const { body } = decoded.value;
    if (body.kind === 'edit') return `edit: ${body.text.text}`;
    return body.kind === 'text' ? body.text : body.kind;
  });
}

for (const transport of defaultTransports) {
  void test(`a message is reported over ${transport}, alone or with those before it`, async () => {
    const { anna, bob } = await pair(transport, { transports: [transport] });
    for (const text of ['one', 'two', 'three']) await anna.send(bobOf(transport), { text });
    const [one, , three] = await read(bob, 3);
    const alone = await bob.reports.send({ message: three!, category: 'abuse', comment: 'threats' });
    assert.deepEqual(keptWords(alone.id), ['three'], 'nothing but what was chosen');
    const more = await bob.reports.send({ message: three!, category: 'abuse', context: 20 });
    assert.deepEqual(keptWords(more.id), ['one', 'two', 'three']);
    const again = await bob.reports.send({ message: three!, category: 'abuse', context: 20 });
    assert.equal(again.id, more.id);
    assert.equal(bob.reports.canReport(one!), true);
    await Promise.all([anna.close(), bob.close()]);
  });
}

test('mail that waited, across a restart of the gatekeeper, can be reported; so can its edits', async () => {
  const { anna, bob } = await pair('waits');
  await bob.disconnect();
  const sent = await anna.send(bobOf('waits'), { text: 'come' });
  await anna.send(bobOf('waits'), { text: 'and now' });
  const until = Date.now() + 10_000;
  while ((await anna.chats.messages({ limit: 5 })).some(({ message }) => message.state === 'queued')) {
    assert.ok(Date.now() < until);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  await network.restart();
  await bob.connect();
  const [come] = await read(bob, 2);
  await anna.connect();
  await anna.chats.edit(sent.id, { text: 'come, or else' });
  while ((await bob.chats.messages({ limit: 5 })).every(({ message }) => message.text !== 'come, or else')) {
    assert.ok(Date.now() < until + 10_000);
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  const { id, contents } = await bob.reports.send({ message: come!, category: 'fraud' });
  assert.equal(contents, 2);
  assert.deepEqual(keptWords(id), ['come', 'edit: come, or else']);
  await Promise.all([anna.close(), bob.close()]);
});

test('what is gone, was seen once or is one of my own can not be reported, and nothing of it is left here', async () => {
  const { anna, bob } = await pair('gone');
  await anna.send(bobOf('gone'), { text: 'first' });
  await anna.send(bobOf('gone'), { text: 'second' });
  const [first, second] = await read(bob, 2);
  await bob.chats.hide(first!);
  assert.equal(bob.reports.canReport(first!), false);
  await assert.rejects(bob.reports.send({ message: first!, category: 'spam' }), { code: 'not-reportable' });
  const { id } = await bob.reports.send({ message: second!, category: 'spam', context: 20 });
  assert.deepEqual(keptWords(id), ['second']);
  const own = await bob.send(second!.from, { text: 'mine' });
  await assert.rejects(bob.reports.send({ message: own, category: 'spam' }), { code: 'invalid-argument' });
  await Promise.all([anna.close(), bob.close()]);
});
