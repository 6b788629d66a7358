// The SDK under `kill -9`, at moments drawn from a seed, on both sides at once: nothing is lost, doubled or out of order.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { openClient } from '@drawbridge/client';
import type { CrashJob } from './sdk-crash-child.ts';
import { startSdkNetwork } from './sdk-network.ts';

const kills = 5;
const count = 400;
const patienceMs = 60_000;

/** Mulberry32: a small seeded generator, so that a failing run can be played again. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Runs the child until it says a word; the process goes on. */
async function startChild(job: CrashJob): Promise<{ child: ChildProcess; said: (word: string) => Promise<void> }> {
  const file = join(import.meta.dirname, 'sdk-crash-child.ts');
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', file, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const waiting = new Map<string, () => void>();
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    for (const [word, resolve] of waiting) if (output.includes(word)) resolve();
  });
  const said = (word: string): Promise<void> =>
    new Promise((resolve, reject) => {
      if (output.includes(word)) return resolve();
      const timer = setTimeout(() => reject(new Error(`the child never said "${word}"`)), patienceMs);
      waiting.set(word, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  await said('up');
  return { child, said };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

test(`${count} messages, ${kills} kills of each side: each arrives once and in order`, async t => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`seed ${seed}`);
  const random = seeded(seed);
  const network = await startSdkNetwork();
  const options = (identifier: string, url: string): CrashJob['options'] => ({
    folder: join(network.folder, 'people', identifier),
    gatekeeper: network.gatekeeper,
    provider: { url, identifier, password: `the password of ${identifier}`, signUp: true },
    ca: network.ca,
  });
  const reader = options('bob', `${network.gatekeeper}/users`);
  const sender = options('anna', network.provider);
  const to = { provider: 'citadel.example', identifier: 'bob' };
  const bob = await openClient({ ...reader, passphrase: 'crash' });
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn('skylark.example');
  await bob.close();

  const running: ChildProcess[] = [];
  try {
    const job = { to, count } as const;
    let read = await startChild({ ...job, role: 'read', options: reader });
    let send = await startChild({ ...job, role: 'send', options: sender });
    running.push(read.child, send.child);
    for (let i = 0; i < 2 * kills; i++) {
      await new Promise(resolve => setTimeout(resolve, random() * 200));
      if (i % 2 === 0) {
        await kill(send.child);
        send = await startChild({ ...job, role: 'send', options: sender });
        running.push(send.child);
      } else {
        await kill(read.child);
        read = await startChild({ ...job, role: 'read', options: reader });
        running.push(read.child);
      }
    }
    await send.said('all queued');
    await kill(read.child);
    const last = await openClient({ ...reader, passphrase: 'crash' });
    await last.connect();
    const giveUpAtMs = Date.now() + patienceMs;
    let texts: string[] = [];
    while (texts.length < count && Date.now() < giveUpAtMs) {
      texts = (await last.chats.messages({ limit: 1_000 })).map(({ message }) => message.text).reverse();
      await new Promise(resolve => setTimeout(resolve, 100));
    }
    await kill(send.child);
    // What came twice would still come.
    await new Promise(resolve => setTimeout(resolve, 300));
    texts = (await last.chats.messages({ limit: 1_000 })).map(({ message }) => message.text).reverse();
    await last.close();
    assert.deepEqual(
      texts,
      Array.from({ length: count }, (_, i) => String(i)),
    );
  } finally {
    for (const child of running) if (child.exitCode === null) child.kill('SIGKILL');
    await network.close();
  }
});
