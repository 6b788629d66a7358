// A wall clock that is set ahead or back while mail waits, or wrong at the start: none of it is over before its time has gone by.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BelievedClock, believedLagMs, believedLeapMs, createBelievedClock } from './believed-clock.ts';

const dayMs = 86_400_000;
const ttlMs = 30 * dayMs;
const startMs = 1_790_000_000_000;

function scene(atStartMs = startMs, seenMs?: number) {
  let wallMs = atStartMs;
  let monotonicMs = 5_000;
  const clock: BelievedClock = createBelievedClock(
    () => wallMs,
    () => monotonicMs,
    seenMs,
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

const hourMs = 3_600_000;
const year2090Ms = startMs + 64 * 365 * dayMs;

test('a start in 2090: nothing is over by that clock, and mail that waits lives its whole time by what goes by', () => {
  const before = startMs + ttlMs;
  const { clock, isOver, pass, set } = scene(year2090Ms, startMs);
  assert.deepEqual(clock.state(), { kind: 'ahead', byMs: year2090Ms - startMs });
  assert.equal(isOver(before), false);
  // Hours of it, restarts included, change nothing of that: what is remembered is what went by.
  let seenMs = 0;
  for (let i = 0; i < 48; i++) {
    pass(hourMs);
    seenMs = clock.note();
  }
  assert.equal(seenMs, startMs + 2 * dayMs);
  const again = scene(year2090Ms + 2 * dayMs, seenMs);
  assert.equal(again.isOver(before), false);
  again.pass(28 * dayMs);
  assert.equal(again.isOver(before), true);
  // Set right, it is believed again.
  set(startMs - year2090Ms);
  assert.deepEqual(clock.state(), { kind: 'believed' });
});

test('a person says that the clock is right: it is believed from then on', () => {
  const { clock, isOver } = scene(startMs + 7 * dayMs, startMs);
  const over = startMs + 6 * dayMs;
  assert.equal(isOver(over), false);
  clock.confirm();
  assert.deepEqual(clock.state(), { kind: 'believed' });
  assert.equal(isOver(over), true);
  assert.equal(clock.note(), startMs + 7 * dayMs);
});

test('the word of a person reaches other processes by what is remembered', () => {
  const { clock, isOver } = scene(startMs + 7 * dayMs, startMs);
  clock.note(startMs + 7 * dayMs);
  assert.equal(isOver(startMs + 6 * dayMs), true);
  assert.deepEqual(clock.state(), { kind: 'believed' });
});

test('a stop of an evening is believed at once; a start before what was seen is told', () => {
  const evening = scene(startMs + 12 * hourMs, startMs);
  assert.deepEqual(evening.clock.state(), { kind: 'believed' });
  assert.equal(evening.isOver(startMs + 11 * hourMs), true);
  assert.deepEqual(scene(startMs - believedLagMs, startMs).clock.state(), { kind: 'believed' });
  assert.deepEqual(scene(0, startMs).clock.state(), { kind: 'behind', byMs: startMs });
});

test('a machine that slept for two hours: it is believed when that has lasted for a day', () => {
  const { clock, isOver, pass, set } = scene();
  set(2 * hourMs);
  const due = startMs + 2 * hourMs;
  clock.note();
  pass(believedLeapMs / 2);
  clock.note();
  assert.equal(isOver(due + believedLeapMs / 2), false);
  pass(believedLeapMs / 2);
  clock.note();
  assert.equal(isOver(due + believedLeapMs), true);
});
