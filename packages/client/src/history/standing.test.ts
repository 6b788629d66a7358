// Which word about somebody holds: the gatekeeper's makes it stricter and never laxer, the latest of one's own devices decides,
// in whatever order words come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ChatRecord, isHeldBack, newChat, type OwnDecision, type Standing } from './chat-state.ts';
import { hearGatekeeper, hearOwn, hearWritten, isDoubtful, standingOf } from './standing.ts';

const chat = newChat('1-aaaaaaaaaaaaaaaaaaaaaaaaaa');
const own = (state: OwnDecision['state'], atMs: number): OwnDecision => ({ state, atMs, id: `${atMs}` });
const standings: readonly Standing[] = ['none', 'accepted', 'request', 'denied', 'blocked'];
const strictness = (standing: Standing): number => Math.max(0, standings.indexOf(standing) - 1);
const gatekeeper = (record: ChatRecord, words: readonly Standing[], lastStampMs = 0): ChatRecord =>
  words.reduce((before, word) => hearGatekeeper(before, word, lastStampMs), record);

test('no words of a gatekeeper make anything laxer, and each stricter one holds at once', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('none', 'accepted', 'denied', 'blocked'),
      fc.array(fc.tuple(fc.constantFrom(...standings), fc.nat(100))),
      (state, words) => {
        let record = hearOwn(chat, own(state, 50));
        for (const [word, lastStampMs] of words) {
          const before = standingOf(record);
          record = hearGatekeeper(record, word, lastStampMs);
          assert(strictness(standingOf(record)) >= strictness(before));
          assert(strictness(standingOf(record)) >= strictness(word));
          assert.equal(record.claim?.state ?? standingOf(record), word, 'what it says last is known');
        }
      },
    ),
  );
});

test('one’s own words join to the same in any order, and any number of times', () => {
  const words = fc.array(
    fc.tuple(
      fc.constantFrom<OwnDecision['state'][]>('none', 'accepted', 'denied', 'blocked'),
      fc.integer({ min: 1, max: 9 }),
    ),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(words, fc.func(fc.nat()), (said, order) => {
      const decisions = said.map(([state, atMs], at) => ({ state, atMs, id: `${at}` }));
      const shuffled = decisions.map((each, at) => ({ each, by: order(at) })).sort((a, b) => a.by - b.by);
      const joined = (each: readonly OwnDecision[]): ChatRecord => each.reduce(hearOwn, chat);
      const [one, other] = [joined([...shuffled.map(({ each }) => each), ...decisions]), joined(decisions)];
      assert.deepEqual(one.decided, other.decided);
      assert.equal(strictness(standingOf(one)), strictness(standingOf(other)));
    }),
  );
});

test('a block is lifted by an own device that says so later than it came, and by nothing else', () => {
  const blocked = gatekeeper(chat, ['accepted', 'blocked'], 100);
  assert.equal(standingOf(blocked), 'blocked', 'by another device, whose own word is not here yet');
  const lifted = gatekeeper(blocked, ['accepted', 'none', 'request', 'accepted']);
  assert.deepEqual([standingOf(lifted), lifted.claim], ['blocked', { state: 'accepted' }]);
  assert.equal(standingOf(hearOwn(lifted, own('accepted', 100))), 'blocked', 'what was said before the block');
  assert.equal(standingOf(hearWritten(lifted, { atMs: 101, id: 'a' })), 'blocked', 'to write lifts no block');
  const after = hearOwn(lifted, own('none', 101));
  assert.deepEqual([standingOf(after), after.claim, after.heldAtMs], ['accepted', undefined, undefined]);
  assert.equal(standingOf(hearOwn(blocked, own('none', 101))), 'none', 'as long as the gatekeeper says no more');
  assert.equal(standingOf(hearOwn(hearOwn(chat, own('blocked', 5)), own('none', 4))), 'blocked');
});

test('a request is over when this person accepts or writes, on any device; a refusal that came after stays', () => {
  const waits = gatekeeper(chat, ['request'], 100);
  assert.equal(standingOf(gatekeeper(waits, ['accepted'])), 'request');
  for (const accepted of [hearOwn(waits, own('accepted', 101)), hearWritten(waits, { atMs: 101, id: 'a' })]) {
    assert.equal(standingOf(accepted), 'accepted');
    assert.equal(standingOf(hearOwn(accepted, own('denied', 102))), 'denied');
    assert.equal(standingOf(gatekeeper(accepted, ['denied', 'accepted'], 103)), 'denied');
  }
  assert.equal(standingOf(hearWritten(waits, { atMs: 100, id: 'a' })), 'request', 'what was written before it');
  assert.equal(standingOf(hearOwn(waits, own('none', 101))), 'request', 'there is no block to take back');
  assert.equal(hearWritten(chat, { atMs: 1, id: 'a' }), chat, 'nobody who waits for nothing is accepted by it');
});

test('what the gatekeeper made stricter is lifted by the word that was under way, not by an earlier one', () => {
  const denied = hearOwn(gatekeeper(chat, ['blocked'], 100), own('denied', 90));
  assert.equal(standingOf(denied), 'blocked');
  assert.equal(standingOf(hearOwn(denied, own('denied', 101))), 'denied');
  const stricter = hearOwn(gatekeeper(chat, ['denied'], 100), own('blocked', 90));
  assert.deepEqual([standingOf(stricter), stricter.heldAtMs], ['blocked', undefined]);
});

test('a person is told about a claim that lets somebody in, once; what forgets a request is none', () => {
  const waits = gatekeeper(chat, ['request']);
  assert.deepEqual([chat, waits, gatekeeper(waits, ['none']), gatekeeper(waits, ['accepted'])].map(isDoubtful), [
    false,
    false,
    false,
    true,
  ]);
  const blocked = hearOwn(chat, own('blocked', 1));
  const claimed = gatekeeper(blocked, ['none']);
  assert.equal(isDoubtful(claimed), true);
  const told: ChatRecord = { ...claimed, claim: { ...claimed.claim!, isTold: true } };
  assert.equal(isDoubtful(gatekeeper(told, ['accepted', 'none'])), false);
  assert.equal(isDoubtful(gatekeeper(told, ['accepted', 'blocked'])), false, 'it says what holds');
  assert.equal(isDoubtful(gatekeeper(told, ['blocked', 'none'])), true);
});

test('a record from the time before own words were kept holds what it held', () => {
  const before: ChatRecord = { ...chat, contact: 'blocked' };
  assert.equal(isHeldBack(gatekeeper(before, ['accepted'])), true);
  assert.equal(standingOf(hearOwn(before, own('none', 1))), 'none');
});
