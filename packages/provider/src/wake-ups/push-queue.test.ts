// A push service that fails, hangs, and is overrun; each wake-up still gets there, or is told to come later.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPushQueue, defaultPushQueueLimits, type PushQueue, type WakeUpHook } from './push-queue.ts';

function queue(
  hook: WakeUpHook,
  change: Partial<typeof defaultPushQueueLimits> = {},
): { queue: PushQueue; log: string[] } {
  const log: string[] = [];
  const limits = { ...defaultPushQueueLimits, firstPauseMs: 1, maxPauseMs: 4, ...change };
  return {
    queue: createPushQueue({ hook, limits, random: () => 0.5, log: (event, code) => log.push(`${event} ${code}`) }),
    log,
  };
}

test('a failing push service is tried again until it takes the wake-up', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let tries = 0;
  const { queue: pushes, log } = queue(async identifier => {
    assert.equal(identifier, 'mia');
    if (++tries < 4) throw new Error('not now');
    resolve();
  });
  pushes.add('mia', 'citadel');
  await promise;
  await pushes.close();
  assert.equal(tries, 4);
  assert.deepEqual(log, []);
});

test('a hook that throws at once or never ends is given up after its tries, said so, and makes room', async () => {
  for (const hook of [
    () => {
      throw new Error('broken');
    },
    () => new Promise<void>(() => {}),
  ]) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const log: string[] = [];
    const limits = { ...defaultPushQueueLimits, firstPauseMs: 1, maxPauseMs: 2, timeoutMs: 5, attempts: 3 };
    const pushes = createPushQueue({
      hook,
      limits: { ...limits, maxPerGatekeeper: 1 },
      random: () => 0,
      log: (event, code) => {
        log.push(`${event} ${code}`);
        resolve();
      },
    });
    pushes.add('mia', 'citadel');
    assert.equal(pushes.isFull('citadel'), true);
    await promise;
    await pushes.close();
    assert.deepEqual(log, ['wake-up-hook-failed gave-up']);
    assert.equal(pushes.isFull('citadel'), false);
  }
});

test('one gatekeeper fills its share and no other', async () => {
  const { promise: hold, resolve: release } = Promise.withResolvers<void>();
  const { queue: pushes } = queue(() => hold, { maxPerGatekeeper: 3, atOnce: 1 });
  for (const identifier of ['a', 'b', 'c']) pushes.add(identifier, 'loud');
  assert.equal(pushes.isFull('loud'), true);
  assert.equal(pushes.isFull('quiet'), false);
  release();
  await pushes.close();
});

test('wake-ups that wait for the same person are one; one that comes during a push is another', async () => {
  const done = Promise.withResolvers<void>();
  const first = Promise.withResolvers<void>();
  const woken: string[] = [];
  const { queue: pushes } = queue(
    async identifier => {
      woken.push(identifier);
      if (woken.length === 1) await first.promise;
      if (woken.length === 3) done.resolve();
    },
    { atOnce: 1 },
  );
  pushes.add('mia', 'citadel');
  for (let n = 0; n < 5; n++) pushes.add('mia', 'citadel');
  pushes.add('otto', 'citadel');
  first.resolve();
  await done.promise;
  await pushes.close();
  assert.deepEqual(woken, ['mia', 'mia', 'otto']);
});
