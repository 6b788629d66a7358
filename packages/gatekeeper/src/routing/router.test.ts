// Routing without sockets: stanzas that wait for an account keep their order, and nobody's share is passed by.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemAfter } from '@drawbridge/identity/timers';
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { parsePlaced } from '@drawbridge/wire/envelope';
import { NS_CLIENT, NS_E2EE, NS_PING } from '@drawbridge/wire/namespaces';
import { noContacts } from '../consent/contact.ts';
import type { Account, Accounts } from '../enlistment/account.ts';
import { defaultMailboxLimits } from '../mailbox/mailbox-limits.ts';
import { Mailboxes } from '../mailbox/mailbox.ts';
import { createStanzaCodec } from '../mailbox/stanza-codec.ts';
import { StoreError } from '../storage/store-error.ts';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import type { Carrier } from './carrier.ts';
import { DeviceSession } from './device-session.ts';
import { defaultSessionLimits } from './session-limits.ts';
import { HeldMemory } from './held-memory.ts';
import { KeptShapers } from './stream-shaper.ts';
import { type IqAnswer, type IqHandler, iqKey } from './iq.ts';
import { Router } from './router.ts';

const domain = 'citadel.example';
const device = { row: 1, id: 1, registrationId: 1, thumbprint: 't', listed: true };
const anna: Account = {
  row: 1,
  interopId: `0-${'a'.repeat(26)}`,
  provider: 0,
  identifier: 'anna',
  status: 'active',
  proofsFromMs: 0,
  devices: [device],
  optIns: [],
  linkOnly: false,
  contacts: noContacts,
  version: 1,
};
const question = (id: string, ns: string): Element =>
  element('iq', NS_CLIENT, { type: 'get', id }, [element(ns === NS_PING ? 'ping' : 'ask', ns)]);

function scene(cached?: Account, maxHeldBytes = 100_000_000) {
  const written: string[] = [];
  const defects: unknown[] = [];
  const slow: { readonly payload: Element; readonly answer: PromiseWithResolvers<IqAnswer> }[] = [];
  const reads: PromiseWithResolvers<Account | undefined>[] = [];
  let paused = false;
  const find: Accounts['find'] = () => {
    const read = Promise.withResolvers<Account | undefined>();
    reads.push(read);
    return read.promise;
  };
  const mailboxes = new Mailboxes({
    store: new MemoryMailboxStore(),
    node: 'a',
    codec: createStanzaCodec(domain),
    nowMs: () => 0,
    monotonicMs: () => 0,
    limits: { ...defaultMailboxLimits, maxEntriesPerSender: 2 },
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
  });
  const counters = { routed: 0, refused: 0, storageRefused: 0, dropped: 0, refusedBy: new Map<string, number>() };
  const router = new Router({
    domain,
    accounts: {
      peek: () => cached,
      find,
      findAfresh: id => find(id),
      findByIdentifier: () => Promise.resolve(undefined),
    },
    delivery: mailboxes,
    iqHandlers: new Map<string, IqHandler>([
      [iqKey('get', 'urn:example', 'ask'), () => ({ kind: 'result' })],
      [
        iqKey('get', 'urn:example:broken', 'ask'),
        () => {
          throw new RangeError('a defect');
        },
      ],
      [
        iqKey('get', 'urn:example:slow', 'ask'),
        ({ payload }) => {
          slow.push({ payload, answer: Promise.withResolvers<IqAnswer>() });
          return slow.at(-1)!.answer.promise;
        },
      ],
      [iqKey('get', 'urn:example:rejects', 'ask'), () => Promise.reject(new RangeError('a defect'))],
      [iqKey('get', 'urn:example:storage', 'ask'), () => Promise.reject(new StoreError('store-failed', 'gone'))],
    ]),
    mayReach: () => true,
    contacts: { judge: () => ({ kind: 'open' }), admit: () => Promise.resolve('open') },
    suiteAdmitted: () => true,
    wakeUp: () => {},
    defect: error => defects.push(error),
    mayBeElsewhere: () => false,
    isReachable: () => false,
    sessionsOf: () => [],
    nowMs: () => 0,
    counters,
  });
  const memory = new HeldMemory(maxHeldBytes);
  const host = {
    domain,
    limits: defaultSessionLimits,
    mailboxes,
    monotonicMs: () => 0,
    after: systemAfter,
    newId: () => 'id',
    route: (session: DeviceSession, el: Element, sequence: number) => router.route(session, el, sequence),
    stillWanted: () => true,
    flushSoon: () => {},
    flushLater: () => {},
    readLater: () => {},
    mailWaits: () => {},
    ended: () => {},
    congested: false,
    memory,
    stamp: () => new Uint8Array(32),
    shapers: new KeptShapers(defaultSessionLimits.shaper),
    pausedByCongestion: () => {},
  };
  const carrier: Carrier = {
    write: elements => {
      for (const el of elements) written.push(`${attribute(el, 'id')} ${attribute(el, 'type')}`);
      for (const el of elements) if (childElement(el, 'error', NS_CLIENT) !== undefined) written.push('error');
    },
    countsLate: false,
    network: '192.0.2.1',
    congested: false,
    pause: () => {
      paused = true;
    },
    resume: () => {
      paused = false;
    },
    close: () => {},
  };
  const session = new DeviceSession(host, anna, device, 'k');
  session.carryOn(carrier);
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
    for (let i = 0; i < 5; i++) await turn();
    session.flush();
  };
  return { session, counters, written, defects, reads, settled, mailboxes, memory, slow, isPaused: () => paused };
}

test('what follows a held stanza waits for it, and reading stops until then', async () => {
  const { session, written, reads, settled, isPaused } = scene();
  session.receive(question('1', 'urn:example'));
  session.receive(question('2', NS_PING));
  session.receive(question('3', 'urn:example'));
  session.afterInput();
  await settled();
  assert.deepEqual(written, []);
  assert.equal(isPaused(), true);
  reads[0]!.resolve(anna);
  await settled();
  assert.deepEqual(written, ['1 result']);
  // The ping needs no account, yet it is behind one that was read for it all the same.
  for (let i = 1; i < 3; i++) {
    reads[i]?.resolve(anna);
    await settled();
  }
  assert.deepEqual(written, ['1 result', '2 result', '3 result']);
  assert.equal(isPaused(), false);
  assert.equal(session.core.handled, 3);
});

test('storage that cannot be read is told as `wait`, and the stream goes on', async () => {
  const { session, written, reads, settled } = scene();
  session.receive(question('1', 'urn:example'));
  session.receive(question('2', NS_PING));
  session.afterInput();
  await settled();
  reads[0]!.reject(new StoreError('store-failed', 'gone'));
  await settled();
  reads[1]?.resolve(anna);
  await settled();
  assert.deepEqual(
    written.filter(line => line !== 'error'),
    ['1 error', '2 result'],
  );
});

test('a device that is removed while its stanza waits gets nothing through', async () => {
  const { session, written, reads, settled } = scene();
  session.receive(question('1', 'urn:example'));
  session.afterInput();
  reads[0]!.resolve({ ...anna, devices: [] });
  await settled();
  assert.deepEqual(
    written.filter(line => line !== 'error'),
    ['1 error'],
  );
});

test("messages to one's own devices count in the sender's share too", async () => {
  const { session, written, settled } = scene({ ...anna, devices: [device, { ...device, row: 2, id: 2 }] });
  for (const id of ['1', '2', '3']) {
    const ciphertext = element('ciphertext', NS_E2EE, { device: '2', kind: 'session' }, ['AAECAwQFBgc=']);
    session.receive(
      element('message', NS_CLIENT, { type: 'chat', id, to: `${anna.interopId}@${domain}` }, [
        element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' }, [ciphertext]),
      ]),
    );
  }
  await settled();
  assert.deepEqual(written, ['3 error', 'error']);
});

test("a device that its person's manifest does not name may be left out of a message, or be in it", async () => {
  const listed = { ...device, row: 2, id: 2 };
  const unlisted = { ...device, row: 3, id: 3, listed: false };
  const { session, written, settled } = scene({ ...anna, devices: [device, listed, unlisted] });
  const send = (id: string, devices: readonly string[]): void => {
    const ciphertexts = devices.map(to =>
      element('ciphertext', NS_E2EE, { device: to, kind: 'session' }, ['AAECAwQFBgc=']),
    );
    session.receive(
      element('message', NS_CLIENT, { type: 'chat', id, to: `${anna.interopId}@${domain}` }, [
        element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' }, ciphertexts),
      ]),
    );
  };
  send('1', ['2']);
  send('2', ['2', '3']);
  send('3', ['3']);
  await settled();
  assert.deepEqual(written, ['3 error', 'error'], 'one that is named may not be left out');
});

test('a handler that throws costs one answer: the stream goes on, and the operator hears of the defect', async () => {
  const { session, written, defects, settled } = scene(anna);
  for (const [i, ns] of ['urn:example:broken', 'urn:example:rejects', 'urn:example:storage', NS_PING].entries()) {
    session.receive(question(String(i), ns));
  }
  session.afterInput();
  await settled();
  assert.deepEqual(written.filter(line => line !== 'error').toSorted(), ['0 error', '1 error', '2 error', '3 result']);
  assert.deepEqual(
    defects.map(error => error instanceof RangeError),
    [true, true],
  );
  assert.equal(session.core.handled, 4);
});

test('refusals are counted by their condition', async () => {
  const { session, counters, settled } = scene();
  session.receive(element('message', NS_CLIENT, { to: `x@${domain}`, type: 'chat', id: '1' }, []));
  session.afterInput();
  await settled();
  assert.deepEqual([...counters.refusedBy], [['service-unavailable', 1]]);
});

test("where a copy for one's own devices was placed is told to the sending device, in its own mailbox", async () => {
  const { session, mailboxes } = scene({ ...anna, devices: [device, { ...device, row: 2, id: 2 }] });
  const received: string[] = [];
  for (const row of [1, 2]) {
    const deliver = (_: unknown, el: Element): void => {
      const placed = parsePlaced(el);
      const what = placed === undefined ? `message ${attribute(el, 'id')}` : `placed ${placed}`;
      received.push(`${row}: ${what} from ${attribute(el, 'from')}`);
    };
    mailboxes.attach(row, { hasRoom: () => true, wants: () => true, deliver, lost: () => {}, leftWaiting: () => {} });
  }
  const send = (id: string, to: string): void => {
    const ciphertext = element('ciphertext', NS_E2EE, { device: '2', kind: 'session' }, ['AAECAwQFBgc=']);
    const envelope = element('envelope', NS_E2EE, { suite: 'signal-1', 'from-device': '1' }, [ciphertext]);
    session.receive(element('message', NS_CLIENT, { type: 'chat', id, to }, [envelope]));
  };
  const bare = `${anna.interopId}@${domain}`;
  send('a', bare);
  // What is for one device alone has no place in a chat.
  send('b', `${bare}/2`);
  await mailboxes.close();
  const lines = [`2: message a from ${bare}/1`, `1: placed a from ${domain}`, `2: message b from ${bare}/1`];
  assert.deepEqual(received.toSorted(), lines.toSorted());
});

test('IQs that wait for an answer count for what they hold: of a device, of all, and until they are answered', async () => {
  const { session, written, memory, slow, settled } = scene(anna);
  const frame = new Uint8Array(600 * 1024);
  const large = (id: string): Element =>
    element('iq', NS_CLIENT, { type: 'get', id }, [
      element('ask', 'urn:example:slow', {}, [frame.subarray(0, 500 * 1024)]),
    ]);
  // The ninth is the first beyond 4 MiB: it is still taken, as an answer would be; the tenth is refused.
  for (let id = 1; id <= 20; id++) session.receive(large(`${id}`));
  session.receive(question('ping', NS_PING));
  await settled();
  assert.equal(slow.length, 9);
  const refusedIds = [...Array.from({ length: 11 }, (_, i) => `${i + 10}`), 'ping'];
  assert.deepEqual(
    written.filter(line => line !== 'error'),
    refusedIds.map(id => `${id} error`),
  );
  assert.ok(memory.outstandingBytes > 9 * 500 * 1024);
  // None of them keeps the frame that it came in.
  const held = slow.map(({ payload }) => payload.children[0] as Uint8Array);
  assert.ok(held.every(bytes => bytes.buffer.byteLength === 500 * 1024));
  for (const { answer } of slow.splice(0, 8)) answer.resolve({ kind: 'result' });
  await settled();
  session.receive(large('later'));
  assert.equal(slow.length, 2, 'there is room again');
  // What a device that has gone asked is held until it is answered.
  session.end();
  assert.ok(memory.outstandingBytes > 2 * 500 * 1024);
  for (const { answer } of slow) answer.resolve({ kind: 'result' });
  await settled();
  assert.equal(memory.outstandingBytes, 0);
});

test('while all streams together hold too much, a device with an open IQ asks no more; one with none does', async () => {
  const { session, written, slow, memory, settled } = scene(anna, 1_000);
  memory.addOutstanding(1_000);
  session.receive(question('1', 'urn:example:slow'));
  session.receive(question('2', NS_PING));
  await settled();
  assert.equal(slow.length, 1);
  assert.deepEqual(written, ['2 error', 'error']);
});
