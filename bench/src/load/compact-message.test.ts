import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { encodeCompact } from '@drawbridge/wire/compact-encoder';
import { compactContext } from '@drawbridge/wire/compact-value';
import { CompactMessage } from './compact-message.ts';
import type { Person } from './target.ts';

test('a message made from bytes is the one made from its tree, whatever its id', () => {
  const people = ['u7x2k5q4z3m6n2p7r4s5t6v2w3', 'ada'].map(
    local => ({ bareJid: `${local}@citadel.localhost`, device: 3 }) as Person,
  );
  const context = compactContext('citadel.localhost');
  for (const [from, to] of [
    [people[0]!, people[1]!],
    [people[1]!, people[0]!],
  ]) {
    const message = new CompactMessage(from!, to!, randomBytes(400));
    for (const id of ['m1', 'm1x', 'r123456789', '12345678', 'deadbeefdeadbeef']) {
      assert.deepEqual(encodeCompact(message.withId(id), context), encodeCompact(message.tree(id), context), id);
    }
  }
});
