// Keys: thumbprints against published vectors, files, and what is refused of other people's keys.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { calculateJwkThumbprint } from 'jose';
import {
  exportSigningKey,
  exportSigningKeyPem,
  generateSigningKey,
  importSigningKey,
  importSigningKeyPem,
  importVerificationKey,
  publicJwk,
  thumbprintX25519,
} from './jwk.ts';

test('the thumbprint of RFC 8037 appendix A.3 (Ed25519) names a key made from its PEM', () => {
  const imported = importSigningKey({
    kty: 'OKP',
    crv: 'Ed25519',
    kid: 'rfc8037',
    d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
    x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
  });
  assert.ok(imported.kind === 'imported');
  const again = importSigningKeyPem(exportSigningKeyPem(imported.key));
  assert.ok(again.kind === 'imported');
  assert.equal(again.key.kid, 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
});

test('the thumbprint of an X25519 key is the one that jose computes', async () => {
  const { publicKey } = generateKeyPairSync('x25519');
  const jwk = publicKey.export({ format: 'jwk' });
  const raw = Buffer.from(jwk.x ?? '', 'base64url');
  assert.equal(thumbprintX25519(raw), await calculateJwkThumbprint(jwk, 'sha256'));
});

for (const algorithm of ['ES256', 'EdDSA'] as const) {
  test(`${algorithm} keys come back from file and PEM`, async () => {
    const key = generateSigningKey(algorithm);
    assert.equal(key.kid, await calculateJwkThumbprint(publicJwk(key), 'sha256'));
    const fromFile = importSigningKey(JSON.parse(JSON.stringify(exportSigningKey(key))));
    assert.ok(fromFile.kind === 'imported');
    assert.deepEqual(publicJwk(fromFile.key), publicJwk(key));
    const fromPem = importSigningKeyPem(exportSigningKeyPem(key), 'named');
    assert.ok(fromPem.kind === 'imported');
    assert.equal(publicJwk(fromPem.key).x, publicJwk(key).x);
    assert.ok(!('d' in publicJwk(key)));
  });
}

test('what is refused of a published key', () => {
  const ec = publicJwk(generateSigningKey('ES256'));
  const ed = publicJwk(generateSigningKey('EdDSA'));
  const code = (jwk: unknown): string => {
    const imported = importVerificationKey(jwk);
    return imported.kind === 'refused' ? imported.code : imported.kind;
  };
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
  assert.equal(code(ec), 'imported');
  assert.equal(code({ kty: ed.kty, crv: ed.crv, x: ed.x, kid: 'bare' }), 'imported');
  assert.equal(code({ ...ed, key_ops: ['verify'] }), 'imported');
  assert.equal(code({ ...ed, key_ops: ['encrypt'] }), 'key-of-other-kind');
  assert.equal(code({ ...ed, use: 'enc' }), 'key-of-other-kind');
  assert.equal(code({ ...ed, alg: 'ES256' }), 'key-of-other-kind');
  assert.equal(code({ ...ed, crv: 'X25519' }), 'key-of-other-kind');
  assert.equal(code({ ...ec, crv: 'P-384' }), 'key-of-other-kind');
  assert.equal(code({ ...rsa, kid: 'rsa', alg: 'RS256' }), 'key-of-other-kind');
  assert.equal(code({ kty: 'oct', k: 'AAAA', kid: 'secret' }), 'private-key-published');
  assert.equal(code(exportSigningKey(generateSigningKey('EdDSA'))), 'private-key-published');
  assert.equal(code({ ...ed, kid: undefined }), 'key-refused');
  assert.equal(code({ ...ed, kid: '' }), 'key-refused');
  assert.equal(code({ ...ed, x: ed.x.slice(1) }), 'key-refused');
  assert.equal(code({ ...ed, x: `${'A'.repeat(42)}B` }), 'key-refused');
  // A point that isn't on P-256.
  assert.equal(code({ ...ec, y: `${'A'.repeat(42)}E` }), 'key-refused');
  for (const nothing of [null, 1, 'key', [], {}]) assert.notEqual(code(nothing), 'imported');
});
