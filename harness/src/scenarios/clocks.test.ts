// Two people with two devices each, whose clocks are set while all of them are off, on both sides, ahead and back: what they
// change, set, see once and let disappear ends the same everywhere, in one order.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import type { Client, Message, MessageRecord } from '@drawbridge/client';
import { type Clock, systemClock } from '@drawbridge/client/clock';
import { type SdkNetwork, type Service, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

const [hourMs, dayMs] = [3_600_000, 86_400_000];
const patienceMs = 20_000;

async function until<T>(look: () => Promise<T | undefined> | T | undefined, what: string): Promise<T> {
  const giveUpAtMs = performance.now() + patienceMs;
  while (performance.now() < giveUpAtMs) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(50);
  }
  return assert.fail(`not in time: ${what}`);
}

/** A device whose clock is wrong by what a test says. */
class Device {
  readonly identifier: string;
  readonly at: Service;
  readonly suffix: string;
  wrongByMs = 0;
  client!: Client;

  constructor(identifier: string, at: Service, suffix = '') {
    this.identifier = identifier;
    this.at = at;
    this.suffix = suffix;
  }

  get name() {
    return { provider: `${this.at}.example`, identifier: this.identifier };
  }

  async open(): Promise<void> {
    const clock: Clock = { ...systemClock, nowMs: () => Date.now() + this.wrongByMs };
    this.client = await network.open(this.identifier, this.at, { device: this.suffix, clock });
  }

  async messages(): Promise<MessageRecord[]> {
    const rows = await this.client.chats.messages({ limit: 200 });
    return rows.map(({ message }) => message).reverse();
  }

  async find(id: string): Promise<MessageRecord | undefined> {
    return (await this.messages()).find(message => message.id === id);
  }
}

type People = { readonly anna: Device; readonly annas: Device; readonly bob: Device; readonly bobs: Device };

async function meet(name: string): Promise<People> {
  const made = {
    anna: new Device(`anna-${name}`, 'skylark'),
    annas: new Device(`anna-${name}`, 'skylark', '-second'),
    bob: new Device(`bob-${name}`, 'citadel'),
    bobs: new Device(`bob-${name}`, 'citadel', '-second'),
  };
  for (const device of Object.values(made)) await device.open();
  for (const [first, second] of [
    [made.anna, made.annas],
    [made.bob, made.bobs],
  ] as const) {
    await first.client.account.enlist();
    await first.client.connect();
    if (first.at === 'citadel') await first.client.account.optIn('skylark.example');
    const { code } = await second.client.devices.beginLink();
    const ticket = await (await first.client.devices.readLink(code)).confirm();
    await (await second.client.devices.openLink(ticket)).confirm();
    await second.client.connect();
  }
  return made;
}

/** All are off; then their clocks are set, and they are opened, without a stream yet. */
async function setClocks(people: People, wrongByMs: Readonly<Record<keyof People, number>>): Promise<void> {
  const names = Object.keys(people) as (keyof People)[];
  for (const name of names) await people[name].client.close();
  for (const name of names) {
    people[name].wrongByMs = wrongByMs[name];
    await people[name].open();
  }
}

async function connect({ anna, annas, bob, bobs }: People): Promise<void> {
  for (const device of [anna, bobs, annas, bob]) await device.client.connect();
}

/** What everybody sees alike: neither when it came, nor how far the sending is, nor the order on the other side. */
function seen({ author, id, kind, text, edited, reactions }: MessageRecord): unknown {
  return { author, id, kind, text, edited, reactions };
}

async function endTheSame(people: People, what: string, of: (device: Device) => Promise<unknown>): Promise<void> {
  const devices = Object.values(people);
  let last: unknown[] = [];
  await until(async () => {
    last = await Promise.all(devices.map(of));
    return last.every(each => JSON.stringify(each) === JSON.stringify(last[0])) || undefined;
  }, what).catch((error: unknown) => {
    assert.deepEqual(
      last.slice(1),
      devices.slice(1).map(() => last[0]),
      what,
    );
    throw error;
  });
}

const wrong: readonly (readonly [string, Readonly<Record<keyof People, number>>])[] = [
  ['ahead on one side, back on the other', { anna: 2 * hourMs, annas: 3 * dayMs, bob: -dayMs, bobs: -hourMs }],
  ['the other way round', { anna: -dayMs, annas: -2 * hourMs, bob: 3 * dayMs, bobs: 2 * hourMs }],
  ['ahead and back with one person', { anna: 3 * dayMs, annas: -3 * dayMs, bob: -3 * dayMs, bobs: 3 * dayMs }],
];

for (const [at, [what, first]] of wrong.entries()) {
  test(`clocks set while everybody is off, ${what}: changes, timers and order`, async () => {
    const people = await meet(`clocks-${at}`);
    const { anna, annas, bob, bobs } = people;
    const said = await anna.client.send(bob.name, { text: 'said' });
    await until(() => bob.find(said.id), 'it comes');
    await until(() => annas.find(said.id), 'and its copy');
    const lines: string[] = ['said'];
    const talk = async (from: Device, text: string): Promise<Message> => {
      const sent = await from.client.send(from.at === 'skylark' ? bob.name : anna.name, { text });
      lines.push(text);
      return sent;
    };

    await setClocks(people, first);
    // Off the network, each with their own time: two settings that know nothing of one another.
    await anna.client.chats.edit(said.id, { text: 'edited once' });
    await bob.client.chats.react({ author: said.author, id: said.id }, '👍');
    await anna.client.chats.setTimer(bob.name, 3_600);
    await bob.client.chats.setTimer(anna.name, 600);
    await connect(people);
    const timerOf = async ({ client }: Device): Promise<unknown> =>
      (await client.chats.list()).find(each => each.with.interopId !== client.me!.interopId)?.timerSeconds;
    await endTheSame(people, 'one of the two timers', timerOf);
    await endTheSame(people, 'the edit and the reaction', async device => {
      const { text, reactions } = (await device.find(said.id)) ?? {};
      return [text, Object.values(reactions ?? {})];
    });
    assert.equal((await bobs.find(said.id))?.text, 'edited once');
    // Off again, by whoever's clock: what runs out would be wiped by a clock that is set ahead while its device is off.
    await annas.client.chats.setTimer(bob.name, 0);
    const isOff = async (): Promise<true | undefined> => {
      const all = await Promise.all(Object.values(people).map(timerOf));
      return all.every(each => each === 0) || undefined;
    };
    await until(isOff, 'off everywhere');
    // Questions and answers, one after the other.
    for (const turn of [1, 2, 3]) {
      const question = await talk(anna, `question ${turn}`);
      await until(() => bobs.find(question.id), 'the question');
      const answer = await talk(turn % 2 === 0 ? bob : bobs, `answer ${turn}`);
      await until(() => annas.find(answer.id), 'the answer');
    }

    // All clocks are set again, the other way: what is said now is later than what was said by the earlier clocks.
    await setClocks(people, { anna: -first.anna, annas: -first.annas, bob: -first.bob, bobs: -first.bobs });
    await connect(people);
    await anna.client.chats.edit(said.id, { text: 'edited twice' });
    await until(async () => ((await annas.find(said.id))?.text === 'edited twice' ? true : undefined), 'here, too');
    await annas.client.chats.edit(said.id, { text: 'edited on the second device' });
    await bobs.client.chats.react({ author: said.author, id: said.id }, '🎉');
    await until(
      async () => Object.values((await bob.find(said.id))?.reactions ?? {})[0] === '🎉' || undefined,
      'there',
    );
    await bob.client.chats.react({ author: said.author, id: said.id }, '❤️');
    for (const [device, other, seconds] of [
      [bobs, anna, 1_200],
      [annas, bob, 2_400],
      [bob, anna, 0],
    ] as const) {
      await device.client.chats.setTimer(other.name, seconds);
      await until(async () => {
        const all = await Promise.all(Object.values(people).map(timerOf));
        return all.every(each => each === seconds) || undefined;
      }, `a timer of ${seconds}`);
    }
    const goesOn = await talk(annas, 'goes on');
    await until(() => bob.find(goesOn.id), 'it goes on');
    const last = await talk(bob, 'to the end');
    await until(() => anna.find(last.id), 'the last');
    await endTheSame(people, 'all of it', async device =>
      (await device.messages()).filter(({ kind }) => kind === 'text').map(seen),
    );
    for (const device of Object.values(people)) {
      const texts = (await device.messages()).filter(each => each.kind === 'text').map(({ text }) => text);
      assert.deepEqual(texts, ['edited on the second device', ...lines.slice(1)], device.identifier + device.suffix);
      const { reactions } = (await device.find(said.id))!;
      assert.deepEqual(Object.values(reactions ?? {}), ['❤️']);
    }
    for (const { client } of Object.values(people)) await client.close();
  });
}

test('clocks set while everybody is off: view once is once, and what runs out runs by the time that went by', async () => {
  const people = await meet('once');
  const { anna, annas, bob, bobs } = people;
  const all = Object.values(people);
  const first = await anna.client.send(bob.name, { text: 'first' });
  await until(() => bob.find(first.id), 'it comes');
  const once = await bob.client.send(anna.name, { text: 'burn this', viewOnce: true });
  await anna.client.chats.setTimer(bob.name, 30);
  for (const device of [anna, annas]) await until(() => device.find(once.id), 'view once');
  const running = await anna.client.send(bob.name, { text: 'thirty seconds' });
  const got = await until(() => bob.find(running.id), 'it comes');
  const startedAtMs = performance.now();
  for (const device of [bobs, annas]) await until(() => device.find(running.id), 'and to the others');
  await bob.client.chats.markRead(anna.name);
  await until(async () => (await bobs.find(got.id))?.expiresAtMs !== undefined || undefined, 'read is known there');

  // Back on all but one, whose clock shows that the time is over: it can't know better, and wipes at its start.
  await setClocks(people, { anna: -dayMs, annas: 3 * dayMs, bob: -3 * dayMs, bobs: -hourMs });
  await connect(people);
  assert.equal(await annas.find(running.id), undefined, 'wiped early by a clock that was set ahead');
  for (const device of [anna, bob, bobs]) assert.equal((await device.find(running.id))?.text, 'thirty seconds');
  assert.equal((await annas.client.chats.openOnce({ author: once.author, id: once.id })).text, 'burn this');
  await until(async () => ((await anna.find(once.id))?.kind === 'opened' ? true : undefined), 'opened there, too');
  await assert.rejects(anna.client.chats.openOnce({ author: once.author, id: once.id }), { code: 'unknown-message' });
  await until(async () => (await bob.find(once.id))?.state === 'played' || undefined, 'its author hears of it');
  // Said by clocks that are days apart: each device lets it run for as long as it says, from its own hearing.
  await sleep(Math.max(0, 25_000 - (performance.now() - startedAtMs)));
  assert.equal((await bob.find(running.id))?.text, 'thirty seconds', 'not before its time');
  await until(async () => {
    const left = await Promise.all([anna, bob, bobs].map(device => device.find(running.id)));
    return left.every(each => each === undefined) || undefined;
  }, 'gone everywhere');
  const lastedMs = performance.now() - startedAtMs;
  assert(lastedMs > 28_000 && lastedMs < 45_000, `${lastedMs} ms`);
  for (const { client } of all) await client.close();
});

test('what is written without a network, with a timer that is shorter than that lasts, is told on both devices of its author', async () => {
  const people = await meet('unsent');
  const { anna, annas, bob, bobs } = people;
  const first = await anna.client.send(bob.name, { text: 'first' });
  await until(() => bob.find(first.id), 'it comes');
  await anna.client.chats.setTimer(bob.name, 1);
  await anna.client.disconnect();
  const lost = await anna.client.send(bob.name, { text: 'nobody gets this' });
  const told = (device: Device) =>
    until(async () => (await device.messages()).find(({ notice }) => notice?.kind === 'never-sent'), 'a line of it');
  assert.match((await told(anna)).text, /before it could be sent/);
  assert.equal(await anna.find(lost.id), undefined);
  // Over a restart the other device hears of it, and the other side of nothing.
  await anna.client.close();
  await anna.open();
  await anna.client.connect();
  assert.equal((await told(annas)).text, (await told(anna)).text);
  await anna.client.chats.setTimer(bob.name, 0);
  const goesOn = await anna.client.send(bob.name, { text: 'goes on' });
  for (const device of [bob, bobs]) {
    await until(() => device.find(goesOn.id), 'it goes on');
    const texts = (await device.messages()).filter(({ kind }) => kind !== 'notice').map(({ text }) => text);
    assert.deepEqual(texts, ['first', 'goes on']);
  }
  const [chat] = (await bob.client.chats.list()).filter(each => each.with.interopId !== bob.client.me!.interopId);
  assert.equal(chat?.missing, 0, 'its number was said as nothing');
  for (const { client } of Object.values(people)) await client.close();
});
