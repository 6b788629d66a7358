// A signed offer is the one that was signed, by that key, for that issuer, and nothing else.
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { test } from 'node:test';
import { generateSigningKey } from './jwk.ts';
import { signJws } from './jws.ts';
import { signedOfferType, signOffer, verifySignedOffer } from './signed-offer.ts';

test('an offer is verified under the key that signed it; altered, foreign and confused ones are not', () => {
  const key = generateSigningKey('EdDSA');
  const publicKey = createPublicKey(key.privateKey);
  const issuer = 'https://citadel.example';
  // Longer than other tokens may be.
  const offer = {
    issuer,
    providers: Array.from({ length: 500 }, (_, number) => ({ number, name: `p${number}.example` })),
  };
  const token = signOffer(key, offer, issuer, 1_790_000_000);
  assert.ok(token.length > 8_192);
  assert.deepEqual(verifySignedOffer(token, publicKey), { issuer, issuedAtSeconds: 1_790_000_000, offer });
  const other = createPublicKey(generateSigningKey('EdDSA').privateKey);
  assert.equal(verifySignedOffer(token, other), undefined);
  const [header, claims, signature] = token.split('.') as [string, string, string];
  const altered = Buffer.from(Buffer.from(claims, 'base64url').toString().replace('p7.example', 'p8.example'));
  assert.equal(verifySignedOffer(`${header}.${altered.toString('base64url')}.${signature}`, publicKey), undefined);
  const iat = 1_790_000_000;
  for (const [typ, wrong] of [
    ['secevent+jwt', { iss: issuer, iat, offer }],
    [signedOfferType, { iss: 'https://other.example', iat, offer }],
    [signedOfferType, { iss: issuer, offer }],
    [signedOfferType, { iss: issuer, iat, offer, more: 1 }],
    [signedOfferType, { iss: issuer, iat, offer: [] }],
  ] as const) {
    assert.equal(verifySignedOffer(signJws(key, typ, wrong), publicKey), undefined);
  }
  assert.equal(verifySignedOffer('x'.repeat(2 * 1024 * 1024), publicKey), undefined);
});
