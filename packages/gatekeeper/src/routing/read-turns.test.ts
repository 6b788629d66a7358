// How much of one stream is read in one turn of the event loop, and that a device which comes again is as slow as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemAfter } from '@drawbridge/identity/timers';
import { element } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { Mailboxes } from '../mailbox/mailbox.ts';
import { defaultMailboxLimits } from '../mailbox/mailbox-limits.ts';
import { createStanzaCodec } from '../mailbox/stanza-codec.ts';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import type { Carrier } from './carrier.ts';
import { DeviceSession, type SessionHost } from './device-session.ts';
import { defaultSessionLimits, maxReadAgainPerTurn, maxTurnStanzas } from './session-limits.ts';
import { Sessions } from './sessions.ts';
import { HeldMemory } from './held-memory.ts';
import { KeptShapers } from './stream-shaper.ts';

const domain = 'citadel.example';
const device = { row: 1, id: 1, registrationId: 1, thumbprint: 't', listed: true };

function scene() {
  const mailboxes = new Mailboxes({
    store: new MemoryMailboxStore(),
    node: 'a',
    codec: createStanzaCodec(domain),
    nowMs: () => 0,
    monotonicMs: () => 0,
    limits: defaultMailboxLimits,
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
  });
  const host: SessionHost = {
    domain,
    limits: defaultSessionLimits,
    mailboxes,
    monotonicMs: () => 0,
    after: systemAfter,
    newId: () => 'id',
    route: () => {},
    stillWanted: () => true,
    flushSoon: () => {},
    flushLater: () => {},
    readLater: session => session.nextTurn(),
    mailWaits: () => {},
    ended: () => {},
    congested: false,
    memory: new HeldMemory(1_000_000),
    stamp: () => new Uint8Array(32),
    shapers: new KeptShapers(defaultSessionLimits.shaper),
    pausedByCongestion: () => {},
  };
  const login = () => {
    const state = { reads: true };
    const carrier: Carrier = {
      write: () => {},
      countsLate: false,
      network: '192.0.2.1',
      congested: false,
      pause: () => (state.reads = false),
      resume: () => (state.reads = true),
      close: () => {},
    };
    const session = new DeviceSession(
      host,
      { interopId: `0-${'a'.repeat(26)}`, provider: 0, proofsFromMs: 0 },
      device,
      'k',
    );
    session.carryOn(carrier);
    return { session, state };
  };
  return { login };
}

test('a stream that has given its part of a turn is read again when the turn is over', () => {
  const { session, state } = scene().login();
  const read = (bytes: number): void => {
    session.receivedBytes(bytes);
    session.afterInput();
  };
  read(31_000);
  assert.equal(state.reads, true);
  read(2_000);
  assert.equal(state.reads, false);
  session.flush();
  assert.equal(state.reads, true);
  read(64 * 1024);
  assert.equal(state.reads, false);
  session.flush();
  session.flush();
  assert.equal(state.reads, true);
});

test('small stanzas end a turn by their number', () => {
  const { session, state } = scene().login();
  const ping = element('iq', NS_CLIENT, { type: 'get', id: 'p' }, [element('ping', 'urn:xmpp:ping')]);
  for (let i = 1; i <= maxTurnStanzas; i++) {
    session.receivedBytes(60);
    session.receive(ping);
    session.afterInput();
    assert.equal(state.reads, i < maxTurnStanzas, `after ${i}`);
  }
  session.flush();
  assert.equal(state.reads, true);
  session.receive(ping);
  session.afterInput();
  assert.equal(state.reads, true, 'the next turn has its own');
});

test('a device that ends its session above its rate is above it in the next one', () => {
  const { login } = scene();
  const first = login();
  const ping = element('iq', NS_CLIENT, { type: 'get', id: 'p' }, [element('ping', 'urn:xmpp:ping')]);
  for (let i = 0; i <= defaultSessionLimits.shaper.stanzaBurst; i++) first.session.receive(ping);
  first.session.afterInput();
  assert.equal(first.state.reads, false);
  first.session.end();
  const { session, state } = login();
  session.receive(ping);
  session.afterInput();
  assert.equal(state.reads, false);
  session.end();
});

test('however many streams flood, two of them are read again in one turn, in their order; one with more to say goes behind', async t => {
  const sessions = new Sessions(() => {}, { monotonicMs: () => 0, after: systemAfter });
  t.after(() => sessions.close());
  const read: number[] = [];
  const flooding = Array.from({ length: 5 }, (_, i) => ({
    device: { row: i },
    nextTurn: () => void (read.push(i) <= 7 && i === 1 && sessions.readLater(flooding[1]!)),
  })) as unknown as DeviceSession[];
  for (const each of [...flooding, flooding[0]!]) sessions.readLater(each);
  const counts: number[] = [];
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(resolve => setImmediate(resolve));
    counts.push(read.length);
  }
  assert.deepEqual(read.slice(0, 7), [0, 1, 2, 3, 4, 1, 1]);
  assert.ok(
    counts.every((count, i) => count - (counts[i - 1] ?? 0) <= maxReadAgainPerTurn),
    String(counts),
  );
  sessions.forget(flooding[1]!);
  const before = read.length;
  for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve));
  assert.equal(read.length, before, 'nothing is read of a stream that is over');
});
