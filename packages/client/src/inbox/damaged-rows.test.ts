// A byte flips on the disk in a row of what came and waits, or of what is kept: that row is gone and told, the others are there, and
// nothing that needs them fails.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { MAX_RETRIES_PER_DEVICE } from '@drawbridge/e2ee/retry';
import { record } from '../history/history.ts';
import { chatWith } from '../history/message-names.ts';
import { addNotice, listNotices } from '../notices/notice-records.ts';
import { forgetAsked, keepAsked, listAsked } from '../outbox/asked-again.ts';
import { keepSent } from '../outbox/kept-sent.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { keepFairShares } from '../store/fair-share.ts';
import { listHeld, listUnread, writeHeld, writeUnread } from '../store/inbox-records.ts';
import { readEntry } from '../store/message-records.ts';
import { forgetSent, readSent } from '../store/outbox-records.ts';
import { type StoreTable, tables, type Transaction } from '../store/store.ts';
import { soundly } from './damaged-rows.ts';
import { forgetRetries, keepUnread, takeRetry } from './retry-quota.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-damaged-'));
after(() => rmSync(folder, { recursive: true }));
const anna = `0-${'a'.repeat(26)}`;
const bob = `1-${'b'.repeat(26)}`;
const nowMs = 1_800_000_000_000;
let stores = 0;

/** What `write` leaves, with one byte flipped in the `at`-th row of this table, for `read`. */
async function damaged<T>(
  table: StoreTable,
  write: (tx: Transaction) => void,
  read: (tx: Transaction) => T,
  at = 1,
): Promise<T> {
  const path = join(folder, `${stores++}.db`);
  const open = async () => {
    const opened = await openEncryptedStore({ path, key: { kind: 'key', key: new Uint8Array(32) } });
    assert(opened.ok);
    return opened.value;
  };
  const before = await open();
  assert(before.transaction(write).ok);
  before.close();
  const db = new DatabaseSync(path);
  const rows = db.prepare('SELECT sequence, value FROM row WHERE kind = ? ORDER BY sequence').all(tables[table]);
  const value = Buffer.from(rows[at]!['value'] as Uint8Array);
  value[value.length >> 1]! ^= 0x10;
  db.prepare('UPDATE row SET value = ? WHERE sequence = ?').run(value, rows[at]!['sequence'] ?? null);
  db.close();
  const store = await open();
  const result = store.transaction(read);
  assert(result.ok, result.ok ? '' : result.error.code);
  store.close();
  return result.value;
}

const noticed = (tx: Transaction): string[] => listNotices(tx).map(({ change, times }) => `${change.kind} ${times}`);
const ids = ['one', 'two', 'three'];

test('what waits for an acceptance: the others are read, also where shares are counted', async () => {
  const hold = (tx: Transaction, stanzaId: string): void =>
    writeHeld(tx, bob, { from: `${bob}/1`, stanzaId, kind: 'session', bytes: 'AAAA' });
  const write = (tx: Transaction): void => ids.forEach(id => hold(tx, id));
  const list = (tx: Transaction) => soundly(tx, nowMs, () => listHeld(tx, bob, {})).map(({ held }) => held.stanzaId);
  const found = await damaged('held', write, tx => [list(tx), list(tx), noticed(tx)]);
  assert.deepEqual(found, [['one', 'three'], ['one', 'three'], ['unreadable 1']]);
  const bound = { perPerson: 2, inAll: 10 };
  const gone = await damaged('held', write, tx => {
    hold(tx, 'four');
    const keys = soundly(tx, nowMs, () => keepFairShares(tx, 'held', bob, bound));
    return [keys, list(tx), noticed(tx)];
  });
  assert.deepEqual(gone, [[`${bob}/1\none`], ['three', 'four'], ['unreadable 1']]);
});

test('what a person decides about: the other requests stand, and it can be asked for again', async () => {
  const asked = (stanzaId: string) => ({ interopId: bob, deviceId: 1, stanzaId, fingerprint: 'f', atMs: nowMs });
  const write = (tx: Transaction): void => {
    for (const id of ids) {
      keepSent(tx, id, { to: bob, content: 'AAAA', sentAtMs: nowMs });
      keepAsked(tx, asked(id));
    }
  };
  const list = (tx: Transaction) => soundly(tx, nowMs, () => listAsked(tx, nowMs)).map(({ stanzaId }) => stanzaId);
  const found = await damaged('asked', write, tx => {
    soundly(tx, nowMs, () => forgetAsked(tx, nowMs));
    const left = list(tx);
    keepAsked(tx, asked('two'));
    return [left, list(tx), noticed(tx)];
  });
  assert.deepEqual(found, [['one', 'three'], ['one', 'three', 'two'], ['unsent-damaged 1']]);
});

test('what waits to be sent again, and what counts it: the others wait on, a count begins again', async () => {
  const write = (tx: Transaction): void => {
    for (const stanzaId of ids) writeUnread(tx, { from: `${bob}/1`, stanzaId, sinceMs: nowMs });
  };
  const list = (tx: Transaction) => soundly(tx, nowMs, () => listUnread(tx, 10)).map(({ stanzaId }) => stanzaId);
  const found = await damaged('unread', write, tx => {
    soundly(tx, nowMs, () => forgetRetries(tx, nowMs));
    const four = { from: `${bob}/1`, stanzaId: 'four', sinceMs: nowMs };
    const gone = soundly(tx, nowMs, () => keepUnread(tx, four));
    return [list(tx), gone, noticed(tx)];
  });
  assert.deepEqual(found, [['one', 'three', 'four'], [], ['unreadable 1']]);
  const device = { interopId: bob, deviceId: 1 };
  const count = (tx: Transaction) => takeRetry(tx, 'resend', device, 1, nowMs).hasQuota;
  const spend = (tx: Transaction): void => {
    for (let i = 0; i <= MAX_RETRIES_PER_DEVICE; i++) count(tx);
  };
  assert.equal(await damaged('retry', spend, tx => soundly(tx, nowMs, () => count(tx)), 0), true);
});

test('what is kept to be sent again: it is not there any more, and deleting its message works', async () => {
  const message = { author: anna, id: 'c'.repeat(32), chat: chatWith(bob) };
  const write = (tx: Transaction): void => {
    const body = { kind: 'text', text: 'secret' } as const;
    record(tx, anna, message, { kind: 'posted', posted: { body, sentAtMs: 1, receivedAtMs: 1 } });
    record(tx, anna, message, { kind: 'carried', stanzas: ['two'] });
    for (const id of ids) keepSent(tx, id, { to: bob, content: 'AAAA', sentAtMs: nowMs });
  };
  const there = (tx: Transaction): string[] => ids.filter(id => readSent(tx, id, nowMs) !== undefined);
  const found = await damaged('sent', write, tx => {
    record(tx, anna, message, { kind: 'gone', why: 'deleted' });
    return [readEntry(tx, anna, message.id)?.gone, there(tx), tx.count('sent')];
  });
  assert.deepEqual(found, ['deleted', ['one', 'three'], 2]);
  const swept = await damaged('sent', write, tx => {
    forgetSent(tx, nowMs, 100);
    for (const id of ['four', 'five']) keepSent(tx, id, { to: bob, content: 'AAAA', sentAtMs: nowMs });
    return [there(tx), tx.count('sent')];
  });
  assert.deepEqual(swept, [['one', 'three'], 4]);
});

test('a notice: the others are listed, and it can be said again', async () => {
  const write = (tx: Transaction): void => {
    addNotice(tx, { kind: 'store-restored' }, nowMs);
    addNotice(tx, { kind: 'unreadable' }, nowMs);
    addNotice(tx, { kind: 'unsent-damaged' }, nowMs);
  };
  const kinds = await damaged('notice', write, tx => {
    addNotice(tx, { kind: 'unreadable' }, nowMs);
    return noticed(tx);
  });
  assert.deepEqual(kinds, ['store-restored 1', 'unsent-damaged 1', 'unreadable 1']);
  assert.deepEqual(await damaged('notice', write, noticed), ['store-restored 1', 'unsent-damaged 1']);
});
