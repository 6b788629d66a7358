// Notices last until they are acknowledged, across restarts, and a flood by one person hides nothing of others.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { acknowledgeNotice, addIdentityNotices, addNotice, listNotices } from './notice-records.ts';

const changed = (interopId: string, from: string, to: string) => ({
  kind: 'identity-changed' as const,
  interopId,
  oldFingerprint: from,
  newFingerprint: to,
  newIdentityKey: new Uint8Array([1, 2]),
  needsAcceptance: true,
});

test('a notice lasts until it is acknowledged, and an acknowledgement takes no later change along', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-notices-'));
  const open = async () => {
    const key = { kind: 'key', key: new Uint8Array(32) } as const;
    const opened = await openEncryptedStore({ path: join(folder, 'store.db'), key });
    assert(opened.ok);
    return opened.value;
  };
  let store = await open();
  const inStore: typeof store.transaction = work => store.transaction(work);
  inStore(tx => {
    addIdentityNotices(tx, [{ kind: 'identity-first-seen', interopId: 'a', fingerprint: '1' }], 1);
    addIdentityNotices(tx, [changed('a', '1', '2')], 2);
    addNotice(tx, { kind: 'own-device-appeared', deviceId: 3 }, 3);
    for (let i = 2; i < 100; i++) addIdentityNotices(tx, [changed('a', String(i), String(i + 1))], 4);
  });
  store.close();
  store = await open();
  const listed = inStore(listNotices);
  assert(listed.ok);
  const [device, identity] = listed.value;
  assert.equal(listed.value.length, 2);
  assert.deepEqual(device!.change, { kind: 'own-device-appeared', deviceId: 3 });
  assert.equal(identity!.times, 99);
  assert.deepEqual(identity!.change, changed('a', '1', '100'), 'from the key that a person knew to the latest');
  inStore(tx => {
    addIdentityNotices(tx, [changed('a', '100', '101')], 5);
    acknowledgeNotice(tx, identity!);
    acknowledgeNotice(tx, device!);
  });
  const left = inStore(listNotices);
  assert(left.ok && left.value.length === 1);
  assert.deepEqual(left.value[0]!.change, changed('a', '1', '101'));
  inStore(tx => acknowledgeNotice(tx, left.value[0]!));
  assert.deepEqual(inStore(listNotices), { ok: true, value: [] });
  store.close();
  rmSync(folder, { recursive: true });
});
