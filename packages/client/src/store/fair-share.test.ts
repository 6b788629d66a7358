// What waits for a person: one who sends without end pushes out their own, and nothing of others.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openEncryptedStore } from './encrypted-store.ts';
import { keepFairShares } from './fair-share.ts';
import { forgetHeld, writeHeld } from './inbox-records.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-fair-share-'));
after(() => rmSync(folder, { recursive: true }));
const bound = { perPerson: 40, inAll: 100 };

test('each person has a share, and whoever has the most gives way', async () => {
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const store = opened.value;
  let gone: string[] = [];
  const hold = (person: string, count: number): void => {
    const result = store.transaction(tx => {
      for (let i = 0; i < count; i++) {
        const from = `${person}/1`;
        writeHeld(tx, person, { from, stanzaId: `${i}`, kind: 'session', bytes: '' });
        gone.push(...keepFairShares(tx, 'held', person, bound));
      }
    });
    assert(result.ok);
  };
  const rows = (person?: string): number => {
    const result = store.transaction(tx => tx.count('held', person));
    assert(result.ok);
    return result.value;
  };
  // Of a store that did not count them yet.
  assert(
    store.transaction(tx => writeHeld(tx, 'old', { from: 'old/1', stanzaId: 'o', kind: 'session', bytes: '' })).ok,
  );
  hold('quiet', 3);
  hold('loud', 50);
  assert.deepEqual([rows('quiet'), rows('loud')], [3, 40]);
  assert.deepEqual(gone.slice(0, 2), ['loud/1\n0', 'loud/1\n1']);
  gone = [];
  hold('second', 40);
  hold('third', 40);
  assert(rows() <= bound.inAll, String(rows()));
  assert.deepEqual([rows('quiet'), rows('old')], [3, 1]);
  assert(gone.length > 0 && gone.every(key => !key.startsWith('quiet') && !key.startsWith('old')));
  // Many people with one each.
  for (let i = 0; i < 2 * bound.inAll; i++) hold(`p${i}`, 1);
  assert(rows() <= bound.inAll);
  const forgotten = store.transaction(tx => forgetHeld(tx, 'quiet'));
  assert(forgotten.ok);
  store.close();
});
