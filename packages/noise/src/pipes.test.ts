import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { KeyPair } from './crypto.ts';
import { isNoiseError, type NoiseError, noiseError } from './errors.ts';
import { generateKeyPair, nodeSuite } from './node-crypto.ts';
import {
  maximumPipeMessageBytes,
  type PipeInitiator,
  type PipePattern,
  type PipeResponder,
  type PipeTransport,
  startInitiator,
  startResponder,
} from './pipes.ts';

const suite = nodeSuite('AESGCM', 'SHA256');
const device = generateKeyPair();
const current = generateKeyPair();
const previous = generateKeyPair();
const forgotten = generateKeyPair();
const prologue = Buffer.from([0x44, 0x42, 1, 1]);
const payload = Buffer.from('ownership proof');
const certificate = Buffer.from('certificate');

function must<T>(value: T): Exclude<T, NoiseError> {
  assert.ok(!isNoiseError(value), JSON.stringify(value));
  return value as Exclude<T, NoiseError>;
}

function begin(remoteStatic?: Uint8Array, options: { prologue?: Uint8Array; payload?: Uint8Array } = {}) {
  return must(startInitiator({ suite, staticKeyPair: device, remoteStatic, prologue, payload, ...options }));
}

function respond(staticKeyPairs: readonly [KeyPair, ...KeyPair[]] = [current, previous]): PipeResponder {
  return must(startResponder({ suites: [suite], staticKeyPairs, prologue }));
}

/** A whole handshake between honest sides, checking each step against `pattern`. */
function establish(
  pattern: PipePattern,
  key: KeyPair,
  remoteStatic?: Uint8Array,
): readonly [PipeTransport, PipeTransport] {
  const { message, initiator } = begin(remoteStatic);
  const responder = respond();
  assert.equal(message[0], remoteStatic === undefined ? 1 : 2);
  const first = must(responder.read(message));
  assert.ok(first.kind !== 'established');
  assert.equal(first.pattern, pattern);
  assert.equal(first.staticKeyPair, key);
  if (first.kind === 'initiator-presented') {
    assert.deepEqual(Buffer.from(first.payload), payload);
    assert.deepEqual(first.remoteStatic, new Uint8Array(device.publicKey));
  }
  const reply = must(responder.reply(certificate));
  assert.equal(reply.message[0], { XX: 1, IK: 2, XXfallback: 3 }[pattern]);
  const second = must(initiator.read(reply.message));
  assert.equal(second.pattern, pattern);
  assert.deepEqual(Buffer.from(second.payload), certificate);
  if (second.kind === 'established') {
    assert.ok(reply.kind === 'established');
    return [second.transport, reply.transport];
  }
  assert.deepEqual(second.remoteStatic, new Uint8Array(key.publicKey));
  const confirmed = must(initiator.confirm());
  const third = must(responder.read(confirmed.message));
  assert.ok(third.kind === 'established');
  assert.deepEqual(Buffer.from(third.payload), payload);
  return [confirmed.transport, third.transport];
}

const ways: readonly (readonly [string, PipePattern, KeyPair, Uint8Array?])[] = [
  ['XX when the responder is unknown', 'XX', current],
  ['IK when its key is known', 'IK', current, current.publicKey],
  ['IK with the previous key while it is kept', 'IK', previous, previous.publicKey],
  ['XXfallback when the key is no longer its own', 'XXfallback', current, forgotten.publicKey],
];

for (const [title, pattern, key, remoteStatic] of ways) {
  test(title, () => {
    const [left, right] = establish(pattern, key, remoteStatic);
    assert.deepEqual(left.handshakeHash, right.handshakeHash);
    assert.deepEqual(Buffer.from(left.remoteStatic), Buffer.from(key.publicKey));
    assert.deepEqual(Buffer.from(right.remoteStatic), Buffer.from(device.publicKey));
    for (const [from, to] of [
      [left, right],
      [right, left],
    ] as const) {
      const frame = must(from.send.encrypt(payload));
      assert.deepEqual(to.receive.decrypt(frame), payload);
      assert.equal(to.receive.decrypt(frame), noiseError('decryption-failed'));
      assert.equal(from.receive.decrypt(frame), noiseError('decryption-failed'));
    }
    // Frames of another session between the same keys are refused.
    const [elsewhere] = establish(pattern, key, remoteStatic);
    assert.notDeepEqual(elsewhere.handshakeHash, left.handshakeHash);
    assert.equal(right.receive.decrypt(must(elsewhere.send.encrypt(payload))), noiseError('decryption-failed'));
  });
}

test('nothing of the initiator is readable, or sent at all, before the responder is verified', () => {
  const { message, initiator } = begin();
  assert.equal(message.length, 1 + 32);
  assert.equal(initiator.confirm().kind, 'error');
  const stale = begin(forgotten.publicKey);
  assert.equal(Buffer.from(stale.message).includes(payload), false);
  assert.equal(Buffer.from(stale.message).includes(Buffer.from(device.publicKey)), false);
});

test('a responder with a key of its own choice is presented as such: it cannot pass for another', () => {
  const { message, initiator } = begin();
  const impostor = respond([forgotten]);
  must(impostor.read(message));
  const step = must(initiator.read(must(impostor.reply(certificate)).message));
  assert.ok(step.kind === 'responder-presented');
  assert.deepEqual(Buffer.from(step.remoteStatic), Buffer.from(forgotten.publicKey));
});

test('an IK message for another responder falls back, and what it said stays sealed', () => {
  const { message } = begin(forgotten.publicKey);
  const step = must(respond().read(message));
  assert.deepEqual(Object.keys(step).sort(), ['kind', 'pattern', 'staticKeyPair']);
});

test('a recorded IK message can be sent again, but whoever sends it cannot speak', () => {
  const { message } = begin(current.publicKey);
  const replayed = respond();
  assert.equal(must(replayed.read(message)).kind, 'initiator-presented');
  const reply = must(replayed.reply(certificate));
  assert.ok(reply.kind === 'established');
  assert.equal(reply.transport.receive.decrypt(Buffer.alloc(50)), noiseError('decryption-failed'));
});

test('the version in the prologue is agreed on, also when falling back', () => {
  for (const remoteStatic of [undefined, current.publicKey, forgotten.publicKey]) {
    const { message, initiator } = begin(remoteStatic, { prologue: Buffer.from([0x44, 0x42, 1, 2]) });
    const responder = respond();
    const first = must(responder.read(message));
    assert.equal(first.kind, 'present');
    assert.equal(initiator.read(must(responder.reply(certificate)).message), noiseError('decryption-failed'));
  }
});

test('each side acts in its turn only', () => {
  const turn = noiseError('out-of-turn');
  const responder = respond();
  assert.equal(responder.reply(certificate), turn);
  const { message, initiator } = begin();
  assert.equal(initiator.confirm(), turn);
  must(responder.read(message));
  assert.equal(responder.read(message), turn);
  const reply = must(responder.reply(certificate));
  assert.equal(responder.reply(certificate), turn);
  must(initiator.read(reply.message));
  assert.equal(initiator.read(reply.message), turn);
  const confirmed = must(initiator.confirm());
  assert.equal(initiator.confirm(), turn);
  assert.equal(initiator.read(reply.message), turn);
  must(responder.read(confirmed.message));
  assert.equal(responder.read(confirmed.message), turn);
  assert.equal(responder.reply(certificate), turn);
  const closed = begin();
  closed.initiator.close();
  assert.equal(closed.initiator.read(reply.message), turn);
});

test('a pattern byte that does not answer is refused, and the true answer is still read', () => {
  const bad = noiseError('unexpected-pattern');
  for (const byte of [0, 3, 4, 255])
    assert.equal(respond().read(Buffer.concat([[byte], Buffer.alloc(200)].map(x => Buffer.from(x)))), bad);
  assert.equal(respond().read(new Uint8Array(0)), bad);
  const answersTo = (initiator: PipeInitiator, message: Uint8Array, wrong: readonly number[]) => {
    for (const byte of wrong) {
      const changed = Buffer.from(message);
      changed[0] = byte;
      assert.ok(isNoiseError(initiator.read(changed)), String(byte));
    }
    must(initiator.read(message));
  };
  for (const [, , , remoteStatic] of ways) {
    const { message, initiator } = begin(remoteStatic);
    const responder = respond();
    must(responder.read(message));
    const reply = must(responder.reply(certificate)).message;
    answersTo(
      initiator,
      reply,
      [0, 1, 2, 3, 4].filter(byte => byte !== reply[0]),
    );
  }
});

test('limits: key pairs, payloads, message lengths', () => {
  const five = [current, previous, forgotten, device, current] as const;
  assert.equal(startResponder({ suites: [suite], staticKeyPairs: five, prologue }), noiseError('key-unexpected'));
  const short: KeyPair = { publicKey: new Uint8Array(3), agree: () => undefined, close() {} };
  assert.equal(startResponder({ suites: [suite], staticKeyPairs: [short], prologue }), noiseError('key-malformed'));
  assert.equal(startInitiator({ suite, staticKeyPair: short, prologue, payload }), noiseError('key-malformed'));
  const remoteStatic = current.publicKey;
  const long = Buffer.alloc(65_535);
  const refused = startInitiator({ suite, staticKeyPair: device, remoteStatic, prologue, payload: long });
  assert.equal(refused, noiseError('message-too-long'));
  const greatest = begin(remoteStatic, { payload: Buffer.alloc(65_535 - 96) });
  assert.equal(greatest.message.length, maximumPipeMessageBytes);
  const responder = respond();
  assert.equal(responder.read(Buffer.concat([greatest.message, Buffer.alloc(1)])), noiseError('message-too-long'));
  assert.equal(responder.read(greatest.message.subarray(0, 96)), noiseError('message-truncated'));
  assert.equal(must(responder.read(greatest.message)).kind, 'initiator-presented');
  assert.equal(responder.reply(long), noiseError('message-too-long'));
  must(responder.reply(certificate));
});

test('any bytes are a step or an error, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(1, 2, 3), (bytes, byte) => {
      const message = new Uint8Array([byte, ...bytes]);
      respond().read(bytes);
      const step = respond().read(message);
      assert.ok(isNoiseError(step) || step.kind === 'present');
      for (const remoteStatic of [undefined, current.publicKey]) {
        const { initiator } = begin(remoteStatic);
        assert.ok(isNoiseError(initiator.read(bytes)));
        assert.ok(isNoiseError(initiator.read(message)));
      }
    }),
    { numRuns: 60 },
  );
});
