// The admins of a data folder, for a command on the machine itself: beside a gatekeeper that runs, which sees each change
// with the next request. Knows nothing of roles.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { versionOf } from '@drawbridge/provider/database-file';
import { AdminStoreError, type OpenAdmins } from '../admin-store-error.ts';
import { clockReads, clockWrites } from './clock-commands.ts';
import { adminReads, adminWrites } from './admin-commands.ts';
import { schemaVersion } from './schema.ts';

/** Throws an AdminStoreError. Brings no database to another version: that is for the gatekeeper's start. */
export function openSqliteAdmins(dataFolder: string): OpenAdmins {
  const file = join(dataFolder, 'gatekeeper.sqlite');
  if (!existsSync(file)) throw new AdminStoreError('no-database', `${file} is not there: start the gatekeeper once`);
  const db = new DatabaseSync(file);
  try {
    db.exec('PRAGMA busy_timeout=5000; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;');
    if (versionOf(db) !== schemaVersion) {
      const message = `${file} is of another version: start the gatekeeper of this version once`;
      throw new AdminStoreError('other-version', message);
    }
  } catch (error) {
    db.close();
    throw error;
  }
  const write = <T>(command: () => T): T => {
    db.exec('BEGIN IMMEDIATE');
    try {
      const result = command();
      db.exec('COMMIT');
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  };
  return {
    admins: {
      add: async admin => write(() => adminWrites.adminAdd(db, admin)),
      remove: async removal => write(() => adminWrites.adminRemove(db, removal)),
      list: async () => adminReads.adminList(db),
      findByToken: async tokenDigest => adminReads.adminFind(db, { tokenDigest }),
    },
    clock: {
      read: async () => clockReads.clockRead(db, undefined),
      note: async time => write(() => clockWrites.clockNote(db, time)),
      confirm: async confirmation => write(() => clockWrites.clockConfirm(db, confirmation)),
    },
    close: async () => db.close(),
  };
}
