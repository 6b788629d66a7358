// Wrapping: nothing is lost, no line is too wide, whatever is written.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { columnsOf, wrap } from './wrap.ts';

test('lines break between words, and go on under their beginning', () => {
  assert.equal(wrap('  one two three four five', 20), '  one two three four\n  five');
  assert.equal(wrap('/to PROVIDER   write to somebody', 24, 4), '/to PROVIDER   write to\n    somebody');
  assert.equal(wrap('short', 20), 'short');
  assert.equal(wrap('x'.repeat(45), 20), `${'x'.repeat(20)}\n${'x'.repeat(20)}\n${'x'.repeat(5)}`);
});

test('colours take no room, East Asian signs and pictures take two columns', () => {
  assert.equal(columnsOf('\u001b[36mbob\u001b[39m'), 3);
  assert.equal(columnsOf('日本 👍'), 7);
  assert.equal(
    wrap(`\u001b[36m${'a '.repeat(10).trim()}\u001b[39m`, 20),
    `\u001b[36m${'a '.repeat(10).trim()}\u001b[39m`,
  );
});

test('property: every word stays, in order, and no line is wider than asked', () => {
  const words = fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), { maxLength: 30 });
  fc.assert(
    fc.property(words, fc.integer({ min: 20, max: 100 }), (list, width) => {
      const text = list.join(' ').replaceAll(/[\p{C}\s]/gu, ' ');
      const lines = wrap(text, width).split('\n');
      for (const line of lines) assert.ok(columnsOf(line) <= width, JSON.stringify(line));
      assert.equal(lines.join('').replaceAll(' ', ''), text.replaceAll(' ', ''));
    }),
  );
});
