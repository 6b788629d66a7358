// Two people with two devices each who talk: real stores, inboxes and outboxes; the gatekeeper and the encryption are played.
// Clocks are wrong and jump, mailboxes are read late, stanzas overtake one another, are withheld, and wait for an acceptance.
// Knows nothing of what must come of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { decodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { DecryptOutcome, IncomingCiphertext } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage, placedNotice } from '@drawbridge/wire/envelope';
import * as fc from 'fast-check';
import { Preferences } from '../chats/preferences.ts';
import type { Clock } from '../clock.ts';
import { Authoring } from '../history/authoring.ts';
import { countMissing } from '../history/gaps.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { Inbox } from '../inbox/inbox.ts';
import { Outbox } from '../outbox/outbox.ts';
import { numberOf } from '../outbox/unsaid.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readChat } from '../store/message-records.ts';
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
  }

  read<T>(work: (tx: Transaction) => T): T {
    const result = this.store.transaction(work);
    assert(result.ok);
    return result.value;
  }

  /** Gives the message's id. */
  say(text: string): string {
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const content = { messageId, sentAtMs: this.clockMs, body: { kind: 'text', text } } as const;
    this.read(tx => this.authoring.say(tx, this.other, content, messageId.toString('hex')));
    return messageId.toString('hex');
  }

  /** Edits, reacts to or takes back one of the messages that are here. */
  change(kind: 'edit' | 'react' | 'delete', which: number): void {
    const rows = this.read(tx => listMessages(tx, this.person, { chat: this.other, limit: 1_000 }));
    const here = rows.map(row => row.message).filter(message => message.kind === 'text');
    const own = here.filter(message => message.author === this.person);
    const message = kind === 'react' ? here[which % here.length] : own[which % own.length];
    if (message === undefined) return;
    const { id, author, sentAtMs } = message;
    const targetMessageId = Buffer.from(id, 'hex');
    const bodies = {
      edit: { kind: 'edit', targetMessageId, text: { text: `${message.text}, ${which}` } },
      react: { kind: 'reaction', target: { messageId: targetMessageId, author, sentAtMs }, emoji: String(which) },
      delete: { kind: 'delete', targetMessageId },
    } as const;
    const content = this.authoring.content(bodies[kind]);
    this.read(tx => this.authoring.say(tx, this.other, content, author === this.person ? id : undefined));
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
    const bytes = Buffer.concat([Buffer.of(isHeld ? waits : 0), Buffer.from(row.record.payload.content, 'base64')]);
    const number = numberIn(row.record.payload.content);
    const chain = `${this.person}/${this.deviceId}`;
    for (const device of devices.filter(each => each.person === to && each !== this)) {
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

  /** What is there; a message that was taken back before it left stands on its author's device alone. */
  shown(): Shown {
    const rows = (options: { readonly newest?: boolean }): MessageRecord[] =>
      this.read(tx => listMessages(tx, this.person, { chat: this.other, limit: 1_000, ...options }))
        .map(row => row.message)
        .filter(message => message.kind !== 'deleted');
    return {
      contents: rows({}).map(({ id, text, reactions, expiresAfterSeconds }) => ({
        id,
        text,
        reactions,
        expiresAfterSeconds,
      })),
      newest: rows({ newest: true }).map(({ id }) => id),
      timer: this.read(tx => readChat(tx, this.other).timer?.seconds),
      missing: this.read(tx => countMissing(readChat(tx, this.other).heard)),
    };
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

export type Shown = {
  readonly contents: readonly {
    readonly id: string;
    readonly text: string;
    readonly reactions: MessageRecord['reactions'];
    readonly expiresAfterSeconds: number | undefined;
  }[];
  readonly newest: readonly string[];
  readonly timer: number | undefined;
  readonly missing: number;
};

const counted = new WeakMap<Element, Counted>();

/** The number of a content, or of the one that a transcript holds. */
function numberIn(content: string): number {
  const decoded = decodeContent(Buffer.from(content, 'base64'));
  assert(decoded.ok);
  const { body } = decoded.value;
  return body.kind === 'sent-transcript' ? numberOf(body.content) : numberOf(Buffer.from(content, 'base64'));
}

const kinds = ['say', 'send', 'copy', 'receive', 'clock', 'timer', 'edit', 'react', 'delete'] as const;
export type Step = {
  readonly kind: (typeof kinds)[number] | 'accept' | 'withhold' | 'release';
  readonly amount: number;
};

export function steps(...more: readonly Step['kind'][]): fc.Arbitrary<(readonly [number, Step])[]> {
  const kind = fc.constantFrom<Step['kind']>(...kinds, 'say', 'send', 'copy', 'receive', ...more);
  return fc.array(fc.tuple(fc.nat(3), fc.record({ kind, amount: fc.nat(9) })), { minLength: 10, maxLength: 80 });
}

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

export async function newNetwork(folder: string): Promise<Network> {
  const devices = [
    await newDevice(folder, anna, 1),
    await newDevice(folder, anna, 2),
    await newDevice(folder, bob, 1),
    await newDevice(folder, bob, 2),
  ];
  return { devices, said: [] };
}

export async function step({ devices, said }: Network, at: number, { kind, amount }: Step): Promise<void> {
  const device = devices[at]!;
  switch (kind) {
    case 'say':
      said.push({ id: device.say(`${at}: ${said.length}`), at });
      break;
    case 'timer':
      device.preferences.setTimer(device.other, 10 * amount + at);
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
    default:
      device.change(kind, amount);
  }
}

/** In the end everything is sent, received and accepted. */
export async function settle({ devices }: Network): Promise<void> {
  for (const device of devices) {
    for (const to of [device.other, device.person]) {
      while (device.read(tx => listOutbox(tx, { to, limit: 1 })).length > 0) device.send(to, devices, false);
    }
  }
  for (const device of devices) {
    await device.receive(10_000);
    await device.accept();
  }
}

export async function end({ devices }: Network): Promise<void> {
  for (const device of devices) {
    await device.inbox.close();
    device.store.close();
  }
}
