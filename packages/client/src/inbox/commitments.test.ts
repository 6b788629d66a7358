// What a sender commits to is held against what came, before anything of it counts; and what proves it is kept, for a time, fairly.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Binding, bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { commitmentOf } from '@drawbridge/e2ee/commitment';
import { type Content, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { type Element, element, isElement } from '@drawbridge/wire/element';
import { parseDeviceMessage } from '@drawbridge/wire/envelope';
import { NS_E2EE } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import { Outbox } from '../outbox/outbox.ts';
import { evidenceLimits, forgetOldEvidence, keepEvidence, readEvidence } from '../reports/evidence.ts';
import type { Transaction } from '../store/store.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { hold } from './held.ts';
import { Inbox } from './inbox.ts';
import { incomingOf } from './incoming.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-commitments-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
const clock: Clock = { nowMs: () => nowMs, after: () => () => {} };

type Desk = {
  readonly anna: PlayedDevice;
  readonly bob: PlayedDevice;
  readonly inbox: Inbox;
  readonly isStamped: boolean;
};

/** Anna's inbox, to which Bob writes. */
async function openDesk(name: string, isStamped = true): Promise<Desk> {
  const anna = await playedDevice(folder, annasId, () => nowMs, `anna-${name}`);
  const bob = await playedDevice(folder, bobsId, () => nowMs, `bob-${name}`);
  const refused = (): never => assert.fail('there is no stream');
  const base = { ...anna, domain, clock, emit: () => {}, isStamped: () => isStamped };
  const lists = new DeviceLists({ ...base, request: refused, ownIdentityKey: async () => anna.bundle.identityKey });
  lists.mayBeRead = async () => undefined as never;
  lists.isNamed = () => true;
  const outbox = new Outbox({ ...base, random: () => 0.5, request: refused, lists, send: refused });
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const rest = { deliveryReceipts: false, keysLow: () => {}, ownManifestChanged: () => {} };
  const decisions = { isListed: true, answer: () => {} };
  const inbox = new Inbox({ ...base, outbox, transfer, lists, ...rest, decisions });
  await meet(bob, anna);
  return { anna, bob, inbox, isStamped };
}

const give = ({ inbox, isStamped }: Desk, stanza: Element): Promise<void> =>
  new Promise(resolve => inbox.receive(stanza, resolve, isStamped));

let number = 0;
/** Something that Bob says, with what he commits to beside it: to that, to another content, or to nothing. */
async function say(
  { anna, bob }: Desk,
  body: Content['body'],
  to: 'this' | 'another' | 'nothing',
  more: Partial<Content> = {},
): Promise<{ readonly stanza: Element; readonly id: string }> {
  const messageId = randomBytes(MESSAGE_ID_BYTES);
  const encoded = encodeContent({ messageId, sentAtMs: nowMs, ...more, body });
  assert(encoded.ok);
  const place = placeOf({ author: bob.suite.local, recipient: annasId, domain });
  const binding: Binding = { place, number: ++number, salt: randomBytes(SALT_BYTES) };
  const content = bindContent(encoded.value, binding);
  const plain = await stanzaFrom(bob, anna, content, undefined, 'as it is');
  const id = messageId.toString('hex');
  if (to === 'nothing') return { stanza: plain, id };
  const committed = to === 'this' ? content : Buffer.concat([content, Uint8Array.of(1)]);
  const marks = [
    element('commitment', NS_E2EE, undefined, [commitmentOf(binding, committed)]),
    element('stamp', NS_E2EE, { at: String(nowMs) }, [randomBytes(32)]),
  ];
  const children = plain.children.map(child =>
    isElement(child) && child.name === 'envelope' ? { ...child, children: [...marks, ...child.children] } : child,
  );
  return { stanza: { ...plain, children }, id };
}

function shown({ anna }: Desk): string[] {
  const read = anna.store.transaction(tx => listMessages(tx, annasId, { limit: 50 }));
  assert(read.ok);
  return read.value.map(({ message }) => `${message.kind}${message.text === '' ? '' : `: ${message.text}`}`);
}

const evidenceOf = ({ anna }: Desk, id: string): number => {
  const read = anna.store.transaction(tx => readEvidence(tx, bobsId, id).length);
  assert(read.ok);
  return read.value;
};

const text = (words: string): Content['body'] => ({ kind: 'text', text: words });

test('a content that its sender did not commit to is not read', async () => {
  const desk = await openDesk('wrong');
  const good = await say(desk, text('hello'), 'this');
  await give(desk, good.stanza);
  assert.equal(evidenceOf(desk, good.id), 1);
  const bad = await say(desk, text('never said'), 'another');
  await give(desk, bad.stanza);
  assert.deepEqual(shown(desk), ['text: hello', 'lost']);
  assert.equal(evidenceOf(desk, bad.id), 0);
  await give(desk, (await say(desk, text('and on'), 'this')).stanza);
  assert.equal(shown(desk).at(-1), 'text: and on', 'the session goes on');
});

test('who has committed once can not stop to; who never did, as 0.1.0 does not, is read', async () => {
  const desk = await openDesk('omitted');
  await give(desk, (await say(desk, text('from an old app'), 'nothing')).stanza);
  await give(desk, (await say(desk, text('from a new one'), 'this')).stanza);
  await give(desk, (await say(desk, text('deniable abuse'), 'nothing')).stanza);
  assert.deepEqual(shown(desk), ['text: from an old app', 'text: from a new one', 'lost']);
});

test('at a gatekeeper that stamps nothing, nothing is asked for', async () => {
  const desk = await openDesk('unstamped', false);
  await give(desk, (await say(desk, text('stamped once'), 'this')).stanza);
  await give(desk, (await say(desk, text('the gatekeeper was set back'), 'nothing')).stanza);
  assert.deepEqual(shown(desk), ['text: stamped once', 'text: the gatekeeper was set back']);
});

test('what the gatekeeper sends before a session takes commitments is read, also when it waited for an acceptance', async () => {
  const desk = await openDesk('early');
  await give(desk, (await say(desk, text('committed'), 'this')).stanza);
  await give({ ...desk, isStamped: false }, (await say(desk, text('sent before <enable/>'), 'nothing')).stanza);
  const held = parseDeviceMessage((await say(desk, text('it waited'), 'nothing')).stanza);
  assert(held.kind === 'device-message');
  const kept = desk.anna.store.transaction(tx => hold(tx, incomingOf(held, false)));
  assert(kept.ok);
  desk.inbox.readHeld(bobsId);
  await give(desk, (await say(desk, text('deniable abuse'), 'nothing')).stanza);
  assert.deepEqual(shown(desk), ['text: committed', 'text: sent before <enable/>', 'text: it waited', 'lost']);
});

test('nothing is kept of what may be seen once, and of receipts; edits are kept with their message', async () => {
  const desk = await openDesk('kept');
  const once = await say(desk, text('for one look'), 'this', { viewOnce: true });
  await give(desk, once.stanza);
  assert.equal(evidenceOf(desk, once.id), 0);
  const first = await say(desk, text('first'), 'this');
  await give(desk, first.stanza);
  const targetMessageId = Buffer.from(first.id, 'hex');
  for (let i = 0; i < 8; i++) {
    const edit = { kind: 'edit', targetMessageId, text: { text: `edit ${i}` } } as const;
    await give(desk, (await say(desk, edit, 'this')).stanza);
  }
  assert.equal(evidenceOf(desk, first.id), evidenceLimits.contents, 'the first and the latest');
  await give(desk, (await say(desk, { kind: 'delete', targetMessageId }, 'this')).stanza);
  assert.equal(evidenceOf(desk, first.id), 0, 'what its author took back is gone here too');
});

test('evidence ends, and one author pushes out no other', async () => {
  const desk = await openDesk('bounds');
  const first = await say(desk, text('first'), 'this');
  await give(desk, first.stanza);
  const { perPerson } = evidenceLimits.messages;
  const other = `1-${'c'.repeat(26)}`;
  const done = desk.anna.store.transaction((tx: Transaction) => {
    const evidence = { stanzaId: 's', acceptedAtMs: nowMs, content: '', salt: '', commitment: '', stamp: '' };
    keepEvidence(tx, other, 'ab'.repeat(16), evidence, nowMs);
    const isKeptOfNothing = readEvidence(tx, other, 'ab'.repeat(16)).length > 0;
    forgetOldEvidence(tx, nowMs + evidenceLimits.keptMs - 1);
    const before = tx.count('evidence');
    forgetOldEvidence(tx, nowMs + evidenceLimits.keptMs);
    return { isKeptOfNothing, before, after: tx.count('evidence') };
  });
  assert(done.ok);
  assert.deepEqual(done.value, { isKeptOfNothing: false, before: 1, after: 0 });
  for (let i = 0; i < perPerson + 5; i++) await give(desk, (await say(desk, text(`${i}`), 'this')).stanza);
  const kept = desk.anna.store.transaction(tx => tx.count('evidence', bobsId));
  assert(kept.ok);
  assert.equal(kept.value, perPerson);
});
