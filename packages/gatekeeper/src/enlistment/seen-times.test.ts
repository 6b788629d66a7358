import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forgettingDelayMs, SeenTimes } from './seen-times.ts';

const minute = 60_000;

/** A sweep each minute; `wall` gives what the wall clock says at a minute since the start. */
function forgottenAt(minutes: number, wall: (atMinute: number) => number): number | undefined {
  const seen = new SeenTimes(0);
  for (let at = 0; at <= minutes; at++) seen.note(wall(at) * minute, at * minute);
  const before = seen.forgetBeforeMs(minutes * minute);
  return before === undefined ? undefined : before / minute;
}

test('used proofs are forgotten by what the clock has said for a quarter of an hour', () => {
  assert.equal(
    forgottenAt(14, at => 1_000 + at),
    undefined,
    'too early after a start',
  );
  assert.equal(
    forgottenAt(60, at => 1_000 + at),
    1_045,
  );
  const ahead = forgottenAt(60, at => 1_000 + at + (at >= 58 ? 600 : 0))!;
  assert.ok(ahead <= 1_060, `an hour's jump forgets nothing at once: ${ahead}`);
  const flickering = forgottenAt(60, at => 1_000 + at + (at % 5 === 0 ? 0 : 600))!;
  assert.ok(flickering <= 1_060, 'nor does a clock that goes to and fro');
  assert.ok(forgottenAt(200, at => 5_000 + at)! > 5_180, 'in the long run everything is forgotten');
  assert.ok(forgettingDelayMs > 12 * minute);
});
