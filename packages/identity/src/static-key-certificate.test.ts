// A certificate convinces whoever pinned the key, for its domain, its static key and its time, and nobody else.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { test } from 'node:test';
import { certifyStaticKey, importPinnedKey, isStaticKeyCertified } from './static-key-certificate.ts';

const domain = 'citadel.example';
const { privateKey, publicKey: pinned } = generateKeyPairSync('ed25519');
const statement = { publicKey: randomBytes(32), notBefore: 1_790_000_000, notAfter: 1_797_776_000 };
const certificate = certifyStaticKey(domain, statement, privateKey);
const nowMs = 1_790_000_000_000;

test('the text that is signed is that of the protocol page', () => {
  const key = statement.publicKey.toString('base64');
  const text = `drawbridge static key 1\ncitadel.example\n${key}\n1790000000\n1797776000\n`;
  assert.equal(verify(null, Buffer.from(text), pinned, certificate.signature), true);
});

test('valid from its first to its last second', () => {
  const at = (time: number): boolean => isStaticKeyCertified(certificate, domain, pinned, time);
  assert.deepEqual([nowMs - 1, nowMs, 1_797_776_000_000, 1_797_776_000_001].map(at), [false, true, true, false]);
});

test('another pin, domain, key, time or signature is refused', () => {
  const other = generateKeyPairSync('ed25519').publicKey;
  assert.equal(isStaticKeyCertified(certificate, domain, other, nowMs), false);
  assert.equal(isStaticKeyCertified(certificate, 'skylark.example', pinned, nowMs), false);
  for (const changed of [
    { publicKey: randomBytes(32) },
    { notBefore: statement.notBefore - 1 },
    { notAfter: statement.notAfter + 1 },
    { signature: randomBytes(64) },
    { signature: new Uint8Array(0) },
    { signature: certificate.signature.subarray(0, 63) },
  ]) {
    assert.equal(isStaticKeyCertified({ ...certificate, ...changed }, domain, pinned, nowMs), false);
  }
});

test('a pin is read from the reference offer', () => {
  const { x } = pinned.export({ format: 'jwk' });
  assert.equal(isStaticKeyCertified(certificate, domain, importPinnedKey(x!)!, nowMs), true);
  for (const text of ['', 'AAAA', `${x}=`, x!.slice(1), '+'.repeat(43)]) assert.equal(importPinnedKey(text), undefined);
});
