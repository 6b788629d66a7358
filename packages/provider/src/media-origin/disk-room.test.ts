// The reserve on large and small disks, as figures.
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { createDiskRoom, measureDisk } from './disk-room.ts';

const reserve = { reserveBytes: 1_000_000, reservePercent: 10 };
const room = (freeBytes: number, sizeBytes: number) => createDiskRoom(async () => ({ freeBytes, sizeBytes }), reserve);

test('a large disk keeps the bytes, a small one its share, and promises count', async () => {
  const large = room(5_000_000, 100_000_000);
  assert.equal(await large.fits(4_000_000, 0), true);
  assert.equal(await large.fits(4_000_001, 0), false);
  assert.equal(await large.fits(3_000_000, 1_000_001), false);
  const small = room(500_000, 1_000_000);
  assert.equal(await small.fits(400_000, 0), true);
  assert.equal(await small.fits(400_001, 0), false);
});

test('nothing fits when the reserve is reached, not even an empty file', async () => {
  assert.equal(await room(99_999, 1_000_000).fits(0, 0), false);
});

test('a real disk has figures', async () => {
  const { freeBytes, sizeBytes } = await measureDisk(tmpdir())();
  assert.ok(freeBytes >= 0 && sizeBytes >= freeBytes);
});
