// A time that is longer than the system's timers take is waited for, not run at once. Time is played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from './clock.ts';

const longestMs = 2_147_483_647;

test('a time beyond what a timer takes is waited for in steps, and can be called off in each', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let ran = 0;
  systemClock.after(longestMs + 1_000, () => ran++);
  const callOff = systemClock.after(longestMs * 2, () => assert.fail('it was called off'));
  t.mock.timers.tick(longestMs);
  t.mock.timers.tick(999);
  assert.equal(ran, 0);
  callOff();
  t.mock.timers.tick(1);
  assert.equal(ran, 1);
  t.mock.timers.tick(longestMs);
  t.mock.timers.tick(longestMs);
  assert.equal(ran, 1);
});
