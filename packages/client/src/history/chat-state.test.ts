import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { applySettings, applyTimer, type ChatRecord, isOn, newChat, settingsOf, type Timer } from './chat-state.ts';

const chat = `0-${'b'.repeat(26)}`;
const stamp = fc.record({ atMs: fc.nat(6), id: fc.constantFrom('a', 'b', 'c') });
const change = stamp.map(at => {
  // What is said follows from the stamp: two contents never share one.
  const settings = { pinned: at.atMs % 2 === 0, ...(at.id === 'b' ? { mutedUntilMs: at.atMs } : {}) };
  return (record: ChatRecord) => applySettings(record, settings, at);
});
const people = [chat, `1-${'a'.repeat(26)}`] as const;
const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
/**
 * Of these ids some name others, also in circles, also their own author's; times, versions and ids are equal or at their ends;
 * and one id may stand for different contents: as hostile as it gets.
 */
const hostileTimer: fc.Arbitrary<Timer> = fc
  .record(
    {
      id: fc.constantFrom(...ids),
      by: fc.constantFrom(...people),
      atMs: fc.constantFrom(0, 1, 253_402_300_799_999),
      version: fc.constantFrom(1, 2, 1_000_000),
      seconds: fc.nat(3),
      replaces: fc.constantFrom(...ids),
    },
    { requiredKeys: ['id', 'by', 'atMs', 'version', 'seconds'] },
  )
  .map(timer => ({ ...timer }));

function set(timers: readonly Timer[], from: ChatRecord = newChat(chat)): ChatRecord {
  return timers.reduce(applyTimer, from);
}

function permutations<T>(all: readonly T[]): T[][] {
  if (all.length <= 1) return [[...all]];
  return all.flatMap((first, at) => permutations(all.toSpliced(at, 1)).map(rest => [first, ...rest]));
}

test('settings end the same in any order, with repeats', () => {
  const changes = fc.array(change, { maxLength: 14 });
  const orders = changes.chain(all => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(orders, ([all, shuffled]) => {
      const fold = (list: typeof all): ChatRecord => list.reduce((record, step) => step(record), newChat(chat));
      assert.deepEqual(fold([...shuffled, ...all.slice(0, 3), ...shuffled]), fold(all));
    }),
  );
});

test('timers end the same in every order of all of them', () => {
  fc.assert(
    fc.property(fc.array(hostileTimer, { minLength: 2, maxLength: 5 }), timers => {
      const expected = set(timers);
      for (const order of permutations(timers)) assert.deepEqual(set(order), expected);
    }),
    { numRuns: 300 },
  );
});

test('devices that saw different ones of many timers agree when each has heard the rest, in any order, with repeats', () => {
  const many = fc.array(hostileTimer, { minLength: 1, maxLength: 100 });
  const parts = many.chain(all =>
    fc.tuple(
      fc.constant(all),
      fc.subarray(all),
      fc.shuffledSubarray(all),
      fc.shuffledSubarray(all, { minLength: all.length }),
    ),
  );
  fc.assert(
    fc.property(parts, ([all, some, others, rest]) => {
      const [one, other] = [set(rest, set(some)), set([...rest, ...others], set(others))];
      assert.deepEqual(one, set(all));
      assert.deepEqual(other, set(all));
    }),
  );
});

test('fields are set by themselves; what says nothing new gives the very same record', () => {
  const one = applySettings(newChat(chat), { pinned: true, sendRead: false }, { atMs: 5, id: 'a' });
  const two = applySettings(one, { pinned: false }, { atMs: 6, id: 'a' });
  assert.deepEqual(settingsOf(two), { pinned: false, sendRead: false });
  assert.equal(applySettings(two, { pinned: true }, { atMs: 5, id: 'z' }), two);
  assert.deepEqual(settingsOf(undefined), {});
});

test('a chat asks its own setting, then the one for all, then what holds otherwise', () => {
  const on = applySettings(newChat(chat), { sendRead: true }, { atMs: 1, id: 'a' });
  const off = applySettings(newChat('defaults'), { sendRead: false }, { atMs: 1, id: 'a' });
  assert.equal(isOn('sendRead', on, off, false), true);
  assert.equal(isOn('sendRead', newChat(chat), off, true), false);
  assert.equal(isOn('sendRead', undefined, undefined, true), true);
});

test('no version and no time pins a timer: who names it replaces it, also when it comes again', () => {
  const hostile = { id: 'h', atMs: 253_402_300_799_999, version: 1_000_000, seconds: 1, by: 'eve' };
  const taken = applyTimer(newChat(chat), hostile);
  const mine = { id: 'm', atMs: 5, version: 1_000_000, seconds: 600, by: 'me', replaces: 'h' };
  const answered = applyTimer(taken, mine);
  assert.equal(answered.timer?.seconds, 600);
  assert.equal(applyTimer(answered, hostile), answered);
  // And where what replaces it is heard of first.
  assert.equal(applyTimer(applyTimer(newChat(chat), mine), hostile).timer?.seconds, 600);
  // It goes on: one's own next one names hers again, since that is the last she said.
  const next = { ...mine, id: 'n', atMs: 6, seconds: 700 };
  assert.equal(set([hostile, mine, next]).timer?.seconds, 700);
});

test('however many settings somebody makes, two are kept, and one answer replaces them all', () => {
  const hostile = Array.from({ length: 1_000 }, (_, at) => ({
    id: `h${String(at).padStart(3, '0')}`,
    atMs: 253_402_300_799_999 - (at % 3),
    version: 1_000_000 - (at % 2),
    seconds: 1 + at,
    by: 'eve',
    ...(at % 5 === 0 ? { replaces: 'm' } : {}),
  }));
  const flooded = set(hostile);
  assert.deepEqual(Object.keys(flooded).toSorted(), ['chat', 'lastAtMs', 'settings', 'timer', 'unread']);
  assert.equal(flooded.timer?.id, 'h999');
  const mine = { id: 'm', atMs: 5, version: 1_000_000, seconds: 600, by: 'me', replaces: 'h999' };
  for (const record of [set([...hostile, mine]), set([mine, ...hostile.toReversed()])]) {
    assert.equal(record.timer?.id, 'm');
    assert.equal(record.otherTimer?.id, 'h999');
  }
});
