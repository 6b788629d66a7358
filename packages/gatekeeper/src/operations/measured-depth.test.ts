// The depth of mailboxes is counted once a minute, however often it is asked for, and by one at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeasuredDepth, depthMaxAgeMs } from './measured-depth.ts';

test('many who ask share one count; it is made again when it is old; one that fails leaves the one before', async () => {
  let nowMs = 0;
  let counts = 0;
  let fails = false;
  const depth = createMeasuredDepth(
    async () => {
      counts++;
      await Promise.resolve();
      if (fails) throw new Error('storage failed');
      return { devices: 1, entries: counts, oldestAcceptedAtMs: undefined };
    },
    () => nowMs,
  );
  const asked = await Promise.all([depth(), depth(), depth()]);
  assert.deepEqual(new Set(asked.map(each => each?.entries)), new Set([1]));
  nowMs += depthMaxAgeMs - 1;
  assert.equal((await depth())?.entries, 1);
  nowMs += 1;
  assert.equal((await depth())?.entries, 2);
  nowMs += depthMaxAgeMs;
  fails = true;
  assert.equal((await depth())?.entries, 2);
  assert.equal(counts, 3);
  fails = false;
  assert.equal((await depth())?.entries, 4, 'tried again with the next question');
});
