import { test } from 'node:test';
import { fuzzCompactConnection } from './testing/compact-connection-fuzz.ts';

test('attacked connections keep the laws', () => {
  for (const seed of [1, 2, 3]) fuzzCompactConnection(seed, 400);
});
