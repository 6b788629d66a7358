// A wall clock that is set ahead or back while mail waits: none of it is over before its time has gone by.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createExpiryClock } from './expiry-clock.ts';

const dayMs = 86_400_000;
const ttlMs = 30 * dayMs;
const startMs = 1_790_000_000_000;

function scene() {
  let wallMs = startMs;
  let monotonicMs = 5_000;
  const clock = createExpiryClock(
    () => wallMs,
    () => monotonicMs,
  );
  return {
    clock,
    set: (aheadMs: number) => (wallMs += aheadMs),
    pass: (ms: number) => {
      wallMs += ms;
      monotonicMs += ms;
    },
    /** When something that comes now is over. */
    comes: () => clock.stampMs() + ttlMs,
    isOver: (expiresAtMs: number) => expiresAtMs <= clock.judgeMs(),
  };
}

test('by an undisturbed clock mail is over after its time', () => {
  const { comes, isOver, pass } = scene();
  const entry = comes();
  pass(ttlMs - 1);
  assert.equal(isOver(entry), false);
  pass(1);
  assert.equal(isOver(entry), true);
});

test('drill: the clock is set a year ahead, and back: nothing is over early, whenever it came', () => {
  const { comes, isOver, pass, set } = scene();
  const before = comes();
  set(365 * dayMs);
  assert.equal(isOver(before), false);
  const meanwhile = comes();
  pass(dayMs);
  assert.equal(isOver(before), false);
  set(-365 * dayMs);
  const after = comes();
  pass(ttlMs - 2 * dayMs);
  for (const entry of [before, meanwhile, after]) assert.equal(isOver(entry), false);
  pass(2 * dayMs);
  assert.equal(isOver(before), true);
});

test('drill: the clock is set back to 1970, and right again: what came meanwhile has its whole time', () => {
  const { comes, isOver, pass, set } = scene();
  const before = comes();
  set(-startMs);
  const meanwhile = comes();
  pass(dayMs);
  set(startMs);
  assert.equal(isOver(before), false);
  assert.equal(isOver(meanwhile), false);
  pass(ttlMs - dayMs - 1);
  assert.equal(isOver(meanwhile), false);
  pass(dayMs);
  assert.equal(isOver(meanwhile), true);
});
