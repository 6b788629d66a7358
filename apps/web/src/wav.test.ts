// A WAV file of what a browser recorded: the header that players read, and samples that do not wrap around.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeWav } from './wav.ts';

test('a WAV file has one channel of 16 bits, and too loud is the loudest', async () => {
  const blob = encodeWav(new Float32Array([0, 0.5, -0.5, 1, -1, 3, -3]), 48_000);
  const bytes = Buffer.from(await blob.arrayBuffer());
  assert.equal(bytes.length, 44 + 14);
  assert.equal(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.equal(bytes.toString('latin1', 8, 16), 'WAVEfmt ');
  assert.equal(bytes.readUInt32LE(4), bytes.length - 8);
  // PCM, channels, samples and bytes a second, bytes of a frame, bits.
  assert.deepEqual([bytes.readUInt16LE(20), bytes.readUInt16LE(22)], [1, 1]);
  assert.deepEqual([bytes.readUInt32LE(24), bytes.readUInt32LE(28)], [48_000, 96_000]);
  assert.deepEqual([bytes.readUInt16LE(32), bytes.readUInt16LE(34)], [2, 16]);
  assert.equal(bytes.toString('latin1', 36, 40), 'data');
  assert.equal(bytes.readUInt32LE(40), 14);
  const samples = Array.from({ length: 7 }, (_, at) => bytes.readInt16LE(44 + 2 * at));
  assert.deepEqual(samples, [0, 16_384, -16_383, 32_767, -32_767, 32_767, -32_767]);
});
