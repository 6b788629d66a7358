import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { chooseMac, messageMac, nodeMac } from './message-mac.ts';

test('the vector of RFC 4231 for 20-byte keys, padded to 32 bytes with zeros as HMAC does', () => {
  const key = Buffer.concat([Buffer.alloc(20, 0x0b), Buffer.alloc(12)]);
  const expected = '87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde';
  for (const mac of [messageMac, nodeMac])
    assert.equal(Buffer.from(mac(key, Buffer.from('Hi There'))).toString('hex'), expected);
});

test('libsodium and node:crypto give the same bytes', () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  fc.assert(
    fc.property(key, fc.uint8Array({ minLength: 1, maxLength: 400 }), (secret, message) =>
      assert.equal(Buffer.compare(messageMac(secret, message), nodeMac(secret, message)), 0),
    ),
    { numRuns: 200, seed: 7 },
  );
});

test('a library that is missing, or computes wrongly, is not used', () => {
  assert.equal(
    chooseMac(() => {
      throw new Error('missing');
    }),
    nodeMac,
  );
  assert.equal(
    chooseMac(() => ({ crypto_auth: (out: Uint8Array) => out.fill(1) })),
    nodeMac,
  );
  assert.equal(
    chooseMac(() => ({})),
    nodeMac,
  );
});
