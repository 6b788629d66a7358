// What the outbox does with a message that no gatekeeper takes: it is set aside, and what is behind it goes on.
// Encryption is played (its sizes matter), the store is real. All the rest: harness/src/scenarios/sdk.test.ts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, test } from 'node:test';
import { verifyBinding } from '@drawbridge/e2ee/binding';
import { decodeContent, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { EncryptTarget, E2eeSuite } from '@drawbridge/e2ee/suite';
import { attribute, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_KEYS } from '@drawbridge/wire/namespaces';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { type Clock, systemClock } from '../clock.ts';
import { DeviceLists } from '../directory/device-lists.ts';
import type { Request } from '../directory/directory.ts';
import { addFact, addSaid } from '../history/conversation.ts';
import { readMessage } from '../history/history.ts';
import { readEntry } from '../store/message-records.ts';
import { readOutbox, writeOutbox } from '../store/outbox-records.ts';
import { testStore } from '../testing/test-store.ts';
import { outboxLimits } from './limits.ts';
import { Outbox, type Sending } from './outbox.ts';
import { contentPayload } from './rows.ts';
import { numberOf } from './unsaid.ts';

const person = '1-aaaaaaaaaaaaaaaaaaaaaaaaaa';
const own = { interopId: '0-bbbbbbbbbbbbbbbbbbbbbbbbbb', deviceId: 1 };
const { store, remove } = await testStore('outbox');
after(remove);

/** Ciphertexts are as long as their contents. */
const suite: Pick<E2eeSuite, 'name' | 'local' | 'encryptFor' | 'startSession' | 'endSessions' | 'readIdentity'> = {
  name: 'signal-1',
  local: own,
  async encryptFor(targets: readonly EncryptTarget[], commit) {
    const ciphertexts = targets.flatMap(({ to, devices, content }) =>
      devices.map(({ deviceId }) => ({
        deviceId,
        registrationId: 7,
        to,
        kind: 'session' as const,
        bytes: Uint8Array.from(content),
      })),
    );
    const identities = new Map(targets.map(({ to }) => [to, 'the key in force']));
    const encrypted = { ciphertexts, identities, changes: [] };
    commit(encrypted);
    return { ok: true, value: encrypted };
  },
  endSessions: () => assert.fail('no session is ended'),
  startSession: () => assert.fail('there are sessions with everybody'),
  readIdentity: () => assert.fail('there are sessions with everybody'),
};

function play(devices: number, clock: Clock = systemClock) {
  const sent: Sending[] = [];
  const ids: string[] = [];
  const stanzas: Element[] = [];
  let asked = 0;
  const request: Request = async () => {
    asked++;
    return element(
      'manifest',
      NS_KEYS,
      {},
      Array.from({ length: devices }, (_, i) => element('device', NS_KEYS, { id: String(i + 1), registration: '7' })),
    );
  };
  const lists = new DeviceLists({
    store,
    suite: { local: own, readIdentity: async () => ({ ok: false, error: { code: 'unknown-identity' } }) },
    domain: 'citadel.example',
    clock,
    request,
    ownIdentityKey: async () => new Uint8Array(33),
    emit: () => undefined,
  });
  const outbox = new Outbox({
    isStamped: () => false,
    store,
    suite,
    domain: 'citadel.example',
    clock,
    random: () => 0.5,
    request,
    lists,
    emit: () => undefined,
    send: (stanza, sending) => {
      sent.push(sending);
      ids.push(attribute(stanza, 'id')!);
      stanzas.push(stanza);
      return true;
    },
  });
  return { outbox, sent, ids, stanzas, asked: () => asked };
}

function add(outbox: Outbox, bytes: number): string {
  const payload = { kind: 'content', content: Buffer.alloc(bytes).toString('base64') } as const;
  const added = store.transaction(tx => outbox.add(tx, { to: person, payload, silent: false }));
  assert(added.ok);
  return added.value;
}

function waiting(): number {
  const count = store.transaction(tx => tx.count('outbox'));
  assert(count.ok);
  return count.value;
}

const settle = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 20));

test('a message whose copies are larger than a stanza leaves in one for each device, and is sent when all were taken over', async () => {
  for (const [devices, parts] of [
    [4, 1],
    [6, 6],
  ] as const) {
    const { outbox, sent, ids, stanzas, asked } = play(devices);
    outbox.online(false);
    const large = add(outbox, 33_000);
    const small = add(outbox, 100);
    outbox.wake(person);
    while (sent.at(-1)?.id !== small) await settle();
    assert.deepEqual(ids, [...Array.from({ length: parts }, () => large), small]);
    const bare = `${person}@citadel.example`;
    const to = stanzas.map(stanza => attribute(stanza, 'to'));
    const each = Array.from({ length: devices }, (_, i) => `${bare}/${i + 1}`);
    assert.deepEqual(to, [...(parts === 1 ? [bare] : each), bare]);
    for (const stanza of stanzas) {
      assert(Buffer.byteLength(encodeElement(stanza, NS_CLIENT)) <= outboxLimits.maxStanzaBytes);
    }
    assert.equal(asked(), 1, 'the list is fresh');
    outbox.delivered(sent.slice(0, parts - 1));
    assert.equal(waiting(), 2, 'one device has not been reached');
    outbox.delivered(sent.slice(parts - 1));
    assert.equal(waiting(), 0);
    outbox.close();
  }
});

test('copies that leave one by one go to a list of devices that is fresh, and again after a loss', async () => {
  const clock = { ...systemClock, nowMs: () => nowMs };
  let nowMs = 1_800_000_000_000;
  const { outbox, sent, asked } = play(6, clock);
  outbox.online(false);
  add(outbox, 100);
  outbox.wake(person);
  while (sent.length < 1) await settle();
  outbox.delivered(sent.splice(0));
  nowMs += 2 * outboxLimits.freshListAgeMs;
  add(outbox, 100);
  outbox.wake(person);
  while (sent.length < 1) await settle();
  assert.equal(asked(), 1, 'a refusal would tell of another device');
  outbox.delivered(sent.splice(0));
  const large = add(outbox, 33_000);
  outbox.wake(person);
  while (sent.length < 6) await settle();
  assert.equal(asked(), 2);
  // The stream is lost when three were taken over: all of them leave once more, under the same id.
  outbox.delivered(sent.slice(0, 3));
  outbox.offline();
  outbox.online(false);
  while (sent.length < 12) await settle();
  assert(sent.every(({ id }) => id === large));
  outbox.delivered(sent.slice(3, 6));
  assert.equal(waiting(), 1, 'those were of the stream before');
  outbox.delivered(sent.slice(6));
  assert.equal(waiting(), 0);
  outbox.close();
});

test('the number of a message that failed is told as nothing with what is said next', async () => {
  const { outbox, sent } = play(1);
  outbox.online(false);
  const text = (words: string): Uint8Array => {
    const encoded = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: 1_800_000_000_000,
      body: { kind: 'text', text: words },
    });
    assert(encoded.ok);
    return encoded.value;
  };
  const say = (words: string) => {
    const said = store.transaction(tx => {
      const bytes = outbox.bound(tx, person, text(words));
      return { bytes, id: outbox.add(tx, { to: person, payload: contentPayload(bytes), silent: false }) };
    });
    assert(said.ok);
    return said.value;
  };
  const [first, second] = [say('first'), say('second')];
  assert.equal(numberOf(second.bytes), numberOf(first.bytes) + 1);
  outbox.wake(person);
  while (sent.length < 2) await settle();
  const gone = { type: 'cancel', condition: 'service-unavailable', application: undefined, text: undefined } as const;
  assert(outbox.refused(first.id, gone));
  const nothings = store.transaction(tx => outbox.unsaid(tx, person));
  assert(nothings.ok);
  assert.deepEqual(nothings.value.map(numberOf), [numberOf(first.bytes)]);
  const decoded = decodeContent(nothings.value[0]!);
  assert(decoded.ok && decoded.value.body.kind === 'nothing');
  assert.equal(verifyBinding(decoded.value, { author: own, recipient: person, domain: 'citadel.example' }), undefined);
  const again = store.transaction(tx => outbox.unsaid(tx, person));
  assert(again.ok && again.value.length === 0);
  outbox.delivered(sent);
  // What is not counted leaves no number behind.
  const uncounted = add(outbox, 100);
  outbox.wake(person);
  while (sent.length < 3) await settle();
  assert(outbox.refused(uncounted, gone));
  const none = store.transaction(tx => outbox.unsaid(tx, person));
  assert(none.ok && none.value.length === 0 && waiting() === 0);
  outbox.close();
});

test('a message that was first in line at the end of two streams is set aside, also over a restart', async () => {
  const first = play(1);
  first.outbox.online(false);
  const bad = add(first.outbox, 100);
  const good = add(first.outbox, 100);
  first.outbox.wake(person);
  while (first.sent.length < 2) await settle();
  assert.equal(first.outbox.suspected(first.sent[0]!, 'policy-violation'), false);
  first.outbox.close();
  const second = play(1);
  second.outbox.online(false);
  while (second.sent.length < 2) await settle();
  assert.deepEqual(second.ids, [bad, good]);
  assert.equal(second.outbox.suspected(second.sent[0]!, 'policy-violation'), true);
  assert.equal(waiting(), 1);
  second.outbox.offline();
  second.outbox.online(false);
  while (second.sent.length < 3) await settle();
  assert.equal(second.ids.at(-1), good);
  second.outbox.delivered(second.sent);
  assert.equal(waiting(), 0);
  second.outbox.close();
});

/** An own message, written and sent, as `Authoring.say` leaves it. */
function write(outbox: Outbox, messageId: string): string {
  const content = encodeContent({
    messageId: Buffer.from(messageId, 'hex'),
    sentAtMs: 1_790_000_000_000,
    body: { kind: 'text', text: 'hello' },
  });
  assert(content.ok);
  const decoded = decodeContent(content.value);
  assert(decoded.ok);
  const added = store.transaction(tx => {
    const said = { author: own.interopId, chat: person, content: decoded.value, receivedAtMs: 0 };
    addSaid(tx, own.interopId, said, 0);
    const payload = { kind: 'content', content: Buffer.from(content.value).toString('base64') } as const;
    return outbox.add(tx, { to: person, payload, silent: false, messageId });
  });
  assert(added.ok);
  return added.value;
}

function stateOf(messageId: string): [string | undefined, string | undefined, string | undefined] {
  const read = store.transaction(tx => readMessage(tx, own.interopId, { author: own.interopId, id: messageId }));
  assert(read.ok);
  return [read.value?.state, read.value?.failure?.code, read.value?.failure?.detail];
}

test('what the gatekeeper gives up later has failed, with its reason; not when it came, or somebody else says so', async () => {
  const { outbox, sent } = play(1);
  outbox.online(false);
  const names = ['11', '22', '33', '44', '55'].map(byte => byte.repeat(16));
  const [expired, read, lied, gone, early] = names as [string, string, string, string, string];
  const rows = names.map(name => write(outbox, name));
  outbox.wake(person);
  while (sent.length < 5) await settle();
  outbox.undelivered(rows[4]!, person, 'gone');
  outbox.delivered(sent);
  assert.deepEqual(stateOf(early), ['failed', 'not-delivered', 'gone'], 'before its acceptance was seen');
  assert.deepEqual(stateOf(expired), ['sent', undefined, undefined]);
  const told = store.transaction(tx => {
    const entry = readEntry(tx, own.interopId, read)!;
    addFact(tx, own.interopId, entry, { kind: 'receipt', receipt: 'delivered', atMs: 1 });
  });
  assert(told.ok);
  outbox.undelivered(rows[0]!, person, 'expired');
  outbox.undelivered(rows[1]!, person, 'expired');
  outbox.undelivered(rows[2]!, own.interopId, 'expired');
  outbox.undelivered(rows[3]!, person, 'gone');
  outbox.undelivered('unknown', person, 'gone');
  const others = store.transaction(tx => [
    ...outbox.unreadable(tx, rows[2]!, own.interopId),
    ...outbox.unreadable(tx, rows[1]!, person),
    ...outbox.unreadable(tx, 'unknown', person),
  ]);
  assert.deepEqual(others, { ok: true, value: [] }, 'nor when somebody else can’t read it');
  assert.deepEqual(stateOf(expired), ['failed', 'not-delivered', 'expired']);
  assert.deepEqual(stateOf(read), ['delivered', undefined, undefined]);
  assert.deepEqual(stateOf(lied), ['sent', undefined, undefined]);
  assert.deepEqual(stateOf(gone), ['failed', 'not-delivered', 'gone']);
  outbox.close();
});

test('what was put off by a clock that is set back afterwards, by hours or years, leaves at once, also after a restart', async () => {
  for (const backMs of [3_600_000, 3 * 31_536_000_000]) {
    let nowMs = 1_800_000_000_000;
    const clock: Clock = { ...systemClock, nowMs: () => nowMs };
    const before = play(1, clock);
    before.outbox.online(false);
    const id = add(before.outbox, 10);
    before.outbox.wake(person);
    while (before.sent.length === 0) await settle();
    const application = element('retry-after', NS_KEYS, { seconds: '600' });
    before.outbox.refused(id, { condition: 'resource-constraint', type: 'wait', text: undefined, application });
    before.outbox.wake(person);
    await settle();
    assert.equal(before.sent.length, 1, 'it waits as it was told to');
    before.outbox.close();
    nowMs -= backMs;
    const again = play(1, clock);
    again.outbox.online(false);
    again.outbox.wake(person);
    await settle();
    assert.deepEqual(again.ids, [id]);
    again.outbox.delivered(again.sent);
    again.outbox.close();
  }
});

test('a gatekeeper puts a row off for a day at most, whatever it says, and its lane looks again no sooner', async () => {
  for (const seconds of ['86401', '2147484', '9007199254740991', '1e300']) {
    let nowMs = 1_800_000_000_000;
    const waits: number[] = [];
    const after: Clock['after'] = (ms, run) => {
      waits.push(ms);
      return systemClock.after(ms, run);
    };
    const played = play(1, { ...systemClock, nowMs: () => nowMs, after });
    played.outbox.online(false);
    const id = add(played.outbox, 10);
    played.outbox.wake(person);
    while (played.sent.length === 0) await settle();
    const application = element('retry-after', NS_KEYS, { seconds });
    played.outbox.refused(id, { condition: 'resource-constraint', type: 'wait', text: undefined, application });
    await settle();
    await settle();
    assert.deepEqual(waits, [outboxLimits.maxPutOffMs], seconds);
    nowMs += outboxLimits.maxPutOffMs;
    played.outbox.wake(person);
    while (played.sent.length === 1) await settle();
    assert.deepEqual(played.ids, [id, id]);
    played.outbox.delivered(played.sent);
    played.outbox.close();
  }
});

test('a row that was put off for longer than the limit by earlier code leaves at once', async () => {
  const played = play(1);
  const id = add(played.outbox, 10);
  const written = store.transaction(tx => {
    const record = readOutbox(tx, id)!;
    const nowMs = Date.now();
    writeOutbox(tx, id, { ...record, putOffAtMs: nowMs, notBeforeMs: nowMs + 10 * outboxLimits.maxPutOffMs });
  });
  assert(written.ok);
  played.outbox.online(false);
  played.outbox.wake(person);
  await settle();
  assert.deepEqual(played.ids, [id]);
  played.outbox.delivered(played.sent);
  played.outbox.close();
});

test('what is being encrypted while the session is replaced comes behind what has to be sent again', async () => {
  const { outbox, sent } = play(1);
  outbox.online(false);
  const first = add(outbox, 100);
  outbox.wake(person);
  await settle();
  assert.deepEqual(
    sent.map(({ id }) => id),
    [first],
  );
  const encryptFor = suite.encryptFor.bind(suite);
  const { promise: isReplaced, resolve: replace } = Promise.withResolvers<void>();
  suite.encryptFor = async (targets, commit) => {
    await isReplaced;
    return encryptFor(targets, commit);
  };
  const second = add(outbox, 100);
  outbox.wake(person);
  await settle();
  suite.encryptFor = encryptFor;
  outbox.offline();
  outbox.online(false);
  replace();
  await settle();
  assert.deepEqual(
    sent.map(({ id }) => id),
    [first, first, second],
  );
  outbox.delivered(sent.slice(1));
  await settle();
  assert.equal(waiting(), 0);
  outbox.close();
});
