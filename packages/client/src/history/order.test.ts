// One order on every device: random histories between two people with two devices each, whose clocks are wrong and jump,
// whose mailboxes are read late, whose stanzas overtake one another, are withheld, and wait for an acceptance. Real stores,
// inboxes and outboxes; the gatekeeper and the encryption are played. `DRAWBRIDGE_ORDER_RUNS` and `DRAWBRIDGE_ORDER_SEED` run
// more of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { DecryptOutcome, IncomingCiphertext } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage, placedNotice } from '@drawbridge/wire/envelope';
import * as fc from 'fast-check';
import { Preferences } from '../chats/preferences.ts';
import type { Clock } from '../clock.ts';
import { Inbox } from '../inbox/inbox.ts';
import { Outbox } from '../outbox/outbox.ts';
import { numberOf } from '../outbox/unsaid.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readChat } from '../store/message-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { domain } from '../testing/played-device.ts';
import { Authoring } from './authoring.ts';
import { countMissing } from './gaps.ts';
import { HistoryTransfer } from './history-transfer.ts';
import { listMessages } from './history.ts';
import type { MessageRecord } from './message-log.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-order-'));
after(() => rmSync(folder, { recursive: true }));
const anna = `0-${'a'.repeat(26)}`;
const bob = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;

/** What is said first with this byte waits for an acceptance. */
const waits = 1;
let files = 0;

/** What a stanza says that is counted: whose device, and its number there. */
type Counted = { readonly chain: string; readonly number: number };

class Device {
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
  send(to: string, devices: readonly Device[], isHeld: boolean, overtaken = 0): void {
    const row = this.read(tx => {
      const sent = listOutbox(tx, { to, limit: overtaken + 1 }).at(-1);
      if (sent !== undefined) tx.delete('outbox', sent.id);
      return sent;
    });
    if (row === undefined) return;
    assert(row.record.payload.kind === 'content');
    const bytes = Buffer.concat([Buffer.of(isHeld ? waits : 0), Buffer.from(row.record.payload.content, 'base64')]);
    for (const device of devices.filter(each => each.person === to && each !== this)) {
      const { deviceId } = device;
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
      counted.set(placed, { chain: `${this.person}/${this.deviceId}`, number: numberIn(row.record.payload.content) });
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

type Shown = {
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
type Step = { readonly kind: (typeof kinds)[number] | 'accept' | 'withhold' | 'release'; readonly amount: number };

function steps(...more: readonly Step['kind'][]): fc.Arbitrary<(readonly [number, Step])[]> {
  const kind = fc.constantFrom<Step['kind']>(...kinds, 'say', 'send', 'copy', 'receive', ...more);
  return fc.array(fc.tuple(fc.nat(3), fc.record({ kind, amount: fc.nat(9) })), { minLength: 10, maxLength: 80 });
}

const runs = {
  numRuns: Number(process.env['DRAWBRIDGE_ORDER_RUNS'] ?? 20),
  seed: Number(process.env['DRAWBRIDGE_ORDER_SEED'] ?? 44),
};
const jumpsMs = [-86_400_000, -7_200_000, -1, 1, 1_000, 60_000, 7_200_000, 86_400_000, 604_800_000, 31_536_000_000];

async function newDevice(person: string, deviceId: number): Promise<Device> {
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${files++}.db`), key });
  assert(opened.ok);
  return new Device(person, deviceId, opened.value);
}

type Network = { readonly devices: readonly Device[]; readonly said: { readonly id: string; readonly at: number }[] };

async function newNetwork(): Promise<Network> {
  const devices = [
    await newDevice(anna, 1),
    await newDevice(anna, 2),
    await newDevice(bob, 1),
    await newDevice(bob, 2),
  ];
  return { devices, said: [] };
}

async function step({ devices, said }: Network, at: number, { kind, amount }: Step): Promise<void> {
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
async function settle({ devices }: Network): Promise<void> {
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

async function end({ devices }: Network): Promise<void> {
  for (const device of devices) {
    await device.inbox.close();
    device.store.close();
  }
}

const byId = (shown: Shown): unknown => shown.contents.toSorted((a, b) => (a.id < b.id ? -1 : 1));

test('all devices of a person show one order, and all of everybody the same contents and timers', async () => {
  const property = fc.asyncProperty(steps('accept'), async all => {
    const network = await newNetwork();
    for (const [at, each] of all) await step(network, at, each);
    await settle(network);
    const [anna1, anna2, bob1, bob2] = network.devices.map(device => device.shown()) as [Shown, Shown, Shown, Shown];
    await end(network);
    assert.deepEqual(anna2, anna1);
    assert.deepEqual(bob2, bob1);
    assert.deepEqual(byId(bob1), byId(anna1));
    assert.equal(bob1.timer, anna1.timer);
    assert.deepEqual(anna1.newest, anna1.contents.map(({ id }) => id).toReversed());
    assert.equal(new Set(anna1.newest).size, anna1.newest.length, 'nothing twice');
    if (all.every(([, { kind }]) => kind !== 'delete')) assert.equal(anna1.newest.length, network.said.length);
    for (const { missing } of [anna1, bob1]) assert.equal(missing, 0, 'no gaps where all came');
  });
  await fc.assert(property, runs);
});

test('what is withheld from one device is missed there, and stands among what its author said there when it comes', async () => {
  const property = fc.asyncProperty(steps('withhold', 'withhold', 'release'), async all => {
    const network = await newNetwork();
    const { devices, said } = network;
    for (const at of devices.keys()) await step(network, at, { kind: 'say', amount: 0 });
    await settle(network);
    for (const [at, each] of all)
      await step(network, at, each.kind === 'send' ? { ...each, amount: each.amount % 8 } : each);
    await settle(network);
    for (const device of devices) assert.equal(device.shown().missing, device.expectedMissing());
    for (const device of devices) device.mailbox.push(...device.withheld.splice(0));
    await settle(network);
    const all4 = devices.map(device => device.shown());
    await end(network);
    for (const shown of all4) {
      assert.equal(shown.missing, 0);
      assert.deepEqual(byId(shown), byId(all4[0]!));
      assert.equal(shown.timer, all4[0]!.timer);
      for (const at of devices.keys()) {
        const inTheirOrder = said.filter(each => each.at === at && shown.newest.includes(each.id)).map(({ id }) => id);
        const here = shown.contents.map(({ id }) => id).filter(id => inTheirOrder.includes(id));
        assert.deepEqual(here, inTheirOrder);
      }
    }
  });
  await fc.assert(property, runs);
});

test('ten alternating messages while the second device was off stand there as on the first', async () => {
  const [anna1, anna2, bob1] = [await newDevice(anna, 1), await newDevice(anna, 2), await newDevice(bob, 1)];
  const devices = [anna1, anna2, bob1];
  for (let i = 0; i < 10; i++) {
    const author = i % 2 === 0 ? bob1 : anna1;
    author.say(`s${i}`);
    author.send(author.other, devices, false);
    author.send(author.person, devices, false);
    await anna1.receive(2);
    await bob1.receive(2);
  }
  await anna2.receive(100);
  const texts = Array.from({ length: 10 }, (_, i) => `s${i}`);
  for (const device of devices) {
    assert.deepEqual(
      device.read(tx => listMessages(tx, device.person, { limit: 100 }).map(row => row.message.text)),
      texts,
    );
    await device.inbox.close();
    device.store.close();
  }
});

test('what waited for an acceptance stands where it came, on a device that accepts early and on one that accepts late', async () => {
  const [anna1, anna2, bob1] = [await newDevice(anna, 1), await newDevice(anna, 2), await newDevice(bob, 1)];
  const devices = [anna1, anna2, bob1];
  for (const [text, isHeld] of [
    ['first', true],
    ['second', false],
  ] as const) {
    bob1.say(text);
    bob1.send(anna, devices, isHeld);
  }
  await anna1.receive(1);
  await anna1.accept();
  await anna1.receive(1);
  await anna2.receive(2);
  await anna2.accept();
  for (const device of [anna1, anna2]) {
    const rows = device.read(tx => listMessages(tx, anna, { limit: 100 }));
    assert.deepEqual(
      rows.map(row => row.message.text),
      ['first', 'second'],
    );
  }
  for (const device of devices) {
    await device.inbox.close();
    device.store.close();
  }
});
