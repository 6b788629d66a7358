// A disk that mail and own users' files share: uploads stop while mail can still be kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDiskRoom } from '@drawbridge/provider/media-origin/disk-room';
import { defaultMediaLimits } from '@drawbridge/provider/media-origin/media-options';
import { defaultDiskReserveBytes } from './disk-reserve.ts';

test('on every disk of 320 MiB and up, no upload touches what mail has left', async () => {
  for (const sizeMib of [320, 400, 1_024, 5_120, 100_000, 10_000_000]) {
    const sizeBytes = sizeMib * 1_048_576;
    const room = createDiskRoom(async () => ({ freeBytes: defaultDiskReserveBytes, sizeBytes }), defaultMediaLimits);
    assert.equal(await room.fits(1, 0), false, `${sizeMib} MiB`);
    const empty = createDiskRoom(async () => ({ freeBytes: sizeBytes, sizeBytes }), defaultMediaLimits);
    assert.equal(await empty.fits(sizeBytes / 2, 0), true, `${sizeMib} MiB`);
  }
});
