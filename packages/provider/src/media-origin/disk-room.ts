// How much of the disk uploads may still take. A part is kept free for what must be written all the same: mailboxes of a
// gatekeeper on the same disk, databases, logs. What uploads under way were promised counts as taken.
// Knows nothing of people or files. Source: docs/threat-model.md, threat 12.

import { statfs } from 'node:fs/promises';

export type DiskFigures = { readonly freeBytes: number; readonly sizeBytes: number };

/** Asks the file system of a folder. A port: tests bring a disk of their own. */
export type MeasureDisk = () => Promise<DiskFigures>;

export function measureDisk(folder: string): MeasureDisk {
  return async () => {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  };
}

export type DiskReserve = {
  /** Kept free on a large disk. */
  readonly reserveBytes: number;
  /** Kept free on a small one, in hundredths of its size; the smaller of the two counts. */
  readonly reservePercent: number;
};

export type DiskRoom = {
  /** Whether an upload of this size fits, next to `promisedBytes` that others were promised and haven't sent. */
  readonly fits: (sizeBytes: number, promisedBytes: number) => Promise<boolean>;
};

export function createDiskRoom(measure: MeasureDisk, reserve: DiskReserve): DiskRoom {
  return {
    async fits(sizeBytes, promisedBytes) {
      const disk = await measure();
      const keptBytes = Math.min(reserve.reserveBytes, (disk.sizeBytes * reserve.reservePercent) / 100);
      return sizeBytes + promisedBytes <= disk.freeBytes - keptBytes;
    },
  };
}
