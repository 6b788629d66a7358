// A wall clock that is set ahead or back while mail waits, or wrong at the start: none of it is over before its time has gone by.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BelievedClock,
  believedLagMs,
  believedLeapMs,
  createBelievedClock,
  type RememberedTime,
} from './believed-clock.ts';

const dayMs = 86_400_000;
const ttlMs = 30 * dayMs;
const startMs = 1_790_000_000_000;

function scene(atStartMs = startMs, seen?: number | RememberedTime) {
  const remembered = typeof seen === 'number' ? { seenMs: seen, leapsPaidAtMs: 0 } : seen;
  let wallMs = atStartMs;
  let monotonicMs = 5_000;
  const clock: BelievedClock = createBelievedClock(
    () => wallMs,
    () => monotonicMs,
    remembered,
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
  let seen: RememberedTime | undefined;
  for (let i = 0; i < 48; i++) {
    pass(hourMs);
    seen = clock.note();
  }
  assert.equal(seen!.seenMs, startMs + 2 * dayMs);
  const again = scene(year2090Ms + 2 * dayMs, seen);
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
  assert.deepEqual(clock.note(), { seenMs: startMs + 7 * dayMs, leapsPaidAtMs: 0 });
});

test('the word of a person reaches other processes by what is remembered', () => {
  const { clock, isOver } = scene(startMs + 7 * dayMs, startMs);
  clock.hear({ seenMs: startMs + 7 * dayMs, leapsPaidAtMs: 0 });
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

test('a clock that leaps at each start, or each day, each time by just less than what is believed: things grow old twice as fast at most', () => {
  // Thirty starts within an hour, each almost a day further.
  let wallMs = startMs;
  let seen: RememberedTime = { seenMs: startMs, leapsPaidAtMs: 0 };
  for (let start = 1; start <= 30; start++) {
    wallMs += believedLeapMs - 60_000;
    const { clock, pass } = scene(wallMs, seen);
    pass(2 * 60_000);
    wallMs += 2 * 60_000;
    seen = clock.note();
  }
  assert.ok(
    seen.seenMs - startMs <= believedLeapMs + 2 * hourMs,
    `${(seen.seenMs - startMs) / hourMs} hours are believed`,
  );

  // Sixty days with a start in each, always as far ahead as may be: one leap at the start and one while it runs.
  wallMs = startMs;
  seen = { seenMs: startMs, leapsPaidAtMs: 0 };
  for (let day = 1; day <= 60; day++) {
    wallMs = seen.seenMs + believedLeapMs - 1;
    const { clock, pass, set } = scene(wallMs, seen);
    set(believedLeapMs / 2);
    for (let hour = 1; hour <= 24; hour++) {
      pass(hourMs);
      seen = clock.note();
    }
    const believedMs = seen.seenMs - startMs;
    assert.ok(
      believedMs <= (2 * day + 1) * dayMs + believedLeapMs,
      `after ${day} days ${believedMs / dayMs} are believed`,
    );
  }
  assert.ok(seen.seenMs - startMs >= 100 * dayMs, 'leaps are believed all the same');
});

test('what is owed for leaps is forgotten with the word of a person, here and where it is heard', () => {
  const { clock } = scene(startMs + 20 * hourMs, startMs);
  assert.equal(clock.note().leapsPaidAtMs, startMs + 40 * hourMs);
  const other = scene(startMs + 20 * hourMs, startMs).clock;
  clock.confirm();
  other.hear(clock.note());
  for (const each of [clock, other]) {
    const seen = each.note();
    assert.equal(seen.leapsPaidAtMs, 0);
    assert.deepEqual(scene(startMs + 40 * hourMs, seen).clock.state(), { kind: 'believed' });
  }
});

test('a clock that runs a little ahead is not told, whatever is owed', () => {
  const { clock, set } = scene(startMs + believedLeapMs, startMs);
  set(50_000);
  assert.deepEqual(clock.state(), { kind: 'believed' });
  const again = scene(startMs + believedLeapMs + 55_000, clock.note()).clock;
  assert.deepEqual(again.state(), { kind: 'believed' });
  assert.equal(again.judgeMs(), startMs + believedLeapMs, 'nor does anything grow old by it');
});
