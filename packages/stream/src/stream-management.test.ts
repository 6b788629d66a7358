// Counting both ways: against a model, and across the wrap at 2^32.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { StreamManagement } from './stream-management.ts';

const modulus = 2 ** 32;

test('acknowledgements give back what they cover, oldest first, and nothing twice', () => {
  const management = new StreamManagement<string>();
  for (const item of ['a', 'b', 'c', 'd']) management.sent(item);
  assert.deepEqual(management.acknowledge(0), []);
  assert.deepEqual(management.acknowledge(2), ['a', 'b']);
  assert.deepEqual(management.acknowledge(2), []);
  assert.deepEqual(management.unacknowledged, ['c', 'd']);
  assert.deepEqual(management.acknowledge(4), ['c', 'd']);
  assert.equal(management.unacknowledgedCount, 0);
});

test('a count beyond what was sent, or behind what was acknowledged, is refused and changes nothing', () => {
  const management = new StreamManagement<number>();
  for (let i = 0; i < 10; i++) management.sent(i);
  management.acknowledge(4);
  for (const wrong of [11, 3, 0, modulus - 1, 2 ** 31]) {
    assert.equal(management.acknowledge(wrong), 'handled-count-ahead', String(wrong));
    assert.equal(management.unacknowledgedCount, 6);
  }
  assert.deepEqual(management.acknowledge(10), [4, 5, 6, 7, 8, 9]);
});

test('the outbound count wraps at 2^32', () => {
  const start = modulus - 100;
  const management = new StreamManagement<number>(start);
  for (let i = 0; i < 200; i++) management.sent(i);
  let acknowledged = 0;
  for (const h of [modulus - 50, modulus - 1, 0, 1, 99]) {
    const delivered = management.acknowledge(h);
    assert(typeof delivered !== 'string');
    assert.deepEqual(delivered.at(0), acknowledged);
    acknowledged += delivered.length;
    assert.equal(acknowledged, (h - start + modulus) % modulus);
  }
  assert.equal(management.acknowledge(101), 'handled-count-ahead');
  assert.equal(management.acknowledge(modulus - 1), 'handled-count-ahead');
  assert.deepEqual(management.acknowledge(100), [199]);
});

test('the inbound count wraps on the wire and nowhere else', () => {
  const management = new StreamManagement<never>(modulus - 2);
  const sequences = Array.from({ length: 4 }, () => management.receive());
  assert.equal(management.handled, modulus - 2);
  for (const sequence of sequences.toReversed()) management.resolve(sequence);
  assert.equal(management.handled, 2);
  assert.equal(management.handledSequence, modulus + 2);
});

test('long queues keep their order when their front is let go of', () => {
  const management = new StreamManagement<number>();
  let sent = 0;
  let acknowledged = 0;
  for (const count of [600, 1, 399, 700]) {
    while (sent < 2_000) management.sent(sent++);
    const delivered = management.acknowledge(acknowledged + count);
    assert(typeof delivered !== 'string');
    assert.deepEqual([delivered.at(0), delivered.length], [acknowledged, count]);
    acknowledged += count;
    assert.equal(management.unacknowledged[0], acknowledged);
  }
});

type Step =
  | { readonly kind: 'receive' }
  | { readonly kind: 'resolve' | 'resolve-again'; readonly pick: number }
  | { readonly kind: 'send' }
  | { readonly kind: 'acknowledge'; readonly pick: number }
  | { readonly kind: 'acknowledge-wrong'; readonly count: number }
  | { readonly kind: 'rewind' };

const pick = fc.nat(1_000);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'receive' }) },
  { weight: 4, arbitrary: pick.map(pick => ({ kind: 'resolve' as const, pick })) },
  { weight: 1, arbitrary: pick.map(pick => ({ kind: 'resolve-again' as const, pick })) },
  { weight: 4, arbitrary: fc.constant<Step>({ kind: 'send' }) },
  { weight: 2, arbitrary: pick.map(pick => ({ kind: 'acknowledge' as const, pick })) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: modulus - 1 }).map(count => ({ kind: 'acknowledge-wrong' as const, count })),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'rewind' }) },
);

test('any sequence of steps agrees with the model', () => {
  const starts = fc.constantFrom(0, modulus - 10, modulus - 1);
  fc.assert(
    fc.property(starts, fc.array(step, { maxLength: 200, size: 'max' }), (start, steps) => {
      const management = new StreamManagement<number>(start);
      const open = new Set<number>();
      let received = start;
      let sent = 0;
      let acknowledged = 0;
      for (const each of steps) {
        switch (each.kind) {
          case 'receive':
            assert.equal(management.receive(), ++received);
            open.add(received);
            break;
          case 'resolve': {
            const sequence = [...open][each.pick % Math.max(1, open.size)];
            if (sequence === undefined) break;
            management.resolve(sequence);
            open.delete(sequence);
            break;
          }
          case 'resolve-again': {
            const sequence = start + 1 + (each.pick % Math.max(1, received - start));
            if (open.has(sequence)) break;
            management.resolve(sequence);
            break;
          }
          case 'send':
            management.sent(sent++);
            break;
          case 'acknowledge': {
            const count = each.pick % (sent - acknowledged + 1);
            const delivered = management.acknowledge((start + acknowledged + count) % modulus);
            assert.deepEqual(
              delivered,
              Array.from({ length: count }, (_, i) => acknowledged + i),
            );
            acknowledged += count;
            break;
          }
          case 'acknowledge-wrong': {
            const ahead = (each.count - ((start + acknowledged) % modulus) + modulus) % modulus;
            if (ahead > sent - acknowledged) assert.equal(management.acknowledge(each.count), 'handled-count-ahead');
            break;
          }
          case 'rewind':
            management.rewind();
            for (const sequence of open) open.delete(sequence);
            received = management.handledSequence;
        }
        // The first open sequence ends what is handled: nothing unresolved is ever counted, and nothing resolved is left out.
        const handled = open.size === 0 ? received : Math.min(...open) - 1;
        assert.equal(management.handledSequence, handled);
        assert.equal(management.handled, handled % modulus);
        assert.equal(management.received, received);
        assert.equal(management.unacknowledgedCount, sent - acknowledged);
      }
      assert.deepEqual(
        management.unacknowledged,
        Array.from({ length: sent - acknowledged }, (_, i) => acknowledged + i),
      );
    }),
    { numRuns: 300 },
  );
});
