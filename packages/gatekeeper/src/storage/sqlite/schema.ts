// The tables, and the steps from older versions of them.
import type { DatabaseSync } from 'node:sqlite';

/** Each step runs once, in order, in a transaction; `user_version` counts them. Never edit a released step: add one. */
const steps: readonly string[] = [
  `CREATE TABLE mailbox (
     device INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     expires_at INTEGER NOT NULL,
     stanza BLOB NOT NULL,
     PRIMARY KEY (device, seq)
   ) WITHOUT ROWID, STRICT;`,
];

/** Brings the file to this version's tables. Throws when a newer version wrote it. */
export function migrate(db: DatabaseSync): void {
  const { user_version: version } = db.prepare('PRAGMA user_version').get() as { user_version: number };
  if (version > steps.length) {
    throw new Error(
      `the data folder was written by a newer version (${version}); this one knows up to ${steps.length}`,
    );
  }
  for (let i = version; i < steps.length; i++) {
    db.exec('BEGIN IMMEDIATE');
    db.exec(steps[i]!);
    db.exec(`PRAGMA user_version=${i + 1}`);
    db.exec('COMMIT');
  }
}
