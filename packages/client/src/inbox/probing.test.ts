// What a peer can learn or do without being seen: nothing is answered but messages that a person is shown, a timer can't be
// pinned, and what waited for a person's decision is read after a crash.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Content, encodeContent, MAX_TIMER_VERSION, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { MAX_RETRIES_PER_STANZA } from '@drawbridge/e2ee/retry';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import { Preferences } from '../chats/preferences.ts';
import type { Clock } from '../clock.ts';
import { Authoring } from '../history/authoring.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import { Outbox } from '../outbox/outbox.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readChat } from '../store/message-records.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { idleLimits } from './idle-budget.ts';
import { Inbox } from './inbox.ts';
import { inboxLimits } from './inbox-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-probing-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

type Desk = { readonly anna: PlayedDevice; readonly outbox: Outbox; readonly inbox: Inbox };

/** Anna's inbox and outbox over a store; the outbox has no stream. */
function desk(anna: PlayedDevice): Desk {
  const refused = (): never => assert.fail('there is no stream');
  const base = { ...anna, domain, clock, emit: () => {} };
  const ownIdentityKey = async () => anna.bundle.identityKey;
  const lists = new DeviceLists({ ...base, request: refused, ownIdentityKey });
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
    deliveryReceipts: true,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  return { anna, outbox, inbox };
}

const newId = (): Uint8Array => randomBytes(MESSAGE_ID_BYTES);

async function take(
  { anna, inbox }: Desk,
  from: PlayedDevice,
  body: Content['body'],
  rest: Partial<Content> = {},
): Promise<void> {
  const encoded = encodeContent({ messageId: newId(), sentAtMs: nowMs, body, ...rest });
  assert(encoded.ok);
  const stanza = await stanzaFrom(from, anna, encoded.value);
  await new Promise<void>(resolve => inbox.receive(stanza, resolve, false));
}

function receipts({ anna }: Desk): number {
  const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 1_000 }));
  assert(rows.ok);
  return rows.value.filter(({ record }) => record.payload.kind === 'receipt').length;
}

test('one receipt for each message that is shown, and none for anything else', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-1');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-1');
  await meet(bob, anna);
  const at = desk(anna);
  const messageId = newId();
  const text = { kind: 'text', text: 'hello' } as const;
  await take(at, bob, text, { messageId });
  assert.equal(receipts(at), 1);
  const target = { messageId, author: bobsId, sentAtMs: nowMs };
  // The same again; other things under its id; things about messages that are not there; and nothing at all.
  await take(at, bob, text, { messageId });
  await take(at, bob, { kind: 'reaction', target, emoji: '\u{1f44d}' }, { messageId });
  await take(at, bob, { kind: 'edit', targetMessageId: messageId, text: { text: 'hello!' } }, { messageId });
  await take(at, bob, { kind: 'reaction', target: { ...target, messageId: newId() }, emoji: '\u{1f44d}' });
  await take(at, bob, { kind: 'receipt', receipt: 'delivered', messageIds: [messageId] });
  assert.equal(receipts(at), 1);
  // A message that was taken back before it came is not shown.
  const takenBack = newId();
  await take(at, bob, { kind: 'delete', targetMessageId: takenBack });
  await take(at, bob, text, { messageId: takenBack });
  assert.equal(receipts(at), 1);
  await take(at, bob, text);
  assert.equal(receipts(at), 2);
  await at.inbox.close();
  anna.store.close();
  bob.store.close();
});

test('a key that was used already is asked about in a stanza that was not seen, and not in one that was', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-set-back');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-set-back');
  await meet(bob, anna);
  const at = desk(anna);
  const encoded = encodeContent({ messageId: newId(), sentAtMs: nowMs, body: { kind: 'text', text: 'hello' } });
  assert(encoded.ok);
  const stanza = await stanzaFrom(bob, anna, encoded.value, 'first');
  const receive = (id: string): Promise<void> => {
    const attrs = stanza.attrs.map((value, i) => (stanza.attrs[i - 1] === 'id' && i % 2 === 1 ? id : value));
    return new Promise(resolve => at.inbox.receive({ ...stanza, attrs }, resolve, false));
  };
  const asked = (): number => {
    const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 1_000 }));
    assert(rows.ok);
    return rows.value.filter(({ record }) => record.freshSession !== undefined && record.toDevice === 1).length;
  };
  await receive('first');
  await receive('first');
  assert.deepEqual([receipts(at), asked()], [1, 0]);
  await receive('second');
  assert.deepEqual([receipts(at), asked()], [1, 1]);
  for (let again = 0; again < 10; again++) await receive('second');
  // The last request says that it will not be read.
  assert.deepEqual([receipts(at), asked()], [1, MAX_RETRIES_PER_STANZA + 1]);
  await at.inbox.close();
  anna.store.close();
  bob.store.close();
});

test('no peer pins the timer of a chat, by its version or by a date far ahead', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-2');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-2');
  await meet(bob, anna);
  const at = desk(anna);
  const authoring = new Authoring({ ...at, store: anna.store, own: annasId, clock, emit: () => {} });
  const preferences = new Preferences(authoring, at.outbox, () => {});
  const seconds = (): number | undefined => {
    const chat = anna.store.transaction(tx => readChat(tx, bobsId));
    assert(chat.ok);
    return chat.value.timer?.seconds;
  };
  const day = 86_400_000;
  const highest = { kind: 'expiry-timer', seconds: 60, version: MAX_TIMER_VERSION } as const;
  const latestMs = 253_402_300_799_999;
  await take(at, bob, highest, { sentAtMs: nowMs + 2 * day });
  await take(at, bob, highest, { stampMs: nowMs + 400 * day });
  await take(at, bob, highest, { sentAtMs: latestMs });
  assert.equal(seconds(), 60);
  preferences.setTimer(bobsId, 0);
  assert.equal(seconds(), 0, 'the highest versions, as far ahead as may be, are overruled, however many they were');
  await at.inbox.close();
  anna.store.close();
  bob.store.close();
});

test('what waited for an acceptance is read after a crash, page by page, in order', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-3');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-3');
  const fresh = await playedDevice(folder, bobsId, () => nowMs, 'bob-3-fresh');
  await meet(bob, anna);
  await meet(fresh, anna);
  let at = desk(anna);
  await take(at, bob, { kind: 'text', text: 'before' });
  const commit = (staged: { readonly changes: readonly StoreChange[] }): void => {
    assert(anna.store.transaction(tx => tx.apply(staged.changes)).ok);
  };
  assert((await anna.suite.setVerified(bobsId, bob.suite.identityKey, true, commit)).ok);
  const count = 2 * inboxLimits.heldPage + 5;
  for (let i = 0; i < count; i++) await take(at, fresh, { kind: 'text', text: String(i) });
  const texts = (): string[] => {
    const rows = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 1_000 }));
    assert(rows.ok);
    return rows.value.flatMap(({ message }) => (message.kind === 'text' ? [message.text] : []));
  };
  assert.deepEqual(texts(), ['before']);
  await at.inbox.readForgotten();
  await at.inbox.close();
  assert.deepEqual(texts(), ['before'], 'nothing is read before it is accepted');
  // The process ends after the acceptance is on disk and before anything was read.
  assert((await anna.suite.acceptIdentity(bobsId, fresh.suite.identityKey, commit)).ok);
  at = desk(anna);
  await at.inbox.readForgotten();
  // Behind what is being read.
  await take(at, fresh, { kind: 'text', text: 'after' });
  await at.inbox.close();
  assert.deepEqual(texts(), ['before', ...Array.from({ length: count }, (_, i) => String(i)), 'after']);
  for (const each of [anna, bob, fresh]) each.store.close();
});

test('repeats and empty contents have a budget for each person; words never do', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-idle');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-idle');
  await meet(bob, anna);
  const at = desk(anna);
  const lines = (): number => {
    const rows = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 1_000 }));
    assert(rows.ok);
    return rows.value.length;
  };
  const text = { kind: 'text', text: 'hello' } as const;
  // Of a group, which nobody here knows: a line without words.
  for (let i = 0; i < idleLimits.perPerson + 20; i++) await take(at, bob, text, { chatId: randomBytes(16) });
  assert.equal(lines(), idleLimits.perPerson);
  const messageId = newId();
  await take(at, bob, text, { messageId });
  await take(at, bob, text, { messageId });
  await take(at, bob, text);
  assert.equal(lines(), idleLimits.perPerson + 2);
  assert.equal(receipts(at), 2);
  await at.inbox.close();
  anna.store.close();
  bob.store.close();
});

test('who fills the place of what waits for an acceptance loses their own, and lines say so', async () => {
  const anna = await playedDevice(folder, annasId, () => nowMs, 'anna-full');
  const bob = await playedDevice(folder, bobsId, () => nowMs, 'bob-full');
  const fresh = await playedDevice(folder, bobsId, () => nowMs, 'bob-full-fresh');
  await meet(bob, anna);
  await meet(fresh, anna);
  const at = desk(anna);
  await take(at, bob, { kind: 'text', text: 'before' });
  const commit = (staged: { readonly changes: readonly StoreChange[] }): void => {
    assert(anna.store.transaction(tx => tx.apply(staged.changes)).ok);
  };
  assert((await anna.suite.setVerified(bobsId, bob.suite.identityKey, true, commit)).ok);
  const { perPerson } = inboxLimits.held;
  for (let i = 0; i < perPerson + 2; i++) await take(at, fresh, { kind: 'text', text: String(i) });
  const kept = anna.store.transaction(tx => ({
    held: tx.count('held', bobsId),
    lost: listMessages(tx, annasId, { chat: bobsId, limit: 1_000 }).filter(({ message }) => message.kind === 'lost')
      .length,
  }));
  assert.deepEqual(kept, { ok: true, value: { held: perPerson, lost: 2 } });
  await at.inbox.close();
  for (const each of [anna, bob, fresh]) each.store.close();
});
