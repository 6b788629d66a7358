import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { applySettings, applyTimer, type ChatRecord, isOn, newChat, settingsOf, timerLimits } from './chat-state.ts';

const chat = `0-${'b'.repeat(26)}`;
const stamp = fc.record({ atMs: fc.nat(6), id: fc.constantFrom('a', 'b', 'c') });
const change = stamp.map(at => {
  // What is said follows from the stamp: two contents never share one.
  const settings = { pinned: at.atMs % 2 === 0, ...(at.id === 'b' ? { mutedUntilMs: at.atMs } : {}) };
  return (record: ChatRecord) => applySettings(record, settings, at);
});
const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
/** Of these ids some replace others, also in circles: as hostile as it gets. */
const timerWith = fc.tuple(fc.constantFrom(...ids), fc.constantFrom(undefined, ...ids));
function timerOf([id, replaces]: readonly [string, string | undefined]): (record: ChatRecord) => ChatRecord {
  const at = ids.indexOf(id);
  const set = { id, atMs: at % 2, version: at % 3, seconds: at, ...(replaces === undefined ? {} : { replaces }) };
  return record => applyTimer(record, set);
}

/** What is shown of a chat; what was replaced is kept in the order in which it was heard. */
function shown({ otherTimers, ...rest }: ChatRecord): unknown {
  const replaced = otherTimers?.replaced.toSorted() ?? [];
  return { ...rest, open: otherTimers?.open.map(({ id }) => id) ?? [], replaced };
}

test('settings and timers end the same in any order, with repeats', () => {
  // A content has one name: the same id does not replace one thing here and another there.
  const timers = fc.uniqueArray(timerWith, { maxLength: 6, selector: ([id]) => id }).map(all => all.map(timerOf));
  const changes = fc.tuple(fc.array(change, { maxLength: 14 }), timers).map(([some, set]) => [...some, ...set]);
  const orders = changes.chain(all => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(orders, ([all, shuffled]) => {
      const fold = (list: typeof all): ChatRecord => list.reduce((record, step) => step(record), newChat(chat));
      assert.deepEqual(shown(fold([...shuffled, ...all.slice(0, 3), ...shuffled])), shown(fold(all)));
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
  const set = applyTimer(taken, mine);
  assert.equal(set.timer?.seconds, 600);
  assert.equal(applyTimer(set, hostile), set);
  // And where what replaces it is heard of first.
  assert.equal(applyTimer(applyTimer(newChat(chat), mine), hostile).timer?.seconds, 600);
});

test('more settings at once than are kept open: the same holds on every device, the bound holds, and answers end it', () => {
  const count = timerLimits.maxOpen * 5;
  // Versions and times as high as parsing lets through, and equal ones, which the id decides.
  const hostile = Array.from({ length: count }, (_, at) => ({
    id: `h${String(at).padStart(3, '0')}`,
    atMs: 253_402_300_799_999 - (at % 3),
    version: 1_000_000 - (at % 2),
    seconds: 1 + at,
    by: 'eve',
  }));
  const highest = hostile
    .filter(({ version, atMs }) => version === 1_000_000 && atMs === 253_402_300_799_999)
    .reduce((a, b) => (a.id > b.id ? a : b));
  const openOf = ({ timer, otherTimers }: ChatRecord): string[] =>
    [timer, ...(otherTimers?.open ?? [])].flatMap(each => (each === undefined ? [] : [each.id]));
  fc.assert(
    fc.property(fc.shuffledSubarray(hostile, { minLength: count }), order => {
      const set = order.reduce(applyTimer, newChat(chat));
      assert.equal(set.timer?.id, highest.id);
      assert.equal(set.timer.seconds, highest.seconds);
      assert.equal(openOf(set).length, timerLimits.maxOpen);
      assert.deepEqual(openOf(set), openOf(hostile.reduce(applyTimer, newChat(chat))));
    }),
  );
  // As `setTimer` does it: each answer names the one in force, until its own holds.
  let answered = hostile.reduce(applyTimer, newChat(chat));
  let answers = 0;
  while (answered.timer?.by !== 'me') {
    const { timer } = answered;
    const id = `m${String(answers++).padStart(3, '0')}`;
    const replaces = timer === undefined ? {} : { replaces: timer.id };
    answered = applyTimer(answered, { id, atMs: 5, version: 1_000_000, seconds: 600, by: 'me', ...replaces });
  }
  assert.equal(answered.timer.seconds, 600);
  assert(answers <= timerLimits.maxOpen + 1, `${answers} answers`);
});
