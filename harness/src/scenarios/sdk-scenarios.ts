// People who use the SDK against a real gatekeeper and a real provider, over real sockets: what a reader of the README may
// expect, and what happens when devices, people, connections and servers come and go.
import assert from 'node:assert/strict';
import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  type Client,
  type ClientEvent,
  type ClientOptions,
  defaultTransports,
  type Message,
  openClient,
} from '@drawbridge/client';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;

/** Runs the scenarios in a network that `start` makes. Once in a process. */
export function testSdk(start: () => Promise<SdkNetwork>): void {
  before(async () => {
    network = await start();
  });
  after(() => network.close());
  for (const [name, scenario] of scenarios) void test(name, scenario);
}

const scenarios: [string, () => Promise<void>][] = [];
const scenario = (name: string, run: () => Promise<void>): void => void scenarios.push([name, run]);

const patienceMs = 60_000;

/** The first event that fits, from when this is called; fails when it does not come in time. */
async function eventOf<T>(client: Client, read: (event: ClientEvent) => T | undefined): Promise<T> {
  const events = client.events();
  const timer = setTimeout(() => void events.return?.(), patienceMs);
  try {
    for await (const event of events) {
      const found = read(event);
      if (found !== undefined) return found;
    }
  } finally {
    clearTimeout(timer);
  }
  return assert.fail('the event did not come');
}

/** The first of these states that an own message has, now or later. */
async function stateOf(client: Client, id: string, states: readonly string[]): Promise<string> {
  const fits = (state: string | undefined): string | undefined =>
    state !== undefined && states.includes(state) ? state : undefined;
  const later = eventOf(client, event =>
    event.kind === 'message' && event.message.id === id ? fits(event.message.state) : undefined,
  );
  const row = (await client.chats.messages({ limit: 1_000 })).find(each => each.message.id === id);
  const now = fits(row?.message.state);
  if (now === undefined) return later;
  later.catch(() => undefined);
  return now;
}

/** Reads `count` messages and consumes them. */
async function read(client: Client, count: number): Promise<Message[]> {
  const got: Message[] = [];
  const messages = client.messages();
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => deadline.reject(new Error(`only ${got.length} of ${count} messages came`)),
    patienceMs,
  );
  try {
    while (got.length < count) {
      const next = await Promise.race([messages.next(), deadline.promise]);
      assert.ok(next.done !== true);
      got.push(next.value);
    }
    // Asking for the next one is what consumes the last.
    void messages.next();
    return got;
  } finally {
    clearTimeout(timer);
    void messages.return();
  }
}

async function person(
  identifier: string,
  at: 'citadel' | 'skylark',
  extra: Partial<ClientOptions> & { device?: string } = {},
): Promise<Client> {
  const client = await network.open(identifier, at, extra);
  await client.account.enlist();
  await client.connect();
  if (at === 'citadel') await client.account.optIn('skylark.example');
  return client;
}

const bobOf = (identifier: string) => ({ provider: 'citadel.example', identifier });
const annaOf = (identifier: string) => ({ provider: 'skylark.example', identifier });

scenario('two people, from nothing to a message each way', async () => {
  const bob = await person('bob', 'citadel');
  const provider = { url: network.provider, identifier: 'anna', password: 'correct horse', signUp: true };
  const { gatekeeper, ca, folder } = network;

  const anna = await openClient({ folder: join(folder, 'anna'), passphrase: 'a long one', gatekeeper, provider, ca });
  await anna.account.enlist();
  await anna.connect();
  await anna.send({ provider: 'citadel.example', identifier: 'bob' }, { text: 'hello' });

  await bob.send(annaOf('anna'), { text: 'hello yourself' });
  for await (const message of anna.messages()) {
    assert.equal(message.from.identifier, 'bob');
    assert.equal(message.from.provider, 'citadel.example');
    assert.equal(message.text, 'hello yourself');
    await message.markRead();
    break;
  }
  assert.equal((await read(bob, 1))[0]?.text, 'hello');
  await anna.close();
  await assert.rejects(openClient({ folder: join(folder, 'anna'), passphrase: 'another', gatekeeper, provider, ca }), {
    code: 'wrong-passphrase',
  });
  await bob.close();
});

for (const transport of defaultTransports) {
  void test(`both ways over ${transport}, with receipts`, async () => {
    const bob = await person(`bob-${transport}`, 'citadel', { transports: [transport] });
    const anna = await person(`anna-${transport}`, 'skylark', { transports: [transport] });
    const sent = await anna.send(bobOf(`bob-${transport}`), { text: 'ä < & > \u{1f40e}' });
    const delivered = stateOf(anna, sent.id, ['delivered']);
    const [got] = await read(bob, 1);
    assert.equal(got?.text, 'ä < & > \u{1f40e}');
    assert.equal(await delivered, 'delivered');
    const seen = stateOf(anna, sent.id, ['read']);
    await got.markRead();
    assert.equal(await seen, 'read');
    await bob.send(got.from, { text: 'back', replyTo: got });
    const [answer] = await read(anna, 1);
    assert.deepEqual(answer?.replyTo, {
      id: sent.id,
      author: anna.me!.interopId,
      excerpt: sent.text,
      original: 'here',
    });
    await Promise.all([anna.close(), bob.close()]);
  });
}

for (const transport of ['compact', 'direct-tls', 'websocket'] as const) {
  void test(`streams over ${transport} that are cut again and again are resumed; both ways each message comes once, in order`, async () => {
    const count = 40;
    // Pauses before the next try are drawn short: what is tested is what happens after them.
    const often = { transports: [transport], random: () => 0.02 };
    const bob = await person(`bob-cut-${transport}`, 'citadel', often);
    const anna = await person(`anna-cut-${transport}`, 'skylark', often);
    let resumptions = 0;
    const online = new Set<Client>([anna, bob]);
    const watch = async (client: Client): Promise<void> => {
      for await (const event of client.events()) {
        if (event.kind !== 'status') continue;
        const { status } = event;
        if (status.kind === 'online') online.add(client);
        else online.delete(client);
        if (status.kind === 'online' && status.resumed) resumptions++;
      }
    };
    const areBack = async (): Promise<void> => {
      const endMs = performance.now() + 20_000;
      while (online.size < 2 && performance.now() < endMs) await new Promise(resolve => setTimeout(resolve, 10));
    };
    const watched = [watch(bob), watch(anna)];
    await anna.send(bobOf(`bob-cut-${transport}`), { text: '0' });
    await bob.send(annaOf(`anna-cut-${transport}`), { text: '0' });
    for (let i = 1; i < count; i++) {
      await anna.send(bobOf(`bob-cut-${transport}`), { text: String(i) });
      await bob.send(annaOf(`anna-cut-${transport}`), { text: String(i) });
      if (i % 10 === 0) {
        // A login that is cut is not a stream yet.
        await areBack();
        network.cutStreams();
        await new Promise(resolve => setTimeout(resolve, 60));
      }
    }
    const expected = Array.from({ length: count }, (_, i) => String(i));
    assert.deepEqual(
      (await read(bob, count)).map(message => message.text),
      expected,
    );
    assert.deepEqual(
      (await read(anna, count)).map(message => message.text),
      expected,
    );
    await Promise.all([anna.close(), bob.close()]);
    await Promise.all(watched);
    assert.ok(resumptions >= 2, `${resumptions} resumptions`);
  });
}

scenario(
  'somebody who is away gets everything once and in order, over restarts of both sides and of the gatekeeper',
  async () => {
    const count = 40;
    let bob = await person('away', 'citadel');
    let anna = await person('busy', 'skylark');
    await anna.contacts.find('citadel.example', 'away');
    await bob.close();
    for (let i = 0; i < count / 2; i++) await anna.send(bobOf('away'), { text: String(i) });
    await network.restart();
    for (let i = count / 2; i < count - 5; i++) await anna.send(bobOf('away'), { text: String(i) });
    await anna.close();
    anna = await network.open('busy', 'skylark');
    // Not connected: they wait in the outbox, also over the next restart.
    for (let i = count - 5; i < count; i++) await anna.send(bobOf('away'), { text: String(i) });
    await anna.close();
    anna = await network.open('busy', 'skylark');
    await anna.connect();
    bob = await network.open('away', 'citadel');
    await bob.connect();
    const got = await read(bob, count);
    assert.deepEqual(
      got.map(message => message.text),
      Array.from({ length: count }, (_, i) => String(i)),
    );
    await Promise.all([anna.close(), bob.close()]);
  },
);

scenario('a message that was handed out and not consumed is handed out again', async () => {
  let bob = await person('forgetful', 'citadel');
  const anna = await person('patient', 'skylark');
  await anna.send(bobOf('forgetful'), { text: 'one' });
  await anna.send(bobOf('forgetful'), { text: 'two' });
  const messages = bob.messages();
  assert.equal((await messages.next()).value?.text, 'one');
  await bob.close();
  bob = await network.open('forgetful', 'citadel');
  await bob.connect();
  assert.deepEqual(
    (await read(bob, 2)).map(message => message.text),
    ['one', 'two'],
  );
  const again = bob.messages().next();
  await anna.send(bobOf('forgetful'), { text: 'three' });
  assert.equal((await again).value?.text, 'three');
  await Promise.all([anna.close(), bob.close()]);
});

scenario('a second device: linked by codes, gets what is sent to the person and what the first one sends', async () => {
  const bob = await person('bob-two', 'citadel');
  const anna = await person('anna-two', 'skylark');
  await anna.send(bobOf('bob-two'), { text: 'from the first' });
  await read(bob, 1);
  // Bob's list of Anna's devices is from now; it will be wrong.
  await bob.send(annaOf('anna-two'), { text: 'to the first' });
  await read(anna, 1);

  const second = await network.open('anna-two', 'skylark', { device: '-second' });
  await assert.rejects(second.account.enlist(), (error: { code?: string }) =>
    ['device-authorisation-required', 'identity-key-differs'].includes(error.code ?? ''),
  );
  const begun = await second.devices.beginLink();
  const asked = await anna.devices.readLink(begun.code);
  assert.deepEqual([asked.requestCode, asked.identifier], [begun.requestCode, 'anna-two']);
  assert.match(asked.requestCode, /^\d{3} \d{3} \d{3}$/);
  const link = await second.devices.openLink(await asked.confirm());
  assert.deepEqual([link.answerCode, link.identifier], [asked.answerCode, 'anna-two']);
  assert.equal(second.me, undefined, 'nothing is in force before the person confirms');
  const me = await link.confirm();
  assert.equal(me.interopId, anna.me?.interopId);
  assert.equal(me.deviceId, 2);
  await second.connect();
  assert.equal((await anna.devices.list()).length, 2);

  await bob.send(annaOf('anna-two'), { text: 'to both' });
  assert.equal((await read(anna, 1))[0]?.text, 'to both');
  assert.equal((await read(second, 1))[0]?.text, 'to both');
  const copied = eventOf(second, event =>
    event.kind === 'message' && event.message.author === me.interopId ? event.message : undefined,
  );
  await anna.send(bobOf('bob-two'), { text: 'from both, in a way' });
  const copy = await copied;
  assert.equal(copy.text, 'from both, in a way');
  assert.equal(copy.chat, bob.me?.interopId);
  assert.equal((await read(bob, 1))[0]?.text, 'from both, in a way');
  assert.deepEqual(
    (await bob.identities.safetyNumber(annaOf('anna-two'))).digits,
    (await second.identities.safetyNumber(bobOf('bob-two'))).digits,
  );

  const gone = eventOf(second, event => (event.kind === 'status' && event.status.kind !== 'online' ? true : undefined));
  await anna.devices.remove(2, { renewIdentity: false });
  await gone;
  await bob.send(annaOf('anna-two'), { text: 'to the first alone' });
  assert.equal((await read(anna, 1))[0]?.text, 'to the first alone');
  await Promise.all([anna.close(), bob.close(), second.close()]);
});

scenario('a new identity under a verified name waits for a person, then everything goes on', async () => {
  const bob = await person('bob-careful', 'citadel');
  const anna = await person('anna-new-phone', 'skylark');
  await anna.send(bobOf('bob-careful'), { text: 'before' });
  await read(bob, 1);
  const numbers = await Promise.all([
    bob.identities.safetyNumber(annaOf('anna-new-phone')),
    anna.identities.safetyNumber(bobOf('bob-careful')),
  ]);
  assert.equal(numbers[0].digits, numbers[1].digits);
  await bob.identities.setVerified(
    annaOf('anna-new-phone'),
    (await bob.identities.get(annaOf('anna-new-phone'))).identityKey,
  );
  await anna.close();

  const fresh = await network.open('anna-new-phone', 'skylark', { device: '-new' });
  await fresh.account.enlist({ replace: true });
  await fresh.connect();
  const changed = eventOf(bob, event =>
    event.kind === 'identity' && event.identity.kind === 'identity-changed' ? event.identity : undefined,
  );
  await fresh.send(bobOf('bob-careful'), { text: 'it is me' });
  const identity = await changed;
  assert.equal(identity.needsAcceptance, true);
  const waiting = await bob.send(annaOf('anna-new-phone'), { text: 'is it you?' });
  assert.equal(await stateOf(bob, waiting.id, ['held', 'sent']), 'held');
  const { pending } = await bob.identities.get(annaOf('anna-new-phone'));
  assert.ok(pending);
  await bob.identities.accept(annaOf('anna-new-phone'), pending.identityKey);
  assert.equal((await read(bob, 1))[0]?.text, 'it is me');
  assert.equal((await read(fresh, 1))[0]?.text, 'is it you?');
  await Promise.all([bob.close(), fresh.close()]);
});

scenario('a device that was set back to an old state asks again, and nothing is lost', async () => {
  let bob = await person('bob-restored', 'citadel');
  const anna = await person('anna-steady', 'skylark');
  await anna.send(bobOf('bob-restored'), { text: 'one' });
  await read(bob, 1);
  await bob.send(annaOf('anna-steady'), { text: 'two' });
  await read(anna, 1);
  const folder = join(network.folder, 'people', 'bob-restored');
  await bob.close();
  cpSync(folder, `${folder}-old`, { recursive: true });
  bob = await network.open('bob-restored', 'citadel');
  await bob.connect();
  // Both ratchets move on; the copy's does not.
  await anna.send(bobOf('bob-restored'), { text: 'three' });
  await read(bob, 1);
  await bob.send(annaOf('anna-steady'), { text: 'four' });
  await read(anna, 1);
  await anna.send(bobOf('bob-restored'), { text: 'five' });
  await read(bob, 1);
  // The gatekeeper must have read that `five` is kept: the copy does not know it.
  await new Promise(resolve => setTimeout(resolve, 200));
  await bob.close();
  rmSync(folder, { recursive: true });
  cpSync(`${folder}-old`, folder, { recursive: true });
  bob = await network.open('bob-restored', 'citadel');
  await bob.connect();
  await anna.send(bobOf('bob-restored'), { text: 'six' });
  assert.equal((await read(bob, 1))[0]?.text, 'six');
  await bob.send(annaOf('anna-steady'), { text: 'seven' });
  assert.equal((await read(anna, 1))[0]?.text, 'seven');
  await Promise.all([anna.close(), bob.close()]);
});

scenario('reactions, edits, deletions and typing', async () => {
  const bob = await person('bob-edits', 'citadel');
  const anna = await person('anna-edits', 'skylark');
  const sent = await anna.send(bobOf('bob-edits'), { text: 'helo' });
  const [got] = await read(bob, 1);
  assert.ok(got);
  const content = (client: Client) =>
    eventOf(client, event => (event.kind === 'message' && event.change === 'content' ? event.message : undefined));

  const reacted = content(anna);
  await bob.chats.react(got, '\u{1f44d}');
  assert.deepEqual((await reacted).reactions, { [bob.me!.interopId]: '\u{1f44d}' });
  const edited = content(bob);
  await anna.chats.edit(sent.id, { text: 'hello' });
  const change = await edited;
  assert.equal(change.text, 'hello');
  assert.equal(change.edited, true);
  const typing = eventOf(bob, event => (event.kind === 'typing' ? event : undefined));
  await anna.chats.typing(bobOf('bob-edits'));
  assert.deepEqual(await typing, { kind: 'typing', from: anna.me!.interopId, state: 'started' });
  const deleted = content(bob);
  await anna.chats.delete(sent.id);
  assert.equal((await deleted).kind, 'deleted');
  const [row] = await bob.chats.messages({ chat: annaOf('anna-edits') });
  assert.equal(row?.message.text, '');
  // Nobody edits what is not theirs.
  await assert.rejects(bob.chats.edit(got.id, { text: 'forged' }), { code: 'unknown-message' });
  await Promise.all([anna.close(), bob.close()]);
});

scenario(
  'consent: unreachable before, reachable after, and after opting out the sender learns no more than that',
  async () => {
    const bob = await network.open('bob-private', 'citadel');
    await bob.account.enlist();
    await bob.connect();
    const anna = await person('anna-curious', 'skylark');
    await assert.rejects(anna.contacts.find('citadel.example', 'bob-private'), { code: 'not-found' });
    await assert.rejects(anna.contacts.find('citadel.example', 'nobody'), { code: 'not-found' });
    await bob.account.optIn('skylark.example');
    assert.deepEqual(await bob.account.consent(), [{ number: 1, name: 'skylark.example', optedIn: true }]);
    await anna.send(bobOf('bob-private'), { text: 'hello' });
    await read(bob, 1);
    await bob.account.optOut('skylark.example');
    const refused = await anna.send(bobOf('bob-private'), { text: 'still there?' });
    const failed = await eventOf(anna, event =>
      event.kind === 'message' && event.message.id === refused.id && event.message.state === 'failed'
        ? event.message
        : undefined,
    );
    assert.equal(failed.failure?.code, 'not-reachable');
    await Promise.all([anna.close(), bob.close()]);
  },
);

scenario('a folder is open once; of two copies that connect one stops for good', async () => {
  const bob = await person('bob-copied', 'citadel');
  await assert.rejects(network.open('bob-copied', 'citadel'), { code: 'store-locked' });
  const folder = join(network.folder, 'people', 'bob-copied');
  cpSync(folder, `${folder}-copy`, { recursive: true });
  const copy = await network.open('bob-copied', 'citadel', { device: '-copy' });
  const stopped = eventOf(bob, event =>
    event.kind === 'status' && event.status.kind === 'stopped' ? event.status : undefined,
  );
  await copy.connect();
  // Each takes over from the other once; the copy has the last word.
  assert.equal((await stopped).error?.code, 'replaced');
  await copy.connect();
  await Promise.all([bob.close(), copy.close()]);
});

scenario('a server that the authority did not certify is refused', async () => {
  const other = await startSdkNetwork();
  const bob = await network.open('bob-misled', 'citadel', { gatekeeper: other.gatekeeper, device: '-misled' });
  await assert.rejects(bob.account.enlist(), { code: 'certificate-refused' });
  await bob.close();
  await other.close();
});

scenario('wrong arguments and wrong order are refused in words', async () => {
  const client = await network.open('nobody-yet', 'skylark');
  await assert.rejects(client.connect(), { code: 'not-enlisted' });
  await assert.rejects(client.send('x', { text: 'x' }), { code: 'not-enlisted' });
  await client.account.enlist();
  await assert.rejects(client.send('x', { text: 'x' }), { code: 'invalid-argument' });
  await assert.rejects(client.send(bobOf('bob'), { text: 'x' }), { code: 'not-connected' });
  await client.connect();
  await assert.rejects(client.send(bobOf('nobody-at-all'), { text: 'x' }), { code: 'not-found' });
  await client.close();
  await assert.rejects(client.connect(), { code: 'closed' });
  await client.close();
});

scenario('what waited for somebody who withdraws has failed at its sender, with its reason', async () => {
  const bob = await person('bob-writes', 'citadel');
  const anna = await person('anna-away', 'skylark');
  await anna.close();
  const sent = await bob.send(annaOf('anna-away'), { text: 'are you there?' });
  const stateOf = (state: string) => (event: ClientEvent) =>
    event.kind === 'message' && event.message.id === sent.id && event.message.state === state
      ? event.message
      : undefined;
  await eventOf(bob, stateOf('sent'));
  const failed = eventOf(bob, stateOf('failed'));
  const again = await network.open('anna-away', 'skylark');
  await again.account.withdraw();
  assert.deepEqual((await failed).failure, { code: 'not-delivered', detail: 'gone' });
  await Promise.all([bob.close(), again.close()]);
});

scenario('withdrawing deletes the person: nobody finds them, and they may come back as somebody new', async () => {
  const bob = await person('bob-stays', 'citadel');
  const anna = await person('anna-leaves', 'skylark');
  const before = anna.me?.interopId;
  await bob.contacts.find('skylark.example', 'anna-leaves');
  await anna.account.withdraw();
  await anna.close();
  await assert.rejects(bob.contacts.find('skylark.example', 'anna-leaves'), { code: 'not-found' });
  const again = await person('anna-leaves', 'skylark', { device: '-again' });
  assert.notEqual(again.me?.interopId, before);
  await Promise.all([bob.close(), again.close()]);
});
