// A session breaks while many stanzas of it are on their way: all of them are asked for and come again, once and in order, in
// one fresh session. Whoever sends what nobody can read makes this device ask within bounds.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { MAX_RETRIES_PER_DEVICE, RETRY_WINDOW_MS } from '@drawbridge/e2ee/retry';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import type { ClientEvent } from '../events.ts';
import { isShown, listMessages } from '../history/history.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { chatWith } from '../history/message-names.ts';
import { acknowledgeNotice, listNotices } from '../notices/notice-records.ts';
import { contentPayload } from '../outbox/rows.ts';
import { Outbox, type Sending } from '../outbox/outbox.ts';
import { writeAccount } from '../store/account-records.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { listUnread } from '../store/inbox-records.ts';
import type { Transaction } from '../store/store.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { Inbox } from './inbox.ts';
import { inboxLimits } from './inbox-context.ts';
import { unreadableLimits } from './unreadable.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-broken-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const clock = new PlayedClock();

const bytes = (name: string, value: Uint8Array): Element => element(name, NS_KEYS, {}, [Uint8Array.from(value)]);

/** As the directory gives it when one-time keys have run out. */
function bundleElement({ bundle }: PlayedDevice): Element {
  const { registrationId, identityKey, signedPrekey, kemPrekey } = bundle;
  const signed = (name: string, { id, publicKey, signature }: typeof signedPrekey): Element =>
    element(name, NS_KEYS, { id: String(id) }, [bytes('public', publicKey), bytes('signature', signature)]);
  return element('bundle', NS_KEYS, {}, [
    element('device', NS_KEYS, { id: '1', registration: String(registrationId) }, [
      bytes('identity', identityKey),
      signed('signed-prekey', signedPrekey),
      signed('kem-prekey', kemPrekey),
    ]),
  ]);
}

type Person = {
  readonly device: PlayedDevice;
  readonly outbox: Outbox;
  readonly inbox: Inbox;
  readonly events: ClientEvent[];
  /** Sent, and not delivered yet: as in a mailbox. */
  readonly mail: { readonly stanza: Element; readonly sending: Sending }[];
  /** How often it took a bundle. */
  bundles: number;
};

function open(device: PlayedDevice, other: PlayedDevice): Person {
  const person: Omit<Person, 'outbox' | 'inbox'> = { device, events: [], mail: [], bundles: 0 };
  const request: Request = async (_, { name, attrs }) => {
    // One's own other devices: there are none.
    const about = attrs.some(value => value.startsWith(device.suite.local.interopId)) ? device : other;
    if (name === 'bundle') {
      person.bundles++;
      return bundleElement(about);
    }
    const registration = String(about.bundle.registrationId);
    return element('manifest', NS_KEYS, {}, [element('device', NS_KEYS, { id: '1', registration })]);
  };
  const emit = (event: ClientEvent): void => void person.events.push(event);
  const base = { ...device, domain, clock, emit, request, isStamped: () => false };
  const lists = new DeviceLists({ ...base, ownIdentityKey: async () => device.bundle.identityKey });
  const outbox = new Outbox({
    ...base,
    random: () => 0.5,
    lists,
    send: (stanza, sending) => person.mail.push({ stanza, sending }) > 0,
  });
  const own = device.suite.local.interopId;
  const inbox = new Inbox({
    ...base,
    outbox,
    lists,
    transfer: new HistoryTransfer({ own, clock, outbox, noted: () => {} }),
    deliveryReceipts: false,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  return Object.assign(person, { outbox, inbox });
}

function done<T>({ store }: PlayedDevice, work: (tx: Transaction) => T): T {
  const result = store.transaction(work);
  assert(result.ok);
  return result.value;
}

function contentOf(text: string): Uint8Array {
  const body = { kind: 'text', text } as const;
  const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: clock.nowMs(), body });
  assert(encoded.ok);
  return encoded.value;
}

function say({ device, outbox }: Person, to: string, texts: readonly string[]): void {
  for (const text of texts) {
    const content = contentOf(text);
    done(device, tx => outbox.add(tx, { to, payload: contentPayload(outbox.bound(tx, to, content)), silent: false }));
  }
  outbox.wake(to);
}

/** Waits until nothing more leaves, with the gatekeeper taking over what does. */
async function settle(person: Person, to: string): Promise<void> {
  for (let taken = 0, quiet = 0; quiet < 400; quiet++) {
    await new Promise(resolve => setImmediate(resolve));
    if (taken === person.mail.length) continue;
    quiet = 0;
    person.outbox.delivered(person.mail.slice(taken).map(({ sending }) => sending));
    taken = person.mail.length;
  }
  assert.equal(done(person.device, tx => listOutbox(tx, { to, limit: 1 })).length, 0, 'something still waits');
}

/** What waits comes, as the gatekeeper hands it to the one device. */
async function deliver(from: Person, to: Person): Promise<void> {
  for (const { stanza } of from.mail.splice(0)) {
    const { interopId } = from.device.suite.local;
    const attrs = ['to', `${to.device.suite.local.interopId}@${domain}/1`, 'from', `${interopId}@${domain}/1`];
    const rest = stanza.attrs.flatMap((name, i) =>
      i % 2 === 0 && name !== 'to' && name !== 'from' ? [name, stanza.attrs[i + 1]!] : [],
    );
    await new Promise<void>(resolve => to.inbox.receive({ ...stanza, attrs: [...attrs, ...rest] }, resolve, false));
  }
}

function shown({ device }: Person): string[] {
  const chat = device.suite.local.interopId === annasId ? bobsId : annasId;
  const own = device.suite.local.interopId;
  const rows = done(device, tx => listMessages(tx, own, { chat, limit: 1_000 }));
  return rows.flatMap(({ message }) =>
    isShown(message) && message.author !== own ? [message.kind === 'text' ? message.text : message.kind] : [],
  );
}

const texts = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name} ${i}`);

let plays = 0;

/** Anna and Bob, who have talked. */
async function talking(): Promise<{ anna: Person; bob: Person; close: () => Promise<void> }> {
  const name = String(plays++);
  const annas = await playedDevice(folder, annasId, () => clock.nowMs(), `anna-${name}`);
  const bobs = await playedDevice(folder, bobsId, () => clock.nowMs(), `bob-${name}`);
  const [anna, bob] = [open(annas, bobs), open(bobs, annas)];
  anna.outbox.online(false);
  bob.outbox.online(false);
  for (const [from, to, id] of [
    [anna, bob, bobsId],
    [bob, anna, annasId],
    [anna, bob, bobsId],
  ] as const) {
    say(from, id, ['hello']);
    await settle(from, id);
    await deliver(from, to);
  }
  assert.deepEqual([shown(anna), shown(bob)], [['hello'], ['hello', 'hello']]);
  anna.bundles = bob.bundles = 0;
  return {
    anna,
    bob,
    close: async () => {
      for (const { inbox, outbox, device } of [anna, bob]) {
        await inbox.close();
        outbox.close();
        device.store.close();
      }
      clock.forgetTimers();
    },
  };
}

/** Both say what they have to say, until nobody has anything more. */
async function talk(anna: Person, bob: Person): Promise<void> {
  do {
    await settle(bob, annasId);
    await deliver(bob, anna);
    await settle(anna, bobsId);
    await deliver(anna, bob);
    await settle(bob, annasId);
  } while (bob.mail.length > 0);
}

type Break = {
  readonly name: string;
  /** Before the stanzas are encrypted. */
  readonly before?: (anna: Person, bob: Person) => Promise<void> | void;
  /** While they wait. */
  readonly meanwhile?: (anna: Person, bob: Person) => Promise<void> | void;
};

const end = async ({ device }: Person, person: string): Promise<void> => {
  const ended = await device.suite.endSessions(person, [1], ({ changes }) => done(device, tx => tx.apply(changes)));
  assert(ended.ok);
};

const breaks: readonly Break[] = [
  { name: 'the reader has lost its session', meanwhile: (_, bob) => end(bob, annasId) },
  {
    name: 'both have lost it, and its author has begun another one',
    async meanwhile(anna, bob) {
      await end(bob, annasId);
      await end(anna, bobsId);
      await meet(anna.device, bob.device);
    },
  },
  {
    name: 'its author began another one for a prekey that the reader has not got any more',
    async before(anna, bob) {
      await end(anna, bobsId);
      await meet(anna.device, bob.device);
      const { id } = bob.device.bundle.signedPrekey;
      const gone: StoreChange = { op: 'delete', table: 'signed-prekey', key: String(id) };
      done(bob.device, tx => tx.apply([gone]));
    },
  },
];
const count = 60;

test('whoever is asked can not read the request either: it is made again in the session in which they say so', async () => {
  const { anna, bob, close } = await talking();
  say(anna, bobsId, texts('in the old one', count));
  await settle(anna, bobsId);
  await end(bob, annasId);
  await end(anna, bobsId);
  // The directory still gives out what a store that was set back has no private half of.
  const { id } = anna.device.bundle.signedPrekey;
  done(anna.device, tx => tx.apply([{ op: 'delete', table: 'signed-prekey', key: String(id) }]));
  await deliver(anna, bob);
  await talk(anna, bob);
  await talk(anna, bob);
  assert.deepEqual(shown(bob), ['hello', 'hello', ...texts('in the old one', count)]);
  clock.pass(10 * inboxLimits.showUnreadMs);
  assert.deepEqual(shown(anna), ['hello'], 'a request is not a message: no line stands for it');
  assert.deepEqual(
    [anna, bob].flatMap(({ device }) => done(device, tx => listUnread(tx, 1_000))),
    [],
  );
  await close();
});

for (const { name, before, meanwhile } of breaks) {
  test(`${name}, with ${count} stanzas on their way: all come again, once and in order, in one fresh session`, async () => {
    const { anna, bob, close } = await talking();
    await before?.(anna, bob);
    say(anna, bobsId, texts('in the old one', count));
    await settle(anna, bobsId);
    assert.equal(anna.mail.length, count);
    await meanwhile?.(anna, bob);
    await deliver(anna, bob);
    assert.deepEqual(shown(bob), ['hello', 'hello'], 'nothing could be read, and no line stands there yet');
    await talk(anna, bob);
    say(anna, bobsId, ['behind']);
    await talk(anna, bob);
    const all = ['hello', 'hello', ...texts('in the old one', count), 'behind'];
    assert.deepEqual(shown(bob), all);
    assert.deepEqual(
      done(bob.device, tx => listUnread(tx, 1_000)),
      [],
    );
    assert.equal(bob.bundles, 1, 'one session for all of them');
    clock.pass(10 * inboxLimits.showUnreadMs);
    assert.deepEqual(shown(bob), all);
    assert.equal(bob.events.filter(event => event.kind === 'message' && event.message.kind === 'lost').length, 0);
    await close();
  });
}

test('what comes again only later is told meanwhile, and gives way line by line', async () => {
  const { anna, bob, close } = await talking();
  const few = unreadableLimits.linesPerPerson;
  say(anna, bobsId, texts('lost', few));
  await settle(anna, bobsId);
  await end(bob, annasId);
  await deliver(anna, bob);
  clock.pass(inboxLimits.showUnreadMs);
  assert.deepEqual(shown(bob), ['hello', 'hello', ...Array<string>(few).fill('lost')]);
  await talk(anna, bob);
  assert.deepEqual(shown(bob), ['hello', 'hello', ...texts('lost', few)]);
  await close();
});

const noticesOf = ({ device }: Person) =>
  done(device, listNotices).filter(({ change }) => change.kind === 'unreadable');

function wordsToOneself({ device }: Person): string[] {
  const own = device.suite.local.interopId;
  const rows = done(device, tx => listMessages(tx, own, { chat: chatWith(own), limit: 100 }));
  return rows.flatMap(({ message }) => (isShown(message) ? [message.text] : []));
}

test('what is beyond the lines is counted, told once, and taken from the count as it comes; at none nothing is told', async () => {
  const { anna, bob, close } = await talking();
  done(bob.device, tx =>
    writeAccount(tx, {
      gatekeeper: 'https://citadel.example',
      domain,
      deviceId: 1,
      interopId: bobsId,
      jid: `${bobsId}@${domain}/1`,
    }),
  );
  const beyond = 10;
  const all = texts('lost', unreadableLimits.linesPerPerson + beyond);
  say(anna, bobsId, all);
  await settle(anna, bobsId);
  await end(bob, annasId);
  await deliver(anna, bob);
  clock.pass(inboxLimits.showUnreadMs);
  assert.equal(shown(bob).filter(text => text === 'lost').length, unreadableLimits.linesPerPerson);
  assert.deepEqual(
    noticesOf(bob).map(({ times }) => times),
    [beyond],
  );
  assert.deepEqual(wordsToOneself(bob), ['Messages came that could not be read.']);
  const isTold = ({ kind, ...event }: ClientEvent): boolean =>
    kind === 'message' && 'message' in event && event.message.chat === chatWith(bobsId);
  assert.equal(bob.events.filter(isTold).length, 1);
  await talk(anna, bob);
  assert.deepEqual(shown(bob), ['hello', 'hello', ...all]);
  assert.deepEqual(noticesOf(bob), []);
  assert.deepEqual(wordsToOneself(bob), []);
  await close();
});

test('a count that was acknowledged is over: what it counted is not taken from the next one', async () => {
  const { anna, bob, close } = await talking();
  say(anna, bobsId, texts('lost', unreadableLimits.linesPerPerson + 10));
  await settle(anna, bobsId);
  await end(bob, annasId);
  await deliver(anna, bob);
  clock.pass(inboxLimits.showUnreadMs);
  const [notice] = noticesOf(bob);
  done(bob.device, tx => acknowledgeNotice(tx, notice!));
  // What nobody can place is counted for ever.
  for (let i = 0; i < 3; i++)
    await new Promise<void>(resolve => bob.inbox.receive(element('message', 'jabber:client'), resolve, false));
  await talk(anna, bob);
  assert.deepEqual(
    noticesOf(bob).map(({ times }) => times),
    [3],
  );
  await close();
});

test('what was counted and is given up is counted once', async () => {
  const { anna, bob, close } = await talking();
  const beyond = 5;
  say(anna, bobsId, texts('lost', unreadableLimits.linesPerPerson + beyond));
  await settle(anna, bobsId);
  await end(bob, annasId);
  await deliver(anna, bob);
  clock.pass(inboxLimits.showUnreadMs);
  clock.set(inboxLimits.retryWaitMs);
  bob.inbox.sweep();
  assert.deepEqual(
    noticesOf(bob).map(({ times }) => times),
    [beyond],
  );
  assert.equal(shown(bob).filter(text => text === 'lost').length, unreadableLimits.linesPerPerson);
  await close();
});

test('a session that breaks again while it is mended is begun again, and the repeats of all come in that one', async () => {
  const { anna, bob, close } = await talking();
  say(anna, bobsId, texts('twice', 30));
  await settle(anna, bobsId);
  await end(bob, annasId);
  await deliver(anna, bob);
  await settle(bob, annasId);
  await deliver(bob, anna);
  await settle(anna, bobsId);
  await end(bob, annasId);
  await talk(anna, bob);
  assert.deepEqual(shown(bob), ['hello', 'hello', ...texts('twice', 30)]);
  assert.equal(bob.bundles, 2);
  await close();
});

test('whoever sends what nobody can read is asked within the bound, in few sessions; the rest is told', async () => {
  const { anna, bob, close } = await talking();
  const many = MAX_RETRIES_PER_DEVICE + 40;
  const stanzas: Element[] = [];
  for (let i = 0; i < many; i++) stanzas.push(await stanzaFrom(anna.device, bob.device, contentOf(`m${i}`)));
  await end(bob, annasId);
  const give = (stanza: Element): Promise<void> => new Promise(resolve => bob.inbox.receive(stanza, resolve, false));
  // Each of them again and again, and nobody answers.
  for (let round = 0; round < 3; round++) for (const stanza of stanzas) await give(stanza);
  await settle(bob, annasId);
  assert.equal(bob.mail.length, MAX_RETRIES_PER_DEVICE);
  assert.equal(bob.bundles, 1);
  const waiting = done(bob.device, tx => listUnread(tx, 1_000));
  assert(waiting.length <= MAX_RETRIES_PER_DEVICE);
  // An hour later it is asked again about what comes then.
  clock.set(RETRY_WINDOW_MS);
  await end(bob, annasId);
  await give(await stanzaFrom(anna.device, bob.device, contentOf('later')));
  await settle(bob, annasId);
  assert.equal(bob.mail.length, MAX_RETRIES_PER_DEVICE + 1);
  await close();
});
