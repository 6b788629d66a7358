// Whom the network left without a word: a session with kept mail asks for its device to be woken, and no other does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { systemAfter } from '@drawbridge/identity/timers';
import { type Element, element } from '@drawbridge/wire/element';
import { placedNotice } from '@drawbridge/wire/envelope';
import { NS_CLIENT, NS_DELIVERY, NS_E2EE, NS_SM } from '@drawbridge/wire/namespaces';
import { Mailboxes } from '../mailbox/mailbox.ts';
import { defaultMailboxLimits } from '../mailbox/mailbox-limits.ts';
import { createStanzaCodec } from '../mailbox/stanza-codec.ts';
import { MemoryMailboxStore } from '../testing/memory-mailbox.ts';
import { HeldMemory } from './held-memory.ts';
import { KeptShapers } from './stream-shaper.ts';
import type { Carrier } from './carrier.ts';
import { DeviceSession, type SessionHost } from './device-session.ts';
import { defaultSessionLimits } from './session-limits.ts';

const domain = 'citadel.example';
const device = { row: 1, id: 1, registrationId: 1, thumbprint: 't', listed: true };
const silent = element('silent', NS_DELIVERY);
const { lateAfterMs, answerWithinMs, maxUnacknowledged } = defaultSessionLimits;

async function scene() {
  let nowMs = 0;
  let sent = 0;
  const asked: number[] = [];
  const written: Element[] = [];
  const mailboxes = new Mailboxes({
    store: new MemoryMailboxStore(),
    node: 'a',
    codec: createStanzaCodec(domain),
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    limits: defaultMailboxLimits,
    events: { congested: () => {}, damaged: () => {} },
    tellSender: () => Promise.resolve(),
  });
  const host: SessionHost = {
    domain,
    limits: defaultSessionLimits,
    mailboxes,
    monotonicMs: () => nowMs,
    after: systemAfter,
    newId: () => 'id',
    route: () => {},
    stillWanted: () => true,
    flushSoon: () => {},
    flushLater: () => {},
    readLater: session => session.nextTurn(),
    mailWaits: () => asked.push(nowMs),
    ended: () => {},
    congested: false,
    memory: new HeldMemory(1_000_000),
    stamp: () => new Uint8Array(32),
    shapers: new KeptShapers(defaultSessionLimits.shaper),
    pausedByCongestion: () => {},
  };
  const carrier: Carrier = {
    write: elements => written.push(...elements),
    countsLate: false,
    network: '192.0.2.1',
    congested: false,
    pause: () => {},
    resume: () => {},
    close: () => {},
  };
  const session = new DeviceSession(
    host,
    { interopId: `0-${'a'.repeat(26)}`, provider: 0, proofsFromMs: 0 },
    device,
    'k',
  );
  session.carryOn(carrier);
  session.receive(element('enable', NS_SM, { resume: 'true' }));
  const at = (ms: number): void => {
    nowMs = ms;
    session.flush();
    session.tick(nowMs);
  };
  const message = (keep: boolean, children: readonly Element[] = []): void => {
    const receipt = { remaining: 1, failed: false, settled: () => {}, refused: () => {} };
    const envelope = element('envelope', NS_E2EE);
    const el = element('message', NS_CLIENT, { from: `b@${domain}/1`, id: `m${sent++}` }, [envelope, ...children]);
    mailboxes.deliver(device.row, el, 100, keep, receipt);
  };
  // The stream's claim is granted.
  await turn();
  at(1_000);
  return { session, carrier, asked, written, at, message, mailboxes };
}

test('a stream that owes an answer is late: its device is woken once, and is not taken for reachable', async () => {
  const { session, asked, at, message } = await scene();
  message(true);
  at(2_000);
  assert.equal(session.reachable, true);
  at(2_000 + lateAfterMs);
  assert.deepEqual(asked, []);
  at(2_001 + lateAfterMs);
  at(4_000 + lateAfterMs);
  assert.deepEqual(asked, [2_001 + lateAfterMs]);
  assert.equal(session.reachable, false);
  session.receive(element('a', NS_SM, { h: '1' }));
  session.afterInput();
  at(5_000 + lateAfterMs);
  assert.equal(session.reachable, true);
  assert.equal(asked.length, 1);
});

test('a lost stream with kept mail has its device woken: cut, timed out, ended', async () => {
  for (const lose of ['cut', 'timed out', 'goodbye'] as const) {
    const { session, carrier, asked, at, message } = await scene();
    message(true);
    at(2_000);
    if (lose === 'cut') session.carrierLost(carrier);
    else if (lose === 'goodbye') session.end();
    else at(2_001 + answerWithinMs);
    assert.equal(asked.length >= 1, true, lose);
    const before = asked.length;
    session.end();
    assert.equal(asked.length, before, `${lose}: not again when the session is given up`);
  }
});

test('nobody is woken for what is acknowledged, silent or never kept, nor for a stream that another replaces', async () => {
  const lost = async (before: (parts: Awaited<ReturnType<typeof scene>>) => void): Promise<number> => {
    const parts = await scene();
    before(parts);
    parts.at(2_000);
    parts.session.carrierLost(parts.carrier);
    return parts.asked.length;
  };
  assert.equal(await lost(() => {}), 0);
  assert.equal(await lost(({ message }) => message(true, [silent])), 0);
  assert.equal(await lost(({ message }) => message(false)), 0);
  assert.equal(
    await lost(({ session, message }) => {
      message(true);
      session.receive(element('a', NS_SM, { h: '1' }));
    }),
    0,
  );
  const { session, asked, message } = await scene();
  message(true);
  session.end('conflict');
  assert.deepEqual(asked, []);
});

test('behind a full window of silent mail its device is woken for what is not silent, and for nothing else', async () => {
  for (const loud of [false, true]) {
    const { session, carrier, asked, written, at, message } = await scene();
    for (let i = 0; i <= maxUnacknowledged; i++) message(true, [silent]);
    if (loud) message(true);
    at(2_000);
    assert.equal(written.filter(el => el.name === 'message').length, maxUnacknowledged);
    session.carrierLost(carrier);
    await turn();
    assert.equal(asked.length, loud ? 1 : 0);
  }
});

test('a notice of the gatekeeper wakes nobody', async () => {
  const { session, carrier, asked, mailboxes } = await scene();
  const receipt = { remaining: 1, failed: false, settled: () => {}, refused: () => {} };
  mailboxes.deliver(device.row, placedNotice(domain, `b@${domain}/1`, 'm1'), 100, true, receipt);
  session.carrierLost(carrier);
  await turn();
  assert.deepEqual(asked, []);
});
