// What a gatekeeper's word about decisions does to a real store: how much of it is kept, and which word holds.
// Knows nothing of acknowledgements (`harness/src/cheating/attacks-on-decisions.ts`).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Element, element } from '@drawbridge/wire/element';
import { everybodyOf, type InteropId } from '@drawbridge/wire/jid';
import { NS_CLIENT, NS_CONSENT } from '@drawbridge/wire/namespaces';
import { PlayedClock } from '../testing/played-clock.ts';
import type { Authoring } from '../history/authoring.ts';
import { newChat } from '../history/chat-state.ts';
import { historyLimits } from '../history/history.ts';
import type { ClientEvent } from '../events.ts';
import { chatWith } from '../history/message-names.ts';
import { blockedProviders, chatInForce, isProviderBlocked } from '../history/provider-block.ts';
import { hearOwn } from '../history/standing.ts';
import { changeStanding } from '../history/standing-changes.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import { testStore } from '../testing/test-store.ts';
import { DecisionBook } from './decision-book.ts';

const domain = 'citadel.example';
/** Nothing is said to other devices. */
const alone = { clock: new PlayedClock(), authoring: {} as Authoring };
const person = (number: number): InteropId =>
  `1-${number.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(26, 'a')}`;

test('people whom a gatekeeper invents fill no disk; decisions about those with a chat are heard all the same', async () => {
  const { store, inStore, remove } = await testStore('decisions');
  const room = 3;
  inStore(tx => {
    for (let at = 0; at < historyLimits.maxChats - room; at++) writeChat(tx, newChat(chatWith(person(at))));
  });
  const outbox = { add: () => '', wake: () => {}, hasRoom: () => true };
  const book = new DecisionBook({
    store,
    domain,
    request: () => assert.fail('nothing is asked'),
    outbox,
    ...alone,
    deliveryReceipts: true,
    emit: () => {},
  });
  const hear = (number: number): void => {
    const contact = element('contact', NS_CONSENT, { jid: `${person(number)}@${domain}`, state: 'blocked' });
    assert(book.hear(element('message', NS_CLIENT, { from: domain }, [contact])));
  };
  const decision = (number: number): string | undefined =>
    inStore(tx => readChat(tx, chatWith(person(number)))).contact;
  for (let at = 0; at < 10; at++) hear(10_000 + at);
  assert.equal(
    inStore(tx => tx.count('chat')),
    historyLimits.maxChats,
  );
  assert.deepEqual([decision(10_002), decision(10_003)], ['blocked', undefined]);
  hear(5);
  assert.equal(decision(5), 'blocked');
  remove();
});

test('what is told while the list is on its way is later than the list', async () => {
  const { store, inStore, remove } = await testStore('decisions');
  const lists: ((answer: Element) => void)[] = [];
  const clock = new PlayedClock();
  const book = new DecisionBook({
    store,
    domain,
    ...alone,
    clock,
    request: () => new Promise(resolve => lists.push(resolve)),
    outbox: { add: () => '', wake: () => {}, hasRoom: () => true },
    deliveryReceipts: true,
    emit: () => {},
  });
  const contact = (number: number, state: string): Element =>
    element('contact', NS_CONSENT, { jid: `${person(number)}@${domain}`, state });
  const hear = (number: number, state: string): void =>
    assert(book.hear(element('message', NS_CLIENT, { from: domain }, [contact(number, state)])));
  const states = (): (string | undefined)[] =>
    inStore(tx => [2, 3, 4, 5].map(number => readChat(tx, chatWith(person(number))).contact));
  for (const number of [2, 3, 4, 5]) hear(number, 'accepted');
  const ofAPeer = element('message', NS_CLIENT, { from: `${person(2)}@${domain}` }, [contact(3, 'blocked')]);
  assert.equal(book.hear(ofAPeer), false);
  assert.deepEqual(states(), ['accepted', 'accepted', 'accepted', 'accepted'], 'nobody else tells of decisions');
  assert.equal(book.isListed, false);
  const first = book.refresh();
  hear(2, 'blocked');
  hear(3, 'request');
  hear(4, 'none');
  lists[0]!(element('contacts', NS_CONSENT, {}, [contact(2, 'accepted'), contact(4, 'accepted')]));
  await first;
  assert.deepEqual(states(), ['blocked', 'request', undefined, undefined], 'of the others the list holds');
  assert.deepEqual([book.isListed, clock.timers], [true, 0]);
  // One that was asked for again meanwhile says nothing any more; and what was told before a list holds no longer than it.
  const [earlier, later] = [book.refresh(), book.refresh()];
  lists[2]!(element('contacts', NS_CONSENT, {}, [contact(4, 'accepted')]));
  await later;
  lists[1]!(element('contacts', NS_CONSENT, {}, [contact(5, 'blocked')]));
  await earlier;
  assert.deepEqual(
    states(),
    ['blocked', 'request', 'accepted', undefined],
    'a list leaves out nobody who is held back',
  );
  assert.equal(clock.timers, 1, 'it is in doubt whether the block was lifted');
  remove();
});

test('the gatekeeper blocks a whole provider by its word, and lifts nothing by it; it says nothing else of one', async () => {
  const { store, inStore, remove } = await testStore('decisions');
  const events: ClientEvent[] = [];
  const book = new DecisionBook({
    store,
    domain,
    ...alone,
    clock: new PlayedClock(),
    request: () => assert.fail('nothing is asked'),
    outbox: { add: () => '', wake: () => {}, hasRoom: () => true },
    deliveryReceipts: true,
    emit: event => void events.push(event),
  });
  const hear = (state: string): void => {
    const contact = element('contact', NS_CONSENT, { jid: `${everybodyOf(1)}@${domain}`, state });
    assert(book.hear(element('message', NS_CLIENT, { from: domain }, [contact])));
  };
  const seen = (): unknown[] =>
    inStore(tx => [
      blockedProviders(tx),
      chatInForce(tx, chatWith(person(7))).contact,
      isProviderBlocked(tx, `2-${'a'.repeat(26)}`),
    ]);
  for (const state of ['request', 'accepted', 'denied']) hear(state);
  assert.deepEqual(seen(), [[], undefined, false]);
  inStore(tx => writeChat(tx, { ...newChat(chatWith(person(7))), contact: 'accepted' }));
  hear('blocked');
  assert.deepEqual(seen(), [[1], 'blocked', false]);
  assert.equal(inStore(tx => readChat(tx, chatWith(person(7)))).contact, 'accepted', 'what lies beneath stays');
  hear('none');
  assert.deepEqual(seen(), [[1], 'blocked', false], 'its word alone lifts nothing');
  const own = { atMs: Date.now(), id: 'ff'.repeat(16), state: 'none' } as const;
  inStore(tx => events.push(...changeStanding(tx, chatWith(everybodyOf(1)), record => hearOwn(record, own))));
  assert.deepEqual(seen(), [[], 'accepted', false]);
  assert.deepEqual(events, [
    { kind: 'provider-block', provider: 1, isBlocked: true },
    { kind: 'provider-block', provider: 1, isBlocked: false },
  ]);
  book.close();
  remove();
});
