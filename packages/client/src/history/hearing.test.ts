// Numbers that are heard, in a real store: counted for each device and identity key, told when the count changes, forgotten with
// the device.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readChat, writeChat } from '../store/message-records.ts';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import { countMissing, gapLimits, hear } from './gaps.ts';
import { forgetDevices, forgetMissing, hearNumber, hearPlaced } from './hearing.ts';
import { chatWith } from './message-names.ts';

const folder = mkdtempSync(join(tmpdir(), 'drawbridge-hearing-'));
after(() => rmSync(folder, { recursive: true }));
const anna = `1-${'a'.repeat(26)}`;
const bob = `0-${'b'.repeat(26)}`;

test('however many devices leave out however many numbers, all are counted, and the chat’s record stays small', async () => {
  const opened = await openEncryptedStore({
    path: join(folder, 'many.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const chat = chatWith(anna);
  const devices = Math.ceil(gapLimits.maxRunsInChat / gapLimits.maxRuns) + 2;
  const done = opened.value.transaction(tx => {
    const last = 2 * gapLimits.maxRuns + 1;
    let told: number | undefined;
    for (let deviceId = 1; deviceId <= devices; deviceId++) {
      const from = { address: { interopId: anna, deviceId }, identity: 'one key' };
      for (const number of [1, 3]) hearNumber(tx, chat, from, number);
      // Most of it at once: each number writes the record.
      const record = readChat(tx, chat);
      const device = Object.keys(record.heard ?? {}).find(each => each.startsWith(`${anna}/${deviceId} `))!;
      let heard = record.heard![device]!;
      for (let number = 5; number <= last; number += 2) ({ heard } = hear(heard, number, () => tx.newPlace())!);
      writeChat(tx, { ...record, heard: { ...record.heard, [device]: heard } });
      told = hearNumber(tx, chat, from, last + 2)?.missing;
    }
    const { heard = {} } = readChat(tx, chat);
    const runs = Object.values(heard).reduce((sum, each) => sum + each.missing.length, 0);
    return { told, count: countMissing(heard), runs, bytes: JSON.stringify(heard).length };
  });
  assert(done.ok);
  const { told, count, runs, bytes } = done.value;
  assert.equal(count, devices * (gapLimits.maxRuns + 1));
  assert.equal(told, count);
  assert(runs <= gapLimits.maxRunsInChat, String(runs));
  assert(bytes < 128 * 1_024, String(bytes));
  opened.value.close();
});

test('each device and key has numbers of its own; a count is told when it changes; removed devices are forgotten', async () => {
  const opened = await openEncryptedStore({
    path: join(folder, 'store.db'),
    key: { kind: 'key', key: new Uint8Array(32) },
  });
  assert(opened.ok);
  const store = opened.value;
  const chat = chatWith(anna);
  const hear = (interopId: string, deviceId: number, number: number, identity = 'one key') => {
    const heard = store.transaction(tx => hearNumber(tx, chat, { address: { interopId, deviceId }, identity }, number));
    assert(heard.ok);
    return heard.value?.missing;
  };
  const missing = (): number => {
    const count = store.transaction(tx => countMissing(readChat(tx, chat).heard));
    assert(count.ok);
    return count.value;
  };
  assert.equal(hear(anna, 1, 5), undefined);
  assert.equal(hear(anna, 1, 6), undefined);
  assert.equal(hear(anna, 1, 9), 2);
  assert.equal(hear(anna, 1, 9), undefined, 'a repeat');
  assert.equal(hear(anna, 11, 1), undefined, 'another device');
  assert.equal(hear(anna, 11, 3), 3);
  assert.equal(hear(bob, 2, 1), undefined, 'of this person');
  assert.equal(hear(bob, 2, 4), 5);
  assert.equal(hear(anna, 1, 7), 4, 'one came late');
  assert.equal(hear(anna, 1, 1, 'a new key'), undefined, 'counts from its own beginning');
  const none = store.transaction(tx => forgetDevices(tx, bob, anna, [3]));
  assert(none.ok && missing() === 4);
  const gone = store.transaction(tx => forgetDevices(tx, bob, anna, [1]));
  assert(gone.ok);
  assert.equal(missing(), 3, 'device 11 is another than 1');
  assert.equal(hear(anna, 1, 1), undefined);
  assert.equal(hear(anna, 1, 3), 4, 'its number was given again');
  const own = store.transaction(tx => forgetDevices(tx, bob, bob, [2]));
  assert(own.ok);
  assert.equal(missing(), 2);
  const dismissed = store.transaction(tx => [forgetMissing(tx, chat), forgetMissing(tx, chat)]);
  assert.deepEqual(dismissed.ok && dismissed.value, [true, false]);
  assert.equal(missing(), 0);
  assert.equal(hear(anna, 1, 2), undefined, 'what comes after all is taken, and nothing is told');
  const placed = store.transaction(tx => [hearPlaced(tx, chat, 1), hearPlaced(tx, chat, 3), hearPlaced(tx, chat, 2)]);
  assert(placed.ok && placed.value[0] === undefined && placed.value[1] === undefined && placed.value[2] !== undefined);
  assert.equal(missing(), 0, 'what this device says itself is not missing');
  store.close();
});
