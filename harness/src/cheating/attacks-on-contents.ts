// Attacks with what is said and when: contents that only one's own devices may say, times at the end of all times, and a list of
// devices that is kept from growing old in sight.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type Content, encodeContent, MAX_TIMER_VERSION, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { attribute, childElement, childElements, type Element } from '@drawbridge/wire/element';
import { NS_E2EE } from '@drawbridge/wire/namespaces';
import type { Attack } from './attack.ts';
import { mallory, meets, readToTheEnd } from './attacks-on-answers.ts';
import { asks } from './attacks-on-devices.ts';
import { type Person, until } from './network.ts';

/** The latest time that a content may name (docs/protocol/09-content.md). */
const endOfTimeMs = 253_402_300_799_999;

const day = 86_400_000;

async function historyWith(person: Person, other: Person): Promise<unknown> {
  const rows = await person.client.chats.messages({ chat: { interopId: other.id }, limit: 50 });
  const { client } = person;
  const chat = (await client.chats.list()).find(each => each.with.interopId === other.id);
  // As text: what is shown, not how.
  return JSON.parse(JSON.stringify([rows.map(({ message }) => message), chat]));
}

/** Without the copy for this device. */
function without(message: Element, deviceId: number): Element {
  const envelope = childElement(message, 'envelope', NS_E2EE);
  if (envelope === undefined) return message;
  const children = childElements(envelope).filter(each => attribute(each, 'device') !== String(deviceId));
  return { ...message, children: message.children.map(each => (each === envelope ? { ...envelope, children } : each)) };
}

export const contentsAndTimes: readonly Attack[] = [
  {
    name: 'a contact says what only one’s own devices may say: nothing of it counts, and no history leaves',
    permitted: ['delivered'],
    async play(network) {
      const bob = await network.person('bob');
      const clara = await network.person('clara');
      const cheat = await mallory(network, bob);
      await meets(network, cheat, bob);
      await readToTheEnd(network, cheat, bob, 'hello');
      const { id: claras } = await clara.say(bob, 'for Bob alone');
      await bob.sees('for Bob alone');
      const { id: bobs } = await bob.say(clara, 'for Clara alone');
      await clara.sees('for Clara alone');
      await until(() => bob.receipts().includes(bobs), 'it has arrived');
      const before = await historyWith(bob, clara);
      const made = (text: string): Uint8Array => {
        const body = { kind: 'text', text } as const;
        const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: Date.now(), body });
        assert(encoded.ok);
        return encoded.value;
      };
      const ref = (author: string, id: string) => ({
        messageId: Buffer.from(id, 'hex'),
        author,
        sentAtMs: Date.now(),
      });
      const items = [
        { author: clara.id, chat: clara.id, receivedAtMs: 1, content: made('Clara never wrote this') },
        { author: bob.id, chat: clara.id, receivedAtMs: 1, content: made('Bob never wrote this') },
      ];
      const counts = { messagesDone: 2, messagesTotal: 2, last: true };
      const bodies: readonly Content['body'][] = [
        { kind: 'sent-transcript', to: clara.id, content: made('nor this') },
        {
          kind: 'device-sync',
          hidden: [{ message: ref(clara.id, claras), chat: clara.id }],
          reads: [{ message: ref(clara.id, claras), chat: clara.id, readAtMs: Date.now(), opened: true }],
          progress: [{ message: ref(bob.id, bobs), chat: clara.id, state: 'failed' }],
          chats: [{ chat: clara.id, archived: true, mutedUntilMs: endOfTimeMs, sendDelivered: false }],
        },
        { kind: 'history-request', nextIndex: 0 },
        { kind: 'history-piece', transferId: randomBytes(16), index: 0, items, ...counts },
        { kind: 'delete', targetMessageId: Buffer.from(claras, 'hex') },
        { kind: 'receipt', receipt: 'read', messageIds: [Buffer.from(bobs, 'hex')] },
      ];
      // Also while Bob waits for the history that he has asked his own devices for.
      await bob.client.devices.requestHistory();
      for (const body of [...bodies, ...bodies])
        network.gatekeeper.give(bob.jid, await cheat.keys.say(bob.address, body));
      await readToTheEnd(network, cheat, bob, 'that is all');
      assert.deepEqual(await historyWith(bob, clara), before);
      const heard = cheat.keys.contents.map(({ body }) => body.kind);
      assert(heard.includes('receipt'), 'what Bob says is heard');
      assert.deepEqual(
        heard.filter(kind => kind !== 'receipt' && kind !== 'nothing' && kind !== 'profile'),
        [],
      );
      return 'delivered';
    },
  },
  {
    name: 'a contact speaks from the end of time: what is said after it goes on, and no timer is pinned',
    permitted: ['delivered'],
    async play(network) {
      const bob = await network.person('bob');
      const cheat = await mallory(network, bob);
      await meets(network, cheat, bob);
      await readToTheEnd(network, cheat, bob, 'hello');
      const say = async (body: Content['body'], more: Partial<Content>): Promise<void> => {
        const id = randomBytes(MESSAGE_ID_BYTES);
        network.gatekeeper.give(bob.jid, await cheat.keys.say(bob.address, body, true, id, more));
      };
      for (const more of [{ sentAtMs: endOfTimeMs }, { sentAtMs: 1, stampMs: endOfTimeMs }, { sentAtMs: 0 }]) {
        const text = `at ${more.sentAtMs}`;
        network.book.push({ author: cheat.person.id, to: bob.id, text });
        await say({ kind: 'text', text }, more);
        await say({ kind: 'expiry-timer', seconds: 1, version: MAX_TIMER_VERSION }, more);
      }
      await readToTheEnd(network, cheat, bob, 'that is all');
      await bob.told(event => (event.kind === 'expiry-timer' && event.seconds === 1) || undefined, 'a timer');
      await bob.client.chats.setTimer(cheat.person.name, 0);
      const said = await bob.say(cheat.person, 'goes on');
      await until(() => cheat.keys.read.includes('goes on'), 'it comes');
      await bob.client.chats.edit(said.id, { text: 'goes on, changed' });
      const edit = (): Content | undefined =>
        cheat.keys.contents.find(({ body }) => body.kind === 'edit') as Content | undefined;
      await until(() => edit() !== undefined, 'and can be changed');
      const [text] = cheat.keys.contents.filter(({ body }) => body.kind === 'text' && body.text === 'goes on');
      assert.equal(text!.expiresAfterSeconds, undefined, 'the timer is off');
      for (const { stampMs = 0, sentAtMs } of [text!, edit()!]) {
        assert(Math.max(stampMs, sentAtMs) < Date.now() + 10 * 60_000, 'and nobody’s clock is dragged along');
      }
      const chat = (await bob.client.chats.list()).find(each => each.with.interopId === cheat.person.id);
      assert.equal(chat?.timerSeconds, 0);
      assert(chat.lastAtMs < Date.now() + 1_000);
      return 'delivered';
    },
  },
  {
    name: 'a removal is hidden behind an earlier list: it is told when that list is out of date',
    permitted: ['told'],
    async play(network) {
      let aheadMs = 0;
      const clock = {
        nowMs: () => Date.now() + aheadMs,
        after(ms: number, run: () => void) {
          const timer = setTimeout(run, ms);
          return () => clearTimeout(timer);
        },
      };
      const anna = await network.person('anna', 'citadel.example', { clock });
      const bob = await network.person('bob');
      const second = await network.furtherDevice(bob);
      await anna.say(bob, 'to both');
      await second.sees('to both');
      let before: Element | undefined;
      let isRemoved = false;
      network.gatekeeper.lies = {
        answer(asked, answer, who) {
          if (who !== anna.jid || !asks(asked, 'manifest', bob)) return answer;
          before ??= answer;
          return { ...answer, children: before.children };
        },
        // It takes the copy for the removed device, as if that were there.
        accept: (message, who) => [who === anna.jid && isRemoved ? without(message, 2) : message],
      };
      const reconnected = async (): Promise<void> => {
        await anna.client.disconnect();
        await anna.client.connect();
      };
      await reconnected();
      await anna.say(bob, 'to both again');
      await bob.sees('to both again');
      await bob.client.devices.remove(2, { renewIdentity: false });
      isRemoved = true;
      await reconnected();
      await anna.say(bob, 'as if nothing had happened');
      await bob.sees('as if nothing had happened');
      const isWarned = (): boolean =>
        anna.client.notices
          .list()
          .some(({ change }) => change.kind === 'manifest-warning' && !change.isOwn && change.warning === 'expired');
      assert(!isWarned(), 'this can’t be seen');
      aheadMs = 61 * day;
      await reconnected();
      await anna.say(bob, 'two months later');
      await bob.sees('two months later');
      await until(isWarned, 'the list is out of date');
      const rows = await anna.client.chats.messages({ chat: { interopId: bob.id }, limit: 50 });
      assert(rows.some(({ message }) => message.notice?.kind === 'manifest-warning'));
      return 'told';
    },
  },
];
