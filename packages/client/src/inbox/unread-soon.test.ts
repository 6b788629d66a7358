// What can't be read is shown as that soon, on the stream on which it came, and not after a day; when it is read after all, the
// line goes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { attribute, type Element } from '@drawbridge/wire/element';
import { parseDeviceMessage } from '@drawbridge/wire/envelope';
import { DeviceLists } from '../directory/device-lists.ts';
import type { ClientEvent } from '../events.ts';
import { isShown, listMessages } from '../history/history.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { Outbox } from '../outbox/outbox.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { Inbox } from './inbox.ts';
import { inboxLimits } from './inbox-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-unread-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const clock = new PlayedClock();

function open(anna: PlayedDevice): { inbox: Inbox; events: ClientEvent[] } {
  const events: ClientEvent[] = [];
  const refused = (): never => assert.fail('there is no stream');
  const base = { ...anna, domain, clock, emit: (event: ClientEvent) => void events.push(event) };
  const lists = new DeviceLists({ ...base, request: refused, ownIdentityKey: async () => anna.bundle.identityKey });
  const outbox = new Outbox({
    isStamped: () => false,
    ...base,
    random: () => 0.5,
    request: refused,
    lists,
    send: refused,
  });
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer,
    lists,
    deliveryReceipts: false,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  return { inbox, events };
}

function contentOf(text: string): Uint8Array {
  const body = { kind: 'text', text } as const;
  const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: clock.nowMs(), body });
  assert(encoded.ok);
  return encoded.value;
}

/** As it comes when it was changed on the way, or is another person's. */
function withFlippedBit(stanza: Element): Element {
  const flip = (given: Uint8Array): Uint8Array => {
    const bytes = Uint8Array.from(given);
    bytes[bytes.length - 20]! ^= 1;
    return bytes;
  };
  const change = (el: Element): Element => ({
    ...el,
    children: el.children.map(child => {
      if (child instanceof Uint8Array) return flip(child);
      return typeof child === 'string'
        ? Buffer.from(flip(Buffer.from(child, 'base64'))).toString('base64')
        : change(child);
    }),
  });
  return change(stanza);
}

/** Bob hears from Anna: what he says from now on is in a session that is settled, where every bit counts. */
async function hear(bob: PlayedDevice, anna: PlayedDevice, content: Uint8Array): Promise<void> {
  const parsed = parseDeviceMessage(await stanzaFrom(anna, bob, content));
  assert(parsed.kind === 'device-message');
  const { kind, payload } = parsed.ciphertext;
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload;
  const heard = await bob.suite.decrypt({ from: anna.suite.local, kind, bytes }, outcome => {
    assert(bob.store.transaction(tx => tx.apply(outcome.changes)).ok);
  });
  assert(heard.ok && heard.value.kind === 'content');
}

test('a message that can not be read is a line within seconds, and gives way to what is read after all', async () => {
  const anna = await playedDevice(folder, annasId, () => clock.nowMs());
  const bob = await playedDevice(folder, bobsId, () => clock.nowMs());
  await meet(anna, bob);
  await hear(bob, anna, contentOf('hello'));
  let { inbox, events } = open(anna);
  const give = (stanza: Element): Promise<void> => new Promise(resolve => inbox.receive(stanza, resolve, false));
  const shown = (): string[] => {
    const rows = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 100 }));
    assert(rows.ok);
    return rows.value.flatMap(({ message }) =>
      isShown(message) ? [message.kind === 'text' ? message.text : message.kind] : [],
    );
  };
  await give(await stanzaFrom(bob, anna, contentOf('before')));
  const bytes = contentOf('twice on its way');
  const first = await stanzaFrom(bob, anna, bytes);
  const id = attribute(first, 'id')!;
  await give(withFlippedBit(first));
  await give(await stanzaFrom(bob, anna, contentOf('behind it')));
  assert.deepEqual(shown(), ['before', 'behind it'], 'not at once: it is most likely sent again');
  clock.pass(inboxLimits.showUnreadMs);
  assert.deepEqual(shown(), ['before', 'lost', 'behind it']);
  assert.equal(events.filter(event => event.kind === 'message' && event.message.kind === 'lost').length, 1);
  clock.pass(10 * inboxLimits.showUnreadMs);
  assert.equal(shown().length, 3, 'once');

  await give(await stanzaFrom(bob, anna, bytes, id));
  assert.deepEqual(shown(), ['before', 'twice on its way', 'behind it']);
  assert(events.some(event => event.kind === 'message' && event.change === 'removed'));

  // After a restart it is shown when a stream is up again.
  await give(withFlippedBit(await stanzaFrom(bob, anna, contentOf('never again'))));
  await inbox.close();
  assert.equal(clock.timers, 0, 'nothing is left running');
  ({ inbox, events } = open(anna));
  clock.pass(60_000);
  assert(!shown().includes('lost'));
  inbox.watch();
  clock.pass(inboxLimits.showUnreadMs);
  assert.equal(shown().at(-1), 'lost');
  await inbox.close();
  anna.store.close();
  bob.store.close();
});

const dayMs = 86_400_000;
for (const [clockIs, byMs] of [
  ['right', 0],
  ['set a day back', -dayMs],
  ['set a day ahead', dayMs],
] as const) {
  test(`what could not be read is repaired soon, late, or came whole before: one message, in its place; the clock is ${clockIs}`, async () => {
    const name = clockIs.replaceAll(' ', '-');
    const anna = await playedDevice(folder, annasId, () => clock.nowMs(), `anna-${name}`);
    const bob = await playedDevice(folder, bobsId, () => clock.nowMs(), `bob-${name}`);
    await meet(anna, bob);
    await hear(bob, anna, contentOf('hello'));
    const { inbox, events } = open(anna);
    const give = (stanza: Element): Promise<void> => new Promise(resolve => inbox.receive(stanza, resolve, false));
    const shown = (): string[] => {
      const rows = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 100 }));
      assert(rows.ok);
      return rows.value.flatMap(({ message }) =>
        isShown(message) ? [message.kind === 'text' ? message.text : message.kind] : [],
      );
    };
    const lost = (): number =>
      events.filter(event => event.kind === 'message' && event.change === 'new' && event.message.kind === 'lost')
        .length;
    const bytes = ['soon', 'late', 'whole before'].map(contentOf);
    const [soon, late, whole] = [
      await stanzaFrom(bob, anna, bytes[0]!),
      await stanzaFrom(bob, anna, bytes[1]!),
      await stanzaFrom(bob, anna, bytes[2]!),
    ];
    const again = (stanza: Element, at: number): Promise<Element> =>
      stanzaFrom(bob, anna, bytes[at]!, attribute(stanza, 'id'));

    // It came whole, and a broken copy after it.
    await give(whole);
    await give(withFlippedBit(whole));
    await give(withFlippedBit(soon));
    await give(withFlippedBit(late));
    await give(await stanzaFrom(bob, anna, contentOf('behind')));
    clock.set(byMs);
    await give(await again(soon, 0));
    clock.pass(inboxLimits.showUnreadMs);
    assert.deepEqual(shown(), ['whole before', 'soon', 'lost', 'behind']);
    assert.equal(lost(), 1);
    clock.set(-2 * byMs);
    await give(await again(late, 1));
    assert.deepEqual(shown(), ['whole before', 'soon', 'late', 'behind']);
    // Broken copies after the repair, and repairs after it, change nothing.
    const told = events.length;
    for (const [at, stanza] of [whole, soon, late].entries()) {
      await give(withFlippedBit(stanza));
      await give(await again(stanza, at));
    }
    clock.pass(dayMs + inboxLimits.showUnreadMs);
    assert.deepEqual(shown(), ['whole before', 'soon', 'late', 'behind']);
    assert.deepEqual(
      events.slice(told).filter(event => event.kind === 'message'),
      [],
    );
    await inbox.close();
    anna.store.close();
    bob.store.close();
  });
}
