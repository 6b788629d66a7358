import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { actLimits } from './acts.ts';
import { applyFact, type Fact, type LogEntry, type Posted, textVersions, viewOf } from './message-log.ts';

const anna = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;
const empty: LogEntry = { id: '0'.repeat(32), author: anna, chat: anna };
const posted: Posted = { body: { kind: 'text', text: 'first' }, sentAtMs: 1_000, receivedAtMs: 1_001 };

function fold(facts: readonly Fact[], entry: LogEntry = empty): LogEntry {
  return facts.reduce(applyFact, entry);
}

const stamp = fc.record({ atMs: fc.nat(20), id: fc.constantFrom('a', 'b', 'c', 'd') });
const person = fc.constantFrom(anna, bob);
// Two contents never share an id, so that what is said follows from the stamp.
const fact: fc.Arbitrary<Fact> = fc.oneof(
  fc.constant<Fact>({ kind: 'posted', posted }),
  stamp.map((at): Fact => ({ kind: 'edited', stamp: at, text: { text: `edit ${at.atMs}${at.id}`.repeat(3_000) } })),
  fc.tuple(person, stamp).map(([by, at]): Fact => {
    return { kind: 'reacted', by, stamp: at, emoji: at.atMs % 3 === 0 ? '' : `${at.atMs}${at.id}` };
  }),
  fc.tuple(person, stamp, fc.integer({ min: 1, max: 12 })).map(([by, at, version]): Fact => {
    return { kind: 'voted', by, stamp: at, version, options: at.atMs % 4 === 0 ? [] : [at.atMs % 4] };
  }),
  fc.nat(20).map((atMs): Fact => ({ kind: 'closed', atMs })),
  stamp.map((at): Fact => {
    return { kind: 'closed', atMs: at.atMs, closing: { ...at, counted: ['a', 'b', 'c'].slice(at.atMs % 3) } };
  }),
  fc.nat(20).map((atMs): Fact => ({ kind: 'read', atMs, hereMs: 30 })),
  fc
    .tuple(fc.constantFrom('delivered', 'read', 'played'), fc.nat(20))
    .map(([receipt, atMs]): Fact => ({ kind: 'receipt', receipt, atMs })),
);
const gone = fc.constantFrom('opened', 'expired', 'deleted', 'hidden').map((why): Fact => ({ kind: 'gone', why }));

test('the same facts in any order, with repeats, give the same entry and the same view', () => {
  const facts = fc
    .tuple(fc.array(fact, { maxLength: 30 }), fc.array(gone, { maxLength: 1 }))
    .map(parts => parts.flat());
  const orders = facts.chain(all =>
    fc.tuple(
      fc.constant(all),
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.array(all.length === 0 ? fc.constant<Fact>({ kind: 'read', atMs: 99, hereMs: 99 }) : fc.constantFrom(...all), {
        maxLength: all.length === 0 ? 0 : 10,
      }),
    ),
  );
  fc.assert(
    fc.property(orders, ([all, shuffled, repeats]) => {
      const one = fold(all);
      const other = fold([...repeats, ...shuffled, ...repeats]);
      assert.deepEqual(other, one);
      assert.deepEqual(viewOf(other, bob), viewOf(one, bob));
    }),
    { numRuns: 500 },
  );
});

test('a fact that says nothing new gives the very same entry', () => {
  fc.assert(
    fc.property(fc.array(fact, { maxLength: 20 }), facts => {
      const entry = fold(facts);
      for (const each of facts) {
        const again = applyFact(entry, each);
        if (each.kind !== 'edited' || entry.edits?.some(edit => edit.id === each.stamp.id)) assert.equal(again, entry);
      }
    }),
  );
});

test('a vote older than all that are kept says nothing new', () => {
  const vote = (version: number): Fact => {
    return { kind: 'voted', by: bob, stamp: { atMs: 0, id: 'v' }, version, options: [] };
  };
  const entry = fold(Array.from({ length: actLimits.maxVotes }, (_, index) => vote(index + 2)));
  assert.equal(applyFact(entry, vote(1)), entry);
});

test('edits keep what was said before; the latest is shown, whenever it came', () => {
  const edits: Fact[] = [
    { kind: 'edited', stamp: { atMs: 3, id: 'x' }, text: { text: 'third' } },
    { kind: 'edited', stamp: { atMs: 2, id: 'y' }, text: { text: 'second' } },
  ];
  const entry = fold([...edits, { kind: 'posted', posted }]);
  assert.equal(viewOf(entry, bob)?.text, 'third');
  assert.equal(viewOf(entry, bob)?.edited, true);
  assert.deepEqual(
    textVersions(entry).map(({ text }) => text.text),
    ['first', 'second', 'third'],
  );
  assert.equal(viewOf(fold(edits), bob), undefined, 'edits alone are not a message');
});

test('edits are bounded, and the bound does not depend on the order', () => {
  const edits = Array.from({ length: 200 }, (_, atMs): Fact => {
    return { kind: 'edited', stamp: { atMs, id: 'e' }, text: { text: String(atMs).padEnd(8_000) } };
  });
  const one = fold(edits);
  assert.deepEqual(fold(edits.toReversed()), one);
  assert.ok(JSON.stringify(one).length <= actLimits.maxEditBytes + 10_000);
  assert.equal(one.edits?.at(-1)?.text.text.trim(), '199');
});

test('what is gone is gone, before and after; the stronger reason stays', () => {
  const said: Fact[] = [
    { kind: 'posted', posted },
    { kind: 'edited', stamp: { atMs: 3, id: 'x' }, text: { text: 'secret' } },
    { kind: 'reacted', by: bob, stamp: { atMs: 3, id: 'r' }, emoji: 'x' },
  ];
  for (const order of [said, said.toReversed()]) {
    const entry = fold([
      order[0]!,
      { kind: 'gone', why: 'deleted' },
      ...order.slice(1),
      { kind: 'gone', why: 'expired' },
    ]);
    const view = viewOf(entry, bob);
    assert.equal(view?.kind, 'deleted');
    assert.ok(!JSON.stringify(entry).includes('secret') && !JSON.stringify(entry).includes('first'));
    assert.equal(view.reactions, undefined);
  }
});

test('a closed poll counts what was chosen before, also when somebody votes after', () => {
  const vote = (atMs: number, version: number, options: number[]): Fact => {
    return { kind: 'voted', by: bob, stamp: { atMs, id: `v${version}` }, version, options };
  };
  const poll: Posted = { ...posted, body: { kind: 'poll', question: 'q', options: ['a', 'b', 'c'] } };
  const facts: Fact[] = [vote(9, 3, [2]), { kind: 'closed', atMs: 5 }, vote(4, 2, [1]), vote(3, 1, [0])];
  const open = fold([{ kind: 'posted', posted: poll }, ...facts.filter(each => each.kind !== 'closed')]);
  assert.deepEqual(viewOf(open, bob)?.poll, { votes: { [bob]: [2] }, closed: false });
  const closed = fold([...facts, { kind: 'posted', posted: poll }]);
  assert.deepEqual(viewOf(closed, bob)?.poll, { votes: { [bob]: [1] }, closed: true });
});

test('a poll whose end names votes counts those, whatever the clocks said, and no others', () => {
  const vote = (by: string, id: string, atMs: number, version: number, options: number[]): Fact => {
    return { kind: 'voted', by, stamp: { atMs, id }, version, options };
  };
  const poll: Posted = { ...posted, body: { kind: 'poll', question: 'q', options: ['a', 'b', 'c'] } };
  const result = (...facts: readonly Fact[]) => viewOf(fold([{ kind: 'posted', posted: poll }, ...facts]), bob)?.poll;
  const votes = [
    vote(bob, 'far-ahead', 900, 1, [0]),
    vote(bob, 'later', 901, 2, [1]),
    vote(anna, 'unheard', 3, 1, [2]),
  ];
  const named = { kind: 'closed', atMs: 5, closing: { atMs: 5, id: 'e', counted: ['far-ahead'] } } as const;
  assert.deepEqual(result(...votes, named), { votes: { [bob]: [0] }, closed: true });
  assert.deepEqual(result(named, ...votes.toReversed()), { votes: { [bob]: [0] }, closed: true });
  assert.deepEqual(result(named), { votes: {}, closed: true }, 'the vote has not come yet');
  // The last end that names votes holds, also beside earlier ones that name none.
  const again = { kind: 'closed', atMs: 6, closing: { atMs: 6, id: 'f', counted: ['unheard'] } } as const;
  for (const ends of [
    [named, again],
    [again, named],
    [again, { kind: 'closed', atMs: 2 } as const, named],
  ]) {
    assert.deepEqual(result(...votes, ...ends), { votes: { [anna]: [2] }, closed: true });
  }
});

test('an own message moves forward: receipts over progress, never back', () => {
  const progress = (state: 'queued' | 'held' | 'sent' | 'failed'): Fact => ({ kind: 'progress', progress: { state } });
  const state = (...facts: Fact[]) => viewOf(fold([{ kind: 'posted', posted }, ...facts]), anna)?.state;
  assert.equal(state(), 'sent');
  assert.equal(state(progress('queued'), progress('held'), progress('sent'), progress('queued')), 'sent');
  assert.equal(
    state(progress('queued'), { kind: 'receipt', receipt: 'delivered', atMs: 1 }, progress('sent')),
    'delivered',
  );
  assert.equal(state(progress('sent'), progress('failed')), 'sent');
  assert.equal(state(progress('held'), progress('failed'), progress('sent')), 'failed');
  assert.equal(
    state({ kind: 'receipt', receipt: 'played', atMs: 1 }, { kind: 'receipt', receipt: 'read', atMs: 1 }),
    'played',
  );
});

test('a disappearing message runs from its reading, for its author from when it came', () => {
  const entry = fold([{ kind: 'posted', posted: { ...posted, expiresAfterSeconds: 10 } }]);
  assert.equal(viewOf(entry, anna)?.expiresAtMs, 11_001);
  assert.equal(viewOf(entry, bob)?.expiresAtMs, undefined);
  assert.equal(viewOf(applyFact(entry, { kind: 'read', atMs: 5_000, hereMs: 5_000 }), bob)?.expiresAtMs, 15_000);
});
