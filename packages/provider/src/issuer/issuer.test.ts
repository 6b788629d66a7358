// Rotation: what is published and what signs, over years; key files.

import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { generateSigningKey, type SigningKey } from '@drawbridge/identity/jwk';
import { keySetLimits } from '@drawbridge/identity/key-set';
import { createIssuer, defaultRotationTimes, type Issuer, planKeys } from './issuer.ts';
import { issuerKeyFile, issuerKeyMemory } from './issuer-key-file.ts';

test('over a year, no gatekeeper that follows the refresh bounds ever meets a key it does not have', async () => {
  let nowMs = 1_795_000_000_000;
  const issuer = await createIssuer({ store: issuerKeyMemory(), nowMs: () => nowMs });
  const stepMs = 600_000;
  const signers = new Set<string>();
  let most = 0;
  // What a gatekeeper holds that fetched as late as it may, and proofs that are still alive.
  let held: { readonly kids: readonly string[]; readonly atMs: number } = { kids: [], atMs: 0 };
  let alive: { readonly kid: string; readonly untilMs: number }[] = [];
  for (const endMs = nowMs + 365 * 86_400_000; nowMs < endMs; nowMs += stepMs) {
    await issuer.rotateIfDue();
    const published = issuer.published().map(jwk => jwk.kid);
    most = Math.max(most, published.length);
    if (nowMs - held.atMs >= keySetLimits.maxRefreshMs) held = { kids: published, atMs: nowMs };
    const { kid } = issuer.signingKey();
    signers.add(kid);
    assert.ok(held.kids.includes(kid), 'the signing key is in a set fetched up to an hour ago');
    alive = alive.filter(proof => nowMs <= proof.untilMs);
    alive.push({ kid, untilMs: nowMs + 660_000 });
    for (const proof of alive) assert.ok(published.includes(proof.kid), 'the key of a proof that lives is published');
  }
  assert.equal(signers.size, 13);
  assert.equal(most, 2);
});

test('a key signs for exactly its time, and its successor is published exactly so long before', () => {
  const times = { signsForMs: 1000, publishAheadMs: 100, keepAfterMs: 10 };
  const make = (): SigningKey => generateSigningKey('EdDSA');
  const one = planKeys([], 5000, times, make);
  assert.deepEqual(
    one.map(each => each.signsFromMs),
    [5000],
  );
  assert.equal(planKeys(one, 5899, times, make), one);
  const two = planKeys(one, 5900, times, make);
  assert.deepEqual(
    two.map(each => each.signsFromMs),
    [5000, 6000],
  );
  assert.equal(planKeys(two, 6009, times, make), two);
  assert.deepEqual(planKeys(two, 6010, times, make), two.slice(1));
});

test('after a long sleep the overdue key is still published ahead', async () => {
  let nowMs = 1_795_000_000_000;
  const issuer = await createIssuer({ store: issuerKeyMemory(), nowMs: () => nowMs });
  const old = issuer.signingKey().kid;
  nowMs += 100 * 86_400_000;
  await issuer.rotateIfDue();
  assert.equal(issuer.signingKey().kid, old);
  assert.equal(issuer.published().length, 2);
  nowMs += defaultRotationTimes.publishAheadMs;
  await issuer.rotateIfDue();
  assert.notEqual(issuer.signingKey().kid, old);
  assert.equal(issuer.published().length, 2);
  nowMs += defaultRotationTimes.keepAfterMs;
  await issuer.rotateIfDue();
  assert.ok(!issuer.published().some(jwk => jwk.kid === old));
});

test('an issuer signs by ES256 unless told otherwise', async () => {
  const issuer = await createIssuer({ store: issuerKeyMemory(), nowMs: () => 1_795_000_000_000 });
  assert.equal(issuer.signingKey().algorithm, 'ES256');
});

test('a clock that was set back still signs', async () => {
  let nowMs = 1_795_000_000_000;
  const issuer = await createIssuer({ store: issuerKeyMemory(), nowMs: () => nowMs });
  const { kid } = issuer.signingKey();
  nowMs -= 86_400_000;
  await issuer.rotateIfDue();
  assert.equal(issuer.signingKey().kid, kid);
});

test('replacing all keys leaves none of them', async () => {
  const issuer = await createIssuer({ store: issuerKeyMemory(), nowMs: () => 1_795_000_000_000, algorithm: 'EdDSA' });
  const old = issuer.signingKey().kid;
  await issuer.replaceAllKeys();
  assert.equal(issuer.published().length, 1);
  assert.notEqual(issuer.signingKey().kid, old);
  assert.equal(issuer.signingKey().algorithm, 'EdDSA');
});

test('nothing signs that could not be saved', async () => {
  const memory = issuerKeyMemory();
  let broken = false;
  const issuer = await createIssuer({
    store: { load: memory.load, save: async keys => (broken ? Promise.reject(new Error('disk')) : memory.save(keys)) },
    nowMs: () => 1_795_000_000_000,
  });
  const { kid } = issuer.signingKey();
  broken = true;
  await assert.rejects(issuer.replaceAllKeys());
  assert.equal(issuer.signingKey().kid, kid);
  broken = false;
  await issuer.replaceAllKeys();
  assert.notEqual(issuer.signingKey().kid, kid);
});

test('the key file: comes back, is its owner’s alone, and is refused when damaged or open to others', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'issuer-'));
  const path = join(folder, 'keys', 'signing-keys.json');
  const open = (): Promise<Issuer> => createIssuer({ store: issuerKeyFile(path), nowMs: () => 1_795_000_000_000 });
  try {
    const { kid } = (await open()).signingKey();
    assert.equal((await open()).signingKey().kid, kid);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await chmod(path, 0o640);
    await assert.rejects(open(), { code: 'key-file-open', message: /chmod 600/ });
    await chmod(path, 0o600);
    const good = await readFile(path, 'utf8');
    for (const bad of [
      '',
      '{}',
      good.slice(0, -5),
      good.replace('"version":1', '"version":2'),
      good.replace('"d":"', '"d":"A'),
    ]) {
      await writeFile(path, bad);
      await assert.rejects(open(), { code: 'key-file-damaged' });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('keys are ordered by when they sign, whatever the file says', async () => {
  const memory = issuerKeyMemory();
  const nowMs = 1_795_000_000_000;
  const [older, newer] = [generateSigningKey('EdDSA'), generateSigningKey('EdDSA')];
  await memory.save([
    { key: newer, signsFromMs: nowMs - 1000 },
    { key: older, signsFromMs: nowMs - 2000 },
  ]);
  const issuer = await createIssuer({ store: memory, nowMs: () => nowMs });
  assert.equal(issuer.signingKey().kid, newer.kid);
});
