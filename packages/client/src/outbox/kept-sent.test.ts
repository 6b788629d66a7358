// What is kept to be sent again has a bound in rows and bytes, for each person and in all, and nobody's traffic pushes out what
// is kept for somebody with less.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { readSent } from '../store/outbox-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { keepSent, keptSentLimits } from './kept-sent.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-kept-sent-'));
after(() => rmSync(folder, { recursive: true }));
const person = (n: number): string => `1-${String.fromCharCode(97 + n).repeat(26)}`;
let stores = 0;

async function open(): Promise<EncryptedStore> {
  const path = join(folder, `${stores++}.db`);
  const opened = await openEncryptedStore({ path, key: { kind: 'key', key: new Uint8Array(32) } });
  assert(opened.ok);
  return opened.value;
}

function keep(store: EncryptedStore, to: string, ids: readonly string[], bytes = 100): void {
  const content = 'x'.repeat(bytes);
  const done = store.transaction(tx => {
    for (const id of ids) keepSent(tx, id, { to, content, sentAtMs: 1 });
  });
  assert(done.ok);
}

function there(store: EncryptedStore, ids: readonly string[]): number {
  const found = store.transaction(tx => ids.filter(id => readSent(tx, id, 1) !== undefined).length);
  assert(found.ok);
  return found.value;
}

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

test('one person is bounded by rows and by bytes, and the newest stay', async () => {
  const store = await open();
  const { rows, bytes } = keptSentLimits.perPerson;
  const ids = names('a', rows + 50);
  keep(store, person(0), ids);
  assert.equal(there(store, ids), rows);
  assert.equal(there(store, ids.slice(-rows)), rows);
  const large = names('b', 100);
  keep(store, person(1), large, 60_000);
  assert.equal(there(store, large), Math.floor(bytes / 60_000));
  // The same stanza again is one row.
  keep(store, person(2), ['same', 'same', 'same']);
  keep(store, person(2), names('c', rows - 1));
  assert.equal(there(store, ['same']), 1);
  store.close();
});

test('busy people push out each other, and nothing of who has little', async () => {
  const store = await open();
  const quiet = names('quiet', 10);
  keep(store, person(0), quiet);
  const busy: string[] = [];
  for (let n = 1; n < 12; n++) {
    const ids = names(`busy${n}`, 200);
    busy.push(...ids);
    keep(store, person(n), ids);
  }
  assert.equal(there(store, quiet), quiet.length);
  const kept = there(store, busy) + quiet.length;
  assert(kept <= keptSentLimits.inAll.rows && kept > keptSentLimits.inAll.rows / 2, String(kept));
  store.close();
});

test('all of it is bounded in bytes', async () => {
  const store = await open();
  keep(store, person(0), ['small'], 1_000);
  const all: string[] = [];
  for (let n = 1; n < 14; n++) {
    const ids = names(`large${n}`, 60);
    all.push(...ids);
    keep(store, person(n), ids, 60_000);
  }
  assert(there(store, all) * 60_000 <= keptSentLimits.inAll.bytes);
  assert.equal(there(store, ['small']), 1);
  store.close();
});
