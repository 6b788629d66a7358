// Waiting from try to try, with a clock and chance that are played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlayedClock } from '../testing/played-clock.ts';
import { Patience, patienceLimits } from './patience.ts';

/** What was asked to be waited for, until it gives up. */
async function waitsOf(chance: number, progressAfter = Number.POSITIVE_INFINITY): Promise<number[]> {
  const waits: number[] = [];
  const after = (ms: number, run: () => void) => {
    waits.push(ms);
    queueMicrotask(run);
    return () => {};
  };
  const patience = new Patience({ clock: { after }, random: () => chance });
  for (;;) {
    if (waits.length === progressAfter) patience.progressed(1);
    if ((await patience.wait()) === 'tired') return waits;
  }
}

test('waits double up to a bound, are drawn from their upper half by the given chance, and end', async () => {
  const whole = [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000];
  assert.deepEqual(await waitsOf(1), whole);
  assert.deepEqual(
    await waitsOf(0),
    whole.map(ms => ms / 2),
  );
  assert.equal(whole.length, patienceLimits.triesWithoutProgress - 1);
});

test('what moves begins again, and the same place is no progress', async () => {
  assert.deepEqual((await waitsOf(1, 3)).slice(0, 5), [250, 500, 1_000, 250, 500]);
  const patience = new Patience({ clock: new PlayedClock(), random: () => 1 });
  assert.deepEqual([patience.progressed(5), patience.progressed(5), patience.progressed(6)], [true, false, true]);
});

test('a wait ends at once when it is called off, and leaves no timer', async () => {
  const clock = new PlayedClock();
  const stop = new AbortController();
  const patience = new Patience({ clock, random: () => 1, signal: stop.signal });
  const waiting = patience.wait();
  assert.equal(clock.timers, 1);
  stop.abort();
  assert.equal(await waiting, 'aborted');
  assert.equal(clock.timers, 0);
  assert.equal(await patience.wait(), 'aborted');
  assert.equal(clock.timers, 0);
});
