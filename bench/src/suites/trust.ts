// Question: what do the device manifest and the binding of a content add to a message in the SDK, in CPU and in bytes?
// Whole messages go from one SDK's outbox to another's inbox in this process: real libsignal, real stores, no streams. What the
// manifest and the binding do for one is done by itself in turns with that, so that neighbours disturb both alike.
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { DeviceLists } from '@drawbridge/client/directory/device-lists';
import { writeManifest } from '@drawbridge/client/directory/manifest-records';
import { HistoryTransfer } from '@drawbridge/client/history/history-transfer';
import { Authoring } from '@drawbridge/client/history/authoring';
import { chatWith } from '@drawbridge/client/history/message-names';
import { Inbox } from '@drawbridge/client/inbox/inbox';
import { bound } from '@drawbridge/client/outbox/binding';
import { Outbox, type Sending } from '@drawbridge/client/outbox/outbox';
import type { Transaction } from '@drawbridge/client/store/store';
import { readOutbox } from '@drawbridge/client/store/outbox-records';
import { meet, type PlayedDevice, playedDevice } from '@drawbridge/client/testing/played-device';
import { bindContent, placeOf, SALT_BYTES, verifyBinding } from '@drawbridge/e2ee/binding';
import { decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { PADDING_STEP_BYTES, padContent } from '@drawbridge/e2ee/padding';
import { encodeManifest } from '@drawbridge/wire/device-manifest';
import { type Element, element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { check, type Figures, median, row, type SuiteResult } from '../results.ts';
import type { SuiteContext } from './suite.ts';

const domain = 'citadel.example';
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const clock = { nowMs: Date.now, after: () => () => {} };
/** libsignal's part of a ciphertext beyond the padded content, and the rest of a compact frame (bench/results/wire.json). */
const aroundContentBytes = 106 + 90;

type Desk = {
  readonly whole: () => Promise<void>;
  /** What the manifest and the binding do for a message, in transactions such as a message has. */
  readonly parts: () => Promise<void>;
  /** These transactions without it. */
  readonly bare: () => Promise<void>;
  readonly close: () => void;
};

/** Two people who have met; the reader knows the writer's manifest. */
async function openDesk(folder: string): Promise<Desk> {
  const anna = await playedDevice(folder, annasId, Date.now, 'anna');
  const bob = await playedDevice(folder, bobsId, Date.now, 'bob');
  await meet(anna, bob);
  let arrived: (stanza: Element) => void = () => {};
  const base = (device: PlayedDevice, other: PlayedDevice) => {
    const listed = element('device', NS_KEYS, { id: '1', registration: String(other.bundle.registrationId) });
    const request = async () => element('manifest', NS_KEYS, {}, [listed]);
    const ownIdentityKey = async () => device.bundle.identityKey;
    const shared = { ...device, domain, clock, request, emit: () => {} };
    return { ...shared, lists: new DeviceLists({ ...shared, ownIdentityKey }) };
  };
  const ofAnna = base(anna, bob);
  const sent: Sending[] = [];
  const outbox = new Outbox({
    isStamped: () => false,
    ...ofAnna,
    random: () => 0.5,
    send: (_stanza, sending) => {
      const read = anna.store.transaction(tx => readOutbox(tx, sending.id)?.ciphertexts?.[0]);
      if (!read.ok || read.value === undefined) return false;
      const { kind, bytes } = read.value;
      const stanza = encodeEnvelopeMessage({
        to: `${bobsId}@${domain}/1`,
        id: sending.id,
        type: 'chat',
        suite: anna.suite.name,
        fromDevice: 1,
        ciphertexts: [{ deviceId: 1, registrationId: undefined, kind, payload: Buffer.from(bytes, 'base64') }],
        noStore: false,
        silent: true,
      });
      sent.push(sending);
      arrived({ ...stanza, attrs: [...stanza.attrs, 'from', `${annasId}@${domain}/1`] });
      return true;
    },
  });
  const ofBob = base(bob, anna);
  const away = new Outbox({ isStamped: () => false, ...ofBob, random: () => 0.5, send: () => false });
  const transfer = new HistoryTransfer({ own: bobsId, clock, outbox: away, noted: () => {} });
  const inbox = new Inbox({
    ...ofBob,
    outbox: away,
    transfer,
    deliveryReceipts: false,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  const identity = createHash('sha256').update(anna.bundle.identityKey).digest('hex');
  const devices = [1, 2].map(id => ({
    id,
    registration: anna.bundle.registrationId + id - 1,
    deviceKeyThumbprint: randomBytes(32).toString('base64url'),
    addedAtMs: Date.now(),
  }));
  const text = encodeManifest({
    domain,
    provider: domain,
    interopId: annasId,
    epoch: 1,
    issuedAtMs: Date.now(),
    freshUntilMs: Date.now() + 86_400_000,
    devices,
  });
  bob.store.transaction(tx => writeManifest(tx, annasId, { identity, epoch: 1, text, signature: randomBytes(64) }));
  const authoring = new Authoring({ ...ofAnna, own: annasId, outbox });
  outbox.online(false);
  const says = (words: string) => authoring.content({ kind: 'text', text: words });
  const whole = async (): Promise<void> => {
    const content = says('x'.repeat(120));
    authoring.transaction(tx =>
      authoring.say(tx, chatWith(bobsId), content, Buffer.from(content.messageId).toString('hex')),
    );
    const { promise, resolve } = Promise.withResolvers<Element>();
    arrived = resolve;
    outbox.wake(bobsId);
    const stanza = await promise;
    outbox.delivered(sent.splice(0));
    await new Promise<void>(done => inbox.receive(stanza, done, false));
  };
  const author = { interopId: annasId, deviceId: 1 };
  /** About the rows and bytes that a message writes at each end. */
  const rows = (device: PlayedDevice, work: (tx: Transaction) => void): void => {
    device.store.transaction(tx => {
      for (let i = 0; i < 4; i++) tx.put('transfer', `row ${i}`, randomBytes(1_500));
      work(tx);
    });
  };
  const parts = async (): Promise<void> => {
    const encoded = encodeContent(says('x'.repeat(120)));
    if (!encoded.ok) throw new TypeError('it is sound');
    let content = encoded.value;
    rows(anna, tx => {
      content = bound(tx, { author, domain }, bobsId, encoded.value);
    });
    await ofBob.lists.mayBeRead(author);
    const decoded = decodeContent(content);
    rows(bob, tx => {
      if (!decoded.ok || verifyBinding(decoded.value, { author, recipient: bobsId, domain }) !== undefined)
        throw new TypeError('it is bound');
      if (!ofBob.lists.isNamed(tx, author, identity)) throw new TypeError('it is named');
    });
  };
  const bare = async (): Promise<void> => {
    const encoded = encodeContent(says('x'.repeat(120)));
    if (!encoded.ok) throw new TypeError('it is sound');
    rows(anna, () => {});
    const decoded = decodeContent(encoded.value);
    rows(bob, () => {
      if (!decoded.ok) throw new TypeError('it is sound');
    });
  };
  const close = (): void => {
    outbox.close();
    away.close();
    anna.store.close();
    bob.store.close();
  };
  return { whole, parts, bare, close };
}

async function cpuMicros(count: number, work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** What a content with its binding is in steps of padding, of texts of every length up to `longest`, on average. */
function bytes(longest: number): Figures {
  let without = 0;
  let withBinding = 0;
  for (let length = 1; length <= longest; length++) {
    const messageId = randomBytes(MESSAGE_ID_BYTES);
    const body = { kind: 'text', text: 'x'.repeat(length) } as const;
    const encoded = encodeContent({ messageId, sentAtMs: Date.now(), body });
    if (!encoded.ok) throw new TypeError('it is sound');
    const place = placeOf({ author: { interopId: annasId, deviceId: 1 }, recipient: bobsId, domain });
    const binding = { place, number: 1_000, salt: randomBytes(SALT_BYTES) };
    without += padContent(encoded.value).length + aroundContentBytes;
    withBinding += padContent(bindContent(encoded.value, binding)).length + aroundContentBytes;
  }
  return { bytesWithout: without / longest, bytesWith: withBinding / longest, addedShare: withBinding / without - 1 };
}

export async function trustSuite(context: SuiteContext): Promise<SuiteResult> {
  const { quick, say, repeats, folder } = context;
  const blocks = quick ? 6 : 20;
  const each = 50;
  const runs: Figures[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const desk = await openDesk(join(folder, `trust-${repeat}`));
    const works = [desk.whole, desk.parts, desk.bare];
    for (const work of works) await cpuMicros(200, work);
    const startedMs = performance.now();
    const micros: number[][] = works.map(() => []);
    for (let block = 0; block < blocks; block++) {
      for (const [at, work] of works.entries()) micros[at]!.push(await cpuMicros(each, work));
    }
    desk.close();
    const [cpuMicrosWhole, cpuMicrosParts, cpuMicrosBare] = micros.map(median) as [number, number, number];
    const cpuMicrosAdded = cpuMicrosParts - cpuMicrosBare;
    runs.push({ cpuMicrosWhole, cpuMicrosAdded, cpuShare: cpuMicrosAdded / (cpuMicrosWhole - cpuMicrosAdded) });
    say(`${repeat + 1}/${repeats} messages between two SDKs, ${Math.round(performance.now() - startedMs)} ms`);
  }
  const lengths = [120, 400, 2_000];
  const cpu = row('cpu', 'drawbridge', runs, []);
  const sizes = lengths.map(longest => row(`texts of up to ${longest} bytes`, 'drawbridge', [bytes(longest)], []));
  return {
    suite: 'trust',
    question: 'What do the device manifest and the binding of a content add to a message in the SDK?',
    expectation: `CPU: at most 5 %. Bytes: 43 on average, in steps of ${PADDING_STEP_BYTES}: 10 % of a short text.`,
    cases: {
      cpu: 'one text from outbox to inbox, both stores on disk; what is added: such transactions with and without it',
      ...Object.fromEntries(
        sizes.map(({ case: name }) => [name, 'compact frames, every length as often as any other']),
      ),
    },
    rows: [cpu, ...sizes],
    checks: [
      ...check('CPU that manifest and binding add to a message', cpu.medians.cpuShare, 'at-most', 0.05),
      ...sizes.flatMap(({ case: name, medians }) =>
        check(`bytes that the binding adds to ${name}`, medians.addedShare, 'at-most', 0.05),
      ),
    ],
    notes: ['CPU is user and system time of the process. The manifest adds no bytes to a message.'],
  };
}
