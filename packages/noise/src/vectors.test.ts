import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CipherName, HashName } from './crypto.ts';
import { nodeCrypto } from './node-crypto.ts';
import { platformCrypto } from './platform-crypto.ts';
import { runVector, vectorsOf } from './testing/vector-runner.ts';

const root = join(import.meta.dirname, '../../..');
const own = join(root, 'vectors/noise/dissononce.json');
const published = join(root, '../shared/vectors/noise');
/** Where libsodium is missing both are the same; `sodium-crypto.test.ts` sees that here it is not. */
const adapters = { node: nodeCrypto, platform: platformCrypto };
const portOf = (adapter: keyof typeof adapters) => ({
  suite: (cipher: CipherName, hash: HashName) => adapters[adapter].suite(cipher, hash),
  keyPair: (privateKey: Uint8Array) => adapters[adapter].keyPairFromPrivateKey(privateKey),
});
const crypto = portOf('platform');

function load(file: string): readonly unknown[] {
  return vectorsOf(JSON.parse(readFileSync(file, 'utf8')))!;
}

function count(vectors: readonly unknown[], adapter: keyof typeof adapters) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const vector of vectors) {
    const outcome = runVector(vector, portOf(adapter));
    counts[outcome.kind] += 1;
    if (outcome.kind === 'failed') console.error(outcome);
    if (outcome.kind === 'skipped') assert.equal(outcome.reason, 'key agreement 448 is not among our primitives');
  }
  return counts;
}

test('vectors computed by another implementation (dissononce): XX, IK, XXfallback', () => {
  for (const adapter of ['node', 'platform'] as const) {
    assert.deepEqual(count(load(own), adapter), { passed: 12, failed: 0, skipped: 0 });
  }
});

for (const [file, expected] of [
  ['cacophony.json', { passed: 472, failed: 0, skipped: 472 }],
  ['snow.json', { passed: 408, failed: 0, skipped: 0 }],
] as const) {
  test(`published vectors: ${file}`, t => {
    const path = join(published, file);
    if (!existsSync(path)) {
      const reason = `SKIPPED: ${file} is not in ../shared/vectors/noise beside the repository`;
      console.error(reason);
      t.skip(reason);
      return;
    }
    for (const adapter of ['node', 'platform'] as const) assert.deepEqual(count(load(path), adapter), expected);
  });
}

type Vector = { protocol_name: string; messages: { payload: string; ciphertext: string }[]; [field: string]: unknown };

test('a vector with anything wrong in it fails', () => {
  const broken = (change: (vector: Vector) => void) => {
    const vector = structuredClone(load(own)[4]) as Vector;
    assert.match(vector.protocol_name, /^Noise_IK_/);
    change(vector);
    const outcome = runVector(vector, crypto);
    assert.equal(outcome.kind, 'failed', JSON.stringify(outcome));
  };
  const flip = (text: string) => `${text.startsWith('00') ? '01' : '00'}${text.slice(2)}`;
  for (const i of [0, 1, 2, 6]) {
    broken(vector => (vector.messages[i]!.ciphertext = flip(vector.messages[i]!.ciphertext)));
    broken(vector => (vector.messages[i]!.payload += '00'));
  }
  for (const field of [
    'handshake_hash',
    'init_static',
    'init_ephemeral',
    'resp_ephemeral',
    'resp_static',
    'init_prologue',
  ]) {
    broken(vector => (vector[field] = flip(vector[field] as string)));
  }
  for (const field of ['init_static', 'init_ephemeral', 'resp_static', 'init_remote_static', 'messages']) {
    broken(vector => delete vector[field]);
    broken(vector => (vector[field] = 'zz'));
  }
  broken(vector => vector.messages.splice(1));
  broken(vector => (vector.messages = []));
  broken(vector => (vector['init_psks'] = ['00'.repeat(32)]));
  broken(vector => (vector['messages'] = [null as never]));
});

test('what we do not have is skipped with a reason', () => {
  const base = load(own)[0] as Vector;
  for (const [change, reason] of [
    [{ protocol_name: 'Noise_ZZ_25519_AESGCM_SHA256' }, /pattern ZZ/],
    [{ protocol_name: 'Noise_XX_448_AESGCM_SHA256' }, /448/],
    [{ protocol_name: 'Noise_XX_25519_DES_SHA256' }, /cipher DES/],
    [{ protocol_name: 'Noise_XX_25519_AESGCM_MD5' }, /hash MD5/],
    [{ protocol_name: 'NoisePSK_XX_25519_AESGCM_SHA256' }, /protocol name/],
    [{ protocol_name: 7 }, /no protocol_name/],
    [{ fallback: true }, /fields we do not know: fallback/],
  ] as const) {
    const outcome = runVector({ ...base, ...change }, crypto);
    assert.ok(outcome.kind === 'skipped');
    assert.match(outcome.reason, reason);
  }
  for (const junk of [null, 1, 'x', []]) assert.equal(runVector(junk, crypto).kind, 'skipped');
});

test('the command says what ran, and fails when something failed or nothing ran', t => {
  const folder = mkdtempSync(join(tmpdir(), 'noise-vectors-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: unknown) => {
    writeFileSync(join(folder, name), JSON.stringify(content));
    return join(folder, name);
  };
  const run = (...files: string[]) => {
    const script = join(import.meta.dirname, 'testing/vectors-cli.ts');
    const { status, stdout } = spawnSync(process.execPath, ['--conditions=drawbridge-source', script, ...files], {
      encoding: 'utf8',
    });
    return { status, last: stdout.trim().split('\n').at(-1) };
  };
  const vectors = load(own) as Vector[];
  const foreign = file('foreign.json', { vectors: [{ ...vectors[0], protocol_name: 'Noise_XX_448_AESGCM_SHA256' }] });
  const wrong = file('wrong.json', { vectors: [{ ...vectors[0], handshake_hash: '00' }] });
  assert.deepEqual(run(own, foreign), { status: 0, last: '12 passed, 0 failed, 1 skipped' });
  assert.deepEqual(run(own, wrong), { status: 1, last: '12 passed, 1 failed, 0 skipped' });
  assert.deepEqual(run(foreign), { status: 1, last: '0 passed, 0 failed, 1 skipped' });
  assert.equal(run(own, join(folder, 'absent.json')).status, 1);
  assert.equal(run(own, file('list.json', [])).status, 1);
});
