import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { applySettings, applyTimer, type ChatRecord, isOn, newChat, settingsOf } from './chat-state.ts';

const chat = `0-${'b'.repeat(26)}`;
const stamp = fc.record({ atMs: fc.nat(6), id: fc.constantFrom('a', 'b', 'c') });
const change = stamp.map(at => {
  // What is said follows from the stamp: two contents never share one.
  const settings = { pinned: at.atMs % 2 === 0, ...(at.id === 'b' ? { mutedUntilMs: at.atMs } : {}) };
  return (record: ChatRecord) => applySettings(record, settings, at);
});
const timer = fc.tuple(stamp, fc.nat(3)).map(([at, version]) => {
  const seconds = at.atMs * 10 + version;
  return (record: ChatRecord) => applyTimer(record, { ...at, seconds, version });
});

test('settings and timers end the same in any order, with repeats', () => {
  const changes = fc.array(fc.oneof(change, timer), { maxLength: 20 });
  const orders = changes.chain(all => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })));
  fc.assert(
    fc.property(orders, ([all, shuffled]) => {
      const fold = (list: typeof all): ChatRecord => list.reduce((record, step) => step(record), newChat(chat));
      assert.deepEqual(fold([...shuffled, ...all.slice(0, 3), ...shuffled]), fold(all));
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
