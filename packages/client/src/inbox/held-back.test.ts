// What somebody whom this person holds back learns of them: nothing, by nothing that a device does by itself; and once they are
// accepted, of each message once that it came.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ContentBody, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { element } from '@drawbridge/wire/element';
import { placedNotice } from '@drawbridge/wire/envelope';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import { DecisionBook } from '../contacts/decision-book.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { ClientEvent } from '../events.ts';
import type { Standing } from '../history/chat-state.ts';
import { Authoring } from '../history/authoring.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import { hearOwn } from '../history/standing.ts';
import { changeStanding } from '../history/standing-changes.ts';
import { Outbox } from '../outbox/outbox.ts';
import { readChat } from '../store/message-records.ts';
import { listOutbox, type OutboxRow } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { domain, meet, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { Inbox } from './inbox.ts';
import { inboxLimits } from './inbox-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-held-back-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;

/** Anna's device, without a stream, and Bob's of another provider. */
async function desk(name: string) {
  const clock = new PlayedClock();
  const anna = await playedDevice(folder, annasId, () => clock.nowMs(), `anna-${name}`);
  const bob = await playedDevice(folder, bobsId, () => clock.nowMs(), `bob-${name}`);
  await meet(bob, anna);
  const refused = (): never => assert.fail('there is no stream');
  const events: ClientEvent[] = [];
  const emit = (event: ClientEvent): void => void events.push(event);
  const base = { ...anna, domain, clock, emit, request: refused, isStamped: () => false };
  const lists = new DeviceLists({ ...base, ownIdentityKey: async () => anna.bundle.identityKey });
  const outbox = new Outbox({ ...base, random: () => 0.5, lists, send: refused });
  const answers = Promise.withResolvers<never>();
  const book = new DecisionBook({
    ...base,
    request: () => answers.promise,
    outbox,
    authoring: new Authoring({ ...base, own: annasId, outbox }),
    deliveryReceipts: true,
    emit: event => {
      if (event.kind !== 'contact') return;
      book.changed(event.interopId);
      inbox.readHeld(event.interopId);
    },
  });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer: new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} }),
    lists,
    deliveryReceipts: true,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: book,
  });
  const done = <T>(work: (tx: Transaction) => T): T => {
    const result = anna.store.transaction(work);
    assert(result.ok);
    return result.value;
  };
  const say = (word: Standing): void => {
    const contact = element('contact', NS_CONSENT, { jid: `${bobsId}@${domain}`, state: word });
    assert(book.hear(element('message', NS_CLIENT, { from: domain }, [contact])));
  };
  const decide = (state: 'none' | 'accepted' | 'denied' | 'blocked'): void => {
    const stamp = { atMs: clock.nowMs() + 1_000_000, id: randomBytes(16).toString('hex') };
    clock.pass(1);
    done(tx => changeStanding(tx, bobsId, before => hearOwn(before, { ...stamp, state })));
    book.changed(bobsId);
    inbox.readHeld(bobsId);
  };
  /** The list of the session comes, or the gatekeeper keeps none. */
  const listed = async (word: Standing): Promise<void> => {
    const list = book.refresh();
    const contact = element('contact', NS_CONSENT, { jid: `${bobsId}@${domain}`, state: word });
    answers.resolve(element('contacts', NS_CONSENT, undefined, word === 'none' ? [] : [contact]) as never);
    await list;
  };
  const shown = (): string[] =>
    done(tx => listMessages(tx, annasId, { limit: 1_000 })).map(({ message }) => message.text || message.kind);
  /** Until what is to be read has been. */
  const settled = (): Promise<void> =>
    new Promise(resolve => inbox.receive(placedNotice(domain, `${annasId}@${domain}/1`, 'nothing'), resolve, false));
  const rows = (): OutboxRow[] => done(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
  const receipted = (): string[] =>
    rows().flatMap(({ record: { payload } }) => (payload.kind === 'receipt' ? payload.messageIds : []));
  const close = async (): Promise<void> => {
    await inbox.close();
    for (const { store } of [anna, bob]) store.close();
  };
  return { anna, bob, inbox, outbox, clock, events, done, say, decide, listed, shown, settled, rows, receipted, close };
}

type Desk = Awaited<ReturnType<typeof desk>>;

/** Bob says something; gives its id. */
async function word(
  { anna, bob, inbox, clock }: Desk,
  body: ContentBody = { kind: 'text', text: 'hello' },
): Promise<string> {
  const messageId = randomBytes(MESSAGE_ID_BYTES);
  const content = encodeContent({ messageId, sentAtMs: clock.nowMs(), body });
  assert(content.ok);
  const stanza = await stanzaFrom(bob, anna, content.value);
  await new Promise<void>(resolve => inbox.receive(stanza, resolve, false));
  return messageId.toString('hex');
}

test('messages of a request are acknowledged when it is accepted: each once, the latest, whatever is said of them later', async () => {
  const at = await desk('request');
  await at.listed('none');
  const first = await word(at);
  assert.deepEqual(at.receipted(), [first], 'nobody waits: it is acknowledged when it comes');
  at.say('request');
  const waiting: string[] = [];
  for (let i = 0; i < inboxLimits.owedReceipts + 2; i++) waiting.push(await word(at));
  at.say('accepted');
  assert.deepEqual(at.receipted(), [first]);
  at.decide('accepted');
  assert.deepEqual(at.receipted(), [first, ...waiting.slice(2)]);
  for (const state of ['request', 'accepted', 'request'] as const) at.say(state);
  const later = await word(at);
  at.decide('accepted');
  assert.deepEqual(at.receipted(), [first, ...waiting.slice(2), later]);
  await at.close();
});

test('what comes before the list of a session waits for it: it may be a request', async () => {
  const [asked, unasked] = [await desk('asked'), await desk('unasked')];
  for (const at of [asked, unasked]) {
    const first = await word(at);
    assert.deepEqual(at.receipted(), []);
    await at.listed(at === asked ? 'request' : 'none');
    assert.deepEqual(at.receipted(), at === asked ? [] : [first]);
    at.decide('accepted');
    assert.deepEqual(at.receipted(), [first]);
    await at.close();
  }
});

test('what comes from somebody who was refused is never acknowledged, nor what waited when they were', async () => {
  const at = await desk('refused');
  await at.listed('request');
  await word(at);
  at.decide('blocked');
  await word(at);
  at.decide('none');
  at.decide('accepted');
  await at.settled();
  assert.deepEqual(at.shown(), ['hello', 'hello']);
  assert.deepEqual(at.receipted(), []);
  assert.equal(at.done(tx => readChat(tx, bobsId)).owed, undefined);
  await at.close();
});

test('of somebody who was denied or blocked nothing is shown, whatever comes, until that is lifted; then it stands in its order', async () => {
  for (const state of ['denied', 'blocked'] as const) {
    const at = await desk(`let-through-${state}`);
    await at.listed('none');
    await word(at, { kind: 'text', text: 'before' });
    at.decide(state);
    at.events.length = 0;
    await word(at, { kind: 'text', text: 'first' });
    await word(at, { kind: 'typing', state: 'started' });
    await word(at, { kind: 'text', text: 'second' });
    // What can't be read, and what is no message at all.
    const broken = await stanzaFrom(at.bob, at.anna, Buffer.alloc(16, 7));
    await new Promise<void>(resolve => at.inbox.receive(broken, resolve, false));
    const malformed = element('message', NS_CLIENT, { from: `${bobsId}@${domain}/1`, id: 'odd', type: 'chat' });
    await new Promise<void>(resolve => at.inbox.receive(malformed, resolve, false));
    // The gatekeeper's word lifts nothing.
    for (const claim of ['request', 'none', 'accepted'] as const) at.say(claim);
    await at.inbox.readForgotten();
    await at.settled();
    assert.deepEqual([at.shown(), at.events.filter(({ kind }) => kind !== 'problem')], [['before'], []]);
    const [first] = at.rows();
    assert.deepEqual([at.rows().length, first?.record.payload.kind], [1, 'receipt'], 'only “before” is answered');
    at.decide(state === 'blocked' ? 'none' : 'accepted');
    await at.settled();
    await word(at, { kind: 'text', text: 'after' });
    assert.deepEqual(at.shown(), ['before', 'first', 'second', 'lost', 'after']);
    assert(!at.events.some(({ kind }) => kind === 'typing'), 'that was then');
    assert.equal(at.receipted().length, 2, '“before” and “after”');
    await at.close();
  }
});

test('receipts that wait to leave, and requests to send again, do not go to somebody who is refused meanwhile', async () => {
  const at = await desk('waiting');
  await at.listed('none');
  await word(at);
  at.done(tx =>
    at.outbox.add(tx, {
      to: bobsId,
      payload: { kind: 'receipt', receipt: 'read', messageIds: ['aa'.repeat(16)] },
      silent: true,
    }),
  );
  const lost = async (): Promise<void> => {
    const said = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: at.clock.nowMs(),
      body: { kind: 'nothing' },
    });
    assert(said.ok);
    const stanza = await stanzaFrom(at.bob, at.anna, said.value);
    // The same bytes under another id: the key was used.
    await new Promise<void>(resolve => at.inbox.receive(stanza, resolve, false));
    const attrs = stanza.attrs.map((value, i) => (stanza.attrs[i - 1] === 'id' && i % 2 === 1 ? 'again' : value));
    await new Promise<void>(resolve => at.inbox.receive({ ...stanza, attrs }, resolve, false));
  };
  await lost();
  assert.equal(at.rows().length, 3);
  at.decide('blocked');
  at.outbox.online(false);
  for (let tries = 0; at.rows().length > 0 && tries < 200; tries++)
    await new Promise(resolve => setTimeout(resolve, 5));
  assert.deepEqual(at.rows(), [], 'none of them was sent: that would have failed the test');
  at.outbox.offline();
  await lost();
  assert.deepEqual(at.rows(), [], 'nothing is asked for');
  await at.close();
});
