// Content is kept for a device that could not read it: for 14 days, within a bound, and never what may be seen once. A message
// that is asked for and not kept any more has failed at its author, and a change of one is told.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ContentBody, decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { makeDecryptionError } from '@drawbridge/e2ee/retry';
import { element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { Authoring } from '../history/authoring.ts';
import { addFact, addSaid } from '../history/conversation.ts';
import { listMessages, readMessage } from '../history/history.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { chatWith } from '../history/message-names.ts';
import { listNotices } from '../notices/notice-records.ts';
import { keepSent, keptSentLimits } from '../outbox/kept-sent.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { listOutbox, readSent, sentKeptMs } from '../store/outbox-records.ts';
import { domain, meet, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { contentBytes, contentPayload } from '../outbox/rows.ts';
import { Inbox } from './inbox.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-kept-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;
let nowMs = startMs;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

/** An own message, as `Authoring` writes it; gives its id and that of its row. */
function write(outbox: Outbox, text: string, viewOnce = false): { readonly id: string; readonly stanzaId: string } {
  const messageId = randomBytes(MESSAGE_ID_BYTES);
  const encoded = encodeContent({ messageId, sentAtMs: nowMs, viewOnce, body: { kind: 'text', text } });
  assert(encoded.ok);
  const decoded = decodeContent(encoded.value);
  assert(decoded.ok);
  const id = messageId.toString('hex');
  const added = anna.store.transaction(tx => {
    const said = { author: annasId, chat: chatWith(bobsId), content: decoded.value, receivedAtMs: nowMs };
    addFact(
      tx,
      annasId,
      { author: annasId, chat: chatWith(bobsId), id },
      { kind: 'progress', progress: { state: 'queued' } },
    );
    addSaid(tx, annasId, said, nowMs);
    return outbox.add(tx, { to: bobsId, payload: contentPayload(encoded.value), silent: false, messageId: id });
  });
  assert(added.ok);
  return { id, stanzaId: added.value };
}

function stateOf(id: string): unknown {
  const read = anna.store.transaction(tx => readMessage(tx, annasId, { author: annasId, id }));
  assert(read.ok);
  const { state, failure } = read.value!;
  return failure === undefined ? state : [state, failure.code, failure.detail];
}

const unreadable = ['failed', 'not-delivered', 'unreadable'];

const anna = await playedDevice(folder, annasId, () => nowMs);
const bob = await playedDevice(folder, bobsId, () => nowMs);
after(() => {
  anna.store.close();
  bob.store.close();
});

function rowsFor(stanzaId: string): string[] {
  const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
  assert(rows.ok);
  return rows.value.map(row => row.id).filter(id => id.startsWith(`${stanzaId}~`));
}

type Sent = { readonly sending: Sending; readonly bytes: Uint8Array; readonly kind: 'prekey' | 'session' };

/** Anna's outbox and inbox, and what left for Bob. */
function openDesk() {
  const sent: Sent[] = [];
  const device = element('device', NS_KEYS, { id: '1', registration: String(bob.bundle.registrationId) });
  // About Anna's own devices nobody answers, so that what is for them stays in the outbox.
  const request: Request = (_, { attrs }) =>
    attrs.some(value => value.startsWith(annasId))
      ? new Promise(() => {})
      : Promise.resolve(element('manifest', NS_KEYS, {}, [device]));
  const emit = (): void => {};
  const ownIdentityKey = async () => anna.bundle.identityKey;
  const lists = new DeviceLists({ ...anna, domain, clock, request, ownIdentityKey, emit });
  const outbox = new Outbox({
    isStamped: () => false,
    ...anna,
    domain,
    clock,
    random: () => 0.5,
    emit,
    request,
    lists,
    send: (_stanza, sending) => {
      const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
      assert(rows.ok);
      const [ciphertext] = rows.value.find(row => row.id === sending.id)!.record.ciphertexts!;
      sent.push({ sending, kind: ciphertext!.kind, bytes: Buffer.from(ciphertext!.bytes, 'base64') });
      return true;
    },
  });
  const seen: unknown[] = [];
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const inbox = new Inbox({
    ...anna,
    domain,
    clock,
    outbox,
    transfer,
    lists,
    deliveryReceipts: false,
    emit: event => void (event.kind === 'message' && seen.push([event.change, event.message.id, event.message.state])),
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });

  return { outbox, inbox, sent, seen };
}

/** Bob asks for a stanza that he could not read. */
async function ask(inbox: Inbox, { kind, bytes }: Sent, stanzaId: string): Promise<void> {
  const error = makeDecryptionError({ from: { interopId: annasId, deviceId: 1 }, kind, bytes, stanzaId });
  assert(error.ok);
  const encoded = encodeContent({
    messageId: randomBytes(MESSAGE_ID_BYTES),
    sentAtMs: nowMs,
    body: { kind: 'retry-request', stanzaId, decryptionError: error.value, attempt: 1 },
  });
  assert(encoded.ok);
  const stanza = await stanzaFrom(bob, anna, encoded.value);
  const { promise, resolve } = Promise.withResolvers<void>();
  inbox.receive(stanza, resolve, false);
  await promise;
}

test('what was sent is sent again for 14 days, and forgotten afterwards: then its author sees that it was not read', async () => {
  await meet(anna, bob);
  await meet(bob, anna);
  const { outbox, inbox, sent, seen } = openDesk();
  outbox.online(false);
  const messages = [write(outbox, 'first'), write(outbox, 'second'), write(outbox, 'pushed out')];
  messages.push(write(outbox, 'seen once', true), write(outbox, 'seen once, in flight', true));
  outbox.wake(bobsId);
  while (sent.length < 5) await new Promise(resolve => setImmediate(resolve));
  // They leave, four of them as far as the gatekeeper.
  outbox.delivered(sent.slice(0, 4).map(({ sending }) => sending));
  outbox.offline();
  const [first, second, pushedOut, once, inFlight] = messages.map(({ id }) => id) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const ids = messages.map(({ stanzaId }) => stanzaId);
  assert.deepEqual([first, second, pushedOut, once, inFlight].map(stateOf), ['sent', 'sent', 'sent', 'sent', 'queued']);

  const askFor = (index: number): Promise<void> => ask(inbox, sent[index]!, ids[index]!);
  await askFor(3);
  assert.deepEqual([stateOf(once), rowsFor(ids[3]!)], [unreadable, []], 'seen once');
  assert.deepEqual(seen, [['state', once, 'failed']]);
  await askFor(4);
  assert.deepEqual(stateOf(inFlight), unreadable, 'seen once, not accepted yet');
  outbox.delivered([sent[4]!.sending]);
  assert.deepEqual(stateOf(inFlight), unreadable, 'and its acceptance does not make it sent');
  await askFor(3);
  assert.equal(seen.length, 2, 'it is told once');

  nowMs = startMs + sentKeptMs - 60_000;
  await askFor(0);
  assert.equal(rowsFor(ids[0]!).length, 1, 'within 14 days it is encrypted again');
  assert.equal(stateOf(first), 'sent');
  const pushed = anna.store.transaction(tx => {
    for (let n = 0; n < keptSentLimits.perPerson.rows; n++) {
      keepSent(tx, `later ${n}`, { to: bobsId, content: 'AAAA', sentAtMs: startMs });
    }
  });
  assert(pushed.ok);
  await askFor(2);
  assert.deepEqual([stateOf(pushedOut), rowsFor(ids[2]!)], [unreadable, []], 'beyond the bound');
  assert.equal(stateOf(second), 'sent', 'nobody has asked for it');
  nowMs = startMs + sentKeptMs + 60_000;
  await askFor(1);
  assert.equal(rowsFor(ids[1]!).length, 0, 'after 14 days it is not');
  assert.deepEqual(stateOf(second), unreadable);

  inbox.sweep();
  const left = anna.store.transaction(tx => [tx.count('sent'), readSent(tx, ids[1]!, startMs)]);
  assert.deepEqual(left, { ok: true, value: [0, undefined] });
  await inbox.close();
  outbox.close();
});

test('a change that was not read, or is refused, is told once to its author: an edit, a reaction, a timer', async () => {
  const { outbox, inbox, sent, seen } = openDesk();
  const authoring = new Authoring({ store: anna.store, own: annasId, clock, outbox, emit: () => {} });
  const { id } = write(outbox, 'what is changed');
  const ref = { messageId: Buffer.from(id, 'hex'), author: annasId, sentAtMs: nowMs };
  const bodies: readonly ContentBody[] = [
    { kind: 'edit', targetMessageId: ref.messageId, text: { text: 'what was changed' } },
    { kind: 'reaction', target: ref, emoji: '👍' },
    { kind: 'expiry-timer', seconds: 60, version: 1 },
    { kind: 'reaction', target: ref, emoji: '' },
  ];
  for (const body of bodies) {
    const said = anna.store.transaction(tx => authoring.say(tx, chatWith(bobsId), authoring.content(body), id));
    assert(said.ok);
  }
  const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 100 }));
  assert(rows.ok);
  const ids = rows.value.map(row => row.id).slice(-4);
  outbox.online(false);
  outbox.wake(bobsId);
  const rowOf = (stanzaId: string): Sent | undefined => sent.find(({ sending }) => sending.id === stanzaId);
  while (rowOf(ids[3]!) === undefined) await new Promise(resolve => setImmediate(resolve));
  outbox.delivered(sent.map(({ sending }) => sending).filter(sending => sending.id !== ids[2]));
  nowMs += sentKeptMs + 60_000;
  // Two that the gatekeeper has taken over, one that is in flight, and one that comes back.
  for (const stanzaId of [ids[0]!, ids[1]!, ids[2]!, ids[0]!, ids[2]!]) await ask(inbox, rowOf(stanzaId)!, stanzaId);
  outbox.delivered([rowOf(ids[2]!)!.sending]);
  await ask(inbox, rowOf(ids[2]!)!, ids[2]!);
  outbox.undelivered(ids[3]!, annasId, 'expired');
  const told = (): unknown[] => {
    const notices = anna.store.transaction(listNotices);
    assert(notices.ok);
    return notices.value.flatMap(({ change, times }) =>
      change.kind === 'not-applied' ? [[change.what, change.interopId, change.message?.id, times]] : [],
    );
  };
  const [edit, reaction, timer] = [
    ['edit', bobsId, id, 1],
    ['reaction', bobsId, id, 1],
    ['expiry-timer', bobsId, undefined, 1],
  ];
  assert.deepEqual(told(), [edit, reaction, timer]);
  outbox.undelivered(ids[3]!, bobsId, 'expired');
  assert.deepEqual(told(), [edit, timer, ['reaction', bobsId, id, 2]]);
  assert.equal(seen.length, 3, 'the same line does not come twice while nobody has acknowledged it');
  const lines = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 100 }));
  assert(lines.ok);
  const words = lines.value.flatMap(({ message }) => (message.kind === 'notice' ? [message.text] : []));
  assert.match(words[0]!, /^Your edit of a message did not reach a device of theirs/);
  assert.equal(words.length, 3);
  assert.notEqual(stateOf(id), 'failed', 'the message itself came');

  const toOwn = anna.store.transaction(tx => listOutbox(tx, { to: annasId, limit: 100 }));
  assert(toOwn.ok);
  const said = toOwn.value.flatMap(({ record: { payload } }) => {
    const decoded = payload.kind === 'content' ? decodeContent(contentBytes(payload)) : undefined;
    return decoded?.ok === true && decoded.value.body.kind === 'device-sync' ? [decoded.value] : [];
  });
  const named = said.flatMap(({ body }) => (body.kind === 'device-sync' ? (body.notApplied ?? []) : []));
  const [of, chat] = [ref, bobsId];
  assert.deepEqual(named, [
    { what: 'edit', message: of, chat },
    { what: 'reaction', message: of, chat },
    { what: 'expiry-timer', chat },
    { what: 'reaction', message: of, chat },
  ]);
  // Anna's second device shows the same, and so does one that has not heard of the message.
  const second = await playedDevice(folder, annasId, () => nowMs, 'second');
  const shown = second.store.transaction(tx => {
    const events = said.flatMap(content =>
      addSaid(tx, annasId, { author: annasId, chat: chatWith(annasId), content, receivedAtMs: nowMs }, nowMs),
    );
    const newLines = events.map(event => (event.kind === 'message' ? event.message.text : event.kind));
    return [newLines, listMessages(tx, annasId, { chat: bobsId, limit: 100 }).map(({ message }) => message.text)];
  });
  assert.deepEqual(shown, { ok: true, value: [words, words] });
  const theirs = second.store.transaction(tx => listNotices(tx).map(({ change, times }) => [change, times]));
  const ours = anna.store.transaction(tx =>
    listNotices(tx).flatMap(({ change, times }) => (change.kind === 'not-applied' ? [[change, times]] : [])),
  );
  assert.deepEqual(theirs, ours);
  second.store.close();
  await inbox.close();
  outbox.close();
});
