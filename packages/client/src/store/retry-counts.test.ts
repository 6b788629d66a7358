// Counts of retries: a person whose devices ask without end pushes out nothing of others, nor the counts of their own devices.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decideRetry, MAX_RETRIES_PER_DEVICE, RETRY_WINDOW_MS } from '@drawbridge/e2ee/retry';
import { openEncryptedStore } from './encrypted-store.ts';
import { keepRetryCounts, listUnread, retryCountsPerPerson, writeUnread } from './inbox-records.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-retry-counts-'));
after(() => rmSync(folder, { recursive: true }));
const quiet = `0-${'a'.repeat(26)}`;
const loud = `1-${'b'.repeat(26)}`;

test('who asks without end pushes out nothing of others, nor what waits to be sent again', async () => {
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const store = opened.value;
  const ask = (person: string, deviceId: number, stanzaId: string, nowMs: number) => {
    const decided = store.transaction(tx => {
      const device = { interopId: person, deviceId };
      const decision = decideRetry('resend', device, stanzaId, nowMs, key => tx.get('retry', key));
      keepRetryCounts(tx, person, decision.rows);
      return decision;
    });
    assert(decided.ok);
    return decided.value;
  };
  for (let i = 0; i < 3; i++) assert(ask(quiet, 1, 'one stanza', 1).allowed);
  assert(!ask(quiet, 1, 'one stanza', 1).allowed);
  const unread = { from: `${quiet}/1`, stanzaId: 'waits', sinceMs: 1 };
  assert(store.transaction(tx => writeUnread(tx, unread)).ok);
  let nowMs = 1;
  for (let hour = 0; hour < 10; hour++) {
    nowMs += RETRY_WINDOW_MS;
    for (let device = 1; device <= 12; device++) {
      for (let i = 0; i < MAX_RETRIES_PER_DEVICE + 2; i++) ask(loud, device, `s-${hour}-${device}-${i}`, nowMs);
    }
  }
  const kept = store.transaction(tx => [tx.count('retry', loud), listUnread(tx, 10).length]);
  assert(kept.ok);
  assert(kept.value[0]! <= retryCountsPerPerson + 12, String(kept.value[0]));
  assert.equal(kept.value[1], 1);
  assert(!ask(loud, 12, 'another', nowMs).allowed, 'a device beyond its quota stays there');
  assert(!ask(quiet, 1, 'one stanza', nowMs).allowed, 'what was counted of others is still counted');
  store.close();
});
