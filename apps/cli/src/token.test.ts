// Proofs issued by the command, judged by the command: with the gatekeeper's own rules.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { exportSigningKey, exportSigningKeyPem, generateSigningKey, publicJwk } from '@drawbridge/identity/jwk';
import { CommandError } from './command-error.ts';
import type { IssueFlags } from './token.ts';
import { inspectToken, printInspection } from './token-inspect.ts';
import { issueToken } from './token-issue.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-token-'));
const nowMs = Date.UTC(2026, 10, 23);
const key = generateSigningKey('EdDSA');

function write(name: string, value: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value));
  return file;
}

const keys = write('jwks.json', { keys: [publicJwk(key)] });
const deviceKey = write('device.jwk', generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' }));
const flags: IssueFlags = {
  key: write('key.jwk', exportSigningKey(key)),
  issuer: 'https://id.skylark.example',
  subject: 'anna',
  audience: 'https://citadel.example',
  deviceKey,
  transport: 'xmpp',
};
const judge = { transport: 'xmpp', json: false, keys, audience: 'https://citadel.example' } as const;

test('an issued proof is accepted, and shown without its signature', async () => {
  const token = await issueToken(flags, nowMs);
  const inspection = await inspectToken(token, judge, nowMs);
  assert.deepEqual(inspection.verdict, { kind: 'accepted' });
  assert.equal(inspection.times.expiresInSeconds, 120);
  const shown = printInspection(inspection) + JSON.stringify(inspection);
  for (const part of token.split('.')) assert.ok(!shown.includes(part));
  assert.match(shown, /"sub":"anna"/);
});

test('signing keys are read from a JWK, a PEM file, and the key that signs now in a provider folder', async () => {
  const old = generateSigningKey('ES256');
  const scheduled = write('signing-keys.json', {
    version: 1,
    keys: [
      { signsFromMs: nowMs + 1, jwk: exportSigningKey(generateSigningKey('EdDSA')) },
      { signsFromMs: nowMs - 1, jwk: exportSigningKey(key) },
      { signsFromMs: nowMs - 2, jwk: exportSigningKey(old) },
    ],
  });
  for (const file of [scheduled, write('key.pem', exportSigningKeyPem(key))]) {
    const inspection = await inspectToken(await issueToken({ ...flags, key: file }, nowMs), judge, nowMs);
    assert.deepEqual(inspection.verdict, { kind: 'accepted' }, file);
  }
  for (const file of [keys, deviceKey, write('empty', '')]) {
    await assert.rejects(issueToken({ ...flags, key: file }, nowMs), CommandError);
  }
});

test('what a gatekeeper refuses is named, what was not checked too', async () => {
  const token = await issueToken(flags, nowMs);
  const codeOf = async (text: string, more: object = {}, atMs = nowMs): Promise<string> => {
    const { verdict } = await inspectToken(text, { ...judge, ...more }, atMs);
    return verdict.kind === 'refused' ? verdict.code : verdict.kind;
  };
  assert.equal(await codeOf(token, { audience: 'https://other.example' }), 'audience-refused');
  assert.equal(await codeOf(token, {}, nowMs + 181_000), 'expired');
  assert.equal(await codeOf(token, {}, nowMs - 61_000), 'issued-in-future');
  const otherKeys = write('other.json', { keys: [publicJwk(generateSigningKey('EdDSA'))] });
  assert.equal(await codeOf(token, { keys: otherKeys }), 'key-unknown');
  const forged = `${token.slice(0, -4)}${token.endsWith('AAAA') ? 'BBBA' : 'AAAA'}`;
  assert.match(await codeOf(forged), /signature-refused|encoding-refused/);
  const long = await issueToken({ ...flags, transport: 'compact' }, nowMs);
  assert.equal(await codeOf(long), 'lifetime-too-long');
  assert.equal(await codeOf(long, { transport: 'compact' }), 'accepted');
  for (const text of ['', 'abc', 'a.b.c', '...', token.replace('.', '. ')])
    assert.notEqual(await codeOf(text), 'accepted');
  const { verdict } = await inspectToken(token, { transport: 'xmpp', json: false }, nowMs);
  assert.deepEqual(verdict, { kind: 'unproven', unchecked: ['signature', 'audience'] });
});

test('a hostile token shows no control characters on the terminal', async () => {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const hostile = `${part({ alg: 'none' })}.${part({ sub: '\u001b[2J\u009b2J\u202eabc', iat: 1e300, exp: -1 })}.AA`;
  const shown = printInspection(await inspectToken(hostile, judge, nowMs));
  assert.match(shown, /refused: algorithm-refused/);
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(shown.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u202e]/);
});

test('unfit options are refused with the next step', async () => {
  const unfit: Partial<IssueFlags>[] = [
    { lifetime: 601 },
    { lifetime: 0 },
    { subject: ' anna' },
    { issuer: 'skylark' },
    { jkt: 'x'.repeat(43) },
    { key: keys },
    { deviceKey: keys },
  ];
  for (const each of unfit) await assert.rejects(issueToken({ ...flags, ...each }, nowMs), CommandError);
});
