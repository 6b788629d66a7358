// One order on every device: random histories between two people with two devices each, whose clocks are wrong and jump,
// whose mailboxes are read late, and whose stanzas wait for an acceptance. Real stores, inboxes and outboxes; the gatekeeper
// and the encryption are played.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { DecryptOutcome, IncomingCiphertext } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage, placedNotice } from '@drawbridge/wire/envelope';
import * as fc from 'fast-check';
import { Preferences } from '../chats/preferences.ts';
import type { Clock } from '../clock.ts';
import { Inbox } from '../inbox/inbox.ts';
import { Outbox } from '../outbox/outbox.ts';
import { listOutbox, readChat } from '../store/records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { domain } from '../testing/played-device.ts';
import { Authoring } from './authoring.ts';
import { HistoryTransfer } from './history-transfer.ts';
import { listMessages } from './history.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-order-'));
after(() => rmSync(folder, { recursive: true }));
const anna = `0-${'a'.repeat(26)}`;
const bob = `1-${'b'.repeat(26)}`;
const startMs = 1_800_000_000_000;

/** What is said first with this byte waits for an acceptance. */
const waits = 1;
let files = 0;

class Device {
  readonly mailbox: Element[] = [];
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
    const outbox = new Outbox({ ...base, lists, random: () => 0.5, request: refused, send: refused });
    const transfer = new HistoryTransfer({ own: person, clock, outbox, noted: () => {} });
    this.inbox = new Inbox({
      ...base,
      outbox,
      transfer,
      lists,
      deliveryReceipts: false,
      keysLow: () => {},
      ownManifestChanged: () => {},
    });
    this.authoring = new Authoring({ store, own: person, clock, outbox, emit: () => {} });
    this.preferences = new Preferences(this.authoring, outbox, () => {});
  }

  read<T>(work: (tx: Transaction) => T): T {
    const result = this.store.transaction(work);
    assert(result.ok);
    return result.value;
  }

  say(text: string): void {
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const content = { messageId, sentAtMs: this.clockMs, body: { kind: 'text', text } } as const;
    this.read(tx => this.authoring.say(tx, this.other, content, messageId.toString('hex')));
  }

  /** The next row for somebody goes to the gatekeeper, which places it in the mailboxes of all their other devices. */
  send(to: string, devices: readonly Device[], isHeld: boolean): void {
    const row = this.read(tx => {
      const [first] = listOutbox(tx, { to, limit: 1 });
      if (first !== undefined) tx.delete('outbox', first.id);
      return first;
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
      device.mailbox.push({ ...el, attrs: [...el.attrs, 'from', `${this.person}@${domain}/${this.deviceId}`] });
    }
    const full = `${this.person}@${domain}/${this.deviceId}`;
    if (to === this.person) this.mailbox.push(placedNotice(domain, full, row.id));
  }

  /** Takes so much of its mailbox, all at once as a stream brings it. */
  async receive(count: number): Promise<void> {
    const taken = this.mailbox.splice(0, count);
    await Promise.all(taken.map(el => new Promise<void>(resolve => this.inbox.receive(el, resolve))));
  }

  async accept(): Promise<void> {
    this.#accepts = true;
    this.inbox.readHeld(this.other);
    this.mailbox.unshift(placedNotice(domain, this.person, 'nobody-s'));
    await this.receive(1);
    this.#accepts = false;
  }

  shown(): unknown {
    return this.read(tx => ({
      texts: listMessages(tx, this.person, { chat: this.other, limit: 1_000 }).map(row => row.message.text),
      newest: listMessages(tx, this.person, { newest: true, limit: 1_000 }).map(row => row.message.text),
      timer: readChat(tx, this.other).timer?.seconds,
    }));
  }
}

type Step = {
  readonly kind: 'say' | 'send' | 'copy' | 'receive' | 'clock' | 'accept' | 'timer';
  readonly amount: number;
};
const step: fc.Arbitrary<readonly [number, Step]> = fc.tuple(
  fc.nat(3),
  fc.record({ kind: fc.constantFrom('say', 'send', 'copy', 'receive', 'clock', 'accept', 'timer'), amount: fc.nat(9) }),
);
const jumpsMs = [-86_400_000, -7_200_000, -1, 1, 1_000, 60_000, 7_200_000, 86_400_000, 604_800_000, 31_536_000_000];

async function newDevice(person: string, deviceId: number): Promise<Device> {
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${files++}.db`), key });
  assert(opened.ok);
  return new Device(person, deviceId, opened.value);
}

async function run(steps: readonly (readonly [number, Step])[]): Promise<void> {
  const devices = [
    await newDevice(anna, 1),
    await newDevice(anna, 2),
    await newDevice(bob, 1),
    await newDevice(bob, 2),
  ];
  const said: string[] = [];
  for (const [at, { kind, amount }] of steps) {
    const device = devices[at]!;
    if (kind === 'say') {
      said.push(`${at}: ${said.length}`);
      device.say(said.at(-1)!);
    } else if (kind === 'timer') device.preferences.setTimer(device.other, 10 * amount + at);
    else if (kind === 'send') device.send(device.other, devices, amount > 6);
    else if (kind === 'copy') device.send(device.person, devices, false);
    else if (kind === 'receive') await device.receive(amount);
    else if (kind === 'accept') await device.accept();
    else device.clockMs += jumpsMs[amount]!;
  }
  // In the end everything is sent, received and accepted.
  for (const device of devices) {
    for (let left = 0; left < 2 * steps.length + 40; left++) {
      device.send(device.other, devices, false);
      device.send(device.person, devices, false);
    }
  }
  for (const device of devices) {
    await device.receive(1_000);
    await device.accept();
  }
  const [anna1, anna2, bob1, bob2] = devices.map(device => device.shown()) as {
    texts: string[];
    newest: string[];
    timer?: number;
  }[];
  for (const device of devices) {
    await device.inbox.close();
    device.store.close();
  }
  assert.deepEqual(anna2, anna1);
  assert.deepEqual(bob2, bob1);
  assert.deepEqual(anna1!.texts.toSorted(), said.toSorted(), 'nothing is missing, nothing twice');
  assert.deepEqual(anna1!.newest, anna1!.texts.toReversed());
  assert.deepEqual(bob1!.texts.toSorted(), said.toSorted());
  assert.equal(anna1!.timer, bob1!.timer);
}

test('all devices of a person show one order, and all of everybody the same contents and timers', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), run), { numRuns: 25, seed: 44 });
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
