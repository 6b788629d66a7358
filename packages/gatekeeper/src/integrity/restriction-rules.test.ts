// What voices amount to: who counts, how much, for how long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  explainJudged,
  judgeVoices,
  restrictionLevels,
  type RestrictionRules,
  type Voice,
} from './restriction-rules.ts';

const dayMs = 86_400_000;
const nowMs = 1_000 * dayMs;
const rules: RestrictionRules = {
  halfLifeDays: 7,
  freshDays: 7,
  voicesPerProvider: 3,
  upheldReportCounts: 3,
  unanswered: 100,
  slowed: { refusals: 5, percent: 50 },
  acceptedOnly: { refusals: 10, percent: 60 },
  suspended: { refusals: 30, percent: 80 },
};
let voters = 0;
/** So many people of a provider, settled for a year unless it is said otherwise. */
function people(count: number, says: Voice['says'], more: Partial<Voice> = {}): Voice[] {
  const one = (): Voice => ({
    voter: ++voters,
    provider: 0,
    enlistedAtMs: nowMs - 365 * dayMs,
    says,
    atMs: nowMs,
    ...more,
  });
  return Array.from({ length: count }, one);
}
const levelOf = (...voices: Voice[][]): string => judgeVoices(voices.flat(), rules, nowMs).level;

test('each threshold is met exactly, and not one below', () => {
  assert.equal(levelOf(people(4, 'refused')), 'none');
  assert.equal(levelOf(people(5, 'refused')), 'slowed');
  assert.equal(levelOf(people(9, 'refused')), 'slowed');
  assert.equal(levelOf(people(10, 'refused')), 'accepted-only');
  assert.equal(levelOf(people(29, 'refused')), 'accepted-only');
  assert.equal(levelOf(people(30, 'refused')), 'suspended');
  assert.equal(levelOf(people(99, 'waiting')), 'none');
  assert.equal(levelOf(people(100, 'waiting')), 'slowed', 'whom nobody answers');
  assert.equal(levelOf(people(1_000, 'waiting')), 'slowed', 'silence alone does no more');
});

test('whom most people accept is not restricted by those who do not', () => {
  assert.equal(levelOf(people(30, 'refused'), people(31, 'accepted')), 'none');
  assert.equal(levelOf(people(30, 'refused'), people(30, 'accepted')), 'slowed');
  assert.equal(levelOf(people(30, 'refused'), people(20, 'accepted')), 'accepted-only');
});

test('a thousand refusals of one hostile provider count as three, those of its newcomers as one; its praise no more', () => {
  const hostile = { provider: 7 };
  const fresh = { ...hostile, enlistedAtMs: nowMs - dayMs };
  assert.equal(judgeVoices(people(1_000, 'refused', fresh), rules, nowMs).tally.refused, 1);
  assert.equal(judgeVoices(people(1_000, 'refused', hostile), rules, nowMs).tally.refused, 3);
  assert.equal(levelOf(people(1_000, 'refused', hostile), people(1_000, 'refused', fresh)), 'none');
  assert.equal(judgeVoices(people(1_000, 'accepted', hostile), rules, nowMs).tally.accepted, 3);
  assert.equal(levelOf(people(12, 'refused'), people(1_000, 'accepted', hostile)), 'accepted-only');
  const ownNewcomers = people(1_000, 'refused', { enlistedAtMs: nowMs - dayMs });
  assert.equal(judgeVoices(ownNewcomers, rules, nowMs).tally.refused, 1, 'nor those of own users who have just come');
  const three = [7, 8, 9].flatMap(provider => people(1_000, 'refused', { provider }));
  assert.equal(levelOf(three), 'slowed', 'what three providers say is heard');
});

test('each person counts once, by the latest decision; what an operator upheld stands', () => {
  const [voice] = people(1, 'refused', { atMs: nowMs - dayMs });
  const tally = (...voices: Voice[]) => judgeVoices(voices, { ...rules, halfLifeDays: 10_000 }, nowMs).tally;
  assert.equal(tally(voice!, voice!, voice!).refused, 1);
  const later: Voice = { ...voice!, says: 'accepted', atMs: nowMs };
  for (const both of [[voice!, later] as const, [later, voice!] as const]) {
    const { refused, accepted } = tally(...both);
    assert.deepEqual([refused, accepted], [0, 1]);
  }
  assert.equal(tally(later, { ...voice!, says: 'upheld' }).refused, 3);
  assert.equal(tally(voice!, { ...later, says: 'waiting' }).refused, 1);
});

test('what was said decays, and the level with it', () => {
  const voices = people(30, 'refused');
  assert.equal(levelOf(people(5, 'refused', { atMs: nowMs - 60_000 })), 'slowed', 'a minute is nothing');
  const after = (days: number): string => judgeVoices(voices, rules, nowMs + days * dayMs).level;
  assert.deepEqual([0, 1, 7, 14, 21, 28].map(after), [
    'suspended',
    'accepted-only',
    'accepted-only',
    'slowed',
    'none',
    'none',
  ]);
  assert.equal(
    judgeVoices(voices, rules, nowMs - 30 * dayMs).tally.refused,
    30,
    'a clock that was set back adds nothing',
  );
});

test('one more refusal never makes it milder, one more acceptance never harder; a provider is never suspended', () => {
  const voice = fc.record({
    voter: fc.integer({ min: 1, max: 10_000 }),
    provider: fc.integer({ min: 0, max: 3 }),
    enlistedAtMs: fc.integer({ min: nowMs - 30 * dayMs, max: nowMs }),
    says: fc.constantFrom<Voice['says']>('waiting', 'accepted', 'refused', 'upheld'),
    atMs: fc.integer({ min: nowMs - 28 * dayMs, max: nowMs }),
  });
  const rank = (voices: readonly Voice[], by = rules): number =>
    restrictionLevels.indexOf(judgeVoices(voices, by, nowMs).level);
  fc.assert(
    fc.property(fc.array(voice, { maxLength: 80 }), voice, (voices, one) => {
      const newcomer = { ...one, voter: 99_999 };
      assert.ok(rank([...voices, { ...newcomer, says: 'refused' }]) >= rank(voices));
      assert.ok(rank([...voices, { ...newcomer, says: 'accepted' }]) <= rank(voices));
      assert.ok(rank(voices, { ...rules, suspended: undefined }) < restrictionLevels.indexOf('suspended'));
    }),
  );
});

test('the explanation says what was counted against what', () => {
  const judged = judgeVoices([...people(6, 'refused'), ...people(2, 'accepted')], rules, nowMs);
  assert.equal(
    explainJudged(judged, rules),
    'refused 6, accepted 2 (75 % refused), not answered 0; the threshold is 5 refused and 50 %, or 100 not answered',
  );
});
