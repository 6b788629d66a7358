// Numbers that come in any order, twice or not at all: what is missing is exactly what did not come.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { countMissing, gapLimits, giveUp, type Heard, hear } from './gaps.ts';

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

test('whoever begins to listen later has the order of whoever was there, and misses nothing from before', () => {
  const arrivals = fc.shuffledSubarray(
    Array.from({ length: 90 }, (_, i) => i + 1),
    { minLength: 2 },
  );
  fc.assert(
    fc.property(arrivals, fc.nat(89), (numbers, said) => {
      // It gets all that is said from then on, in whatever order: what was said before was not encrypted for it.
      const late = numbers.filter(number => number > said);
      const orderOf = (arriving: readonly number[], start: Heard | undefined) => {
        let places = 0;
        let heard = start;
        const placed = arriving.map(number => {
          // Undefined: no place is kept so far back.
          const hearing = hear(heard, number, count => (places += count) - count);
          heard = hearing?.heard ?? heard;
          return { number, place: hearing?.place ?? places++ };
        });
        const order = placed.toSorted((one, other) => one.place - other.place).map(({ number }) => number);
        return { order, missing: heard === undefined ? 0 : countMissing({ one: heard }) };
      };
      const earlier = orderOf(numbers, { next: 1, missing: [] }).order.filter(each => late.includes(each));
      const later = orderOf(late, undefined);
      assert.deepEqual(later.order, earlier);
      const isThere = (number: number): boolean => late.includes(number);
      const from = late.length === 0 ? 1 : late[0]! + 1;
      const left = Array.from({ length: Math.max(0, ...late) - from + 1 }, (_, i) => i + from).filter(
        each => !isThere(each),
      );
      assert.equal(later.missing, left.length);
    }),
  );
});

test('a device that joins late misses nothing from before; of what it overtook the last have places', () => {
  let kept = 0;
  const { heard } = hear(undefined, 700, count => (kept += count) - count)!;
  assert.equal(kept, gapLimits.maxPlaces);
  assert.equal(countMissing({ one: heard }), 0);
  assert.deepEqual(hear(heard, 699, () => assert.fail('places are there'))?.place, gapLimits.maxPlaces - 1);
  assert.equal(
    hear(hear(heard, 699, () => 0)!.heard, 699, () => 0),
    undefined,
    'a repeat',
  );
  assert.equal(hear(undefined, 1, () => assert.fail('nothing comes before the first'))?.heard.free, undefined);
  kept = 0;
  const far = hear({ next: 1, missing: [] }, 0xffff_ffff, count => (kept += count) - count)!.heard;
  assert.equal(kept, gapLimits.maxPlaces);
  assert.equal(countMissing({ one: far }), 0xffff_fffe);
  assert.equal(hear(far, 0xffff_fffe, () => 0)?.place, gapLimits.maxPlaces - 1);
  assert.equal(hear(far, 1, () => 0)?.place, undefined);
});

test('all that is missing is counted, however it is scattered, and what is kept of it is bounded', () => {
  const everyOther = (count: number): Heard => {
    let heard: Heard = { next: 1, missing: [] };
    for (let number = 2; number <= 2 * count; number += 2) ({ heard } = hear(heard, number, () => 0)!);
    return heard;
  };
  assert.equal(countMissing({ one: everyOther(50) }), 50);
  const many = gapLimits.maxRuns + 30;
  let heard = everyOther(many);
  assert.equal(heard.missing.length, gapLimits.maxRuns);
  assert.equal(countMissing({ one: heard }), many);
  // Also those of which only the count is left come after all, and what was heard is heard.
  for (let number = 1; number < 2 * many; number += 2) ({ heard } = hear(heard, number, () => 0)!);
  assert.equal(countMissing({ one: heard }), 0);
  // One that comes out of the middle makes two runs of one.
  let split: Heard = hear({ next: 1, missing: [] }, 10_000, () => 0)!.heard;
  for (let number = 2; number < 10_000; number += 2) ({ heard: split } = hear(split, number, () => 0)!);
  assert(split.missing.length <= gapLimits.maxRuns);
  assert.equal(countMissing({ one: split }), 5_000);
});

test('what was given up is not missing, and stands where it would have when it comes', () => {
  let places = 0;
  const keep = (count: number): number => (places += count) - count;
  const heard = hear({ next: 1, missing: [] }, 4, keep)!.heard;
  const given = giveUp(heard);
  assert.equal(countMissing({ one: given }), 0);
  assert.deepEqual([hear(given, 2, keep)?.place, hear(heard, 2, keep)?.place], [1, 1]);
  assert.equal(countMissing({ one: hear(given, 6, keep)!.heard }), 1);
});
