// What counts promise: nothing is stored for people who are there, and one transaction serves many messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countAll } from './counts.ts';

test('a message to somebody who is there costs no statement; stored messages share transactions', async () => {
  const counts = await countAll();
  for (const carrier of ['XML', 'compact']) {
    assert.equal(counts[`${carrier}: SQL statements per message`], 0);
    assert.equal(counts[`${carrier}: writes per message (message, acknowledgement)`], 2);
    assert.ok(counts[`${carrier}: bytes allocated on the heap per message`]! > 1_000);
  }
  assert.equal(counts['stored: transactions per message (10 in a read)'], 0.1);
  assert.equal(counts['stored: SQL statements per message'], 1);
});
