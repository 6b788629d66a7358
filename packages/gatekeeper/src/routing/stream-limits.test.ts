// What one stream may say and hold: the shaper's buckets, the memory of all streams together, who waits when storage lags.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { element } from '@drawbridge/wire/element';
import { type Ciphertext, detachMessage, deviceMessage, type EnvelopeMessage } from '@drawbridge/wire/envelope';
import { compactContext } from '@drawbridge/wire/compact-value';
import { CompactWriter } from '@drawbridge/wire/compact-encoder';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { HeldMemory, sizeOfElement } from './held-memory.ts';
import {
  acknowledgementCost,
  defaultShaperLimits,
  KeptShapers,
  maxKeptShapers,
  StreamShaper,
} from './stream-shaper.ts';

test('a stream above its rate waits in proportion, in stanzas and in bytes; a slow one never', () => {
  const limits = { stanzaBurst: 10, stanzasPerSecond: 100, byteBurst: 1_000, bytesPerSecond: 10_000 };
  const shaper = new StreamShaper(limits, 0);
  shaper.takeStanzas(10);
  assert.equal(shaper.overdrawn, false);
  shaper.takeStanzas(50);
  assert.equal(shaper.waitMs(0), 501);
  assert.equal(shaper.waitMs(501), 0);
  shaper.takeBytes(3_000);
  assert.ok(shaper.overdrawn);
  assert.equal(shaper.waitMs(501), 201);
  assert.equal(shaper.waitMs(702), 0);
  const slow = new StreamShaper(defaultShaperLimits, 0);
  for (let ms = 0; ms < 60_000; ms += 10) {
    slow.takeStanzas(1);
    slow.takeBytes(1_000);
    assert.equal(slow.waitMs(ms), 0);
  }
  // A clock that does not move gives nothing, and one that was set back takes nothing.
  const stuck = new StreamShaper(limits, 1_000);
  stuck.takeStanzas(11);
  assert.equal(stuck.waitMs(1_000), 11);
  assert.equal(stuck.waitMs(500), 11);
});

test('33,000 cheap IQs a second end in 100 a second; acknowledgements cost a tenth, white space its bytes', () => {
  const shaper = new StreamShaper(defaultShaperLimits, 0);
  let nowMs = 0;
  let taken = 0;
  while (nowMs < 60_000) {
    for (let i = 0; i < 330; i++) shaper.takeStanzas(1);
    taken += 330;
    const waitMs = shaper.waitMs(nowMs);
    nowMs += Math.max(10, waitMs);
  }
  assert.ok(taken <= defaultShaperLimits.stanzaBurst + 60 * 100 + 660, `${taken}`);
  const receiver = new StreamShaper(defaultShaperLimits, 0);
  for (let i = 0; i < 40_000; i++) receiver.takeStanzas(acknowledgementCost);
  assert.equal(receiver.overdrawn, false);
  const blank = new StreamShaper(defaultShaperLimits, 0);
  blank.takeBytes(64 * 1024 * 1024);
  assert.ok(blank.waitMs(0) >= 8_000);
});

test('who comes again finds the bucket that it left; a full one is not kept', () => {
  const limits = { stanzaBurst: 10, stanzasPerSecond: 10, byteBurst: 1_000, bytesPerSecond: 1_000 };
  const kept = new KeptShapers(limits);
  assert.equal(kept.take(1, 7), undefined);
  const first = kept.fill(0);
  first.takeStanzas(20);
  kept.keep(1, 7, first, 0);
  assert.equal(kept.take(1, 8), undefined, "another device's is its own");
  const again = kept.take(1, 7)!;
  assert.equal(again.waitMs(500), 501);
  assert.equal(kept.take(1, 7), undefined, 'it is taken once');
  kept.keep(1, 7, again, 3_000);
  assert.equal(kept.take(1, 7), undefined, 'full again: like new');
  const victim = kept.fill(3_000);
  victim.takeStanzas(1_000);
  kept.keep(2, 5, victim, 3_000);
  for (let device = 0; device < maxKeptShapers; device++) {
    const shaper = kept.fill(3_000);
    shaper.takeStanzas(1_000);
    kept.keep(1, device, shaper, 3_000);
  }
  assert.equal(kept.take(1, 0), undefined, 'the one that went longest ago is forgotten, of the provider that has most');
  assert.equal(kept.take(2, 5)?.overdrawn, true, 'and not another provider’s, which went before');
  assert.equal(kept.take(1, 1)?.overdrawn, true);
});

test('the largest unsettled senders wait first; those with little go on', () => {
  const held = new HeldMemory(1_000);
  held.changeUnsettled(0, 1_000_000);
  for (let i = 0; i < 10; i++) held.changeUnsettled(0, 500);
  assert.equal(held.isLargeSender(1_000_000), true);
  assert.equal(held.isLargeSender(500), false);
  assert.equal(held.isLargeSender(0), false, 'who waits for nothing has caused nothing');
  held.changeUnsettled(1_000_000, 0);
  assert.equal(held.isLargeSender(500), true, 'all alike: all wait');
  assert.equal(held.isFull, false);
  held.addOutstanding(1_000);
  assert.equal(held.isFull, true);
  held.addOutstanding(-1_000);
  assert.equal(held.outstandingBytes, 0);
});

test('what is kept holds its own bytes, not the frame that it came in nor the payloads of other devices', () => {
  const frame = new Uint8Array(320 * 1024).fill(7);
  const ciphertexts: Ciphertext[] = [1, 2].map(deviceId => ({
    deviceId,
    registrationId: undefined,
    kind: 'session',
    payload: frame.subarray(deviceId * 100, deviceId * 100 + 90),
  }));
  const to = { local: `1-${'a'.repeat(26)}`, domain: 'citadel.example', resource: '' };
  const message = {
    kind: 'envelope-message',
    to,
    toDevice: undefined,
    id: 'm1',
    type: 'chat',
    suite: 'signal-1',
    fromDevice: 1,
    ciphertexts,
    noStore: false,
    silent: false,
    payloadBytes: 180,
  } as unknown as EnvelopeMessage;
  const sender = { interopId: `1-${'b'.repeat(26)}`, domain: to.domain, fullJid: `1-${'b'.repeat(26)}@${to.domain}/1` };
  const copy = deviceMessage(message, ciphertexts[0]!, sender);
  const written = (): string => {
    const writer = new CompactWriter(1_024);
    writer.write(copy, compactContext(to.domain));
    return Buffer.from(writer.copy()).toString('hex');
  };
  const before = written();
  detachMessage(copy);
  detachMessage(copy);
  assert.equal(written(), before, 'not a byte of it changes');
  frame.fill(0);
  assert.equal(written(), before, 'and it is not a view any more');
});

test('the size of an answer counts all that it holds', () => {
  const bundle = element('iq', NS_CLIENT, { id: 'x' }, [element('key', NS_CLIENT, {}, [new Uint8Array(50_000)])]);
  assert.ok(sizeOfElement(bundle) > 50_000);
  assert.ok(sizeOfElement(element('iq', NS_CLIENT, { id: 'x' })) < 1_000);
});
