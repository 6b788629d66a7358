// Stamps at the end of time: whatever the clock showed once, what is said afterwards has a stamp that the wire takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_TIME_MS } from './checks.ts';
import { MAX_OWN_STAMP_MS, MAX_TOLD_STAMP_MS, nextStamp, toldStamp } from './hybrid-clock.ts';

test('a clock at the latest time of all, even once, leaves room for later stamps', () => {
  const nowMs = 1_800_000_000_000;
  const once = nextStamp(MAX_TIME_MS, nowMs);
  assert.equal(once, MAX_OWN_STAMP_MS);
  assert.equal(nextStamp(nowMs, once), once + 1);
  assert.equal(nextStamp(nowMs, MAX_TIME_MS), MAX_TIME_MS, 'a device that was there before goes on');
  assert.equal(nextStamp(nowMs, nowMs - 5), nowMs);
});

test('whatever others say of a stamp leaves more room than one’s own devices leave', () => {
  assert.equal(toldStamp(5, 9), 9);
  assert.equal(toldStamp(9, 5), 9);
  assert.equal(toldStamp(9, MAX_TIME_MS), MAX_TOLD_STAMP_MS);
  assert(nextStamp(0, MAX_TOLD_STAMP_MS) < MAX_OWN_STAMP_MS - 2 ** 39);
});
