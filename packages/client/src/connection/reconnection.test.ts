// Devices that lose a server together are spread evenly, over a span that grows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isBusyCondition, pauseBeforeRetryMs, reconnectionLimits } from './reconnection.ts';

/** The same numbers in every run. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 0x1_0000_0000;
  };
}

test('ten thousand devices are spread evenly over the span of each attempt', () => {
  const random = chance(7);
  for (const [attempt, busy, spanMs] of [
    [0, false, 500],
    [0, true, 5_000],
    [3, false, 4_000],
    [5, true, 16_000],
    [7, false, 60_000],
    [400, false, 60_000],
  ] as const) {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i++) {
      const pauseMs = pauseBeforeRetryMs(attempt, busy, random());
      assert.ok(pauseMs >= 0 && pauseMs <= spanMs);
      tenths[Math.min(9, Math.floor((pauseMs / spanMs) * 10))]!++;
    }
    // 1,000 each; the deviation of chance is 30.
    assert.ok(Math.max(...tenths) < 1_150 && Math.min(...tenths) > 850, `attempt ${attempt}: ${tenths.join(' ')}`);
  }
});

test('a device that comes too often against a full gatekeeper tries seldom soon', () => {
  // Expected tries in the first five minutes, at the middle of each span.
  let [tries, atMs] = [0, 0];
  for (; atMs < 300_000; tries++) atMs += pauseBeforeRetryMs(tries, true, 0.5);
  assert.ok(tries <= 16, String(tries));
  assert.equal(pauseBeforeRetryMs(50, true, 1), reconnectionLimits.maxPauseMs);
});

test('conditions that everybody is told at once', () => {
  for (const condition of ['system-shutdown', 'resource-constraint']) assert.ok(isBusyCondition(condition));
  for (const condition of ['conflict', 'connection-timeout', undefined]) assert.ok(!isBusyCondition(condition));
});
