// Numbers that come in any order, twice or not at all: what is missing is exactly what did not come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { countMissing, gapLimits, type Heard, hear } from './gaps.ts';

test('missing is what was left out beneath the highest number, and each late one stands before those that came after it', () => {
  const order = fc.shuffledSubarray(
    Array.from({ length: 40 }, (_, i) => i + 2),
    { minLength: 1 },
  );
  fc.assert(
    fc.property(order, fc.array(fc.nat(45)), (numbers, repeats) => {
      let places = 0;
      let heard: Heard = { next: 2, missing: [] };
      const placeOf = new Map<number, number>();
      const keepPlaces = (count: number): number => {
        places += count;
        return places - count;
      };
      for (const number of [...numbers, ...repeats.filter(each => numbers.includes(each) || each < 2)]) {
        const hearing = hear(heard, number, keepPlaces);
        if (hearing === undefined) {
          assert(placeOf.has(number) || number < 2);
          continue;
        }
        assert(!placeOf.has(number));
        ({ heard } = hearing);
        placeOf.set(number, hearing.place ?? places++);
      }
      const highest = Math.max(...numbers);
      const left = Array.from({ length: highest - 1 }, (_, i) => i + 2).filter(number => !numbers.includes(number));
      assert(heard.missing.length < gapLimits.maxRuns, 'few enough runs for this test');
      assert.equal(countMissing({ one: heard }), left.length);
      const inOrder = numbers.toSorted((a, b) => a - b).map(number => placeOf.get(number)!);
      assert.deepEqual(
        inOrder,
        inOrder.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(inOrder).size, inOrder.length);
    }),
  );
});

test('a device that joins late misses nothing from before; runs and places are bounded', () => {
  assert.deepEqual(hear(undefined, 700, () => assert.fail('no place is kept'))?.heard, { next: 701, missing: [] });
  let heard: Heard = { next: 1, missing: [] };
  let kept = 0;
  for (let number = 2; number < 400; number += 2) {
    heard = hear(heard, number, count => (kept += count))!.heard;
  }
  assert.equal(heard.missing.length, gapLimits.maxRuns);
  kept = 0;
  heard = hear({ next: 1, missing: [] }, 0xffff_ffff, count => (kept += count))!.heard;
  assert.equal(kept, gapLimits.maxPlaces);
  assert.equal(countMissing({ one: heard }), 0xffff_fffe);
});
