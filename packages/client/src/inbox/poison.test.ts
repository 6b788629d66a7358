// Nobody stops an inbox: each kind of message that can't be kept or read is recorded, acknowledged and overtaken; a fault that
// passes is waited for, and nothing is dropped for it. Real libsignal, real SQLite, faults where a test says.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import { bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import type { DecryptError } from '@drawbridge/e2ee/suite';
import { type Element, element } from '@drawbridge/wire/element';
import { parseDeviceMessage } from '@drawbridge/wire/envelope';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import type { Clock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import { HistoryTransfer } from '../history/history-transfer.ts';
import { listMessages } from '../history/history.ts';
import { listNotices } from '../notices/notice-records.ts';
import { Outbox } from '../outbox/outbox.ts';
import { listOutbox } from '../store/outbox-records.ts';
import { readReceived, writeHeld } from '../store/inbox-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { type Fault, faultyStore } from '../testing/faulty-store.ts';
import { domain, meet, type PlayedDevice, playedDevice, stanzaFrom } from '../testing/played-device.ts';
import { Inbox } from './inbox.ts';
import { unreadableLimits } from './unreadable.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-poison-'));
after(() => rmSync(folder, { recursive: true }));
const annasId = `0-${'a'.repeat(26)}`;
const bobsId = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
/** Pauses are over at once. */
const clock: Clock = {
  nowMs: () => nowMs,
  after: (_, run) => {
    const timer = setImmediate(run);
    return () => clearImmediate(timer);
  },
};

/** What goes wrong, while it does. */
type Faults = {
  store: Fault;
  /** Thrown by whoever is asked about a device, as broken code does. */
  broken: (() => void) | undefined;
  /** What becomes of decryption, in place of what would. */
  refusal: DecryptError | undefined;
};

type Desk = {
  readonly anna: PlayedDevice;
  readonly bob: PlayedDevice;
  readonly inbox: Inbox;
  readonly faults: Faults;
};

async function openDesk(name: string): Promise<Desk> {
  const faults: Faults = { store: () => undefined, broken: undefined, refusal: undefined };
  const wrap = (store: EncryptedStore): EncryptedStore => faultyStore(store, (...access) => faults.store(...access));
  const played = await playedDevice(folder, annasId, () => nowMs, `anna-${name}`, wrap);
  const bob = await playedDevice(folder, bobsId, () => nowMs, `bob-${name}`);
  const decrypt: typeof played.suite.decrypt = async (incoming, commit, inspect) => {
    const error = faults.refusal;
    if (error === undefined) return await played.suite.decrypt(incoming, commit, inspect);
    const outcome = { kind: 'refused', from: incoming.from, error, changes: [], events: [] } as const;
    await commit(outcome);
    return { ok: true, value: outcome };
  };
  const anna = { ...played, suite: { ...played.suite, decrypt } };
  const refused = (): never => assert.fail('there is no stream');
  const base = { ...anna, domain, clock, emit: () => {} };
  const ownIdentityKey = async () => anna.bundle.identityKey;
  const lists = new DeviceLists({ ...base, request: refused, ownIdentityKey });
  const isNamed = lists.isNamed.bind(lists);
  lists.isNamed = (...device) => {
    faults.broken?.();
    return isNamed(...device);
  };
  const outbox = new Outbox({
    isStamped: () => false,
    ...base,
    random: () => 0.5,
    request: refused,
    lists,
    send: refused,
  });
  const transfer = new HistoryTransfer({ own: annasId, clock, outbox, noted: () => {} });
  const inbox = new Inbox({
    ...base,
    outbox,
    transfer,
    lists,
    deliveryReceipts: true,
    keysLow: () => {},
    ownManifestChanged: () => {},
    decisions: { isListed: true, answer: () => {} },
  });
  await meet(bob, anna);
  return { anna, bob, inbox, faults };
}

async function close({ anna, bob, inbox }: Desk): Promise<void> {
  await inbox.close();
  anna.store.close();
  bob.store.close();
}

const give = ({ inbox }: Desk, stanza: Element): Promise<void> =>
  new Promise<void>(resolve => inbox.receive(stanza, resolve, false));

function bytesOf(text: string): Uint8Array {
  const body = { kind: 'text', text } as const;
  const encoded = encodeContent({ messageId: randomBytes(MESSAGE_ID_BYTES), sentAtMs: nowMs, body });
  assert(encoded.ok);
  return encoded.value;
}

const said = ({ bob, anna }: Desk, text: string): Promise<Element> => stanzaFrom(bob, anna, bytesOf(text));

function shown({ anna }: Desk): string[] {
  const rows = anna.store.transaction(tx => listMessages(tx, annasId, { chat: bobsId, limit: 1_000 }));
  assert(rows.ok);
  return rows.value.map(({ message }) => (message.kind === 'text' ? message.text : message.kind));
}

function noticed({ anna }: Desk): number {
  const notices = anna.store.transaction(listNotices);
  assert(notices.ok);
  return notices.value.find(({ change }) => change.kind === 'unreadable')?.times ?? 0;
}

function asked({ anna }: Desk): number {
  const rows = anna.store.transaction(tx => listOutbox(tx, { to: bobsId, limit: 1_000 }));
  assert(rows.ok);
  return rows.value.filter(({ record }) => record.freshSession !== undefined).length;
}

/** Another payload in the same envelope. */
function withCiphertext(stanza: Element, change: (ciphertext: Element) => Element): Element {
  return {
    ...stanza,
    children: stanza.children.map(child =>
      typeof child === 'object' && 'name' in child && child.name === 'envelope'
        ? { ...child, children: child.children.map(each => change(each as Element)) }
        : child,
    ),
  };
}

const withAttribute = (el: Element, name: string, value: string): Element => {
  const attrs = [...el.attrs];
  attrs[attrs.indexOf(name) + 1] = value;
  return { ...el, attrs };
};

/** `lost`: a line in the chat. `noticed`: counted in the notice. `asked`: it is asked for again. `unsupported`: shown as that. */
type Trace = 'lost' | 'noticed' | 'asked' | 'unsupported';

type Poison = {
  readonly name: string;
  readonly becomes: Trace;
  /** What the gatekeeper delivers. */
  readonly stanzas: (desk: Desk) => Promise<readonly Element[]>;
};

const onMessage =
  (code: 'value-too-large' | 'corrupt-row', where: string): Fault =>
  (access, table) =>
    table === where && access === (code === 'corrupt-row' ? 'read' : 'write') ? code : undefined;

const poisons: readonly Poison[] = [
  {
    name: 'bytes that are not a message of the suite',
    becomes: 'lost',
    stanzas: async desk => [withCiphertext(await said(desk, 'x'), each => ({ ...each, children: [randomBytes(200)] }))],
  },
  {
    name: 'a message of an unknown suite',
    becomes: 'lost',
    stanzas: async desk => {
      const stanza = await said(desk, 'x');
      const children = stanza.children.map(child =>
        typeof child === 'object' && 'name' in child && child.name === 'envelope'
          ? withAttribute(child, 'suite', 'signal-9')
          : child,
      );
      return [{ ...stanza, children }];
    },
  },
  {
    name: 'a message without an envelope',
    becomes: 'lost',
    stanzas: async desk => [{ ...(await said(desk, 'x')), children: [element('body', NS_CLIENT, {}, ['x'])] }],
  },
  {
    name: 'a message without an envelope, of nobody who is known',
    becomes: 'noticed',
    stanzas: async desk => [
      withAttribute({ ...(await said(desk, 'x')), children: [] }, 'from', `1-${'z'.repeat(26)}@${domain}/1`),
    ],
  },
  {
    name: 'a message for somebody else',
    becomes: 'noticed',
    stanzas: async desk => [withAttribute(await said(desk, 'x'), 'to', `${bobsId}@${domain}/1`)],
  },
  {
    name: 'a content of a later version',
    becomes: 'unsupported',
    // `required_version`, field 6.
    stanzas: async ({ bob, anna }) => [await stanzaFrom(bob, anna, Buffer.concat([bytesOf('x'), Buffer.of(0x30, 9)]))],
  },
  {
    name: 'a content that is none',
    becomes: 'lost',
    stanzas: async ({ bob, anna }) => {
      const place = placeOf({ author: bob.suite.local, recipient: annasId, domain });
      const bound = bindContent(bytesOf('x'), { place, number: 1, salt: randomBytes(SALT_BYTES) });
      // The first field is the message id: 15 bytes of it are a broken limit.
      const broken = Buffer.from(bound);
      broken[1] = 15;
      return [await stanzaFrom(bob, anna, broken, undefined, 'as it is')];
    },
  },
  {
    // That libsignal's sessions do: e2ee/src/sessions.test.ts.
    name: 'a message that makes its session too large',
    becomes: 'asked',
    stanzas: async desk => {
      desk.faults.refusal = { code: 'session-too-large' };
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message that is not padded as it should be',
    becomes: 'lost',
    stanzas: async desk => {
      desk.faults.refusal = { code: 'bad-padding' };
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message whose row in the history is refused',
    becomes: 'noticed',
    stanzas: async desk => {
      desk.faults.store = onMessage('value-too-large', 'message');
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message whose chat can not be read',
    becomes: 'noticed',
    stanzas: async desk => {
      desk.faults.store = onMessage('corrupt-row', 'chat');
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message whose session is refused',
    becomes: 'asked',
    stanzas: async desk => {
      desk.faults.store = onMessage('value-too-large', 'session');
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message whose session can not be read',
    becomes: 'asked',
    stanzas: async desk => {
      desk.faults.store = onMessage('corrupt-row', 'session');
      return [await said(desk, 'x')];
    },
  },
  {
    name: 'a message on which code breaks, in the transaction',
    becomes: 'lost',
    stanzas: async desk => {
      desk.faults.broken = () => {
        throw new TypeError('broken');
      };
      return [await said(desk, 'x')];
    },
  },
];

for (const { name, becomes, stanzas } of poisons) {
  test(`${name} is recorded (${becomes}), acknowledged and overtaken`, { timeout: 60_000 }, async () => {
    const desk = await openDesk(name.replaceAll(/[^a-z]/g, '-'));
    await give(desk, await said(desk, 'before'));
    const before = { noticed: noticed(desk), asked: asked(desk) };
    const poison = await stanzas(desk);
    // Each is acknowledged, also when it comes again.
    for (const stanza of poison) await give(desk, stanza);
    await give(desk, poison.at(-1)!);
    Object.assign(desk.faults, { store: () => undefined, broken: undefined, refusal: undefined });
    const after = shown(desk);
    const lines = after.filter(line => line === 'lost').length;
    assert.equal(lines, becomes === 'lost' ? 1 : 0, after.join());
    assert.equal(noticed(desk) > before.noticed, becomes === 'noticed');
    assert.equal(asked(desk) > before.asked, becomes === 'asked');
    assert.equal(after.includes('unsupported'), becomes === 'unsupported');
    // What is behind it is read; after the end of a session in a new one.
    await meet(desk.bob, desk.anna);
    await give(desk, await said(desk, 'behind it'));
    assert.equal(shown(desk).at(-1), 'behind it');
    await close(desk);
  });
}

test('a disk that is full is waited for, and nothing is dropped for it', async () => {
  const desk = await openDesk('full');
  await give(desk, await said(desk, 'before'));
  let left = 50;
  desk.faults.store = access => (access === 'write' && left-- > 0 ? 'disk-full' : undefined);
  const taken = [give(desk, await said(desk, 'one')), give(desk, await said(desk, 'two'))];
  await Promise.all(taken);
  assert.equal(left < 0, true, 'it was tried again and again');
  assert.deepEqual(shown(desk), ['before', 'one', 'two']);
  // One that can't be kept before the end stays with the gatekeeper.
  desk.faults.store = access => (access === 'write' ? 'disk-full' : undefined);
  let isAcknowledged = false;
  const stanza = await said(desk, 'three');
  desk.inbox.receive(stanza, () => (isAcknowledged = true), false);
  await new Promise(resolve => setTimeout(resolve, 20));
  await desk.inbox.close();
  assert.equal(isAcknowledged, false);
  desk.faults.store = () => undefined;
  const id = stanza.attrs[stanza.attrs.indexOf('id') + 1]!;
  const seen = desk.anna.store.transaction(tx => readReceived(tx, `${bobsId}/1`, id));
  assert.deepEqual(seen, { ok: true, value: undefined });
  await close(desk);
});

test('a damaged row among what waits for an acceptance costs itself alone', async () => {
  const desk = await openDesk('held-damaged');
  const hold = async (text: string): Promise<void> => {
    const stanza = await said(desk, text);
    const message = parseDeviceMessage(stanza);
    assert(message.kind !== 'refused');
    const { kind, payload } = message.ciphertext;
    const bytes = typeof payload === 'string' ? payload : Buffer.from(payload).toString('base64');
    const held = { from: `${bobsId}/1`, stanzaId: message.id, kind, bytes };
    assert(desk.anna.store.transaction(tx => writeHeld(tx, bobsId, held)).ok);
  };
  await hold('one');
  assert(desk.anna.store.transaction(tx => tx.put('held', `${bobsId}/1\nbroken`, Buffer.from('{'), bobsId)).ok);
  await hold('two');
  desk.inbox.readHeld(bobsId);
  await give(desk, await said(desk, 'behind it'));
  assert.deepEqual(shown(desk), ['one', 'two', 'behind it']);
  assert.equal(noticed(desk), 1);
  await close(desk);
});

test('lines of what can not be read are bounded; a notice counts the others', async () => {
  const desk = await openDesk('bounded');
  await give(desk, await said(desk, 'before'));
  const more = 5;
  for (let i = 0; i < unreadableLimits.linesPerPerson + more; i++) {
    await give(
      desk,
      withCiphertext(await said(desk, 'x'), each => ({ ...each, children: [randomBytes(200)] })),
    );
  }
  assert.equal(shown(desk).filter(line => line === 'lost').length, unreadableLimits.linesPerPerson);
  assert.equal(noticed(desk), more);
  await close(desk);
});
