// Notices last until they are acknowledged, across restarts, and a flood by one person hides nothing of others.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { listMessages } from '../history/history.ts';
import { writeAccount } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';
import { faultyStore } from '../testing/faulty-store.ts';
import type { NoticeChange } from './notice-change.ts';
import { acknowledgeNotice, addIdentityNotices, addNotice, listNotices } from './notice-records.ts';

const own = `0-${'a'.repeat(26)}`;

test('what concerns this person alone is a line of the chat with oneself, once until it is acknowledged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-notices-'));
  const key = { kind: 'key', key: new Uint8Array(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, 'store.db'), key });
  assert(opened.ok);
  const store = faultyStore(opened.value, (access, table) =>
    isBroken && access === 'write' && table === 'message' ? 'value-too-large' : undefined,
  );
  let isBroken = false;
  const inStore = <T>(work: (tx: Transaction) => T): T => {
    const done = store.transaction(work);
    assert(done.ok);
    return done.value;
  };
  const account = { gatekeeper: 'https://citadel.example', domain: 'citadel.example', deviceId: 1, interopId: own };
  const lines = () => inStore(tx => listMessages(tx, own, { chat: own, limit: 50 })).map(({ message }) => message);
  const changes: readonly NoticeChange[] = [
    { kind: 'own-device-appeared', deviceId: 3 },
    { kind: 'store-restored' },
    { kind: 'gatekeeper-not-certified', reason: 'withheld' },
    { kind: 'unreadable' },
    { kind: 'unsent-damaged' },
    { kind: 'unlisted-device', interopId: own, isOwn: true, deviceId: 4 },
    { kind: 'left-out-device', interopId: own, isOwn: true, deviceId: 5 },
    { kind: 'devices-changed', interopId: own, isOwn: true, added: [6], removed: [] },
    { kind: 'manifest-warning', interopId: own, isOwn: true, warning: 'expired' },
    { kind: 'identity-renewed', interopId: own, isOwn: true, linkAgain: [2] },
    { kind: 'earlier-identity', interopId: own, isOwn: true },
  ];
  // Before there is an account there is no chat.
  assert.deepEqual(
    inStore(tx => addNotice(tx, changes[0]!, 1)),
    [],
  );
  inStore(tx => {
    writeAccount(tx, { ...account, jid: `${own}@citadel.example/1` });
    acknowledgeNotice(tx, listNotices(tx)[0]!);
  });
  for (const change of changes) {
    const [line] = inStore(tx => addNotice(tx, change, 2));
    assert.deepEqual(line?.notice, change);
    assert.deepEqual(
      inStore(tx => addNotice(tx, change, 3)),
      [],
    );
  }
  assert.deepEqual(
    lines().map(({ kind, notice, state }) => ({ kind, notice, state })),
    changes.map(notice => ({ kind: 'notice', notice, state: undefined })),
  );
  // A history that can't be written does not cost the notice.
  inStore(tx => acknowledgeNotice(tx, listNotices(tx).find(({ change }) => change.kind === 'unreadable')!));
  isBroken = true;
  assert.deepEqual(
    inStore(tx => addNotice(tx, { kind: 'unreadable' }, 4)),
    [],
  );
  assert(inStore(listNotices).some(({ change }) => change.kind === 'unreadable'));
  store.close();
  rmSync(folder, { recursive: true });
});

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
