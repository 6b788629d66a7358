// The stages of a drain, on a clock of the test's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drain } from './drain.ts';

test('first readiness, then a pause, then no connections, then streams one after the other over the whole span', async () => {
  let nowMs = 0;
  const said: string[] = [];
  const endedAtMs: number[] = [];
  const order: number[] = [];
  await drain({
    settings: { noticeSeconds: 5, spreadSeconds: 2, deadlineSeconds: 10 },
    listening: { notReady: () => said.push(`not ready ${nowMs}`), stop: () => said.push(`stop ${nowMs}`) },
    streams: () =>
      Array.from({ length: 100 }, (_, index) => ({
        end: () => {
          order.push(index);
          endedAtMs.push(nowMs);
        },
      })),
    sleepMs: async ms => void (nowMs += ms),
    randomBelow: limit => limit - 1,
    log: event => said.push(event),
  });
  assert.deepEqual(said, ['drain-not-ready', 'not ready 0', 'stop 5000', 'drain-streams']);
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    Array.from({ length: 100 }, (_, index) => index),
  );
  assert.equal(order[0], 99);
  assert.equal(endedAtMs[0], 5_000);
  assert.equal(endedAtMs.at(-1), 6_950);
  assert.ok(endedAtMs.filter(at => at === 5_000).length < 5);
});
