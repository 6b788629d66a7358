// A rise of more than a tenth is caught, less is not, and what can't be compared is said.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareCounts, type Counts, isCountedFile } from './compare-counts.ts';

const bytes = 'XML: bytes allocated on the heap per message';
const writes = 'XML: writes per message';
const statements = 'XML: SQL statements per message';
const pages = 'drained: SQL statements per message';
const known = { node: 'v26.10.0', counts: { [bytes]: 10_000, [writes]: 2, [statements]: 0, [pages]: 0.0045 } };

function failures(changed: Counts, node = known.node): readonly string[] {
  return compareCounts(known, { node, counts: { ...known.counts, ...changed } }).failures;
}

test('planted regressions are caught', () => {
  assert.deepEqual(failures({ [bytes]: 11_001 }), [`${bytes}: 11001, was 10000`]);
  assert.deepEqual(failures({ [writes]: 3 }), [`${writes}: 3, was 2`]);
  // What was nothing must stay nothing: a tenth of it would be.
  assert.deepEqual(failures({ [statements]: 0.01 }), [`${statements}: 0.01, was 0`]);
  assert.deepEqual(failures({ [pages]: 0.01 }), [`${pages}: 0.01, was 0.0045`]);
  assert.match(compareCounts(known, { ...known, counts: { ...known.counts, [writes]: 3 } }).lines[1]!, /^WORSE /);
});

test('a tenth more, and less, is borne; so is a page more or less', () => {
  assert.deepEqual(failures({}), []);
  assert.deepEqual(failures({ [bytes]: 11_000, [writes]: 1, [pages]: 0.0055 }), []);
});

test('bytes of another engine are not compared, everything else is', () => {
  assert.deepEqual(failures({ [bytes]: 90_000 }, 'v28.0.0'), []);
  assert.deepEqual(failures({ [writes]: 3 }, 'v28.0.0'), [`${writes}: 3, was 2`]);
});

test('a count that is new, one that is gone, and no file at all are failures', () => {
  assert.match(failures({ other: 1 })[0]!, /^other: new/);
  const { [writes]: gone, ...rest } = known.counts;
  assert.equal(gone, 2);
  assert.match(compareCounts(known, { node: known.node, counts: rest }).failures[0]!, /no longer counted/);
  assert.deepEqual(compareCounts(undefined, known).failures, ['there is nothing to compare with']);
  assert.ok(isCountedFile(known));
  for (const damaged of [undefined, 7, {}, { node: 1, counts: {} }, { node: 'v', counts: { a: 'b' } }]) {
    assert.ok(!isCountedFile(damaged));
  }
});
