// Two people with two devices each who talk: real stores, inboxes and outboxes; the gatekeeper and the encryption are played.
// Clocks are wrong and jump, mailboxes are read late, stanzas overtake one another, are withheld, and wait for an acceptance;
// devices are lost with what they had not sent.
// Knows nothing of what must come of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Content, decodeContent, type DecodedContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { DecryptOutcome, IncomingCiphertext } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage, placedNotice } from '@drawbridge/wire/envelope';
import * as fc from 'fast-check';
import type { OwnDecisionState } from '@drawbridge/e2ee/content-kinds';
import { OwnProfile } from '../account/own-profile.ts';
import { Preferences } from '../chats/preferences.ts';
import type { Clock } from '../clock.ts';
import type { DecisionState } from '../directory/contact-decisions.ts';
import { closingPoll, editing, type PollResult, reacting, type Saying, takingBack, voting } from '../history/acts.ts';
import { Authoring, encoded } from '../history/authoring.ts';
import { type ChatSettings, settingsOf } from '../history/chat-state.ts';
import { countMissing } from '../history/gaps.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import { type MessageRecord, textVersions } from '../history/message-log.ts';
import { Inbox } from '../inbox/inbox.ts';
import { Outbox } from '../outbox/outbox.ts';
import { contentPayload } from '../outbox/rows.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { domain } from './played-device.ts';

export const anna = `0-${'a'.repeat(26)}`;
export const bob = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;

/** What is said first with this byte waits for an acceptance. */
const waits = 1;
let files = 0;

/** What a stanza says that is counted: whose device, and its number there. */
type Counted = { readonly chain: string; readonly number: number };

export class PlayedDevice {
  readonly mailbox: Element[] = [];
  /** What the gatekeeper keeps from this device alone. */
  readonly withheld: Element[] = [];
  readonly heard: Counted[] = [];
  readonly person: string;
  readonly deviceId: number;
  readonly other: string;
  readonly store: EncryptedStore;
  readonly authoring: Authoring;
  readonly preferences: Preferences;
  readonly profile: OwnProfile;
  readonly outbox: Outbox;
  /** What has left this device, by content: to whom. */
  readonly left = new Map<string, Set<string>>();
  /** The message that a content takes back, or the poll that it ends. */
  readonly endsFor = new Map<string, { readonly kind: 'delete' | 'poll-close'; readonly id: string }>();
  /** What was shown of polls when this device ended them. */
  readonly ended = new Map<string, PollResult['votes']>();
  isLost = false;
  readonly inbox: Inbox;
  clockMs = startMs;
  /** What was said until this device was linked, of each device, is not encrypted for it. */
  listensFrom: ReadonlyMap<string, number> = new Map();
  #accepts = false;

  constructor(person: string, deviceId: number, store: EncryptedStore) {
    this.person = person;
    this.deviceId = deviceId;
    this.other = person === anna ? bob : anna;
    this.store = store;
    const clock: Clock = { nowMs: () => this.clockMs, after: () => () => {} };
    const refused = (): never => assert.fail('there is no stream');
    const decrypt = (ciphertext: IncomingCiphertext, commit: (outcome: DecryptOutcome) => void) => {
      const { from, bytes } = ciphertext;
      const none = { changes: [], events: [], from };
      const isHeld = bytes[0] === waits && !this.#accepts && from.interopId !== person;
      const error = { code: 'untrusted-identity', fingerprint: '', awaitsAcceptance: true } as const;
      const outcome: DecryptOutcome = isHeld
        ? { ...none, kind: 'refused', error }
        : { ...none, kind: 'content', identity: '', content: bytes.subarray(1) };
      commit(outcome);
      return Promise.resolve({ ok: true as const, value: outcome });
    };
    const readIdentity = refused;
    const local = { interopId: person, deviceId };
    const others = { encryptFor: refused, startSession: refused, endSessions: refused };
    const suite = { name: 'signal-1', local, decrypt, readIdentity, ...others };
    const base = { store, suite, domain, clock, emit: () => {} };
    const lists = {
      fetch: refused,
      judgeBundle: refused,
      noteSession: refused,
      mayBeRead: () => Promise.resolve(true),
      isNamed: () => true,
      skipped: () => {},
    };
    const outbox = new Outbox({
      isStamped: () => false,
      ...base,
      lists,
      random: () => 0.5,
      request: refused,
      send: refused,
    });
    const transfer = new HistoryTransfer({ own: person, clock, outbox, noted: () => {} });
    this.inbox = new Inbox({
      ...base,
      outbox,
      transfer,
      lists,
      deliveryReceipts: false,
      keysLow: () => {},
      ownManifestChanged: () => {},
      decisions: { isListed: true, answer: () => {} },
    });
    this.authoring = new Authoring({ store, own: person, clock, outbox, emit: () => {} });
    this.preferences = new Preferences(this.authoring, outbox, () => {});
    this.profile = new OwnProfile(this.authoring, outbox);
    this.outbox = outbox;
  }

  read<T>(work: (tx: Transaction) => T): T {
    const result = this.store.transaction(work);
    assert(result.ok);
    return result.value;
  }

  /** Gives the message's id. */
  say(text: string, kind: 'text' | 'poll' = 'text'): string {
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const body =
      kind === 'text' ? ({ kind, text } as const) : ({ kind, question: text, options: ['a', 'b', 'c'] } as const);
    this.read(tx => {
      const content = { messageId, sentAtMs: this.clockMs, body };
      this.authoring.say(tx, this.other, content, messageId.toString('hex'));
      this.profile.introduce(tx, this.other);
    });
    return messageId.toString('hex');
  }

  /** Says a content as it is, without a stamp of its own. */
  unstamped(tx: Transaction, content: Content): void {
    const payload = contentPayload(this.outbox.bound(tx, this.other, encoded(content)));
    this.outbox.add(tx, { to: this.other, payload, silent: true });
  }

  /** Messages that are here and can be changed. */
  here(): MessageRecord[] {
    const rows = this.read(tx => listMessages(tx, this.person, { chat: this.other, limit: 1_000 }));
    return rows.map(row => row.message).filter(({ kind }) => kind === 'text' || kind === 'poll');
  }

  /** Says something about one of the messages that are here, where there is one about which this person can say it. */
  async change(kind: ChangeKind, which: number): Promise<void> {
    const fitting = this.here().filter(({ kind: is, author, poll }) => {
      const isOwn = author === this.person;
      if (kind === 'edit') return isOwn && is === 'text';
      if (kind === 'vote' || kind === 'close') return poll?.closed === false && (isOwn || kind === 'vote');
      return isOwn || kind === 'react';
    });
    const message = fitting[which % fitting.length];
    if (message !== undefined) await this.changeOne(kind, message, which);
  }

  async changeOne(kind: ChangeKind, message: MessageRecord, which: number): Promise<void> {
    const saying: Readonly<Record<ChangeKind, Saying>> = {
      edit: editing({ text: `${message.text}, ${which}` }),
      react: reacting(String(which)),
      delete: takingBack,
      vote: voting([which % 3]),
      close: closingPoll,
    };
    await this.authoring.act(message, saying[kind]);
    if (kind === 'close') this.ended.set(message.id, message.poll!.votes);
  }

  /** What it has not sent goes with it. */
  lose(): void {
    this.isLost = true;
    this.mailbox.length = 0;
    this.withheld.length = 0;
    this.read(tx => {
      for (const { key } of tx.list('outbox')) tx.delete('outbox', key);
    });
  }

  /**
   * Contents of this device that have reached one of the two who talk, and never the other; messages that they take back; and
   * polls that they have ended for their own person, who can't end them again.
   */
  halfHeard(): string[] {
    const half = [...this.left].filter(([, to]) => to.size === 1);
    return half.flatMap(([id, to]) => {
      const ended = this.endsFor.get(id);
      const isOver = ended?.kind === 'delete' || (ended !== undefined && to.has(this.person));
      return isOver ? [id, ended.id] : [id];
    });
  }

  /**
   * A row for somebody goes to the gatekeeper, which places it in the mailboxes of all their other devices: the next one, or
   * one behind it that overtakes it.
   */
  send(to: string, devices: readonly PlayedDevice[], isHeld: boolean, overtaken = 0): void {
    const row = this.read(tx => {
      const sent = listOutbox(tx, { to, limit: overtaken + 1 }).at(-1);
      if (sent !== undefined) tx.delete('outbox', sent.id);
      return sent;
    });
    if (row === undefined) return;
    assert(row.record.payload.kind === 'content');
    this.#note(Buffer.from(row.record.payload.content, 'base64'), to);
    const bytes = Buffer.concat([Buffer.of(isHeld ? waits : 0), Buffer.from(row.record.payload.content, 'base64')]);
    const number = innerContent(Buffer.from(row.record.payload.content, 'base64')).binding?.number ?? 0;
    const chain = `${this.person}/${this.deviceId}`;
    for (const device of devices.filter(each => each.person === to && each !== this && !each.isLost)) {
      const { deviceId } = device;
      if (number <= (device.listensFrom.get(chain) ?? -1)) continue;
      const el = encodeEnvelopeMessage({
        to: `${to}@${domain}/${deviceId}`,
        id: row.id,
        type: 'chat',
        suite: 'signal-1',
        fromDevice: this.deviceId,
        ciphertexts: [{ deviceId, registrationId: undefined, kind: 'session', payload: bytes }],
        noStore: false,
        silent: true,
      });
      const placed = { ...el, attrs: [...el.attrs, 'from', `${this.person}@${domain}/${this.deviceId}`] };
      counted.set(placed, { chain, number });
      device.mailbox.push(placed);
    }
    const full = `${this.person}@${domain}/${this.deviceId}`;
    if (to === this.person) this.mailbox.push(placedNotice(domain, full, row.id));
  }

  #note(bytes: Uint8Array, to: string): void {
    const { messageId, body } = innerContent(bytes);
    const id = hex(messageId);
    this.left.set(id, (this.left.get(id) ?? new Set<string>()).add(to));
    if (body.kind === 'delete') this.endsFor.set(id, { kind: body.kind, id: hex(body.targetMessageId) });
    if (body.kind === 'poll-close') this.endsFor.set(id, { kind: body.kind, id: hex(body.pollMessageId) });
  }

  /** Takes so much of its mailbox, all at once as a stream brings it. */
  async receive(count: number): Promise<void> {
    const taken = this.mailbox.splice(0, count);
    for (const el of taken) this.heard.push(...[counted.get(el)].filter(each => each !== undefined));
    await Promise.all(taken.map(el => new Promise<void>(resolve => this.inbox.receive(el, resolve, false))));
  }

  async accept(): Promise<void> {
    this.#accepts = true;
    this.inbox.readHeld(this.other);
    this.mailbox.unshift(placedNotice(domain, this.person, 'nobody-s'));
    await this.receive(1);
    this.#accepts = false;
  }

  /**
   * What is there; a message that was taken back before it left stands on its author's device alone. `except`: contents that
   * only some can know.
   */
  shown(except: ReadonlySet<string> = new Set()): Shown {
    return this.read(tx => {
      const rows = (options: { readonly newest?: boolean }): MessageRecord[] =>
        listMessages(tx, this.person, { chat: this.other, limit: 1_000, ...options })
          .map(row => row.message)
          .filter(({ kind, id }) => kind !== 'deleted' && !except.has(id));
      const chat = readChat(tx, this.other);
      const contents = rows({}).map(({ id, author, text, reactions, expiresAfterSeconds, poll }) => {
        const entry = readEntry(tx, author, id)!;
        const isKnown = entry.closing?.counted.every(vote => !except.has(vote)) !== false;
        const edits = entry.edits?.filter(edit => !except.has(edit.id)) ?? [];
        const versions = textVersions({ ...entry, edits }).map(version => `${version.atMs} ${version.text.text}`);
        return {
          id,
          text,
          reactions,
          expiresAfterSeconds,
          versions,
          ...(isKnown && poll !== undefined ? { poll } : {}),
        };
      });
      const nameOf = (person: string): string | undefined => readProfile(tx, person)?.profile.displayName;
      return {
        contents,
        newest: rows({ newest: true }).map(({ id }) => id),
        shared: { timer: chat.timer?.seconds, names: [nameOf(anna), nameOf(bob)] },
        own: { settings: settingsOf(chat), contact: chat.contact },
        missing: countMissing(chat.heard),
      };
    });
  }

  /** Numbers beneath the highest that came of each device which did not come. */
  expectedMissing(): number {
    const chains = Map.groupBy(
      this.heard.filter(({ number }) => number > 0),
      ({ chain }) => chain,
    );
    return [...chains.values()].reduce((sum, heard) => {
      const numbers = new Set(heard.map(({ number }) => number));
      return sum + Math.max(...numbers) - numbers.size;
    }, 0);
  }
}

type ChangeKind = 'edit' | 'react' | 'delete' | 'vote' | 'close';

export type Shown = {
  readonly contents: readonly {
    readonly id: string;
    readonly text: string;
    readonly reactions: MessageRecord['reactions'];
    readonly expiresAfterSeconds: number | undefined;
    readonly versions: readonly string[];
    readonly poll?: MessageRecord['poll'];
  }[];
  readonly newest: readonly string[];
  /** The same for both who talk. */
  readonly shared: { readonly timer: number | undefined; readonly names: readonly (string | undefined)[] };
  /** The same on the devices of one of them. */
  readonly own: { readonly settings: ChatSettings; readonly contact: DecisionState | undefined };
  readonly missing: number;
};

const counted = new WeakMap<Element, Counted>();

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A content, or the one that a transcript holds. */
function innerContent(bytes: Uint8Array): DecodedContent {
  const decoded = decodeContent(bytes);
  assert(decoded.ok);
  const { body } = decoded.value;
  return body.kind === 'sent-transcript' ? innerContent(body.content) : decoded.value;
}

/** What is said together: a history has some of it, and hence often. */
const words = [
  ['timer'],
  ['edit', 'delete'],
  ['react'],
  ['poll', 'vote', 'close'],
  ['name'],
  ['pin'],
  ['decide'],
] as const;
const ways = ['say', 'send', 'copy', 'receive'] as const;

type WordKind = (typeof words)[number][number];
export type Step = {
  readonly kind: WordKind | (typeof ways)[number] | 'clock' | 'accept' | 'withhold' | 'release' | 'lose';
  readonly amount: number;
};

export function steps(...more: readonly Step['kind'][]): fc.Arbitrary<(readonly [number, Step])[]> {
  const some = fc.subarray([...words], { minLength: 1, maxLength: 3 });
  return some.chain(few => {
    const said = few.flat();
    const kind = fc.constantFrom<Step['kind']>(...said, ...said, ...ways, ...ways, 'clock', ...more);
    return fc.array(fc.tuple(fc.nat(3), fc.record({ kind, amount: fc.nat(9) })), { minLength: 10, maxLength: 80 });
  });
}

export type LastWords = { readonly said: readonly Step[]; readonly to: 'other' | 'person' | 'both' };

/** What a device says by a clock that is ahead, and to whom it gets through before it is lost. */
export const lastWords: fc.Arbitrary<LastWords> = fc.record({
  said: fc.array(fc.record({ kind: fc.constantFrom(...words.flat()), amount: fc.nat(9) }), {
    minLength: 1,
    maxLength: 12,
  }),
  to: fc.constantFrom('other', 'person', 'both'),
});

const jumpsMs = [-86_400_000, -7_200_000, -1, 1, 1_000, 60_000, 7_200_000, 86_400_000, 604_800_000, 31_536_000_000];

export async function newDevice(folder: string, person: string, deviceId: number): Promise<PlayedDevice> {
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${files++}.db`), key });
  assert(opened.ok);
  return new PlayedDevice(person, deviceId, opened.value);
}

export type Network = {
  readonly devices: PlayedDevice[];
  readonly said: { readonly id: string; readonly at: number }[];
};

/** By how much the clock of each device is wrong at the beginning. */
export const skews: fc.Arbitrary<number[]> = fc.array(fc.constantFrom(0, ...jumpsMs), { minLength: 4, maxLength: 4 });

export async function newNetwork(folder: string, wrongByMs: readonly number[] = []): Promise<Network> {
  const devices = [
    await newDevice(folder, anna, 1),
    await newDevice(folder, anna, 2),
    await newDevice(folder, bob, 1),
    await newDevice(folder, bob, 2),
  ];
  for (const [at, device] of devices.entries()) device.clockMs += wrongByMs[at] ?? 0;
  return { devices, said: [] };
}

export async function step({ devices, said }: Network, at: number, { kind, amount }: Step): Promise<void> {
  const device = devices[at]!;
  if (device.isLost) return;
  switch (kind) {
    case 'say':
    case 'poll':
      said.push({ id: device.say(`${at}: ${said.length}`, kind === 'say' ? 'text' : kind), at });
      break;
    case 'timer':
      device.preferences.setTimer(device.other, 10 * amount + at);
      break;
    case 'name':
      device.profile.set({ displayName: `${amount} of ${at}` });
      break;
    case 'pin':
      device.preferences.set(device.other, amount < 5 ? { pinned: amount % 2 === 0 } : { mutedUntilMs: amount });
      break;
    case 'decide':
      // What somebody says who is refused waits.
      decide(device, (['accepted', 'none'] as const)[amount % 2]!);
      break;
    case 'send':
      device.send(device.other, devices, amount > 7, amount < 2 ? amount : 0);
      break;
    case 'copy':
      device.send(device.person, devices, false, amount < 2 ? amount : 0);
      break;
    case 'receive':
      await device.receive(amount);
      break;
    case 'accept':
      await device.accept();
      break;
    case 'withhold':
      device.withheld.push(...device.mailbox.splice(amount, 1));
      break;
    case 'release':
      device.mailbox.push(...device.withheld.splice(0, 1));
      break;
    case 'clock':
      device.clockMs += jumpsMs[amount]!;
      break;
    case 'lose':
      // Somebody has to be left.
      if (devices.some(each => each.person === device.person && each !== device && !each.isLost)) device.lose();
      break;
    default:
      await device.change(kind, amount);
  }
}

export function decide(device: PlayedDevice, state: OwnDecisionState): void {
  device.read(tx => device.authoring.sync(tx, { decisions: [{ chat: device.other, state }] }));
}

/** It has the clock of a year from now, and is lost, if it was not before. */
export async function sayLastWords(network: Network, at: number, { said, to }: LastWords): Promise<void> {
  const device = network.devices[at]!;
  if (device.isLost) return;
  await step(network, at, { kind: 'clock', amount: jumpsMs.length - 1 });
  for (const each of said) await step(network, at, each);
  // A name goes along.
  await step(network, at, { kind: 'say', amount: 0 });
  for (const person of to === 'both' ? [device.other, device.person] : [device[to]]) {
    while (device.read(tx => listOutbox(tx, { to: person, limit: 1 })).length > 0)
      device.send(person, network.devices, false);
  }
  await step(network, at, { kind: 'lose', amount: 0 });
}

export function left({ devices }: Network): PlayedDevice[] {
  return devices.filter(({ isLost }) => !isLost);
}

/** Everything is sent, received and accepted, and what that makes devices say, until all are quiet. */
export async function settle(network: Network): Promise<void> {
  const { devices } = network;
  const waits = (device: PlayedDevice, to: string): boolean =>
    device.read(tx => listOutbox(tx, { to, limit: 1 })).length > 0;
  for (let round = 0; round < 20; round++) {
    for (const device of left(network)) {
      for (const to of [device.other, device.person]) while (waits(device, to)) device.send(to, devices, false);
    }
    if (round > 0 && left(network).every(({ mailbox }) => mailbox.length === 0)) return;
    for (const device of left(network)) {
      await device.receive(10_000);
      await device.accept();
    }
  }
  assert.fail('they never come to rest');
}

/** Every device says something, and all is heard. */
export async function talk(network: Network): Promise<void> {
  for (const device of left(network)) await step(network, network.devices.indexOf(device), { kind: 'say', amount: 0 });
  await settle(network);
}

/** Of each person one device says something anew about everything that can be said. */
export async function sayEverythingAnew(network: Network): Promise<void> {
  const speakers = [anna, bob].map(person => left(network).find(device => device.person === person)!);
  for (const device of speakers) decide(device, 'accepted');
  await settle(network);
  for (const [at, device] of speakers.entries()) {
    device.preferences.setTimer(device.other, 1_000 + at);
    device.profile.set({ displayName: `last of ${at}` });
    device.preferences.set(device.other, { pinned: true, mutedUntilMs: 1_000 });
    for (const message of device.here()) {
      await device.changeOne('react', message, 1_000 + at);
      if (message.kind === 'text' && message.author === device.person) await device.changeOne('edit', message, 1_000);
      if (message.poll?.closed === false) await device.changeOne('vote', message, at);
    }
  }
  await talk(network);
  for (const device of speakers) {
    const open = device.here().filter(({ poll, author }) => poll?.closed === false && author === device.person);
    for (const message of open) await device.changeOne('close', message, 0);
  }
  // What is overruled is told with what is said next, and said once more.
  for (let turn = 0; turn < 3; turn++) await talk(network);
}

/** What only some can know, because the device that said it is lost: contents, and messages that they take back. */
export function halfHeard({ devices }: Network): ReadonlySet<string> {
  const lost = devices.filter(({ isLost }) => isLost);
  return new Set(lost.flatMap(device => device.halfHeard()));
}

export async function end({ devices }: Network): Promise<void> {
  for (const device of devices) {
    await device.inbox.close();
    device.store.close();
  }
}
