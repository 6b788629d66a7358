// Room on the disk. What can grow without end (mailboxes) is refused while there is still some left, so that what is
// small or makes room always finds some: removals, logins, and moving the log into the tables, without which the log
// itself could never be used again. Runs in the writer.
// Knows nothing of what is written.
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { prepared } from './prepared.ts';

/** More than the log holds before it has been moved into the tables, a full group commit included. */
export const defaultDiskReserveBytes = 64 * 1024 * 1024;
/** Others write to the disk too: what was found is believed for so long. */
const believeMs = 50;

/** Nothing was written; the command fails with `disk-full`, others of its batch do not. */
export class DiskReserveReached extends Error {}

type Reserve = {
  readonly bytes: number;
  readonly freeOnDisk: (folder: string) => number;
  roomBytes: number;
  measuredAtMs: number;
};
const reserves = new WeakMap<DatabaseSync, Reserve>();

/** Keeps that many bytes free for what must always be written. Without this call a connection keeps none. */
export function keepDiskReserve(db: DatabaseSync, bytes: number, freeOnDisk = freeBytesOf): void {
  reserves.set(db, { bytes, freeOnDisk, roomBytes: 0, measuredAtMs: Number.NEGATIVE_INFINITY });
}

/** Call before writing `sizeBytes` of what can wait. Throws `DiskReserveReached` when that would use up the reserve. */
export function takeRoom(db: DatabaseSync, sizeBytes: number, nowMs: number): void {
  const reserve = reserves.get(db);
  if (reserve === undefined) return;
  if (nowMs - reserve.measuredAtMs >= believeMs) {
    reserve.roomBytes = measureRoom(db, reserve.freeOnDisk);
    reserve.measuredAtMs = nowMs;
  }
  // Once in the log and once in the tables.
  const neededBytes = 2 * sizeBytes;
  if (reserve.roomBytes - neededBytes < reserve.bytes) {
    throw new DiskReserveReached('database or disk is full, but for what is kept free to make room again');
  }
  reserve.roomBytes -= neededBytes;
}

/** Bytes that can be written: free on the disk, and free inside the database's file. Unlimited in memory. */
function measureRoom(db: DatabaseSync, freeOnDisk: (folder: string) => number): number {
  const file = db.location();
  if (file === null) return Number.POSITIVE_INFINITY;
  const { freelist_count: pages } = prepared(db, 'PRAGMA freelist_count').get() as { freelist_count: number };
  const { page_size: pageBytes } = prepared(db, 'PRAGMA page_size').get() as { page_size: number };
  return freeOnDisk(dirname(file)) + pages * pageBytes;
}

function freeBytesOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
