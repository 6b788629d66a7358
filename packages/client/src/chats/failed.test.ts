// A message that fails: all devices of its person say so, any of them sends it again or lets it go, and its reader misses
// nothing. Real stores, outboxes and histories; encryption (contents travel as they are) and the gatekeeper are played.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeContent, type DecodedContent } from '@drawbridge/e2ee/content';
import type { EncryptTarget, E2eeSuite } from '@drawbridge/e2ee/suite';
import { type Element, element } from '@drawbridge/wire/element';
import { parseEnvelopeMessage } from '@drawbridge/wire/envelope';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { OwnProfile } from '../account/own-profile.ts';
import { systemClock } from '../clock.ts';
import { ClientError, clientErrors } from '../errors.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import { Authoring } from '../history/authoring.ts';
import { addSaid } from '../history/conversation.ts';
import { isShown, listMessages } from '../history/history.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { chatWith } from '../history/message-names.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { Writing } from './writing.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-failed-'));
after(() => rmSync(folder, { recursive: true }));
const anna = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
const domain = 'citadel.example';
const gone = { type: 'cancel', condition: 'service-unavailable', application: undefined, text: undefined } as const;

/** Everybody has devices 1 and 2, and sessions with all. */
const request = async (): Promise<Element> =>
  element(
    'manifest',
    NS_KEYS,
    {},
    ['1', '2'].map(id => element('device', NS_KEYS, { id, registration: '7' })),
  );

class Device {
  readonly store: EncryptedStore;
  readonly outbox: Outbox;
  readonly writing: Writing;
  readonly sent: { readonly sending: Sending; readonly content: DecodedContent }[] = [];

  constructor(deviceId: number, store: EncryptedStore) {
    this.store = store;
    const none = (): never => assert.fail('there are sessions with everybody');
    const local = { interopId: bob, deviceId };
    const suite: Pick<E2eeSuite, 'name' | 'local' | 'encryptFor' | 'startSession' | 'endSessions' | 'readIdentity'> = {
      name: 'signal-1',
      local,
      async encryptFor(targets: readonly EncryptTarget[], commit) {
        const ciphertexts = targets.flatMap(({ to, devices, content }) =>
          devices.map(each => ({
            deviceId: each.deviceId,
            registrationId: 7,
            to,
            kind: 'session' as const,
            bytes: content,
          })),
        );
        const identities = new Map(targets.map(({ to }) => [to, 'the key in force']));
        const encrypted = { ciphertexts, identities, changes: [] };
        commit(encrypted);
        return { ok: true, value: encrypted };
      },
      endSessions: none,
      startSession: none,
      readIdentity: async () => ({ ok: false, error: { code: 'unknown-identity' } }),
    };
    const base = { store, suite, domain, clock: systemClock, request, emit: () => {} };
    const lists = new DeviceLists({ ...base, ownIdentityKey: async () => new Uint8Array(33) });
    const send = (stanza: Element, sending: Sending): boolean => {
      const message = parseEnvelopeMessage(stanza);
      assert(message.kind === 'envelope-message');
      const { payload } = message.ciphertexts[0]!;
      const content = decodeContent(typeof payload === 'string' ? Buffer.from(payload, 'base64') : payload);
      assert(content.ok);
      this.sent.push({ sending, content: content.value });
      return true;
    };
    this.outbox = new Outbox({ isStamped: () => false, ...base, random: () => 0.5, lists, send });
    const authoring = new Authoring({ store, own: bob, clock: systemClock, outbox: this.outbox, emit: () => {} });
    this.writing = new Writing(authoring, new OwnProfile(authoring, this.outbox));
  }

  read<T>(work: (tx: Transaction) => T): T {
    const result = this.store.transaction(work);
    assert(result.ok);
    return result.value;
  }

  shown(): MessageRecord[] {
    return this.read(tx => listMessages(tx, bob, { limit: 100 }))
      .map(row => row.message)
      .filter(message => isShown(message));
  }

  states(): unknown[] {
    return this.shown().map(({ text, state, failure }) => [text, state, failure?.code]);
  }

  /** The same of one message. */
  stateOf(text: string): unknown {
    const message = this.shown().find(each => each.text === text);
    return [message?.state, message?.failure?.code];
  }

  /** What this device has said to somebody since it was asked last, once `count` of it has left. */
  async said(to: string, count: number): Promise<{ sending: Sending; content: DecodedContent }[]> {
    const theirs = (): typeof this.sent => this.sent.filter(each => each.sending.to === to);
    while (theirs().length < count) await new Promise(resolve => setTimeout(resolve, 5));
    const taken = theirs();
    for (const each of taken) this.sent.splice(this.sent.indexOf(each), 1);
    return taken;
  }

  /** What another device of this person has told it; gives the messages whose state that changed. */
  hear(content: DecodedContent, device: number): string[] {
    const { body } = content;
    const copy = body.kind === 'sent-transcript' ? decodeContent(body.content) : undefined;
    assert(copy?.ok !== false);
    const chat = body.kind === 'sent-transcript' ? chatWith(body.to) : chatWith(bob);
    const said = { author: bob, chat, content: copy?.value ?? content, receivedAtMs: 1, device };
    const events = this.read(tx => addSaid(tx, bob, said, 1));
    return events.flatMap(each => (each.kind === 'message' && each.change === 'state' ? [each.message.id] : []));
  }
}

async function newDevice(deviceId: number): Promise<Device> {
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${deviceId}.db`), key });
  assert(opened.ok);
  return new Device(deviceId, opened.value);
}

test('a message that failed is failed on all devices; from any it is sent again or dropped, and no number is missed', async () => {
  const [first, second] = [await newDevice(1), await newDevice(2)];
  first.outbox.online(false);
  for (const text of ['one', 'two']) first.writing.send(chatWith(anna), { text });
  for (const { sending } of await first.said(anna, 2)) {
    assert(first.outbox.refused(sending.id, gone));
  }
  const failed = [
    ['one', 'failed', 'not-reachable'],
    ['two', 'failed', 'not-reachable'],
  ];
  assert.deepEqual(first.states(), failed);
  // Two transcripts, and what became of them.
  const told = await first.said(bob, 4);
  first.outbox.delivered(told.map(({ sending }) => sending));
  for (const { content } of told) second.hear(content, 1);
  assert.deepEqual(second.states(), failed);

  // From the device that had not tried.
  const [one, two] = second.shown();
  const again = second.writing.resend(one!.id);
  assert.equal(again.state, 'queued');
  assert.equal(again.id, one!.id, 'it is the same message');
  for (const act of ['resend', 'drop'] as const)
    assert.throws(() => second.writing[act](one!.id), { code: 'not-applicable', detail: 'it has not failed' });
  second.writing.drop(two!.id);
  assert.deepEqual(second.states(), [['one', 'queued', undefined]]);
  second.outbox.online(false);
  const [resent] = await second.said(anna, 1);
  assert(resent?.content.body.kind === 'text' && resent.content.body.text === 'one');
  for (const { content } of await second.said(bob, 2)) first.hear(content, 2);
  assert.deepEqual(first.states(), [['one', 'sent', undefined]]);

  // The one that had tried gave numbers away that nobody heard: it says so before it goes on.
  first.writing.send(chatWith(anna), { text: 'three' });
  const said = await first.said(anna, 3);
  assert.deepEqual(
    said.map(({ content }) => [content.body.kind, content.binding?.number]),
    [
      ['nothing', 1],
      ['nothing', 2],
      ['text', 3],
    ],
  );
  for (const device of [first, second]) {
    device.outbox.close();
    device.store.close();
  }
});

test('two devices that send it again before they hear each other send one message, and agree on what became of it', async () => {
  const [first, second, reader] = [await newDevice(5), await newDevice(6), await newDevice(7)];
  const read = ({ content }: { readonly content: DecodedContent }): void =>
    void reader.read(tx => addSaid(tx, anna, { author: bob, chat: chatWith(bob), content, receivedAtMs: 1 }, 1));
  first.outbox.online(false);
  for (const text of ['one', 'two']) first.writing.send(chatWith(anna), { text });
  for (const { sending } of await first.said(anna, 2)) first.outbox.refused(sending.id, gone);
  for (const { content } of await first.said(bob, 4)) second.hear(content, 5);
  const [one] = second.shown();

  // It fails once more on the first, and reaches the gatekeeper on the second. Neither has heard of the other.
  // With each goes what was numbered before and failed.
  first.writing.resend(one!.id);
  second.outbox.online(false);
  second.writing.resend(one!.id);
  const tried = [(await first.said(anna, 3)).at(-1)!, (await second.said(anna, 1)).at(-1)!];
  assert(first.outbox.refused(tried[0]!.sending.id, gone));
  first.writing.resend(one!.id);
  const third = (await first.said(anna, 2)).at(-1)!;
  assert(first.outbox.refused(third.sending.id, gone));
  second.outbox.delivered([tried[1]!.sending]);
  assert.deepEqual(first.states(), [
    ['two', 'failed', 'not-reachable'],
    ['one', 'failed', 'not-reachable'],
  ]);
  for (const each of [...tried, third]) read(each);
  const theirs = reader
    .read(tx => listMessages(tx, anna, { limit: 100 }))
    .map(({ message }) => [message.id, message.text]);
  assert.deepEqual(theirs, [[one!.id, 'one']], 'it is shown once');

  const [ofFirst, ofSecond] = [await first.said(bob, 7), await second.said(bob, 1)];
  // A word about an earlier try that comes late changes nothing.
  for (const { content } of ofFirst.toReversed()) assert.deepEqual(second.hear(content, 5), []);
  assert.deepEqual(first.hear(ofSecond[0]!.content, 6), [one!.id]);
  for (const device of [first, second]) {
    assert.deepEqual(device.stateOf('one'), ['sent', undefined]);
    assert.deepEqual(device.stateOf('two'), ['failed', 'not-reachable']);
  }
  // Whoever has it on the way is told what became of it, by that device alone.
  second.read(tx => second.outbox.unreadable(tx, tried[1]!.sending.id, anna));
  second.outbox.wake(bob);
  const failedThere = await second.said(bob, 1);
  for (const { content } of failedThere) first.hear(content, 6);
  for (const device of [first, second]) assert.deepEqual(device.stateOf('one'), ['failed', 'not-delivered']);
  for (const device of [first, second, reader]) {
    device.outbox.close();
    device.store.close();
  }
});

test('what the gatekeeper says of an earlier try does not fail the one that goes on', async () => {
  const device = await newDevice(8);
  device.outbox.online(false);
  const { id } = device.writing.send(chatWith(anna), { text: 'hello' });
  const [earlier] = await device.said(anna, 1);
  device.outbox.delivered([earlier!.sending]);
  device.outbox.undelivered(earlier!.sending.id, anna, 'expired');
  assert.deepEqual(device.states(), [['hello', 'failed', 'not-delivered']]);
  device.writing.resend(id);
  const [again] = await device.said(anna, 1);
  device.outbox.delivered([again!.sending]);
  device.outbox.undelivered(earlier!.sending.id, anna, 'gone');
  assert.deepEqual(device.states(), [['hello', 'sent', undefined]]);
  device.outbox.undelivered(again!.sending.id, anna, 'gone');
  assert.deepEqual(device.states(), [['hello', 'failed', 'not-delivered']]);
  device.outbox.close();
  device.store.close();
});

test('sending again is all or nothing: without room for all of it the failed message stays as it is', async () => {
  const device = await newDevice(3);
  device.outbox.online(false);
  const { id } = device.writing.send(chatWith(anna), { text: 'hello' });
  for (const { sending } of await device.said(anna, 1)) device.outbox.refused(sending.id, gone);
  device.outbox.delivered((await device.said(bob, 2)).map(({ sending }) => sending));
  device.outbox.close();
  const to = `1-${'c'.repeat(26)}`;
  const payload = { kind: 'receipt', receipt: 'delivered', messageIds: [id] } as const;
  const fill = (): string => device.read(tx => device.outbox.add(tx, { to, payload, silent: true }));
  const rows: string[] = [];
  assert.throws(
    () => {
      for (;;) rows.push(fill());
    },
    { code: 'outbox-full' },
  );
  const failed = [['hello', 'failed', 'not-reachable']];
  let missing = 0;
  for (;;) {
    try {
      device.writing.resend(id);
      break;
    } catch (error) {
      assert(error instanceof ClientError && error.code === 'outbox-full');
      assert.deepEqual(device.states(), failed, `with ${missing} places`);
      device.read(tx => tx.delete('outbox', rows.pop()!));
      missing++;
    }
  }
  assert(missing > 1);
  assert.deepEqual(device.states(), [['hello', 'queued', undefined]]);
  device.store.close();
});

test('of what may be seen once nothing is kept: sending it again is refused and says so', async () => {
  const device = await newDevice(4);
  device.outbox.online(false);
  const { id } = device.writing.send(chatWith(anna), { text: 'for one look', viewOnce: true });
  for (const { sending } of await device.said(anna, 1)) device.outbox.refused(sending.id, gone);
  assert.throws(() => device.writing.resend(id), { code: 'not-kept' });
  assert.doesNotMatch(clientErrors['not-kept'].text, /no such message/);
  device.outbox.close();
  device.store.close();
});
