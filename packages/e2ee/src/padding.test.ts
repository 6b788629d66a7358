import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { PADDING_STEP_BYTES, padContent, unpadContent } from './padding.ts';

test('padding is undone exactly, and shows only the number of steps', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_000 }), content => {
      const padded = padContent(content);
      assert.equal(padded.length % PADDING_STEP_BYTES, 0);
      assert(padded.length - content.length <= PADDING_STEP_BYTES && padded.length > content.length);
      assert.deepEqual(Uint8Array.from(unpadContent(padded)!), content);
    }),
  );
});

test('content that ends like padding survives', () => {
  for (const tail of [[0x80], [0x80, 0], [0, 0, 0], [0x80, 0, 0x80]]) {
    assert.deepEqual([...unpadContent(padContent(Uint8Array.from(tail)))!], tail);
  }
});

test('whatever is not padding is refused, and what is accepted is canonical', () => {
  assert.equal(unpadContent(new Uint8Array()), undefined);
  assert.equal(unpadContent(new Uint8Array(160)), undefined);
  assert.equal(unpadContent(new Uint8Array(159).fill(0x80)), undefined);
  const tooMuch = new Uint8Array(320);
  tooMuch[10] = 0x80;
  assert.equal(unpadContent(tooMuch), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 330 }), bytes => {
      const content = unpadContent(bytes);
      if (content !== undefined) assert.deepEqual(padContent(content), bytes);
    }),
  );
});
