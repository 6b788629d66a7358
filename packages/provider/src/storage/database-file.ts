// Opens an embedded database and brings it forward to the version that this program writes. Knows nothing of tables.

import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** The file was made by a later version: that needs the newer program, not a guess. */
export class DatabaseVersionError extends Error {
  readonly code = 'database-version';
}

export function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
}

/**
 * Opens the file, made with mode 0600, or `:memory:`. `steps` are the SQL of each version in order: the first makes the
 * tables of version 1. Each step is a transaction of its own, so a crash leaves one version or the next.
 * Throws a DatabaseVersionError on a file of a later version.
 */
export function openDatabaseFile(path: string, name: string, steps: readonly string[]): DatabaseSync {
  if (path !== ':memory:') {
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
  }
  const database = openWritingConnection(path);
  try {
    if (versionOf(database) > steps.length) {
      throw new DatabaseVersionError(
        `The ${name} database is of version ${versionOf(database)}, and this program knows versions up to ` +
          `${steps.length}: run the newer program, or restore a backup.`,
      );
    }
    for (const [index, step] of steps.entries()) bringForward(database, step, index + 1);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens a file that has its tables. What is committed is on the disk. */
export function openWritingConnection(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // What is deleted is overwritten, a password's hash among it.
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 2000; PRAGMA secure_delete = ON;',
    );
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Another process may have been first: the version is read again when the file is ours. */
function bringForward(database: DatabaseSync, step: string, toVersion: number): void {
  if (versionOf(database) >= toVersion) return;
  database.exec('BEGIN IMMEDIATE');
  try {
    if (versionOf(database) < toVersion) database.exec(`${step}; PRAGMA user_version = ${toVersion};`);
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}
