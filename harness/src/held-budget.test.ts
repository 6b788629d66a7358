// The budget of the whole process for what was handed out and is not acknowledged, reached by real streams that acknowledge
// nothing: what becomes of them, of those who do acknowledge, and of every message.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attribute, type Element } from '@drawbridge/wire/element';
import { parseStanzaError } from '@drawbridge/wire/stanza-error';
import { ciphertextFor, envelope, type Person, RawNetwork } from './raw-network.ts';
import type { RawXmpp } from './raw-xmpp.ts';

const budgetBytes = 1024 * 1024;
const messageBytes = 10_000;
const perDevice = 40;
const deaf = 8;

const messagesOf = (client: RawXmpp): Element[] => client.inbox.filter(el => el.name === 'message');
const idsOf = (client: RawXmpp): (string | undefined)[] => messagesOf(client).map(el => attribute(el, 'id'));
const ids = Array.from({ length: perDevice }, (_, i) => `m${i}`);

async function sendAll(network: RawNetwork, from: Person, to: Person): Promise<void> {
  const client = await network.login(from);
  for (const id of ids) client.send(envelope(from, to.bareJid, id, ciphertextFor(1, messageBytes)));
  assert.equal(await client.acknowledged(), perDevice, 'every message is taken');
  assert.deepEqual(messagesOf(client), [], 'and none is refused');
  await client.end();
}

test('streams that acknowledge nothing reach the budget of all: they wait, the honest do not, nothing is lost', {
  timeout: 60_000,
}, async t => {
  const network = await RawNetwork.open({ core: { maxHeldBytes: budgetBytes } });
  t.after(() => network.close());
  const anna = await network.person('anna');
  const people = await Promise.all(Array.from({ length: deaf }, (_, i) => network.person(`deaf${i}`)));
  const streams: RawXmpp[] = [];
  for (const person of people) {
    streams.push(await network.login(person));
    await sendAll(network, anna, person);
  }
  const handedOut = (): number => streams.reduce((sum, each) => sum + messagesOf(each).length, 0);
  await streams[0]!.until('the budget', () => handedOut() * messageBytes * 1.4 > budgetBytes * 0.9);
  await new Promise(resolve => setTimeout(resolve, 300));
  // One message beyond the budget, and one for each stream that has none.
  const most = budgetBytes / messageBytes + 1 + deaf;
  assert.ok(handedOut() <= most, `${handedOut()} handed out of at most ${most}`);
  assert.ok(handedOut() < (deaf * perDevice) / 2, 'most of it waits on the disk');

  // Whoever holds something and acknowledges nothing asks no more: refused for now, in words.
  const [first] = streams as [RawXmpp];
  for (const id of ['q1', 'q2']) {
    first.send(`<iq xmlns='jabber:client' type='get' id='${id}'><ping xmlns='urn:xmpp:ping'/></iq>`);
  }
  const answered = await first.expect(el => attribute(el, 'id') === 'q1');
  const refused = await first.expect(el => attribute(el, 'id') === 'q2');
  assert.equal(attribute(answered, 'type'), 'result');
  const { condition, type } = parseStanzaError(refused)!;
  assert.deepEqual([condition, type], ['resource-constraint', 'wait']);

  // An honest person comes, asks, and gets everything, while the budget is spent.
  const bob = await network.person('bob');
  const honest = await network.login(bob);
  await sendAll(network, anna, bob);
  const got: (string | undefined)[] = [];
  while (got.length < perDevice) {
    await honest.until('a message', () => messagesOf(honest).length > 0);
    got.push(...idsOf(honest));
    honest.inbox.length = 0;
    honest.acknowledge();
    await honest.ping();
  }
  assert.deepEqual(got, ids);
  await honest.end();

  // They acknowledge after all: everything comes, in order, once.
  for (const [index, stream] of streams.entries()) {
    const all: (string | undefined)[] = [];
    while (all.length < perDevice) {
      await stream.until('a message', () => messagesOf(stream).length > 0);
      all.push(...idsOf(stream));
      for (const el of messagesOf(stream)) stream.inbox.splice(stream.inbox.indexOf(el), 1);
      stream.acknowledge();
    }
    assert.deepEqual(all, ids, `stream ${index}`);
    stream.cut();
  }
});
