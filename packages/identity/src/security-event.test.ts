// Security event tokens: verified once, and refused when anything about them differs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey, verificationKey } from './jwk.ts';
import { signJws } from './jws.ts';
import { localKeySource } from './key-set.ts';
import { issueOwnershipProof } from './issue-ownership-proof.ts';
import {
  issueSecurityEvent,
  type SecurityEventContext,
  type SecurityEventErrorCode,
  securityEventErrors,
  verifySecurityEvent,
} from './security-event.ts';

const nowSeconds = 1_795_000_000;
const citadel = 'https://citadel.example';
const skylark = 'https://id.skylark.example';
const key = generateSigningKey('EdDSA');
const other = generateSigningKey('ES256');
const wakeUp = 'urn:drawbridge:event:wake-up';
const payload = {
  iss: citadel,
  aud: skylark,
  jti: 'AAAAAAAAAAAAAAAAAAAAAA',
  iat: nowSeconds - 5,
  sub_id: { format: 'opaque', id: 'mia' },
  events: { [wakeUp]: {} },
};

function context(change: Partial<SecurityEventContext> = {}): SecurityEventContext {
  const taken = new Set<string>();
  return {
    issuer: citadel,
    audience: skylark,
    keys: localKeySource(() => [verificationKey(key), verificationKey(other)]),
    nowMs: nowSeconds * 1000,
    takeEventId: async id => !taken.has(id.jti) && taken.add(id.jti).size > 0,
    ...change,
  };
}

const signed = (body: object): string => signJws(key, 'secevent+jwt', body as Record<string, unknown>);
const codeOf = async (token: string, where = context()): Promise<string> => {
  const verdict = await verifySecurityEvent(token, where);
  return verdict.kind === 'refused' ? verdict.code : verdict.kind;
};

test('an event is verified, once', async () => {
  const where = context();
  const token = await issueSecurityEvent(key, {
    issuer: citadel,
    audience: skylark,
    jti: payload.jti,
    issuedAtSeconds: payload.iat,
    subject: 'mia',
    event: wakeUp,
  });
  assert.deepEqual(await verifySecurityEvent(token, where), {
    kind: 'verified',
    event: { issuer: citadel, jti: payload.jti, issuedAtMs: payload.iat * 1000, subject: 'mia', event: wakeUp },
  });
  assert.equal(await codeOf(token, where), 'repeated');
});

const { jti: _jti, ...withoutId } = payload;
const refusals: readonly (readonly [string, SecurityEventErrorCode, string])[] = [
  ['nothing', 'not-compact', ''],
  ['too much', 'too-large', 'A'.repeat(8193)],
  ['padding', 'encoding-refused', `${signed(payload)}=`],
  ['a list', 'json-refused', `${signed(payload).split('.')[0]}.W10.AAAA`],
  ['another typ', 'type-refused', signJws(key, 'JWT', payload)],
  ['alg none', 'algorithm-refused', `${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.AAAA`],
  [
    'a header with more',
    'header-refused',
    `${Buffer.from('{"alg":"EdDSA","kid":"k","typ":"secevent+jwt","crit":[]}').toString('base64url')}.e30.AAAA`,
  ],
  ['no jti', 'claim-set-refused', signed(withoutId)],
  ['exp', 'claim-set-refused', signed({ ...payload, exp: nowSeconds + 60 })],
  ['sub', 'claim-set-refused', signed({ ...payload, sub: 'mia' })],
  ['another issuer', 'issuer-unknown', signed({ ...payload, iss: `${citadel}/` })],
  ['another audience', 'audience-refused', signed({ ...payload, aud: 'https://heron.example' })],
  ['an audience list', 'audience-refused', signed({ ...payload, aud: [skylark] })],
  ['an old one', 'times-refused', signed({ ...payload, iat: nowSeconds - 600 })],
  ['one of tomorrow', 'times-refused', signed({ ...payload, iat: nowSeconds + 61 })],
  ['iat as text', 'times-refused', signed({ ...payload, iat: String(nowSeconds) })],
  ['a short jti', 'token-id-refused', signed({ ...payload, jti: 'A' })],
  ['an email subject', 'subject-refused', signed({ ...payload, sub_id: { format: 'email', email: 'mia' } })],
  ['a subject with more', 'subject-refused', signed({ ...payload, sub_id: { ...payload.sub_id, x: 1 } })],
  [
    'a subject with a control character',
    'subject-refused',
    signed({ ...payload, sub_id: { format: 'opaque', id: 'a\n' } }),
  ],
  ['no event', 'event-refused', signed({ ...payload, events: {} })],
  ['an unknown event', 'event-refused', signed({ ...payload, events: { 'urn:other': {} } })],
  ['two events', 'event-refused', signed({ ...payload, events: { [wakeUp]: {}, 'urn:other': {} } })],
  ['an event with content', 'event-refused', signed({ ...payload, events: { [wakeUp]: { from: 'otto' } } })],
  ['a list of events', 'event-refused', signed({ ...payload, events: [wakeUp] })],
  ['an unknown key', 'key-unknown', signJws({ ...key, kid: 'nobody' }, 'secevent+jwt', payload)],
  ['a key of the other kind', 'algorithm-key-mismatch', signJws({ ...key, kid: other.kid }, 'secevent+jwt', payload)],
  [
    "a stranger's signature",
    'signature-refused',
    signJws({ ...generateSigningKey('EdDSA'), kid: key.kid }, 'secevent+jwt', payload),
  ],
];

for (const [what, code, token] of refusals) {
  test(`refused: ${what}`, async () => {
    const takeEventId = (): Promise<boolean> => assert.fail('nothing is used up by a refused token');
    assert.equal(await codeOf(token, context({ takeEventId })), code);
  });
}

test('an ownership proof is not an event', async () => {
  const proof = await issueOwnershipProof(key, {
    issuer: citadel,
    audience: skylark,
    subject: 'mia',
    jkt: 'A'.repeat(43),
    jti: payload.jti,
    issuedAtSeconds: nowSeconds,
    expiresAtSeconds: nowSeconds + 60,
  });
  assert.equal(await codeOf(proof), 'type-refused');
});

test('keys or a store that cannot be had ask for a retry', async () => {
  const keys = { findKey: async () => ({ kind: 'unavailable' }) as const };
  assert.equal(await codeOf(signed(payload), context({ keys })), 'key-set-unavailable');
  const takeEventId = (): Promise<boolean> => Promise.reject(new Error('disk'));
  assert.equal(await codeOf(signed(payload), context({ takeEventId })), 'replay-check-failed');
  assert.ok(securityEventErrors['key-set-unavailable'].retry && securityEventErrors['replay-check-failed'].retry);
});

test('edges of time', async () => {
  assert.equal(await codeOf(signed({ ...payload, iat: nowSeconds - 599 })), 'verified');
  assert.equal(await codeOf(signed({ ...payload, iat: nowSeconds + 60 })), 'verified');
});

test('every code of the table is met by a test', () => {
  const met = new Set<string>([
    ...refusals.map(([, code]) => code),
    'repeated',
    'key-set-unavailable',
    'replay-check-failed',
  ]);
  assert.deepEqual([...met].sort(), Object.keys(securityEventErrors).sort());
});
