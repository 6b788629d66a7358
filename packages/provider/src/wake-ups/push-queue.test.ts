// A push service that fails, hangs, asks for pauses and is overrun, and a process that is killed; each wake-up still gets
// there, is told to come later, or can be looked at.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PlayedTimers } from '@drawbridge/identity/testing/played-timers';
import { createPersonRecords } from '../storage/person-records.ts';
import { openProviderDatabase } from '../storage/provider-database.ts';
import {
  createPushQueue,
  defaultPushQueueLimits,
  PushLater,
  type PushQueue,
  type PushQueueLimits,
  type WakeUpHook,
} from './push-queue.ts';
import { createPushStore, maxGivenUp } from './push-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-pushes-'));
const open: { close: () => Promise<void> }[] = [];
after(async () => {
  for (const each of open.reverse()) await each.close();
  rmSync(folder, { recursive: true, force: true });
});

type Under = { readonly pushes: PushQueue; readonly log: string[]; readonly at: (event: string) => Promise<void> };

function under(hook: WakeUpHook, change: Partial<PushQueueLimits> = {}, path = ':memory:'): Under {
  const database = openProviderDatabase(path);
  const log: string[] = [];
  const waiting: { event: string; resolve: () => void }[] = [];
  const pushes = createPushQueue({
    store: createPushStore(database),
    hook,
    limits: { ...defaultPushQueueLimits, firstPauseMs: 1, maxPauseMs: 4, ...change },
    random: () => 0.5,
    nowMs: Date.now,
    log: (event, code) => {
      log.push(`${event} ${code}`);
      for (const each of waiting) if (each.event === event) each.resolve();
    },
  });
  open.push(database, pushes);
  const at = (event: string): Promise<void> => new Promise(resolve => waiting.push({ event, resolve }));
  return { pushes, log, at };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 2));
}

test('a failing push service is tried again until it takes the wake-up', async () => {
  let tries = 0;
  const { pushes, log } = under(async identifier => {
    assert.equal(identifier, 'mia');
    if (++tries < 4) throw new Error('not now');
  });
  await pushes.add('mia', 'citadel');
  await until(() => pushes.report().waiting === 0);
  assert.equal(tries, 4);
  assert.deepEqual(log, []);
  const counts = { waiting: 0, taken: 1, failed: 3, gaveUp: 0, turnedAway: 0, late: 0, givenUp: [] };
  assert.deepEqual(pushes.report(), counts);
});

test('a hook that throws at once or never ends is given up, said so, kept to look at, and tried again when asked', async () => {
  for (const [reason, hook] of [
    ['failed', () => assert.fail('broken')],
    ['timed-out', () => new Promise<void>(() => {})],
    ['failed', () => Promise.reject()],
  ] as const) {
    let works = false;
    const limits = { timeoutMs: 5, attempts: 3, maxPerGatekeeper: 1 };
    const { pushes, log, at } = under(() => (works ? undefined : hook()), limits);
    const gaveUp = at('wake-up-hook-failed');
    await pushes.add('mia', 'citadel');
    await assert.rejects(pushes.add('otto', 'citadel'), { code: 'too-many-wait' });
    await gaveUp;
    assert.deepEqual(log, ['wake-up-hook-failed gave-up']);
    const { givenUp, waiting, turnedAway } = pushes.report();
    assert.deepEqual([waiting, turnedAway], [0, 1]);
    const [one] = givenUp;
    assert.deepEqual([one?.identifier, one?.gatekeeper, one?.attempts, one?.reason], ['mia', 'citadel', 3, reason]);
    works = true;
    assert.equal(await pushes.retryGivenUp(), 1);
    await until(() => pushes.report().taken === 1);
    assert.deepEqual(pushes.report().givenUp, []);
  }
});

test('tries that run on after their time are told, counted and bounded; one that ends makes room', async () => {
  const running: { readonly signal: AbortSignal; readonly end: () => void }[] = [];
  const { pushes, at } = under(
    (_identifier, _gatekeeper, signal) => new Promise<void>(end => running.push({ signal, end })),
    {
      ...{ timeoutMs: 5, atOnce: 1, maxLate: 3, lookEveryMs: 5, attempts: 1_000 },
    },
  );
  const allHang = at('wake-up-hook-failed');
  for (const identifier of ['mia', 'otto']) await pushes.add(identifier, 'citadel');
  await allHang;
  await new Promise(resolve => setTimeout(resolve, 60));
  assert.equal(running.length, 3);
  assert.ok(running.every(each => each.signal.aborted));
  const { late, waiting, failed } = pushes.report();
  assert.deepEqual([late, waiting, failed], [3, 2, 3]);
  running[0]!.end();
  await until(() => running.length === 4);
  for (const each of running.slice(1)) each.end();
  await until(() => pushes.report().late === 0);
});

test('each pause is twice the one before, up to a bound, less what chance takes', async () => {
  const timers = new PlayedTimers();
  const tries: number[] = [];
  const database = openProviderDatabase(':memory:');
  const pushes = createPushQueue({
    store: createPushStore(database),
    hook: () => {
      tries.push(timers.nowMs);
      throw new Error('not now');
    },
    limits: { ...defaultPushQueueLimits, firstPauseMs: 1_000, maxPauseMs: 5_000, attempts: 6 },
    random: () => 0.5,
    nowMs: () => timers.nowMs,
    after: timers.after,
    log: () => {},
  });
  open.push(database, pushes);
  await pushes.add('mia', 'citadel');
  for (const [index, pauseMs] of [750, 1_500, 3_000, 3_750, 3_750].entries()) {
    await until(() => pushes.report().failed === index + 1);
    // What was postponed is looked for when the try has ended.
    await new Promise(resolve => setImmediate(resolve));
    timers.advance(pauseMs - 1);
    assert.equal(tries.length, index + 1, 'not before');
    timers.advance(1);
    assert.equal(tries.length, index + 2);
  }
  await until(() => pushes.report().gaveUp === 1);
});

test('a push service that says when to come again is not asked before', async () => {
  const times: number[] = [];
  const { pushes } = under(() => {
    times.push(performance.now());
    if (times.length === 1) throw new PushLater(60);
  });
  await pushes.add('mia', 'citadel');
  await until(() => pushes.report().taken === 1);
  assert.ok(times[1]! - times[0]! >= 55, 'the pause that was asked for is longer than its own');
});

test('one gatekeeper fills its share and no other, also in one moment', async () => {
  const { promise: hold, resolve: release } = Promise.withResolvers<void>();
  const { pushes } = under(() => hold, { maxPerGatekeeper: 3, atOnce: 1 });
  const adding = await Promise.allSettled(['a', 'b', 'c', 'd'].map(each => pushes.add(each, 'loud')));
  assert.deepEqual(
    adding.map(each => each.status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected'],
  );
  assert.equal(await pushes.add('a', 'quiet'), true);
  release();
  await until(() => pushes.report().taken === 4);
});

test('wake-ups that wait for the same person are one; one that comes during a push is another', async () => {
  const first = Promise.withResolvers<void>();
  const woken: string[] = [];
  const { pushes } = under(
    async identifier => {
      woken.push(identifier);
      if (woken.length === 1) await first.promise;
    },
    { atOnce: 1 },
  );
  await pushes.add('mia', 'citadel');
  await until(() => woken.length === 1);
  await pushes.add('otto', 'citadel');
  for (let n = 0; n < 5; n++) await pushes.add('mia', 'citadel');
  assert.equal(pushes.report().waiting, 2);
  first.resolve();
  await until(() => pushes.report().waiting === 0);
  assert.deepEqual(woken.toSorted(), ['mia', 'mia', 'otto']);
});

test('an event is used up together with its wake-up, and only then', async () => {
  const woken: string[] = [];
  const { pushes } = under(identifier => void woken.push(identifier));
  const event = { issuer: 'citadel', jti: 'A'.repeat(16), expiresAtMs: Date.now() + 60_000 };
  const all = await Promise.all(Array.from({ length: 5 }, () => pushes.add('mia', 'citadel', event)));
  assert.deepEqual(all.filter(Boolean), [true]);
  await until(() => pushes.report().waiting === 0);
  assert.deepEqual(woken, ['mia']);
});

test('what was given up is kept within a bound, the latest', async () => {
  const { pushes } = under(() => assert.fail('broken'), { attempts: 1, atOnce: 500 });
  const count = maxGivenUp + 5;
  for (let n = 0; n < count; n++) await pushes.add(`user ${n}`, 'citadel');
  await until(() => pushes.report().gaveUp === count);
  assert.equal(pushes.report().givenUp.length, maxGivenUp);
});

test('a clock that is set back holds nothing up', async () => {
  const database = openProviderDatabase(':memory:');
  open.push(database);
  const store = createPushStore(database);
  await store.add('mia', 'citadel', Date.now() + 30 * 86_400_000);
  const taken = Promise.withResolvers<void>();
  const pushes = createPushQueue({
    ...{ store, hook: () => taken.resolve(), limits: defaultPushQueueLimits, log: () => {} },
    ...{ random: Math.random, nowMs: Date.now },
  });
  open.push(pushes);
  await taken.promise;
});

test('what was accepted survives kill -9: the next process wakes them, once each', async () => {
  const path = join(folder, 'killed.sqlite');
  const program = fileURLToPath(new URL('../testing/push-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=drawbridge-source', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const woken: string[] = [];
  const { pushes } = under(identifier => void woken.push(identifier), {}, path);
  await until(() => pushes.report().waiting === 0);
  assert.deepEqual(woken.toSorted(), ['anna', 'mia', 'otto']);
});

test('a wake-up that was deleted while it was tried is not kept as given up, and takes no other along', async () => {
  for (const outcome of ['took', 'failed'] as const) {
    const database = openProviderDatabase(':memory:');
    const store = createPushStore(database);
    const push = Promise.withResolvers<void>();
    let tries = 0;
    const pushes = createPushQueue({
      store,
      hook: async () => {
        tries++;
        await push.promise;
      },
      limits: { ...defaultPushQueueLimits, atOnce: 1, attempts: 1 },
      random: () => 0.5,
      nowMs: Date.now,
      log: () => {},
    });
    open.push(database, pushes);
    await pushes.add('mia', 'citadel');
    await until(() => tries === 1);
    pushes.deleted((await createPersonRecords(database).remove('mia')).wakeUps);
    assert.equal(pushes.report().waiting, 0);
    // The number that mia's had is given again.
    await pushes.add('otto', 'citadel');
    assert.equal(store.due(Date.now(), Number.MAX_SAFE_INTEGER, 1)[0]?.id, 1);
    if (outcome === 'took') push.resolve();
    else push.reject(new Error('not now'));
    await until(() => tries === 2);
    assert.ok(!pushes.report().givenUp.some(({ identifier }) => identifier === 'mia'));
  }
});
