// The judge itself: each violation that it exists for is found, and what is allowed is not one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSound, Ledger, type Visit } from './ledger.ts';

type Book = {
  readonly ledger: Ledger;
  readonly ids: readonly string[];
  readonly come: (visit: Visit, ...at: number[]) => void;
};

/** One sender (1) and one recipient (2), with a number of messages, all acknowledged to their sender. */
function book(messages: number): Book {
  const ledger = new Ledger(0);
  const ids = Array.from({ length: messages }, () => ledger.send(1, 2));
  for (const id of ids) ledger.acknowledge(id);
  const come = (visit: Visit, ...at: number[]): void => at.forEach(i => ledger.arrive(visit, ids[i]!, 1, true));
  return { ledger, ids, come };
}

test('all came and were acknowledged: sound', () => {
  const { ledger, come } = book(3);
  const visit = ledger.visit(2, 1);
  come(visit, 0, 1, 2);
  ledger.answer(visit);
  assert.deepEqual(ledger.verdict(), {
    sent: 3,
    acknowledged: 3,
    refused: 0,
    lost: 0,
    inversions: 0,
    wronglyRepeated: 0,
    redelivered: 0,
    refusedAndCame: 0,
    damaged: 0,
    wrongAnswers: 0,
    details: [],
  });
});

test('acknowledged and never came: lost', () => {
  const { ledger, come } = book(2);
  const visit = ledger.visit(2, 1);
  come(visit, 1);
  ledger.answer(visit);
  assert.equal(ledger.verdict().lost, 1);
  assert(!isSound(ledger.verdict()));
});

test('came once to somebody who did not acknowledge it, and not again: lost', () => {
  const { ledger, come } = book(1);
  come(ledger.visit(2, 1), 0);
  assert.equal(ledger.verdict().lost, 1);
});

test('what was never acknowledged, or refused, need not come', () => {
  const ledger = new Ledger(0);
  ledger.send(1, 2);
  ledger.refuse(ledger.send(1, 2));
  assert(isSound(ledger.verdict()));
  assert.equal(ledger.verdict().refused, 1);
});

test('refused and came all the same is counted, and no violation', () => {
  const ledger = new Ledger(0);
  const id = ledger.send(1, 2);
  ledger.refuse(id);
  ledger.arrive(ledger.visit(2, 1), id, 1, true);
  assert.equal(ledger.verdict().refusedAndCame, 1);
  assert(isSound(ledger.verdict()));
});

test('refused after an acknowledgement is a violation', () => {
  const { ledger, ids } = book(1);
  ledger.refuse(ids[0]!);
  assert.equal(ledger.verdict().wrongAnswers, 1);
});

test('order: on one stream, and of what comes for the first time', () => {
  const one = book(2);
  one.come(one.ledger.visit(2, 1), 1, 0);
  assert.equal(one.ledger.verdict().inversions, 2);

  const two = book(3);
  two.come(two.ledger.visit(2, 1), 0, 2);
  const second = two.ledger.visit(2, 2);
  two.come(second, 0, 1, 2);
  two.ledger.answer(second);
  assert.equal(two.ledger.verdict().inversions, 1, 'the second was passed over before');

  const three = book(3);
  three.come(three.ledger.visit(2, 1), 0, 1);
  const again = three.ledger.visit(2, 2);
  three.come(again, 0, 1, 2);
  three.ledger.answer(again);
  assert(isSound(three.ledger.verdict()), 'a redelivery from the start');
  assert.equal(three.ledger.verdict().redelivered, 2);
});

test('repeats: never on one stream; never after an acknowledgement that was read, but for the next life', () => {
  const one = book(1);
  one.come(one.ledger.visit(2, 1), 0, 0);
  assert.equal(one.ledger.verdict().wronglyRepeated, 1);

  const again = (life: number, heard: boolean): number => {
    const { ledger, come } = book(1);
    const first = ledger.visit(2, 1);
    come(first, 0);
    ledger.answer(first);
    if (heard) ledger.heard(first);
    come(ledger.visit(2, life), 0);
    return ledger.verdict().wronglyRepeated;
  };
  assert.equal(again(1, true), 1);
  assert.equal(again(2, true), 0);
  assert.equal(again(1, false), 0);
});

test('strangers, other recipients, other senders and other contents are found', () => {
  const { ledger, ids } = book(1);
  ledger.arrive(ledger.visit(2, 1), 'r9-1-1', 1, true);
  ledger.arrive(ledger.visit(3, 1), ids[0]!, 1, true);
  ledger.arrive(ledger.visit(2, 1), ids[0]!, 4, true);
  ledger.arrive(ledger.visit(2, 1), ids[0]!, 1, false);
  assert.equal(ledger.verdict().damaged, 4);
});
