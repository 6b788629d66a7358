// What the media process says is believed as little as what a stranger says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAnswer } from './answer.ts';

test('a whole answer is read; what doesn’t belong is left out', () => {
  const facts = {
    mediaType: 'image/png',
    width: 3,
    height: 2,
    durationMs: 0,
    blurhash: 'L',
    thumbnail: new Uint8Array(3),
    waveform: new Uint8Array(2),
    animated: true,
  } as const;
  assert.deepEqual(parseAnswer({ kind: 'prepared', facts: { ...facts, key: new Uint8Array(64), url: 'https://x' } }), {
    kind: 'prepared',
    facts,
  });
  const odd = { width: 3, height: -1, durationMs: 0.5, blurhash: 'x'.repeat(129), thumbnail: new Uint8Array(16_385) };
  assert.deepEqual(parseAnswer({ kind: 'prepared', facts: { mediaType: '', ...odd, waveform: 'no', animated: 1 } }), {
    kind: 'prepared',
    facts: { mediaType: '' },
  });
  const refusal = { kind: 'refused', code: 'media-too-large', detail: 'more' };
  assert.deepEqual(parseAnswer(refusal), refusal);
  assert.equal(parseAnswer({ kind: 'refused', code: 'sesame' }).kind, 'refused');
});

test('anything else is a refusal', () => {
  fc.assert(
    fc.property(fc.anything(), value => {
      assert.ok(['prepared', 'refused'].includes(parseAnswer(value).kind));
      assert.equal(parseAnswer({ kind: 'prepared', facts: value }).kind === 'prepared', hasMediaType(value));
    }),
  );
});

function hasMediaType(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'mediaType' in value && typeof value.mediaType === 'string';
}
