import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { sampleIdentity } from '../testing/sample-device.ts';
import { signatureCheck } from './signed-key.ts';

// Made with libsignal 0.103.0; one for each sign bit.
const vectors = [
  {
    identity: '055ccc507e7aff6f7af25cdd869d98043c961a739209d367724de8ad56cd082f24',
    message: '05b056cde574af312f8e0e0d5e10e13c064c117faadbc5118fda147e2d38a61618',
    signature:
      'b51ec973b0834ca8c28c11ffd6d634ad720687909f63144c9501d738f8311b6f3b99419590b1176960a02d0b11dd829f1ef5af2ab9d4a52554fb15e31bb9780d',
  },
  {
    identity: '05216dc9d14cf946fdaf31805af81461f33dee5bc7e60d2286d8897e08f1ec7812',
    message: '059a9b0245dbdff03383a84689b499b07ad23a994dd95c95b7939c826e729ad274',
    signature:
      'fbbc98df0e44f5c0abeda6cc06b0c16b8af920717166b4cabec8e36f3300c7c34d3e6ab2e99669641edc024659aed12a281f6f8197060dff62c3c03005ca9885',
  },
].map(v => ({
  identity: Buffer.from(v.identity, 'hex'),
  message: Buffer.from(v.message, 'hex'),
  signature: Buffer.from(v.signature, 'hex'),
}));

test("libsignal's signatures are accepted, and no altered bit of any", () => {
  for (const { identity, message, signature } of vectors) {
    const check = signatureCheck(identity)!;
    assert.equal(check(message, signature), true);
    for (let bit = 0; bit < 512; bit += 3) {
      const altered = Buffer.from(signature);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(check(message, altered), false, `signature bit ${bit}`);
    }
    const other = Buffer.from(message);
    other[5]! ^= 1;
    assert.equal(check(other, signature), false);
  }
  assert.equal(signatureCheck(vectors[0]!.identity)!(vectors[1]!.message, vectors[1]!.signature), false);
});

test('a sample identity signs what the check accepts', () => {
  for (let i = 0; i < 20; i++) {
    const identity = sampleIdentity();
    const message = Buffer.from(`message ${i}`);
    assert.equal(signatureCheck(identity.publicKey)!(message, identity.sign(message)), true);
  }
});

test('any bytes give a refusal, never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 70 }), (key, signature) => {
      const check = signatureCheck(key);
      return check === undefined || !check(new Uint8Array(3), signature);
    }),
    { numRuns: 300 },
  );
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      (key, signature) => signatureCheck(Buffer.from([5, ...key]))?.(new Uint8Array(3), signature) !== true,
    ),
    { numRuns: 100 },
  );
  // u = -1 has no Edwards form; u = p is not a canonical spelling.
  const minusOne = Buffer.from(`ec${'ff'.repeat(30)}7f`, 'hex');
  assert.equal(signatureCheck(Buffer.concat([Buffer.from([5]), minusOne])), undefined);
  const p = Buffer.from(`ed${'ff'.repeat(30)}7f`, 'hex');
  assert.equal(signatureCheck(Buffer.concat([Buffer.from([5]), p])), undefined);
});
