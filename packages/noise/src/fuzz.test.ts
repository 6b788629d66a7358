import { test } from 'node:test';
import { fuzzNoise } from './testing/fuzz.ts';

test('attacked sessions keep the laws', () => {
  for (const seed of [1, 2, 3]) fuzzNoise(seed, 400);
});
