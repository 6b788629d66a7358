// A process is killed while it renews its person's identity, at moments drawn from a seed: afterwards it is the old identity or
// the new one, for the device, its contacts, the directory and strangers alike, and messages flow both ways.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Client } from '@drawbridge/client';
import { seededRandom } from '../durability/random.ts';
import type { RenewalJob } from './renewal-kill-child.ts';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

/** `KILLS=100` plays more; `SEED` repeats a run. */
const kills = Number(process.env['KILLS'] ?? 6);
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const key = Buffer.alloc(32, 7);

let network: SdkNetwork;
before(async () => {
  network = await startSdkNetwork();
});
after(() => network.close());

const anna = { provider: 'skylark.example', identifier: 'anna' };
const bob = { provider: 'citadel.example', identifier: 'bob' };

async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > endMs) assert.fail(`it never came: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 10));
  }
}

async function has(client: Client, text: string): Promise<boolean> {
  return (await client.chats.messages({ limit: 20 })).some(({ message }) => message.text === text);
}

/** Runs the renewal until it is killed; gives how long it took when it was done before. */
async function killedAfter(ms: number, remove: number): Promise<number | undefined> {
  const options: RenewalJob['options'] = {
    folder: join(network.folder, 'people', anna.identifier),
    gatekeeper: network.gatekeeper,
    provider: { url: network.provider, identifier: anna.identifier, password: `the password of ${anna.identifier}` },
    ca: network.ca,
  };
  const job: RenewalJob = { options, key: key.toString('base64'), remove };
  const script = join(import.meta.dirname, 'renewal-kill-child.ts');
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', script, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let startedMs: number | undefined;
  let tookMs: number | undefined;
  const due = new Promise<void>(resolve => {
    child.stdout.on('data', (chunk: Buffer) => {
      const said = chunk.toString();
      if (said.includes('up')) {
        startedMs = performance.now();
        setTimeout(resolve, ms);
      }
      if (said.includes('done')) tookMs = performance.now() - startedMs!;
    });
  });
  await Promise.race([due, exited.then(() => assert.fail('the child ended by itself'))]);
  child.kill('SIGKILL');
  await exited;
  return tookMs;
}

async function linked(first: Client, device: string): Promise<number> {
  const second = await network.open(anna.identifier, 'skylark', { device });
  const { code } = await second.devices.beginLink();
  const ticket = await (await first.devices.readLink(code)).confirm();
  await (await second.devices.openLink(ticket)).confirm();
  await second.connect();
  const { deviceId } = second.me!;
  await second.close();
  return deviceId;
}

test(`${kills} kills of a renewal: one identity or the other, everywhere`, { timeout: kills * 60_000 }, async t => {
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const ofBob = await network.open(bob.identifier, 'citadel');
  await ofBob.account.enlist();
  await ofBob.connect();
  await ofBob.account.optIn('skylark.example');
  let ofAnna = await network.open(anna.identifier, 'skylark');
  await ofAnna.account.enlist();
  await ofAnna.connect();
  await ofAnna.send(bob, { text: 'hello' });
  await until(() => has(ofBob, 'hello'), 'the first message');
  const seen = { old: 0, new: 0 };
  let longestMs = 400;
  for (let round = 0; round < kills; round++) {
    await ofBob.identities.setVerified(anna, (await ofBob.identities.get(anna)).identityKey);
    const { fingerprint } = await ofBob.identities.get(anna);
    const deviceId = await linked(ofAnna, `-${round}`);
    await ofAnna.close();
    // What is on its way when the process dies is said under whichever identity holds then.
    await ofBob.send(anna, { text: `meanwhile ${round}` });
    const tookMs = await killedAfter(random.share() * longestMs * 1.1, deviceId);
    if (tookMs !== undefined) longestMs = Math.max(50, tookMs);
    ofAnna = await network.open(anna.identifier, 'skylark');
    await ofAnna.connect();
    const isNew = ofAnna.notices.list().some(({ change }) => change.kind === 'identity-renewed');
    const devices = (await ofAnna.devices.list()).map(each => each.deviceId);
    assert.deepEqual(devices, isNew ? [ofAnna.me!.deviceId] : [ofAnna.me!.deviceId, deviceId], `round ${round}`);
    await ofAnna.send(bob, { text: `from Anna ${round}` });
    if (isNew) {
      await until(async () => (await ofBob.identities.get(anna)).pending !== undefined, 'Bob is asked');
      const { pending } = await ofBob.identities.get(anna);
      assert.notEqual(pending!.fingerprint, fingerprint);
      await ofBob.identities.accept(anna, pending!.identityKey);
    }
    await until(() => has(ofBob, `from Anna ${round}`), `what Anna says, round ${round}`);
    await ofBob.send(anna, { text: `from Bob ${round}` });
    await until(() => has(ofAnna, `from Bob ${round}`), `what Bob says, round ${round}`);
    await until(() => has(ofAnna, `meanwhile ${round}`), `what Bob had said before, round ${round}`);
    const digits = (await ofBob.identities.safetyNumber(anna)).digits;
    assert.equal(digits, (await ofAnna.identities.safetyNumber(bob)).digits);
    assert.equal((await ofBob.identities.get(anna)).fingerprint === fingerprint, !isNew);
    // A person who has never met her has the directory's word alone.
    const stranger = await network.open(`stranger-${round}`, 'citadel');
    await stranger.account.enlist();
    await stranger.connect();
    await stranger.account.optIn('skylark.example');
    await stranger.send(anna, { text: `from a stranger ${round}` });
    await until(() => has(ofAnna, `from a stranger ${round}`), `what a stranger says, round ${round}`);
    assert.equal(
      (await stranger.identities.get(anna)).fingerprint,
      (await ofBob.identities.get(anna)).fingerprint,
      'the directory and the contact have one key',
    );
    await stranger.close();
    seen[isNew ? 'new' : 'old']++;
    for (const notice of ofAnna.notices.list()) ofAnna.notices.acknowledge(notice);
    if (!isNew) await ofAnna.devices.remove(deviceId, { renewIdentity: false });
  }
  t.diagnostic(`${seen.old} times the old identity, ${seen.new} times the new one`);
  await ofAnna.close();
  await ofBob.close();
});
