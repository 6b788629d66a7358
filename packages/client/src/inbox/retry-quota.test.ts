// Counts of retries: nobody's traffic pushes out a count, that of a person's other devices and of a crowd of strangers included.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decideRetry, MAX_RETRIES_PER_DEVICE, RETRY_WINDOW_MS } from '@drawbridge/e2ee/retry';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { deleteUnread, listUnread, writeUnread } from '../store/inbox-records.ts';
import { isSessionDue, keepUnread, retryQuotaLimits, takeRetry } from './retry-quota.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-retry-quota-'));
after(() => rmSync(folder, { recursive: true }));
const person = (n: number): string => `1-${n.toString().padStart(26, 'b')}`;
let stores = 0;

async function openDesk() {
  const path = join(folder, `${stores++}.db`);
  const opened = await openEncryptedStore({ path, key: { kind: 'key', key: new Uint8Array(32) } });
  assert(opened.ok);
  const store = opened.value;
  const inStore: <T>(work: (tx: Parameters<Parameters<typeof store.transaction>[0]>[0]) => T) => T = work => {
    const done = store.transaction(work);
    assert(done.ok);
    return done.value;
  };
  const ask = (interopId: string, deviceId: number, nowMs: number): boolean =>
    inStore(tx => takeRetry(tx, 'request', { interopId, deviceId }, 1, nowMs)).hasQuota;
  const close = (): void => store.close();
  return { inStore, ask, close };
}

test('a device beyond its quota stays there, whatever its person’s other devices ask for', async () => {
  const { ask, inStore, close } = await openDesk();
  for (let i = 0; i < MAX_RETRIES_PER_DEVICE; i++) assert(ask(person(1), 1, 1));
  assert(!ask(person(1), 1, 1));
  inStore(tx => {
    for (let deviceId = 2; deviceId <= 127; deviceId++)
      for (let i = 0; i < MAX_RETRIES_PER_DEVICE + 2; i++)
        takeRetry(tx, 'request', { interopId: person(1), deviceId }, 1, 2);
  });
  assert(!ask(person(1), 1, 3));
  // One row for each device, and none when its hour is over.
  assert.equal(
    inStore(tx => tx.count('retry')),
    127,
  );
  assert(ask(person(1), 1, 1 + RETRY_WINDOW_MS));
  close();
});

test('a crowd of strangers pushes out nobody’s count: beyond the bound a further device is refused', async () => {
  const { ask, inStore, close } = await openDesk();
  for (let i = 0; i < MAX_RETRIES_PER_DEVICE; i++) assert(ask(person(0), 1, 1));
  const { devices } = retryQuotaLimits;
  const stranger = (i: number) => ({ interopId: person(Math.ceil(i / 127)), deviceId: 1 + (i % 127) });
  inStore(tx => {
    // Most of them by their rows alone: each count looks at all that are there.
    for (let i = 1; i < devices - 20; i++) {
      const { row } = decideRetry('request', stranger(i), 1, 2, undefined);
      tx.put('retry', row.key, row.value, stranger(i).interopId);
    }
    for (let i = devices - 20; i <= devices + 20; i++) takeRetry(tx, 'request', stranger(i), 1, 2);
  });
  assert.equal(
    inStore(tx => tx.count('retry')),
    devices,
  );
  assert(!ask(person(0), 1, 3), 'the first one is still counted');
  assert(!ask(person(9_999), 1, 3), 'one more has no place');
  // What is over makes room.
  assert(ask(person(9_999), 1, 2 + RETRY_WINDOW_MS));
  close();
});

test('what waits to be sent again has a share for each person', async () => {
  const { inStore, close } = await openDesk();
  const wait = (n: number, stanzaId: string, asked = 1) =>
    inStore(tx => {
      const gone = keepUnread(tx, { from: `${person(n)}/1`, stanzaId, sinceMs: 1, asked });
      for (const each of gone) deleteUnread(tx, each.from, each.stanzaId);
      return gone.map(each => each.stanzaId);
    });
  const { perPerson, inAll } = retryQuotaLimits.unread;
  assert.deepEqual(wait(0, 'of a quiet one'), []);
  for (let i = 0; i < perPerson; i++) assert.deepEqual(wait(1, `s${i}`), []);
  assert.deepEqual(wait(1, 'one more'), ['s0']);
  // As many others as have room with all of theirs, by their rows alone: what gives way is judged by all that wait.
  const persons = Math.floor(inAll / perPerson);
  inStore(tx => {
    for (let n = 2; n <= persons; n++)
      for (let i = 0; i < perPerson; i++) {
        writeUnread(tx, { from: `${person(n)}/1`, stanzaId: `s${i}`, sinceMs: 1, asked: 1 });
      }
  });
  for (let i = 0; i < 20; i++) wait(persons + 1, `s${i}`);
  const left = inStore(tx => listUnread(tx, 1_000));
  // Of whoever has the most a sixteenth goes at once.
  assert(left.length <= inAll && left.length > inAll - perPerson / 16, String(left.length));
  assert.equal(left[0]?.stanzaId, 'of a quiet one');
  // The same stanza again is one row, with its own count.
  assert.deepEqual(wait(0, 'of a quiet one', 2), []);
  assert.equal(inStore(tx => listUnread(tx, 1))[0]?.asked, 2);
  close();
});

test('a session serves for its own device, for a while, and never from a time that is ahead', async () => {
  const { inStore, close } = await openDesk();
  const [from, other] = [`${person(1)}/1`, `${person(1)}/2`];
  const sessionAtMs = 100_000;
  inStore(tx => keepUnread(tx, { from, stanzaId: 's', sinceMs: sessionAtMs, asked: 1, sessionAtMs }));
  const isDue = (device: string, asked: number, nowMs: number): boolean =>
    inStore(tx => isSessionDue(tx, device, asked, nowMs));
  assert.equal(isDue(from, 1, sessionAtMs), false);
  assert.equal(isDue(from, 2, sessionAtMs), true, 'what came in it could not be read');
  assert.equal(isDue(other, 1, sessionAtMs), true);
  assert.equal(isDue(from, 1, sessionAtMs + retryQuotaLimits.sessionMs), true);
  assert.equal(isDue(from, 1, sessionAtMs - 1), true, 'the clock was set back');
  close();
});
