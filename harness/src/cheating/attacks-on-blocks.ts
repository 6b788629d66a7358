// Attacks on what a person has decided about somebody: the gatekeeper says otherwise, and lets in whom they have refused.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { type CheatingNetwork, type Person, until } from './network.ts';

const domain = 'citadel.example';

/** What the gatekeeper tells a device of a decision. */
function tell(network: CheatingNetwork, device: Person, about: Person, state: string): void {
  const contact = element('contact', NS_CONSENT, { jid: `${about.id}@${domain}`, state });
  network.gatekeeper.give(device.jid, element('message', NS_CLIENT, { from: domain, to: device.jid }, [contact]));
}

/** The real gatekeeper does so, and nobody asked it to. */
async function unblockBehind(network: CheatingNetwork, whose: Person, about: Person): Promise<void> {
  const unblock = element('unblock', NS_CONSENT, { jid: `${about.id}@${domain}` });
  assert.equal(attribute(await network.gatekeeper.ask(whose.jid, unblock, 'set'), 'type'), 'result');
}

/** How many messages of these devices leave for somebody from now on. */
function counted(network: CheatingNetwork, devices: readonly Person[], to: Person): () => number {
  let left = 0;
  network.gatekeeper.lies.accept = (el, who) => {
    if (devices.some(({ jid }) => jid === who) && attribute(el, 'to')!.startsWith(to.id)) left++;
    return [el];
  };
  return () => left;
}

/** All that has come to these devices is read: what Carla says comes behind it. */
async function hasRead(network: CheatingNetwork, devices: readonly Person[]): Promise<void> {
  const carla =
    network.people.find(({ name }) => name.identifier.startsWith('carla-')) ?? (await network.person('carla'));
  const text = `behind it ${Math.random()}`;
  await carla.say(devices[0]!, text);
  for (const device of devices) await device.sees(text);
}

const isShown = ({ shown, events }: Person, text: string): boolean =>
  shown.some(each => each.text === text) || events.some(each => each.kind === 'message' && each.message.text === text);

/** Anna has written with Bob, and blocked him. */
async function blocked(network: CheatingNetwork): Promise<{ anna: Person; bob: Person }> {
  const [anna, bob] = [await network.person('anna'), await network.person('bob')];
  await bob.say(anna, 'hello');
  await anna.sees('hello');
  await until(() => bob.receipts().length === 1, 'Bob hears that it came');
  await anna.client.contacts.block({ interopId: bob.id });
  return { anna, bob };
}

/** Everything that a device might tell of itself: it reads, plays and writes. */
async function beSeen(device: Person, by: Person): Promise<void> {
  const [row] = await device.client.chats.messages({ chat: { interopId: by.id }, limit: 1 });
  await row!.message.markRead();
  await device.client.chats.typing({ interopId: by.id });
  await sleep(300);
}

const states = ({ client }: Person, about: Person): unknown[] => [
  client.contacts.decision(about.id),
  client.contacts.unconfirmed(about.id),
];

/** Until all that this person's other devices have sent is here. */
async function settled(device: Person, from: Person, about: Person): Promise<void> {
  const text = `settled ${Math.random()}`;
  await from.say(about, text);
  await until(() => device.events.some(each => each.kind === 'message' && each.message.text === text), text);
}

export const liftedBlocks: readonly Attack[] = [
  {
    name: 'a block is lifted behind a person’s back: who was blocked learns nothing of them, and they are told',
    permitted: ['told'],
    async play(network) {
      const { anna, bob } = await blocked(network);
      const left = counted(network, [anna], bob);
      await unblockBehind(network, anna, bob);
      await until(() => anna.client.contacts.unconfirmed(bob.id) !== undefined, 'the gatekeeper says so');
      await bob.say(anna, 'let me in');
      await hasRead(network, [anna]);
      await beSeen(anna, bob);
      const line = await anna.told(
        event =>
          (event.kind === 'message' && event.message.notice?.kind === 'contact-unconfirmed' && event.message) ||
          undefined,
        'nobody has lifted the block',
      );
      assert.deepEqual([line.chat, left(), bob.receipts().length], [bob.id, 0, 1]);
      assert.deepEqual(states(anna, bob), ['blocked', 'accepted']);
      assert(!isShown(anna, 'let me in'));
      await anna.client.contacts.unblock({ interopId: bob.id });
      assert.deepEqual(states(anna, bob), ['accepted', undefined]);
      await anna.sees('let me in');
      await bob.say(anna, 'thank you');
      await until(() => bob.receipts().length === 2, 'what comes from now on is acknowledged, and nothing earlier');
      assert.equal(left(), 1);
      return 'told';
    },
  },
  {
    name: 'a list of decisions leaves a block out, with a new session: the block holds',
    permitted: ['withheld'],
    async play(network) {
      const { anna, bob } = await blocked(network);
      await unblockBehind(network, anna, bob);
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        asked.name === 'contacts' && who === anna.jid
          ? { ...answer, children: [element('contacts', NS_CONSENT, undefined, [])] }
          : answer;
      network.gatekeeper.cut();
      await until(() => anna.client.contacts.unconfirmed(bob.id) === 'none', 'the list has come');
      const left = counted(network, [anna], bob);
      await bob.say(anna, 'let me in');
      await hasRead(network, [anna]);
      await beSeen(anna, bob);
      assert.deepEqual([left(), bob.receipts().length, states(anna, bob)[0]], [0, 1, 'blocked']);
      assert(!isShown(anna, 'let me in'));
      return 'withheld';
    },
  },
  {
    name: 'a device is linked to a person who has blocked somebody, and the gatekeeper knows of no block: it has it from the ticket',
    permitted: ['withheld'],
    async play(network) {
      const { anna, bob } = await blocked(network);
      network.gatekeeper.lies.answer = (asked, answer, who) =>
        asked.name === 'contacts' && who !== anna.jid
          ? { ...answer, children: [element('contacts', NS_CONSENT, undefined, [])] }
          : answer;
      // Nothing of what Anna's devices tell each other comes.
      network.gatekeeper.lies.deliver = (el, who) =>
        who.startsWith(anna.id) && attribute(el, 'from')?.startsWith(anna.id) === true ? [] : [el];
      const second = await network.furtherDevice(anna);
      await until(() => second.client.contacts.unconfirmed(bob.id) === 'none', 'the list has come');
      const left = counted(network, [anna, second], bob);
      await unblockBehind(network, anna, bob);
      await bob.say(anna, 'let me in');
      await hasRead(network, [anna, second]);
      assert.deepEqual([left(), states(second, bob)[0]], [0, 'blocked']);
      assert(!isShown(second, 'let me in'));
      rmSync(join(network.folder, 'people', `${second.name.identifier}-second`), { recursive: true });
      return 'withheld';
    },
  },
  {
    name: 'who was blocked is let through in silence, to all devices of a person: nothing of it is shown, answered or fetched',
    permitted: ['withheld'],
    async play(network) {
      const [anna, bob] = [await network.person('anna'), await network.person('bob')];
      const second = await network.furtherDevice(anna);
      await bob.say(anna, 'hello');
      for (const device of [anna, second]) await device.sees('hello');
      await until(() => bob.receipts().length === 1, 'Bob hears that it came');
      await anna.client.contacts.block({ interopId: bob.id });
      await until(() => second.client.contacts.decision(bob.id) === 'blocked', 'the second device hears of it');
      await settled(second, anna, await network.person('carla'));
      // Nobody hears that the gatekeeper drops nothing any more.
      network.gatekeeper.lies.deliver = el =>
        el.children.some(child => typeof child === 'object' && 'ns' in child && child.ns === NS_CONSENT) ? [] : [el];
      await unblockBehind(network, anna, bob);
      const left = counted(network, [anna, second], bob);
      const lines = async ({ client }: Person): Promise<number> =>
        (await client.chats.messages({ chat: { interopId: bob.id }, limit: 50 })).length;
      const before = [await lines(anna), await lines(second)];
      const words = ['one', 'two', 'three'].map(each => `${each} word to somebody who does not want it`);
      for (const text of words) await bob.say(anna, text);
      const [said] = await bob.client.chats.messages({ chat: { interopId: anna.id }, limit: 1 });
      await bob.client.chats.edit(said!.message.id, { text: 'three words' });
      await bob.client.chats.react(said!.message, '🙂');
      await bob.client.chats.typing({ interopId: anna.id });
      await hasRead(network, [anna, second]);
      for (const device of [anna, second]) {
        for (const text of [...words, 'three words']) assert(!isShown(device, text));
        assert.deepEqual(states(device, bob), ['blocked', undefined]);
        assert(!device.events.some(({ kind }) => kind === 'typing'));
      }
      assert.deepEqual([await lines(anna), await lines(second)], before);
      assert.deepEqual([left(), bob.receipts().length], [0, 1]);
      // It waits, as it came: one of the person's devices lifts the block, and it is there on all, unanswered.
      await second.client.contacts.unblock({ interopId: bob.id });
      for (const device of [anna, second]) {
        await until(() => isShown(device, 'three words'), 'it is shown');
        const rows = await device.client.chats.messages({ chat: { interopId: bob.id }, limit: 3 });
        const texts = rows.map(({ message }) => message.text).toReversed();
        assert.deepEqual(texts, [words[0], words[1], 'three words']);
      }
      await hasRead(network, [anna, second]);
      assert.deepEqual([left(), bob.receipts().length], [0, 1]);
      rmSync(join(network.folder, 'people', `${second.name.identifier}-second`), { recursive: true });
      return 'withheld';
    },
  },
  {
    name: 'what a device said before a block is kept back and comes after it: it lifts nothing on the other device',
    permitted: ['withheld'],
    async play(network) {
      const [anna, bob] = [await network.person('anna'), await network.person('bob')];
      const carla = await network.person('carla');
      const second = await network.furtherDevice(anna);
      await bob.say(anna, 'hello');
      await second.sees('hello');
      await settled(second, anna, carla);
      tell(network, second, bob, 'request');
      await until(() => second.client.contacts.decision(bob.id) === 'request', 'the second device hears of a request');
      const kept: Element[] = [];
      network.gatekeeper.lies.deliver = (el, who) => {
        if (who !== second.jid || attribute(el, 'from') !== anna.jid) return [el];
        kept.push(el);
        return [];
      };
      await anna.client.contacts.accept({ interopId: bob.id });
      await until(() => kept.length === 1, 'the acceptance is on its way');
      assert.deepEqual(states(second, bob), ['request', 'accepted']);
      await bob.say(anna, 'how are you?');
      await second.sees('how are you?');
      await anna.client.contacts.block({ interopId: bob.id });
      await until(() => kept.length === 2, 'the block is on its way');
      await until(() => second.client.contacts.decision(bob.id) === 'blocked', 'the gatekeeper says so meanwhile');
      const left = counted(network, [second], bob);
      delete network.gatekeeper.lies.deliver;
      network.gatekeeper.give(second.jid, kept[0]!);
      for (const state of ['accepted', 'none', 'accepted']) tell(network, second, bob, state);
      await settled(second, anna, carla);
      assert.deepEqual(states(second, bob), ['blocked', 'accepted']);
      network.gatekeeper.give(second.jid, kept[1]!);
      await anna.client.contacts.unblock({ interopId: bob.id });
      await until(() => second.client.contacts.decision(bob.id) === 'accepted', 'the second device hears of the end');
      assert.equal(left(), 0, 'what came while Bob waited or was blocked is not acknowledged');
      rmSync(join(network.folder, 'people', `${second.name.identifier}-second`), { recursive: true });
      return 'withheld';
    },
  },
  {
    name: 'the gatekeeper says again and again that a request waits and was accepted: nothing is acknowledged before the person accepts, and each message once',
    permitted: ['delivered'],
    async play(network) {
      const [anna, bob] = [await network.person('anna'), await network.person('bob')];
      await bob.say(anna, 'a first word');
      await anna.sees('a first word');
      await until(() => bob.receipts().length === 1, 'Bob hears that it came');
      const left = counted(network, [anna], bob);
      for (let turn = 0; turn < 100; turn++) {
        for (const state of ['request', 'accepted', 'none']) tell(network, anna, bob, state);
      }
      tell(network, anna, bob, 'accepted');
      await until(() => states(anna, bob).join() === 'request,accepted', 'Anna has heard it all');
      await bob.say(anna, 'another word');
      await anna.sees('another word');
      await beSeen(anna, bob);
      const contact = anna.events.filter(({ kind }) => kind === 'contact');
      assert.deepEqual([left(), contact.length], [0, 1]);
      await anna.client.contacts.accept({ interopId: bob.id });
      await until(() => bob.receipts().length === 2, 'Bob hears of the other');
      await bob.say(anna, 'a third');
      await until(() => bob.receipts().length === 3, 'and of what comes from now on');
      assert.equal(left(), 2);
      return 'delivered';
    },
  },
];
