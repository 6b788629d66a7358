// Statements of providers: what is taken, and that everything else is refused and uses up nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey, type SigningKey, verificationKey } from './jwk.ts';
import { signJws } from './jws.ts';
import { localKeySource } from './key-set.ts';
import {
  issueProviderStatement,
  providerStatementType,
  type ProviderStatementClaims,
  type StatementContext,
  verifyProviderStatement,
} from './provider-statement.ts';

const key = generateSigningKey('ES256');
const now = 1_790_000_000;
const application = {
  name: 'skylark.example',
  keySetOrigins: [],
  mediaOrigins: ['https://media.skylark.example'],
  suites: ['signal-1'],
  regions: ['EEA'],
  contact: { name: 'Skylark', email: 'interop@skylark.example' },
};
const agreement = { version: 3, digest: 'a'.repeat(43) };
const claims: ProviderStatementClaims = {
  issuer: 'https://skylark.example',
  audience: 'https://citadel.example',
  jti: 'j'.repeat(24),
  issuedAtSeconds: now,
  act: 'apply',
  application,
  agreement,
};

function context(more: Partial<StatementContext> = {}, keys: readonly SigningKey[] = [key]): StatementContext {
  const used = new Set<string>();
  return {
    audience: 'https://citadel.example',
    nowMs: now * 1000,
    keysOf: () => localKeySource(() => keys.map(verificationKey)),
    takeId: async ({ issuer, jti }) => !used.has(issuer + jti) && used.add(issuer + jti) !== undefined,
    ...more,
  };
}

test('each act is taken once', async () => {
  const acts = [
    { act: 'apply', application, agreement },
    { act: 'status' },
    { act: 'accept', agreement },
    { act: 'leave', reason: 'the service ends' },
  ] as const;
  for (const act of acts) {
    const { audience, jti, issuedAtSeconds } = claims;
    const { issuer } = claims as { issuer: string };
    const token = issueProviderStatement(key, { issuer, audience, jti, issuedAtSeconds, ...act });
    const at = context();
    assert.deepEqual(await verifyProviderStatement(token, at), { kind: 'verified', statement: { issuer, ...act } });
    assert.deepEqual(await verifyProviderStatement(token, at), { kind: 'refused', code: 'repeated' });
  }
});

test('a wrong place, time, key or member is refused and uses up nothing', async () => {
  const raw = { iss: claims.issuer, aud: claims.audience, iat: now, jti: claims.jti, act: 'status' };
  const signed = (change: object, by = key, typ = providerStatementType): string =>
    signJws(by, typ, { ...raw, ...change });
  const applied = (change: object): string =>
    signed({ act: 'apply', agreement, application: { ...application, ...change } });
  const wrong: readonly (readonly [string, string, Partial<StatementContext>?])[] = [
    ['type-refused', signed({}, key, 'interop+jwt')],
    ['audience-refused', signed({ aud: 'https://other.example' })],
    ['issuer-refused', signed({ iss: 7 })],
    ['issuer-refused', signed({}), { keysOf: () => undefined }],
    ['times-refused', signed({ iat: now + 61 })],
    ['times-refused', signed({ iat: now - 360 })],
    ['token-id-refused', signed({ jti: 'short' })],
    ['claim-set-refused', signed({ act: 'admit' })],
    ['claim-set-refused', signed({ number: 7 })],
    ['claim-set-refused', signed({ act: 'leave', reason: 'two\nlines' })],
    ['claim-set-refused', signed({ act: 'accept', agreement: { version: 0, digest: 'a'.repeat(43) } })],
    ['terms-refused', applied({ number: 7 })],
    ['terms-refused', applied({ suites: [] })],
    ['terms-refused', applied({ mediaOrigins: Array.from({ length: 17 }, () => 'https://a.example') })],
    ['terms-refused', applied({ contact: { name: 'a\u202eb', email: 'a@b.example' } })],
    ['key-unknown', signed({}, generateSigningKey('ES256'))],
    ['key-set-unavailable', signed({}), { keysOf: () => ({ findKey: async () => ({ kind: 'unavailable' }) }) }],
    ['signature-refused', `${signed({}).slice(0, -6)}AAAAAA`],
  ];
  let taken = 0;
  const takeId = async (): Promise<boolean> => ++taken > 0;
  for (const [code, token, more] of wrong) {
    assert.deepEqual(await verifyProviderStatement(token, context({ takeId, ...more })), { kind: 'refused', code });
  }
  assert.equal(taken, 0);
  assert.throws(() => issueProviderStatement(key, { ...claims, act: 'leave', reason: '' }));
});
