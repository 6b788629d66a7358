import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyPair } from './crypto.ts';
import { isNoiseError, noiseError } from './errors.ts';
import { generateKeyPair, generatePrivateKey, keyPairFromPrivateKey, nodeSuite } from './node-crypto.ts';
import { startInitiator, startResponder } from './pipes.ts';

const hex = (text: string) => Buffer.from(text, 'hex');
const suite = nodeSuite('AESGCM', 'SHA256');
const prologue = new Uint8Array(0);
const payload = Buffer.from('payload');

/** The u-coordinates of order 1, 2, 4 and 8, canonical and not (Wycheproof, X25519); X25519 ignores the last bit. */
const lowOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].flatMap(text => {
  const withLastBit = hex(text);
  withLastBit[31]! |= 0x80;
  return [hex(text), withLastBit];
});

function must<T>(value: T): Exclude<T, { kind: 'error' } | undefined> {
  assert.ok(value !== undefined && !isNoiseError(value), JSON.stringify(value));
  return value as Exclude<T, { kind: 'error' } | undefined>;
}

test('X25519 as in RFC 7748 section 6.1', () => {
  const alice = must(keyPairFromPrivateKey(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a')));
  const bob = must(keyPairFromPrivateKey(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')));
  const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
  assert.equal(
    Buffer.from(alice.publicKey).toString('hex'),
    '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  );
  assert.equal(
    Buffer.from(bob.publicKey).toString('hex'),
    'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
  );
  assert.deepEqual(Buffer.from(must(alice.agree(bob.publicKey))), hex(shared));
  assert.deepEqual(Buffer.from(must(bob.agree(alice.publicKey))), hex(shared));
});

test('generated and stored keys work together; wrong lengths are not keys', () => {
  const one = generateKeyPair();
  const two = must(keyPairFromPrivateKey(generatePrivateKey()));
  assert.deepEqual(one.agree(two.publicKey), two.agree(one.publicKey));
  assert.equal(one.publicKey.length, 32);
  for (const length of [0, 31, 33]) {
    assert.equal(keyPairFromPrivateKey(new Uint8Array(length)), undefined);
    assert.equal(one.agree(new Uint8Array(length)), undefined);
  }
});

test('points of low order give no secret', () => {
  const own = generateKeyPair();
  for (const point of lowOrder) assert.equal(own.agree(point), undefined, point.toString('hex'));
});

test('points of low order are refused wherever a peer can send one', () => {
  const own = generateKeyPair();
  for (const point of lowOrder) {
    // An attacker who sends such a key knows the "secret" beforehand: zeros.
    const evil: KeyPair = { publicKey: point, agree: () => new Uint8Array(32), close() {} };
    const evilEphemeral = { ...suite, generateKeyPair: () => evil };
    const refused = noiseError('low-order-point');

    // As the ephemeral key of message 1, in XX and in IK.
    const xx = must(startInitiator({ suite: evilEphemeral, staticKeyPair: own, prologue, payload }));
    const responder = must(startResponder({ suites: [suite], staticKeyPairs: [own], prologue }));
    must(responder.read(xx.message));
    assert.equal(responder.reply(payload), refused);
    const ik = startInitiator({
      suite: evilEphemeral,
      staticKeyPair: own,
      remoteStatic: own.publicKey,
      prologue,
      payload,
    });
    assert.equal(
      must(startResponder({ suites: [suite], staticKeyPairs: [own], prologue })).read(must(ik).message),
      refused,
    );

    // As the static key, in message 1 of IK and in message 3 of XX.
    const thief = startInitiator({ suite, staticKeyPair: evil, remoteStatic: own.publicKey, prologue, payload });
    assert.equal(
      must(startResponder({ suites: [suite], staticKeyPairs: [own], prologue })).read(must(thief).message),
      refused,
    );
    const late = must(startInitiator({ suite, staticKeyPair: evil, prologue, payload }));
    const victim = must(startResponder({ suites: [suite], staticKeyPairs: [own], prologue }));
    must(victim.read(late.message));
    must(late.initiator.read(must(victim.reply(payload)).message));
    assert.equal(victim.read(must(late.initiator.confirm()).message), refused);

    // As the responder's ephemeral and static keys, and as the static key that an initiator was told.
    for (const [evilSuite, evilStatic] of [
      [evilEphemeral, own],
      [suite, evil],
    ] as const) {
      const began = must(startInitiator({ suite, staticKeyPair: own, prologue, payload }));
      const server = must(startResponder({ suites: [evilSuite], staticKeyPairs: [evilStatic], prologue }));
      must(server.read(began.message));
      assert.equal(began.initiator.read(must(server.reply(payload)).message), refused);
    }
    assert.equal(startInitiator({ suite, staticKeyPair: own, remoteStatic: point, prologue, payload }), refused);
  }
});
