// Everything that people say to each other, between a native person and one of a third-party provider who has two devices,
// through the real gatekeeper: each kind arrives, and all three devices end in the same state.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type {
  Client,
  ClientEvent,
  ClientOptions,
  Message,
  MessageRecord,
  Outgoing,
  TransportName,
  ShownMessageId,
} from '@drawbridge/client';
import { type SdkNetwork, type Service, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

const patienceMs = 60_000;

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

/** Another device of a person. */
async function linked(
  first: Client,
  identifier: string,
  options: { history?: boolean } = {},
  at: Service = 'skylark',
  over: TransportName = 'compact',
): Promise<Client> {
  const second = await network.open(identifier, at, { device: '-second', transports: [over] });
  const { code } = await second.devices.beginLink();
  const ticket = await (await first.devices.readLink(code)).confirm(options);
  await (await second.devices.openLink(ticket)).confirm();
  await second.connect();
  return second;
}

const native = (identifier: string) => ({ provider: 'citadel.example', identifier });
const foreign = (identifier: string) => ({ provider: 'skylark.example', identifier });

/** Looks again and again until something is there. */
async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  const giveUpAtMs = performance.now() + patienceMs;
  while (performance.now() < giveUpAtMs) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise(resolve => setTimeout(resolve, 30));
  }
  return assert.fail(`not in time: ${what}`);
}

async function find(client: Client, fits: (message: MessageRecord) => boolean): Promise<Message | undefined> {
  return (await client.chats.messages({ limit: 30 })).find(({ message }) => fits(message))?.message;
}

/** With somebody else: in the chat with oneself stand changes of one's own devices. */
async function others(client: Client, archived = false) {
  return (await client.chats.list({ archived })).filter(chat => chat.with.interopId !== client.me!.interopId);
}

async function message(client: Client, id: string, fits: (message: MessageRecord) => boolean = () => true) {
  return until(() => find(client, each => each.id === id && fits(each)), `message ${id}`);
}

function eventOf<K extends ClientEvent['kind']>(
  client: Client,
  kind: K,
  fits: (event: Extract<ClientEvent, { kind: K }>) => boolean = () => true,
) {
  const events = client.events();
  const found = (async () => {
    for await (const event of events) {
      if (event.kind === kind && fits(event as Extract<ClientEvent, { kind: K }>))
        return event as Extract<ClientEvent, { kind: K }>;
    }
    return assert.fail(`no event ${kind}`);
  })();
  const timer = setTimeout(() => void events.return?.(), patienceMs);
  return found.finally(() => {
    clearTimeout(timer);
    void events.return?.();
  });
}

/** What a device shows of a chat, without what is of that device alone: when it came, and how far the sending is. */
async function shownBy(client: Client): Promise<unknown> {
  const listed = await client.chats.messages({ limit: 500 });
  // What a device noticed by itself is its own line.
  const rows = listed.filter(row => row.message.kind !== 'notice');
  return rows
    .map(({ message: { from: _f, markRead: _m, receivedAtMs: _r, state: _s, ...rest } }) => rest)
    .map(({ chat: _c, read: _read, ...rest }) => rest)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

const pointer = {
  url: 'https://media.skylark.example/f/1',
  key: new Uint8Array(64).fill(1),
  digest: new Uint8Array(32).fill(2),
  incrementalMac: new Uint8Array(32).fill(3),
  incrementalMacChunkBytes: 65_536,
  sizeBytes: 99,
  kind: 'voice' as const,
  mediaType: 'audio/ogg',
  durationMs: 1_500,
  waveform: new Uint8Array([1, 2, 3]),
};

const kinds: readonly Outgoing[] = [
  {
    text: 'hello @bob, see https://a.example/x',
    styles: [{ start: 0, length: 5, style: 'bold' }],
    mentions: [{ start: 6, length: 4, interopId: `0-${'b'.repeat(26)}` }],
    preview: { url: 'https://a.example/x', title: 'A', description: 'about a', image: pointer },
  },
  { kind: 'attachment', attachments: [pointer], caption: { text: 'listen' } },
  { kind: 'contacts', contacts: [{ displayName: 'Carol', phones: ['+49 30 1'], emails: ['c@c.example'] }] },
  { kind: 'location', latitude: 52.5, longitude: 13.25, name: 'Berlin' },
  { kind: 'sticker', image: { ...pointer, kind: 'image' }, emoji: '🐎' },
  { kind: 'poll', question: 'when?', options: ['now', 'later', 'never'], choices: 2 },
];

const pairs = [
  ['citadel', 'compact', 'skylark', 'direct-tls'],
  ['citadel', 'direct-tls', 'skylark', 'compact'],
  ['citadel', 'compact', 'citadel', 'websocket'],
] as const;

for (const [atBob, over, atAnna, overAnna] of pairs) {
  test(`each kind of message, ${atBob} over ${over} with ${atAnna} over ${overAnna}; reactions, edits, votes, deletions: three devices end in the same state`, async () => {
    const [nameOfBob, nameOfAnna] = [`bob-${atBob}-${over}-${atAnna}`, `anna-${atBob}-${over}-${atAnna}`];
    const bob = await person(nameOfBob, atBob, { transports: [over] });
    const anna = await person(nameOfAnna, atAnna, { transports: [overAnna] });
    const toBob = { provider: `${atBob}.example`, identifier: nameOfBob };
    const toAnna = { provider: `${atAnna}.example`, identifier: nameOfAnna };
    // So that the second device gets what bob writes.
    await anna.send(toBob, { text: 'first' });
    const second = await linked(anna, nameOfAnna, {}, atAnna, overAnna);
    const ids: { fromAnna: ShownMessageId[]; fromBob: ShownMessageId[] } = { fromAnna: [], fromBob: [] };
    for (const outgoing of kinds) {
      const sent = await anna.send(toBob, outgoing);
      ids.fromAnna.push(sent.id);
      for (const device of [bob, second]) {
        const got = await message(device, sent.id);
        assert.deepEqual(got.body, sent.body);
        assert.equal(got.text, sent.text);
        assert.deepEqual([got.styles, got.mentions, got.preview], [sent.styles, sent.mentions, sent.preview]);
        assert.equal(got.kind, outgoing.kind ?? 'text');
      }
      const back = await bob.send(toAnna, { ...outgoing, replyTo: sent });
      ids.fromBob.push(back.id);
      for (const device of [anna, second]) {
        const got = await message(device, back.id);
        assert.deepEqual(got.body, back.body);
        assert.deepEqual(got.replyTo, {
          id: sent.id,
          author: anna.me!.interopId,
          excerpt: sent.text.slice(0, 100),
          original: 'here',
        });
      }
    }
    const [text, , , , , poll] = ids.fromAnna;
    const annas = { author: anna.me!.interopId };
    await bob.chats.react({ ...annas, id: text! }, '👍');
    await second.chats.edit(text!, { text: 'hello again' });
    await anna.chats.edit(text!, { text: 'hello for the last time' });
    await bob.chats.vote({ ...annas, id: poll! }, [0, 2]);
    await second.chats.vote({ ...annas, id: poll! }, [1]);
    await assert.rejects(bob.chats.vote({ ...annas, id: poll! }, [0, 1, 2]), { code: 'invalid-argument' });
    await bob.chats.delete(ids.fromBob[0]!);
    await message(anna, text!, each => each.reactions !== undefined && each.text === 'hello for the last time');
    await message(anna, poll!, each => Object.keys(each.poll!.votes).length === 2);
    await anna.chats.closePoll(poll!);
    for (const device of [anna, second, bob]) {
      await message(device, text!, each => each.text === 'hello for the last time' && each.reactions !== undefined);
      const closed = await message(device, poll!, each => each.poll?.closed === true);
      assert.deepEqual(closed.poll?.votes, { [bob.me!.interopId]: [0, 2], [anna.me!.interopId]: [1] });
      await message(device, ids.fromBob[0]!, each => each.kind === 'deleted');
      const versions = await device.chats.versions({ ...annas, id: text! });
      assert.deepEqual(
        versions.map(each => each.text.text),
        ['hello @bob, see https://a.example/x', 'hello again', 'hello for the last time'],
      );
    }
    assert.deepEqual(
      await shownBy(second),
      ((await shownBy(anna)) as { text: string }[]).filter(each => each.text !== 'first'),
    );
    assert.deepEqual(await shownBy(bob), await shownBy(anna));
    await assert.rejects(bob.chats.vote({ ...annas, id: poll! }, [0]), { code: 'not-applicable' });
    assert.deepEqual(await bob.chats.lacking(toAnna), []);
    await Promise.all([bob.close(), anna.close(), second.close()]);
  });
}

test('a profile goes along with the next message, and is known on one’s own devices', async () => {
  const bob = await person('bob-profile', 'citadel');
  const anna = await person('anna-profile', 'skylark');
  const second = await linked(anna, 'anna-profile');
  const own = eventOf(second, 'profile');
  await anna.account.setProfile({ displayName: 'Anna B.', about: 'here', avatar: { ...pointer, kind: 'image' } });
  assert.equal((await own).profile.displayName, 'Anna B.');
  const told = eventOf(bob, 'profile');
  await second.send(native('bob-profile'), { text: 'hello' });
  assert.deepEqual((await told).profile, await anna.contacts.profile());
  assert.equal((await bob.contacts.profile(foreign('anna-profile')))?.about, 'here');
  await Promise.all([bob.close(), anna.close(), second.close()]);
});

test('what may be seen once is shown once, and wiped on all devices', async () => {
  const bob = await person('bob-once', 'citadel');
  const anna = await person('anna-once', 'skylark');
  await bob.send(foreign('anna-once'), { text: 'before' });
  const second = await linked(anna, 'anna-once');
  const sent = await bob.send(foreign('anna-once'), { text: 'burn this', viewOnce: true });
  assert.equal(sent.kind, 'view-once');
  assert.equal(sent.text, '');
  for (const device of [anna, second]) {
    const got = await message(device, sent.id);
    assert.equal(got.kind, 'view-once');
    assert.ok(!JSON.stringify(got).includes('burn'));
  }
  const name = { author: bob.me!.interopId, id: sent.id };
  assert.equal((await anna.chats.openOnce(name)).text, 'burn this');
  await assert.rejects(anna.chats.openOnce(name), { code: 'unknown-message' });
  await message(second, sent.id, each => each.kind === 'opened');
  await assert.rejects(second.chats.openOnce(name), { code: 'unknown-message' });
  await message(bob, sent.id, each => each.state === 'played');
  await assert.rejects(bob.chats.openOnce(name), { code: 'not-applicable' });
  await Promise.all([bob.close(), anna.close(), second.close()]);
});

test('messages disappear at both ends after their time, also over a restart; new ones stay when the timer is off', async () => {
  let bob = await person('bob-gone', 'citadel');
  const anna = await person('anna-gone', 'skylark');
  await anna.send(native('bob-gone'), { text: 'stays' });
  const set = eventOf(bob, 'expiry-timer');
  await anna.chats.setTimer(native('bob-gone'), 2);
  assert.equal((await set).seconds, 2);
  assert.equal((await bob.chats.list())[0]?.timerSeconds, 2);
  const sent = await anna.send(native('bob-gone'), { text: 'vanishes' });
  const got = await message(bob, sent.id);
  assert.equal(got.expiresAtMs, undefined, 'its time begins when it is read');
  const back = await bob.send(foreign('anna-gone'), { text: 'vanishes too' });
  assert.equal(back.expiresAfterSeconds, 2, 'the timer holds for both');
  // What never left would be told when its time is over.
  await until(
    async () => ((await find(bob, each => each.id === back.id))?.state === 'queued' ? undefined : true),
    'it left',
  );
  await got.markRead();
  await bob.close();
  await until(
    async () => ((await find(anna, each => each.id === sent.id)) === undefined ? true : undefined),
    'wiped by its author',
  );
  // It comes due while bob's device is off.
  await new Promise(resolve => setTimeout(resolve, 1_500));
  bob = await network.open('bob-gone', 'citadel');
  assert.deepEqual(
    (await bob.chats.messages()).map(row => row.message.text),
    ['stays'],
  );
  const found: string[] = [];
  for await (const { message: each } of bob.chats.search('vanishes')) found.push(each.text);
  assert.deepEqual(found, []);
  await bob.connect();
  await bob.chats.setTimer(foreign('anna-gone'), 0);
  await eventOf(anna, 'expiry-timer');
  assert.equal((await anna.send(native('bob-gone'), { text: 'stays again' })).expiresAfterSeconds, undefined);
  await Promise.all([bob.close(), anna.close()]);
});

test('receipts can be switched off for one chat or all; reading is known on one’s own devices all the same', async () => {
  const bob = await person('bob-quiet', 'citadel');
  const anna = await person('anna-quiet', 'skylark');
  await bob.send(foreign('anna-quiet'), { text: 'before' });
  const second = await linked(anna, 'anna-quiet');
  await anna.chats.setDefaults({ sendRead: false });
  await until(() => (second.chats.defaults().sendRead === false ? true : undefined), 'defaults on the second device');
  const one = await bob.send(foreign('anna-quiet'), { text: 'one' });
  const two = await bob.send(foreign('anna-quiet'), { text: 'two' });
  await message(anna, two.id);
  await message(second, two.id);
  assert.equal((await others(second))[0]?.unread, 2);
  await anna.chats.markRead(native('bob-quiet'));
  await until(async () => ((await others(second))[0]?.unread === 0 ? true : undefined), 'read on the second device');
  await second.chats.set(native('bob-quiet'), { sendRead: true, pinned: true, mutedUntilMs: Number.MAX_SAFE_INTEGER });
  const shared = await until(async () => (await anna.chats.list()).find(chat => chat.pinned), 'settings on the first');
  assert.equal(shared.muted, true);
  const three = await bob.send(foreign('anna-quiet'), { text: 'three' });
  await (await message(anna, three.id)).markRead();
  await message(bob, three.id, each => each.state === 'read');
  assert.equal((await message(bob, one.id)).state, 'delivered', 'that one was read, and not said so');
  const voice = await bob.send(foreign('anna-quiet'), { kind: 'attachment', attachments: [pointer] });
  const heard = await message(second, voice.id);
  await second.chats.markPlayed(heard);
  await second.chats.markPlayed(heard);
  await message(bob, voice.id, each => each.state === 'played');
  await message(anna, voice.id, each => each.read === true);

  const hidden = eventOf(second, 'message', event => event.change === 'removed');
  await anna.chats.hide({ author: bob.me!.interopId, id: one.id });
  assert.equal((await hidden).message.id, one.id);
  assert.equal(await find(anna, each => each.id === one.id), undefined);
  assert.equal((await find(bob, each => each.id === one.id))?.text, 'one', 'for oneself alone');
  await anna.chats.set(native('bob-quiet'), { archived: true });
  assert.equal((await others(anna)).length, 0);
  assert.equal((await others(anna, true)).length, 1);
  await anna.chats.setDraft(native('bob-quiet'), 'not yet');
  assert.equal((await others(anna, true))[0]?.draft, 'not yet');
  await Promise.all([bob.close(), anna.close(), second.close()]);
});

test('a new device gets the history, in order and as it is now, though it is cut off in the middle', async () => {
  const count = 400;
  const bob = await person('bob-history', 'citadel');
  let anna = await person('anna-history', 'skylark');
  await anna.contacts.find('citadel.example', 'bob-history');
  await bob.contacts.find('skylark.example', 'anna-history');
  for (let i = 0; i < count; i++) {
    const outgoing = { text: `${i} ${'x'.repeat(300)}` };
    await (i % 2 === 0 ? anna.send(native('bob-history'), outgoing) : bob.send(foreign('anna-history'), outgoing));
  }
  const last = await bob.send(foreign('anna-history'), { text: 'the last' });
  await message(anna, last.id);
  await until(
    async () => ((await find(bob, each => each.text.startsWith(`${count - 2} `))) === undefined ? undefined : true),
    'everything arrived',
  );
  const [newest] = await anna.chats.messages({ limit: 1 });
  assert.ok(newest);
  await anna.chats.react(newest.message, '🎉');
  await anna.chats.markRead(native('bob-history'));
  await anna.chats.set(native('bob-history'), { pinned: true });
  let second = await linked(anna, 'anna-history', { history: true });
  const live = await bob.send(foreign('anna-history'), { text: 'while it comes' });
  const begun = eventOf(second, 'history');
  await second.devices.requestHistory();
  assert.equal((await begun).finished, false);
  // Both go away in the middle of it, and come back.
  await second.close();
  await anna.close();
  second = await network.open('anna-history', 'skylark', { device: '-second' });
  anna = await network.open('anna-history', 'skylark');
  const finished = eventOf(second, 'history', event => event.finished);
  const given = eventOf(anna, 'history', event => event.finished);
  await Promise.all([anna.connect(), second.connect()]);
  const { total, done } = await finished;
  assert.ok(total >= count && done === total, `${done} of ${total}`);
  await given;
  await message(anna, live.id);
  await message(second, live.id);
  const texts = async (client: Client): Promise<string[]> => {
    const all: string[] = [];
    for (let before: number | undefined; ; ) {
      const rows = await client.chats.messages({ limit: 300, ...(before === undefined ? {} : { before }) });
      if (rows.length === 0) return all;
      before = rows.at(-1)!.sequence;
      all.push(...rows.filter(row => row.message.kind !== 'notice').map(row => row.message.text));
    }
  };
  assert.deepEqual(await texts(second), await texts(anna));
  assert.deepEqual((await message(second, newest.message.id)).reactions, { [anna.me!.interopId]: '🎉' });
  const [chat] = await others(second);
  assert.equal(chat?.pinned, true);
  assert.equal(chat.unread, 1, 'only what came since');
  // What came as history is not news.
  const news = second.messages();
  assert.equal((await news.next()).value?.text, 'while it comes');
  await news.return();
  await Promise.all([bob.close(), anna.close(), second.close()]);
});
