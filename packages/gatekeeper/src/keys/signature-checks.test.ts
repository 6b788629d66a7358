// Signatures in a worker: right answers in order, turns and bounds for each provider, and a worker that dies.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type SampleIdentity, sampleIdentity } from '../testing/sample-device.ts';
import { createSignatureChecks, type Signed, type SignatureChecks, signatureCheckLimits } from './signature-checks.ts';

function open(t: TestContext, program?: URL): SignatureChecks {
  const checks = createSignatureChecks(program);
  t.after(() => checks.close());
  return checks;
}

function signedBy(identity: SampleIdentity, message: Uint8Array): Signed {
  return { message, signature: identity.sign(message) };
}

test('each signature is answered for itself, in order; no key, no signature', async t => {
  const checks = open(t);
  const [anna, bob] = [sampleIdentity(), sampleIdentity()];
  const signed = [
    signedBy(anna, Buffer.from('one')),
    signedBy(bob, Buffer.from('two')),
    signedBy(anna, Buffer.alloc(0)),
    { message: Buffer.from('three'), signature: Buffer.alloc(63) },
    signedBy(anna, Buffer.from('four')),
  ];
  const right = [true, false, true, false, true];
  assert.deepEqual(await checks.check(1, { identityKey: anna.publicKey, signed }), right);
  assert.deepEqual(await checks.check(1, { identityKey: anna.publicKey, signed: [] }), []);
  assert.deepEqual(await checks.check(1, { identityKey: Buffer.alloc(33, 0xff), signed: [signed[0]!] }), [false]);
  // The memory of whoever asks is not taken away.
  assert.equal(signed[0]!.message.toString(), 'one');
});

test('a provider fills its own share of what waits, and no more; others take turns with it', async t => {
  const checks = open(t);
  const anna = sampleIdentity();
  const job = { identityKey: anna.publicKey, signed: [signedBy(anna, Buffer.alloc(500_000, 1))] };
  const order: number[] = [];
  const asked: Promise<unknown>[] = [];
  const ask = (provider: number): Promise<readonly boolean[] | 'busy'> => {
    const answer = checks.check(provider, job);
    asked.push(answer.then(result => result !== 'busy' && order.push(provider)));
    return answer;
  };
  const flood = Array.from({ length: 30 }, () => ask(1));
  assert.deepEqual(await ask(2), [true]);
  const answers = await Promise.all(flood);
  const fits = Math.floor(signatureCheckLimits.maxWaitingBytesPerProvider / 500_097);
  assert.deepEqual(
    answers.map(answer => answer !== 'busy'),
    answers.map((_, i) => i < fits),
  );
  assert.ok(order.indexOf(2) <= signatureCheckLimits.maxUnderWay + 1, `${order.join(' ')}: two's turn came soon`);
  assert.deepEqual(await ask(1), [true], 'what was refused left nothing behind');

  const crowd = Array.from({ length: 60 }, (_, provider) => checks.check(100 + provider, job));
  const busy = (await Promise.all(crowd)).filter(answer => answer === 'busy').length;
  const fitsInAll = Math.floor(signatureCheckLimits.maxWaitingBytes / 500_097);
  assert.equal(busy, 60 - fitsInAll);
});

test('a hundred signatures cost the thread that asks a small part of their work', async t => {
  const checks = open(t);
  const anna = sampleIdentity();
  const signed = Array.from({ length: 100 }, (_, i) => signedBy(anna, Buffer.alloc(1569, i)));
  await checks.check(1, { identityKey: anna.publicKey, signed });
  const [own, all] = [process.threadCpuUsage(), process.cpuUsage()];
  for (let i = 0; i < 20; i++) await checks.check(1, { identityKey: anna.publicKey, signed });
  const [ownUsed, allUsed] = [process.threadCpuUsage(own), process.cpuUsage(all)];
  const share = (ownUsed.user + ownUsed.system) / (allUsed.user + allUsed.system);
  assert.ok(share < 0.3, `${share}`);
});

test('a worker that dies costs the jobs that it had; the next one starts another', async t => {
  const dying = `import { parentPort } from 'node:worker_threads'; parentPort.once('message', () => process.exit(1));`;
  const checks = open(t, new URL(`data:text/javascript,${encodeURIComponent(dying)}`));
  const anna = sampleIdentity();
  const job = { identityKey: anna.publicKey, signed: [] };
  for (let i = 0; i < 3; i++) await assert.rejects(checks.check(1, job), { code: 'worker-stopped' });
  const last = checks.check(1, job);
  const closing = checks.close();
  await assert.rejects(last, { code: 'closed' });
  await closing;
  await assert.rejects(checks.check(1, job), { code: 'closed' });
});
