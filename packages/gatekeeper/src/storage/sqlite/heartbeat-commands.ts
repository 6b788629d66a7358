// The write and the read by which readiness checks try storage. Run in the storage workers.
// Knows nothing of what is healthy.
import { performance } from 'node:perf_hooks';
import type { DatabaseSync } from 'node:sqlite';
import { takeRoom } from './disk-reserve.ts';
import { prepared } from './prepared.ts';

export const heartbeatWrites = {
  /** Writes the first page as it is. Throws as an entry of a mailbox would, when only the reserve is left. */
  heartbeat(db: DatabaseSync, _args: undefined): void {
    takeRoom(db, 0, performance.now());
    const { user_version: version } = prepared(db, 'PRAGMA user_version').get() as { user_version: number };
    db.exec(`PRAGMA user_version=${version}`);
  },
};

export const heartbeatReads = {
  heartbeatRead(db: DatabaseSync, _args: undefined): void {
    prepared(db, 'SELECT count(*) FROM provider').get();
  },
};
