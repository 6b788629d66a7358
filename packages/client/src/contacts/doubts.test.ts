// What the gatekeeper claims and no own device has said, in real stores: the other devices are asked, what they answer holds, and
// a person is told when none of them says so.
// Knows nothing of streams and encryption: what one device says goes to the other as its outbox has it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeContent } from '@drawbridge/e2ee/content';
import { contentKindLimits } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import type { ClientEvent } from '../events.ts';
import { Authoring } from '../history/authoring.ts';
import type { Standing } from '../history/chat-state.ts';
import { addSaid } from '../history/conversation.ts';
import { chatWith } from '../history/message-names.ts';
import { hearGatekeeper, standingOf } from '../history/standing.ts';
import { changeStanding } from '../history/standing-changes.ts';
import { listNotices } from '../notices/notice-records.ts';
import type { NewRow } from '../outbox/additions.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { readStamp } from '../store/account-records.ts';
import { readChat } from '../store/message-records.ts';
import { PlayedClock } from '../testing/played-clock.ts';
import { testStore } from '../testing/test-store.ts';
import { doubtLimits, Doubts } from './doubts.ts';

const person = (number: number): InteropId =>
  `1-${number.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(26, 'a')}`;
const me = person(0);

async function device(clock: PlayedClock) {
  const { store, inStore, remove } = await testStore('doubts');
  const rows: NewRow[] = [];
  const events: ClientEvent[] = [];
  const outbox = { add: (_: unknown, row: NewRow) => `${rows.push(row)}`, hasRoom: () => true, wake: () => {} };
  const authoring = new Authoring({
    store,
    own: me,
    clock,
    outbox: outbox as unknown as Outbox,
    emit: event => events.push(event),
  });
  const doubts = new Doubts({ store, authoring, outbox, clock, emit: event => events.push(event) });
  const say = (about: InteropId, word: Standing): void => {
    inStore(tx => changeStanding(tx, chatWith(about), before => hearGatekeeper(before, word, readStamp(tx))));
    doubts.arm();
  };
  const decide = (about: InteropId, state: 'none' | 'accepted' | 'denied' | 'blocked'): void =>
    void inStore(tx => authoring.sync(tx, { decisions: [{ chat: about, state }] }));
  /** What another device of this person has said. */
  const take = (from: readonly NewRow[]): void => {
    for (const { payload } of from) {
      assert(payload.kind === 'content');
      const content = decodeContent(Buffer.from(payload.content, 'base64'));
      assert(content.ok);
      const said = { author: me, chat: chatWith(me), content: content.value, receivedAtMs: clock.nowMs() };
      inStore(tx => addSaid(tx, me, said, clock.nowMs()));
      const { body } = content.value;
      if (body.kind === 'device-sync' && body.decisionsAsked === true) inStore(tx => doubts.answer(tx, 2));
    }
  };
  const holds = (about: InteropId): Standing => standingOf(inStore(tx => readChat(tx, chatWith(about))));
  const told = (): unknown[] => inStore(listNotices).map(({ change }) => change);
  return { doubts, say, decide, take, holds, told, rows, events, inStore, remove };
}

test('a claim that no device confirms: they are asked, then a person is told once, however it goes on', async () => {
  const clock = new PlayedClock();
  const { say, decide, holds, told, rows, events, remove } = await device(clock);
  decide(person(1), 'blocked');
  rows.length = 0;
  say(person(1), 'accepted');
  assert.deepEqual([holds(person(1)), told(), rows.length], ['blocked', [], 0]);
  clock.pass(doubtLimits.askMs);
  assert.equal(rows.length, 1, 'the other devices are asked');
  clock.pass(doubtLimits.tellMs);
  const change = { kind: 'contact-unconfirmed', interopId: person(1), holds: 'blocked', claimed: 'accepted' };
  assert.deepEqual(told(), [change]);
  for (const word of ['none', 'blocked', 'accepted', 'none', 'blocked', 'none'] as const) say(person(1), word);
  for (let round = 0; round < 5; round++) clock.pass(doubtLimits.tellMs);
  const lines = events.filter(({ kind }) => kind === 'message');
  assert.deepEqual([lines.length, rows.length, holds(person(1))], [1, 1, 'blocked']);
  decide(person(1), 'none');
  assert.equal(holds(person(1)), 'none', 'a person decides here');
  remove();
});

test('words that were lost on the way come with the answer of a device that has them, all of them, refusals first', async () => {
  const clock = new PlayedClock();
  const [one, other] = [await device(clock), await device(clock)];
  const count = contentKindLimits.maxSyncEntries + 50;
  for (let at = 1; at <= count; at++) one.decide(person(at), at % 2 === 0 ? 'accepted' : 'denied');
  one.decide(person(1), 'blocked');
  other.take([one.rows.at(-1)!]);
  assert.equal(other.holds(person(1)), 'blocked');
  one.decide(person(1), 'none');
  one.rows.length = 0;
  // All of that was lost. The gatekeeper says the truth, and nobody need be told.
  other.say(person(1), 'none');
  clock.pass(doubtLimits.askMs);
  one.take(other.rows);
  assert.equal(one.rows.length, 2);
  assert(one.rows.every(({ to, toDevice }) => to === me && toDevice === 2));
  other.take([one.rows[0]!]);
  assert.equal(other.holds(person(3)), 'denied');
  other.take([one.rows[1]!]);
  assert.deepEqual(
    [other.holds(person(1)), other.holds(person(2)), other.holds(person(count))],
    ['none', 'accepted', 'accepted'],
  );
  clock.pass(doubtLimits.tellMs);
  assert.deepEqual(other.told(), []);
  // An answer from before a block, repeated, lifts nothing.
  other.decide(person(2), 'blocked');
  other.take(one.rows);
  assert.equal(other.holds(person(2)), 'blocked');
  for (const each of [one, other]) each.remove();
});

test('the other devices are asked without a doubt at first and every two weeks; a clock that was set back asks', async () => {
  const clock = new PlayedClock();
  const { doubts, rows, remove } = await device(clock);
  for (let at = 0; at < 3; at++) doubts.ask();
  assert.equal(rows.length, 1);
  clock.pass(doubtLimits.askAnywayMs);
  for (let at = 0; at < 3; at++) doubts.ask();
  assert.equal(rows.length, 2);
  clock.set(-doubtLimits.askAnywayMs);
  doubts.ask();
  assert.equal(rows.length, 3);
  remove();
});

test('a word of an own device counts when its clock is far ahead, and what is decided after it is later', async () => {
  const clock = new PlayedClock();
  const { decide, take, holds, inStore, remove } = await device(clock);
  const ahead = new PlayedClock();
  ahead.pass(10 * 365 * 86_400_000);
  const other = await device(ahead);
  other.decide(person(1), 'blocked');
  take(other.rows);
  assert.equal(holds(person(1)), 'blocked');
  decide(person(1), 'accepted');
  assert.equal(holds(person(1)), 'accepted');
  assert(inStore(readStamp) > ahead.nowMs());
  for (const each of [remove, other.remove]) each();
});
