// Shares of senders: what comes and goes, whatever is removed twice or was there before.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SenderShares } from './sender-shares.ts';

const max = { count: 3, bytes: 1_000 };

test('a share is full by messages or by bytes, and has room again', () => {
  const shares = new SenderShares();
  assert.ok(shares.hasRoom('anna', 5_000, max), 'who has nothing waiting may send one of any size');
  for (let i = 0; i < 3; i++) shares.add('anna', 100);
  assert.ok(!shares.hasRoom('anna', 1, max));
  assert.ok(shares.hasRoom('bert', 1_000, max), 'others have their own');
  shares.remove('anna', 100);
  assert.ok(shares.hasRoom('anna', 800, max));
  assert.ok(!shares.hasRoom('anna', 801, max));
  shares.resize('anna', 500);
  assert.ok(!shares.hasRoom('anna', 301, max));
  shares.resize('anna', -600);
  assert.ok(shares.hasRoom('anna', 900, max));
});

test('what was there before counting began makes no room that is not there', () => {
  const shares = new SenderShares();
  shares.remove('anna', 50);
  shares.add('anna', 400);
  shares.add('anna', 400);
  shares.remove('anna', 60_000);
  assert.ok(shares.hasRoom('anna', 1_000, max));
  assert.ok(!shares.hasRoom('anna', 1_001, max));
  shares.resize('nobody', 7);
  shares.remove('anna', 1);
  shares.remove('anna', 1);
  for (let i = 0; i < 3; i++) shares.add('anna', 1);
  assert.ok(!shares.hasRoom('anna', 1, max));
});
