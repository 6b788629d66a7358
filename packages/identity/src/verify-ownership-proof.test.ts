// Ownership proofs: what is verified, and every known way to forge, confuse or replay one. jose is the foreign peer.

import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { jwtVerify, SignJWT } from 'jose';
import { issueOwnershipProof } from './issue-ownership-proof.ts';
import {
  generateSigningKey,
  publicJwk,
  type SigningKey,
  thumbprintX25519,
  type VerificationKey,
  verificationKey,
} from './jwk.ts';
import { isSignedBy, readJws } from './jws.ts';
import { localKeySource } from './key-set.ts';
import type { OwnershipProofClaims } from './ownership-proof.ts';
import { type ProofErrorCode, proofErrors } from './proof-errors.ts';
import { type ProofContext, type ProofId, type ProofVerdict, verifyOwnershipProof } from './verify-ownership-proof.ts';

const nowSeconds = 1_795_000_000;
const skylark = 'https://id.skylark.example';
const heron = 'https://heron.example';
const citadel = 'https://citadel.example';
const jkt = thumbprintX25519(new Uint8Array(32).fill(9));
const ecKey = generateSigningKey('ES256');
const edKey = generateSigningKey('EdDSA');
const heronKey = generateSigningKey('EdDSA');

const claims: OwnershipProofClaims = {
  issuer: skylark,
  subject: 'mia@skylark',
  audience: citadel,
  jkt,
  issuedAtSeconds: nowSeconds - 5,
  expiresAtSeconds: nowSeconds + 115,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
};
const payload = {
  iss: skylark,
  sub: 'mia@skylark',
  aud: citadel,
  iat: nowSeconds - 5,
  exp: nowSeconds + 115,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  cnf: { jkt },
};

type World = { readonly context: ProofContext; readonly taken: ProofId[]; readonly asked: string[] };

/** A gatekeeper that knows two providers; counts what a token made it do. */
function world(
  change: Partial<ProofContext> = {},
  keys: readonly VerificationKey[] = [ecKey, edKey].map(verificationKey),
): World {
  const taken: ProofId[] = [];
  const asked: string[] = [];
  const source = localKeySource(() => keys);
  const trusted = new Map([
    [skylark, { providerNumber: 7, keys: { findKey: (kid: string) => (asked.push(kid), source.findKey(kid)) } }],
    [heron, { providerNumber: 8, keys: localKeySource(() => [verificationKey(heronKey)]) }],
  ]);
  return {
    taken,
    asked,
    context: {
      audience: citadel,
      nowMs: nowSeconds * 1000,
      maxLifetimeSeconds: 120,
      issuers: iss => trusted.get(iss),
      takeProofId: async id => {
        if (taken.some(each => each.issuer === id.issuer && each.jti === id.jti)) return false;
        taken.push(id);
        return true;
      },
      ...change,
    },
  };
}

const b64 = (value: string | Uint8Array): string => Buffer.from(value as string).toString('base64url');

/** Signs any header and payload, given as objects or as exact text. */
function forge(key: SigningKey, header: unknown, body: unknown): string {
  const text = (value: unknown): string | Uint8Array =>
    typeof value === 'string' || value instanceof Uint8Array ? value : JSON.stringify(value);
  const input = `${b64(text(header))}.${b64(text(body))}`;
  const digest = key.algorithm === 'ES256' ? 'sha256' : null;
  return `${input}.${b64(sign(digest, Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }))}`;
}

const header = (key: SigningKey): object => ({ alg: key.algorithm, kid: key.kid, typ: 'interop+jwt' });
const without = (object: object, name: string): object =>
  Object.fromEntries(Object.entries(object).filter(([key]) => key !== name));
const codeOf = (verdict: ProofVerdict): string => (verdict.kind === 'refused' ? verdict.code : verdict.kind);

for (const key of [ecKey, edKey]) {
  test(`a proof of ${key.algorithm} is verified, once`, async () => {
    const { context, taken } = world();
    const token = await issueOwnershipProof(key, { ...claims, region: 'covered' });
    assert.deepEqual(await verifyOwnershipProof(token, context), {
      kind: 'verified',
      proof: {
        issuer: skylark,
        providerNumber: 7,
        subject: 'mia@skylark',
        jkt,
        kid: key.kid,
        keyThumbprint: verificationKey(key).thumbprint,
        issuedAtMs: (nowSeconds - 5) * 1000,
        expiresAtMs: (nowSeconds + 115) * 1000,
        region: 'covered',
      },
    });
    // Remembered for as long as it could be accepted, the forgiven skew included.
    assert.deepEqual(taken, [{ issuer: skylark, jti: claims.jti, expiresAtMs: (nowSeconds + 175) * 1000 }]);
    assert.equal(codeOf(await verifyOwnershipProof(token, context)), 'replayed');
  });

  test(`jose reads our ${key.algorithm} proofs, and we read jose's`, async () => {
    const ours = await issueOwnershipProof(key, claims);
    const read = await jwtVerify(ours, publicJwk(key), {
      typ: 'interop+jwt',
      audience: citadel,
      issuer: skylark,
      currentDate: new Date(nowSeconds * 1000),
    });
    assert.equal(read.payload.sub, 'mia@skylark');
    const theirs = await new SignJWT(payload).setProtectedHeader(header(key) as { alg: string }).sign(key.privateKey);
    assert.equal(codeOf(await verifyOwnershipProof(theirs, world().context)), 'verified');
  });
}

test('a hundred copies at once: one is taken', async () => {
  const { context } = world();
  const token = await issueOwnershipProof(edKey, claims);
  const verdicts = await Promise.all(Array.from({ length: 100 }, () => verifyOwnershipProof(token, context)));
  assert.equal(verdicts.filter(each => each.kind === 'verified').length, 1);
  assert.ok(verdicts.every(each => each.kind === 'verified' || each.code === 'replayed'));
});

test('the same token id from another provider is another token', async () => {
  const { context } = world();
  assert.equal(codeOf(await verifyOwnershipProof(await issueOwnershipProof(edKey, claims), context)), 'verified');
  const other = await issueOwnershipProof(heronKey, { ...claims, issuer: heron });
  assert.equal(codeOf(await verifyOwnershipProof(other, context)), 'verified');
});

test('a store of ids that fails refuses', async () => {
  const { context } = world({ takeProofId: () => Promise.reject(new Error('disk')) });
  assert.equal(
    codeOf(await verifyOwnershipProof(await issueOwnershipProof(edKey, claims), context)),
    'replay-check-failed',
  );
});

test('key sets that cannot be had refuse', async () => {
  const unavailable = { providerNumber: 7, keys: { findKey: async () => ({ kind: 'unavailable' }) as const } };
  const { context } = world({ issuers: () => unavailable });
  assert.equal(
    codeOf(await verifyOwnershipProof(await issueOwnershipProof(edKey, claims), context)),
    'key-set-unavailable',
  );
});

test('that no key set is at hand hears who has signed by the last one, or is a device that is known; others hear what a forger hears', async () => {
  const lastKnown = verificationKey(edKey);
  const keys = {
    findKey: async (kid: string) =>
      ({ kind: 'unavailable', lastKnown: kid === edKey.kid ? lastKnown : undefined }) as const,
  };
  const asked: unknown[] = [];
  const verify = async (key: SigningKey, isKnown: boolean): Promise<string> => {
    const { context, taken } = world({
      issuers: () => ({ providerNumber: 7, keys }),
      knowsDevice: async claimed => (asked.push(claimed), isKnown),
    });
    const code = codeOf(await verifyOwnershipProof(await issueOwnershipProof(key, claims), context));
    assert.deepEqual(taken, []);
    return code;
  };
  assert.equal(await verify(edKey, false), 'key-set-unavailable');
  assert.equal(await verify({ ...generateSigningKey('EdDSA'), kid: edKey.kid }, true), 'signature-refused');
  assert.equal(await verify({ ...ecKey, kid: edKey.kid }, true), 'algorithm-key-mismatch');
  assert.deepEqual(asked, []);
  assert.equal(await verify(ecKey, false), 'key-unknown');
  assert.equal(await verify(ecKey, true), 'key-set-unavailable');
  const claimed = { providerNumber: 7, subject: claims.subject, jkt: claims.jkt };
  assert.deepEqual(asked, [claimed, claimed]);
});

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const stranger = generateSigningKey('EdDSA');
const good = forge(edKey, header(edKey), payload);
const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.');
const hmac = (alg: string, secret: string | Buffer): string => {
  const input = `${b64(JSON.stringify({ alg, kid: edKey.kid, typ: 'interop+jwt' }))}.${goodPayload}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};
const ed = (body: unknown): string => forge(edKey, header(edKey), body);
const headed = (more: object): string => forge(edKey, { ...header(edKey), ...more }, payload);
/** Another last character that decodes to the same bytes: 64 bytes leave four unused bits. */
const otherSpelling = (part: string): string =>
  part.slice(0, -1) + { A: 'B', Q: 'R', g: 'h', w: 'x' }[part.at(-1) ?? ''];
const json = JSON.stringify(payload);

const refusals: readonly (readonly [string, ProofErrorCode, string])[] = [
  // Shape
  ['an empty token', 'not-compact', ''],
  ['two parts', 'not-compact', `${goodHeader}.${goodPayload}`],
  ['four parts', 'not-compact', `${good}.AAAA`],
  ['five parts (encrypted)', 'not-compact', `${good}.AAAA.AAAA`],
  ['an empty signature', 'not-compact', `${goodHeader}.${goodPayload}.`],
  ['an empty payload', 'not-compact', `${goodHeader}..${goodSignature}`],
  [
    'JSON serialisation',
    'not-compact',
    JSON.stringify({ payload: goodPayload, protected: goodHeader, signature: goodSignature }),
  ],
  ['more than 8,192 bytes', 'too-large', `${good}${'A'.repeat(8192)}`],
  ['padding', 'encoding-refused', `${good}==`],
  ['a space before', 'encoding-refused', ` ${good}`],
  ['a line break after', 'encoding-refused', `${good}\n`],
  ['plain base64 letters', 'encoding-refused', `${goodHeader}.${goodPayload}.${'+/'.repeat(43)}`],
  [
    'a second spelling of the signature',
    'encoding-refused',
    `${goodHeader}.${goodPayload}.${otherSpelling(goodSignature)}`,
  ],
  ['a letter outside ASCII', 'encoding-refused', `${good}é`],
  // JSON
  ['a byte-order mark before the payload', 'encoding-refused', ed(`\ufeff${json}`)],
  [
    'a byte-order mark before the header',
    'encoding-refused',
    forge(edKey, `\ufeff${JSON.stringify(header(edKey))}`, payload),
  ],
  ['bytes that are not UTF-8', 'encoding-refused', ed(Buffer.from([0x7b, 0xff, 0x7d]))],
  ['overlong UTF-8', 'encoding-refused', ed(Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d]))],
  ['UTF-16', 'encoding-refused', ed(Buffer.from(`\ufeff${json}`, 'utf16le'))],
  ['a claim twice', 'json-refused', ed(json.replace('{', `{"sub":"otto",`))],
  ['a claim twice, once escaped', 'json-refused', ed(json.replace('{', `{"s\\u0075b":"otto",`))],
  ['a claim twice, spaced out', 'json-refused', ed(json.replace('{', `{"sub"\n :"otto",`))],
  ['a claim twice inside cnf', 'json-refused', ed(json.replace('"cnf":{', `"cnf":{"jkt":"x",`))],
  ['alg twice', 'json-refused', forge(edKey, JSON.stringify(header(edKey)).replace('{', '{"alg":"none",'), payload)],
  ['a payload that is a list', 'json-refused', ed('[]')],
  ['a payload that is null', 'json-refused', ed('null')],
  ['a payload that is text', 'json-refused', ed('"mia"')],
  ['a payload cut short', 'json-refused', ed(json.slice(0, -1))],
  ['two JSON texts', 'json-refused', ed(`${json}{}`)],
  ['deep nesting', 'json-refused', ed('['.repeat(3000))],
  // Header
  ['alg none', 'algorithm-refused', `${b64('{"alg":"none","kid":"k","typ":"interop+jwt"}')}.${goodPayload}.AAAA`],
  ['alg None', 'algorithm-refused', headed({ alg: 'None' })],
  ['alg HS256 with the public key as secret', 'algorithm-refused', hmac('HS256', JSON.stringify(publicJwk(edKey)))],
  ['alg HS256 with an empty secret', 'algorithm-refused', hmac('HS256', Buffer.alloc(0))],
  ['alg RS256', 'algorithm-refused', headed({ alg: 'RS256' })],
  ['alg ES384', 'algorithm-refused', headed({ alg: 'ES384' })],
  ['alg in small letters', 'algorithm-refused', headed({ alg: 'eddsa' })],
  ['alg as a list', 'algorithm-refused', headed({ alg: ['EdDSA'] })],
  ['no alg', 'algorithm-refused', forge(edKey, without(header(edKey), 'alg'), payload)],
  [
    'alg from the prototype',
    'algorithm-refused',
    forge(edKey, `{"__proto__":{"alg":"EdDSA"},"kid":"k","typ":"interop+jwt"}`, payload),
  ],
  ['typ JWT', 'type-refused', headed({ typ: 'JWT' })],
  ['typ of a security event', 'type-refused', headed({ typ: 'secevent+jwt' })],
  ['typ with the media type spelled out', 'type-refused', headed({ typ: 'application/interop+jwt' })],
  ['no typ', 'type-refused', forge(edKey, without(header(edKey), 'typ'), payload)],
  ['no kid', 'header-refused', forge(edKey, without(header(edKey), 'kid'), payload)],
  ['kid of another type', 'header-refused', headed({ kid: 1 })],
  ['kid of 129 characters', 'header-refused', headed({ kid: 'k'.repeat(129) })],
  ['kid with a path', 'key-unknown', headed({ kid: '../../../../dev/null' })],
  ['kid with SQL', 'key-unknown', headed({ kid: "x'--" })],
  ['kid with a control character', 'header-refused', headed({ kid: 'k\u0000' })],
  ['jku', 'header-refused', headed({ jku: 'https://evil.example/jwks.json' })],
  ['jwk', 'header-refused', forge(stranger, { ...header(edKey), jwk: publicJwk(stranger) }, payload)],
  ['x5u', 'header-refused', headed({ x5u: 'https://evil.example/cert.pem' })],
  ['x5c', 'header-refused', headed({ x5c: ['AAAA'] })],
  ['x5t', 'header-refused', headed({ 'x5t#S256': 'AAAA' })],
  ['crit', 'header-refused', headed({ crit: ['exp'] })],
  ['b64', 'header-refused', headed({ crit: ['b64'], b64: false })],
  ['cty', 'header-refused', headed({ cty: 'JWT' })],
  ['zip', 'header-refused', headed({ zip: 'DEF' })],
  // Claims
  ...['iss', 'sub', 'aud', 'iat', 'exp', 'jti', 'cnf'].map(
    name => [`no ${name}`, 'claim-set-refused', ed(without(payload, name))] as const,
  ),
  ['nbf', 'claim-set-refused', ed({ ...payload, nbf: nowSeconds })],
  ['a claim of no meaning', 'claim-set-refused', ed({ ...payload, scope: 'admin' })],
  ['__proto__', 'claim-set-refused', ed(json.replace('{', '{"__proto__":{},'))],
  ['an issuer nobody knows', 'issuer-unknown', ed({ ...payload, iss: 'https://evil.example' })],
  ['an issuer with a slash', 'issuer-unknown', ed({ ...payload, iss: `${skylark}/` })],
  ['an issuer in capitals', 'issuer-unknown', ed({ ...payload, iss: skylark.toUpperCase() })],
  ['an issuer as a list', 'issuer-unknown', ed({ ...payload, iss: [skylark] })],
  ["another provider's issuer", 'key-unknown', ed({ ...payload, iss: heron })],
  ['another audience', 'audience-refused', ed({ ...payload, aud: heron })],
  ['audience as a list', 'audience-refused', ed({ ...payload, aud: [citadel] })],
  ['audience with a slash', 'audience-refused', ed({ ...payload, aud: `${citadel}/` })],
  ['audience as a prefix', 'audience-refused', ed({ ...payload, aud: `${citadel}.evil.example` })],
  ['expired', 'expired', ed({ ...payload, iat: nowSeconds - 180, exp: nowSeconds - 60 })],
  ['expired long ago', 'expired', ed({ ...payload, iat: 1, exp: 2 })],
  ['issued in the future', 'issued-in-future', ed({ ...payload, iat: nowSeconds + 61, exp: nowSeconds + 100 })],
  ['living too long', 'lifetime-too-long', ed({ ...payload, exp: nowSeconds + 116 })],
  ['living for ever', 'times-refused', ed({ ...payload, exp: Number.MAX_SAFE_INTEGER })],
  ['exp before iat', 'times-refused', ed({ ...payload, exp: nowSeconds - 6 })],
  ['exp equal to iat', 'times-refused', ed({ ...payload, exp: nowSeconds - 5 })],
  ['iat as text', 'times-refused', ed({ ...payload, iat: String(nowSeconds) })],
  ['exp with a fraction', 'times-refused', ed({ ...payload, exp: nowSeconds + 0.5 })],
  ['exp null', 'times-refused', ed({ ...payload, exp: null })],
  ['iat below zero', 'times-refused', ed({ ...payload, iat: -1, exp: 5 })],
  ['exp beyond numbers', 'times-refused', ed(json.replace(String(nowSeconds + 115), '1e999'))],
  ['an empty subject', 'subject-refused', ed({ ...payload, sub: '' })],
  ['a subject of 129 characters', 'subject-refused', ed({ ...payload, sub: 'a'.repeat(129) })],
  ['a subject with a space before', 'subject-refused', ed({ ...payload, sub: ' mia' })],
  ['a subject with a space after', 'subject-refused', ed({ ...payload, sub: 'mia\u00a0' })],
  ['a subject with a control character', 'subject-refused', ed({ ...payload, sub: 'mia\u0000' })],
  ['a subject with a line separator', 'subject-refused', ed({ ...payload, sub: 'mia\u2028x' })],
  ['a subject with a bidi override', 'subject-refused', ed({ ...payload, sub: 'mia\u202ecod.exe' })],
  ['a subject with a bidi isolate', 'subject-refused', ed({ ...payload, sub: 'mia\u2066x' })],
  ['a subject with a zero-width space', 'subject-refused', ed({ ...payload, sub: 'mi\u200ba' })],
  ['a subject with a zero-width joiner', 'subject-refused', ed({ ...payload, sub: 'mi\u200da' })],
  ['a subject with a word joiner', 'subject-refused', ed({ ...payload, sub: 'mi\u2060a' })],
  ['a subject with a byte order mark', 'subject-refused', ed({ ...payload, sub: 'mi\ufeffa' })],
  ['a subject with a soft hyphen', 'subject-refused', ed({ ...payload, sub: 'mi\u00ada' })],
  ['a subject with a variation selector', 'subject-refused', ed({ ...payload, sub: 'mia\ufe0f' })],
  ['a subject with an invisible tag', 'subject-refused', ed({ ...payload, sub: 'mia\u{e0041}' })],
  ['a subject with a filler', 'subject-refused', ed({ ...payload, sub: 'mia\u3164x' })],
  ['a subject with an annotation mark', 'subject-refused', ed({ ...payload, sub: 'mi\ufff9a' })],
  ['a subject that no XML stream carries', 'subject-refused', ed({ ...payload, sub: 'mia\ufffe' })],
  ['a subject with a noncharacter', 'subject-refused', ed({ ...payload, sub: 'mia\ufdd0' })],
  ['a subject with a noncharacter of a higher plane', 'subject-refused', ed({ ...payload, sub: 'mia\u{10ffff}' })],
  ['a subject not in normal form C', 'subject-refused', ed({ ...payload, sub: 'u\u0308mit' })],
  ['a subject with half a character', 'subject-refused', ed(json.replace('mia@skylark', 'mia\\ud83d'))],
  ['a subject of another type', 'subject-refused', ed({ ...payload, sub: 7 })],
  ['a short token id', 'token-id-refused', ed({ ...payload, jti: 'A'.repeat(15) })],
  ['a long token id', 'token-id-refused', ed({ ...payload, jti: 'A'.repeat(65) })],
  ['a token id with other characters', 'token-id-refused', ed({ ...payload, jti: 'A'.repeat(16) + '+' })],
  ['a token id of another type', 'token-id-refused', ed({ ...payload, jti: 1e20 })],
  ['no key binding inside cnf', 'key-binding-refused', ed({ ...payload, cnf: {} })],
  ['cnf null', 'key-binding-refused', ed({ ...payload, cnf: null })],
  ['cnf with a key', 'key-binding-refused', ed({ ...payload, cnf: { jwk: publicJwk(stranger) } })],
  ['cnf with more', 'key-binding-refused', ed({ ...payload, cnf: { jkt, kid: 'x' } })],
  ['a thumbprint cut short', 'key-binding-refused', ed({ ...payload, cnf: { jkt: jkt.slice(1) } })],
  ['a thumbprint in a second spelling', 'key-binding-refused', ed({ ...payload, cnf: { jkt: `${'A'.repeat(42)}B` } })],
  ['a region of no meaning', 'region-refused', ed({ ...payload, region: 'eu' })],
  ['region null', 'region-refused', ed({ ...payload, region: null })],
  // Keys and signatures
  ['ES256 named over an Ed25519 key', 'algorithm-key-mismatch', headed({ alg: 'ES256' })],
  ['EdDSA named over a P-256 key', 'algorithm-key-mismatch', forge(ecKey, { ...header(ecKey), alg: 'EdDSA' }, payload)],
  ["a stranger's signature", 'signature-refused', forge(stranger, header(edKey), payload)],
  ["a stranger's kid", 'key-unknown', forge(stranger, header(stranger), payload)],
  ["another provider's signature", 'signature-refused', forge(heronKey, header(edKey), payload)],
  [
    'an RSA signature',
    'signature-refused',
    `${goodHeader}.${goodPayload}.${b64(sign('sha256', Buffer.from(`${goodHeader}.${goodPayload}`), rsa.privateKey))}`,
  ],
  ['a signature of zeros (EdDSA)', 'signature-refused', `${goodHeader}.${goodPayload}.${b64(new Uint8Array(64))}`],
  [
    'a signature of zeros (ES256)',
    'signature-refused',
    `${b64(JSON.stringify(header(ecKey)))}.${goodPayload}.${b64(new Uint8Array(64))}`,
  ],
  ['a signature of DER (ES256)', 'signature-refused', derSigned()],
  [
    'a signature cut short',
    'signature-refused',
    `${goodHeader}.${goodPayload}.${b64(Buffer.from(goodSignature, 'base64url').subarray(0, 63))}`,
  ],
  [
    "another token's payload",
    'signature-refused',
    `${goodHeader}.${b64(JSON.stringify({ ...payload, sub: 'otto' }))}.${goodSignature}`,
  ],
];

function derSigned(): string {
  const input = `${b64(JSON.stringify(header(ecKey)))}.${goodPayload}`;
  return `${input}.${b64(sign('sha256', Buffer.from(input), ecKey.privateKey))}`;
}

for (const [what, code, token] of refusals) {
  test(`refused: ${what}`, async () => {
    const { context, taken, asked } = world();
    assert.equal(codeOf(await verifyOwnershipProof(token, context)), code);
    assert.deepEqual(taken, [], 'nothing is used up by a refused token');
    const aboutKeys: readonly ProofErrorCode[] = ['key-unknown', 'algorithm-key-mismatch', 'signature-refused'];
    if (!aboutKeys.includes(code)) assert.deepEqual(asked, [], 'no key is asked for, so nothing can be fetched');
  });
}

test('a signature counts only for the algorithm that the header names', () => {
  for (const [key, alg] of [
    [edKey, 'ES256'],
    [ecKey, 'EdDSA'],
  ] as const) {
    const confused = readJws(forge(key, { ...header(key), alg }, payload), 'interop+jwt');
    assert.ok(confused.kind === 'read');
    assert.equal(isSignedBy(confused, verificationKey(key)), false);
  }
});

test('every code of the table is met by a test, and stands in the table', () => {
  const met = new Set<string>([
    ...refusals.map(([, code]) => code),
    'replayed',
    'replay-check-failed',
    'key-set-unavailable',
  ]);
  assert.deepEqual([...met].sort(), Object.keys(proofErrors).sort());
});

test('limits hold exactly at their edges', async () => {
  const verify = async (change: object, context: Partial<ProofContext> = {}): Promise<string> =>
    codeOf(await verifyOwnershipProof(ed({ ...payload, ...change }), world(context).context));
  assert.equal(await verify({ iat: nowSeconds - 179, exp: nowSeconds - 59 }), 'verified');
  assert.equal(await verify({ iat: nowSeconds + 60, exp: nowSeconds + 180 }), 'verified');
  assert.equal(await verify({ exp: nowSeconds + 595 }), 'lifetime-too-long');
  assert.equal(await verify({ exp: nowSeconds + 595 }, { maxLifetimeSeconds: 600 }), 'verified');
  assert.equal(await verify({ exp: nowSeconds + 596 }, { maxLifetimeSeconds: 600 }), 'lifetime-too-long');
  assert.equal(await verify({ sub: '😀'.repeat(128) }), 'verified');
  assert.equal(await verify({ sub: '😀'.repeat(129) }), 'subject-refused');
  assert.equal(await verify({ sub: '+49 170 1234567' }), 'verified');
  assert.equal(await verify({ jti: 'A'.repeat(16) }), 'verified');
  assert.equal(await verify({ jti: '-'.repeat(64) }), 'verified');
});

test('white space and escapes in good JSON are good', async () => {
  const text = JSON.stringify({ ...payload, sub: '{"sub":"x"}\\"' }, undefined, 2);
  assert.equal(codeOf(await verifyOwnershipProof(ed(text), world().context)), 'verified');
});

test('a key that is gone no longer verifies', async () => {
  const keys = [verificationKey(edKey)];
  const { context } = world({}, keys);
  assert.equal(codeOf(await verifyOwnershipProof(good, context)), 'verified');
  keys.pop();
  assert.equal(codeOf(await verifyOwnershipProof(good, context)), 'key-unknown');
});

test('any change of one character is refused', async () => {
  const token = await issueOwnershipProof(edKey, claims);
  const character = fc.constantFrom(...'ABCXYZabcxyz0189-_.=+/ \u0000é'.split(''));
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 1), character, async (at, other) => {
      fc.pre(token[at] !== other);
      const { context, taken } = world();
      const changed = token.slice(0, at) + other + token.slice(at + 1);
      assert.equal((await verifyOwnershipProof(changed, context)).kind, 'refused');
      assert.deepEqual(taken, []);
    }),
    { numRuns: 500 },
  );
});

test('any text is refused without an exception', async () => {
  const part = fc.oneof(fc.string(), fc.json().map(b64), fc.base64String(), fc.constant(goodHeader));
  const token = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(part, { maxLength: 5 }).map(parts => parts.join('.')),
  );
  await fc.assert(
    fc.asyncProperty(token, async text => {
      assert.equal((await verifyOwnershipProof(text, world().context)).kind, 'refused');
    }),
    { numRuns: 500 },
  );
});

test('any signed claims are refused or verified without an exception', async () => {
  const value = fc.oneof(fc.constant(undefined), fc.jsonValue());
  const change = fc.record(
    { iss: value, sub: value, aud: value, iat: value, exp: value, jti: value, cnf: value, region: value },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(change, async claimed => {
      const verdict = await verifyOwnershipProof(ed({ ...payload, ...claimed }), world().context);
      assert.ok(verdict.kind === 'refused' || verdict.kind === 'verified');
    }),
    { numRuns: 300 },
  );
});
