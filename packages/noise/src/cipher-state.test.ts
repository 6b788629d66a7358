import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { CipherState } from './cipher-state.ts';
import { noiseError } from './errors.ts';
import { nodeSuite } from './node-crypto.ts';

const key = Buffer.alloc(32, 7);
const empty = new Uint8Array(0);
const last = 2n ** 64n - 1n;
const suites = [nodeSuite('AESGCM', 'SHA256'), nodeSuite('ChaChaPoly', 'BLAKE2s')];

/** ENCRYPT(k, n, ad, plaintext) written out from section 12, with the nonce as one number. */
function sealed(cipher: 'AESGCM' | 'ChaChaPoly', k: Uint8Array, nonce: bigint, ad: Uint8Array, plaintext: Uint8Array) {
  const iv = Buffer.alloc(12);
  if (cipher === 'AESGCM') iv.writeBigUInt64BE(nonce, 4);
  else iv.writeBigUInt64LE(nonce, 4);
  const options = { authTagLength: 16 };
  const aead =
    cipher === 'AESGCM'
      ? createCipheriv('aes-256-gcm', k, iv, options)
      : createCipheriv('chacha20-poly1305', k, iv, options);
  aead.setAAD(ad, { plaintextLength: plaintext.length });
  return Buffer.concat([aead.update(plaintext), aead.final(), aead.getAuthTag()]);
}

test('every nonce is laid out as section 12 says, across 32 and 53 bits', () => {
  for (const cipher of ['AESGCM', 'ChaChaPoly'] as const) {
    for (const start of [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, last - 2n]) {
      const state = new CipherState(nodeSuite(cipher, 'SHA256'), key);
      assert.equal(state.skipTo(start), undefined);
      for (const nonce of [start, start + 1n]) {
        assert.equal(state.nonce, nonce);
        assert.deepEqual(state.encrypt(key, empty), sealed(cipher, key, nonce, empty, key));
      }
    }
  }
});

test('the last nonce is reserved: 2^64 - 1 messages and no more', () => {
  for (const suite of suites) {
    const send = new CipherState(suite, key);
    const receive = new CipherState(suite, key);
    send.skipTo(last - 1n);
    receive.skipTo(last - 1n);
    const message = send.encrypt(key) as Uint8Array;
    assert.deepEqual(receive.decrypt(message), key);
    for (let again = 0; again < 2; again++) {
      assert.equal(send.nonce, last);
      assert.equal(send.encrypt(key), noiseError('nonce-exhausted'));
      assert.equal(send.encryptInto(key, Buffer.alloc(100), 0), noiseError('nonce-exhausted'));
      assert.equal(receive.decrypt(message), noiseError('nonce-exhausted'));
    }
    // Rekey gives a new key, not new nonces.
    send.rekey();
    assert.equal(send.encrypt(key), noiseError('nonce-exhausted'));
  }
});

test('nonces never go back', () => {
  const state = new CipherState(suites[0]!, key);
  state.skipTo(5n);
  for (const nonce of [4n, 0n, -1n, 2n ** 64n]) assert.equal(state.skipTo(nonce), noiseError('nonce-refused'));
  assert.equal(state.nonce, 5n);
});

test('rekey is ENCRYPT(k, 2^64 - 1, empty, zeros) and leaves the nonce', () => {
  for (const cipher of ['AESGCM', 'ChaChaPoly'] as const) {
    const state = new CipherState(nodeSuite(cipher, 'SHA256'), key);
    state.encrypt(key);
    state.rekey();
    const next = sealed(cipher, key, last, empty, Buffer.alloc(32)).subarray(0, 32);
    assert.deepEqual(state.encrypt(key, Buffer.from('ad')), sealed(cipher, next, 1n, Buffer.from('ad'), key));
  }
});

test('sizes: 65,519 bytes of plaintext, 65,535 of message, and room for them', () => {
  const send = new CipherState(suites[0]!, key);
  const receive = new CipherState(suites[0]!, key);
  const message = send.encrypt(Buffer.alloc(65_519)) as Uint8Array;
  assert.equal(message.length, 65_535);
  assert.equal((receive.decrypt(message) as Uint8Array).length, 65_519);
  const tooLong = noiseError('message-too-long');
  assert.equal(send.encrypt(Buffer.alloc(65_520)), tooLong);
  assert.equal(send.encryptInto(Buffer.alloc(65_520), Buffer.alloc(70_000), 0), tooLong);
  assert.equal(receive.decrypt(Buffer.alloc(65_536)), tooLong);
  for (let length = 0; length < 16; length++) {
    assert.equal(receive.decrypt(Buffer.alloc(length)), noiseError('message-truncated'));
  }
  for (const offset of [-1, 5, 100, Number.NaN]) {
    assert.equal(send.encryptInto(key, Buffer.alloc(52), offset), noiseError('output-too-small'));
  }
  assert.equal(send.nonce, 1n);
  assert.equal(receive.nonce, 1n);
});

test('sealing in place, at an offset, is sealing', () => {
  const frame = Buffer.alloc(3 + 20 + 16);
  frame.fill(9, 3, 23);
  const send = new CipherState(suites[0]!, key);
  assert.equal(send.encryptInto(frame.subarray(3, 23), frame, 3), 36);
  assert.deepEqual(frame.subarray(0, 3), Buffer.alloc(3));
  assert.deepEqual(new CipherState(suites[0]!, key).decrypt(frame.subarray(3)), Buffer.alloc(20, 9));
});

test('what was changed, cut, repeated, reordered or sealed elsewhere is refused, and changes nothing', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...suites),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 20 }),
      fc.nat(),
      fc.integer({ min: 0, max: 7 }),
      (suite, plaintext, ad, at, bit) => {
        const send = new CipherState(suite, key);
        const receive = new CipherState(suite, key);
        const first = send.encrypt(plaintext, ad) as Uint8Array;
        const second = send.encrypt(plaintext, ad) as Uint8Array;
        const flipped = new Uint8Array(first);
        flipped[at % flipped.length]! ^= 1 << bit;
        const otherAd = new Uint8Array([...ad, 0]);
        const foreign = new CipherState(suite, Buffer.alloc(32, 8)).encrypt(plaintext, ad) as Uint8Array;
        const refuse = (message: Uint8Array, data = ad) => {
          const result = receive.decrypt(message, data);
          assert.ok(!(result instanceof Uint8Array));
        };
        for (let turn = 0; turn < 2; turn++) {
          refuse(flipped);
          refuse(first.subarray(0, at % first.length));
          refuse(new Uint8Array([...first, 0]));
          refuse(turn === 0 ? second : first);
          refuse(foreign);
          refuse(turn === 0 ? first : second, otherAd);
          assert.equal(receive.nonce, BigInt(turn));
          const opened = receive.decrypt(turn === 0 ? first : second, ad);
          assert.ok(opened instanceof Uint8Array && Buffer.compare(opened, plaintext) === 0);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test('any bytes are an error, never an exception', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...suites),
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array(),
      (suite, message, ad) => {
        const result = new CipherState(suite, key).decrypt(message, ad);
        assert.ok(result === noiseError('decryption-failed') || result === noiseError('message-truncated'));
      },
    ),
  );
});
