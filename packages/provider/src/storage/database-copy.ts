// Copies an embedded database that is in use, and makes sure that the copy is whole and on disk. Knows nothing of tables.

import { open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { versionOf } from './database-file.ts';

/** The message says what to do. */
export class BackupError extends Error {
  readonly code:
    | 'nothing-to-back-up'
    | 'target-in-use'
    | 'target-unusable'
    | 'copy-damaged'
    | 'not-a-backup'
    | 'backup-damaged'
    | 'backup-newer';
  constructor(code: BackupError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** All pages in one step: a writer between two steps would make it begin again, and on a busy server it would never end. */
const allPages = 2_147_483_647;

/** Copies what is committed now, while others write; rejects with `copy-damaged` when the copy isn't sound. */
export async function copyDatabase(from: string, to: string): Promise<void> {
  const source = new DatabaseSync(from, { readOnly: true });
  try {
    await backup(source, to, { rate: allPages });
    const copy = new DatabaseSync(to);
    try {
      // One file alone: nothing of a copy may lie in a journal beside it.
      copy.exec('PRAGMA journal_mode = DELETE');
      if (!isSound(copy) || versionOf(copy) !== versionOf(source)) {
        throw new BackupError('copy-damaged', `The copy of ${basename(from)} is damaged: check both disks, try again.`);
      }
    } finally {
      copy.close();
    }
  } finally {
    source.close();
  }
}

/** Every page, index and constraint that SQLite can check by itself. */
export function isSound(database: DatabaseSync): boolean {
  try {
    const [result] = database.prepare('PRAGMA integrity_check').all();
    return result?.['integrity_check'] === 'ok';
  } catch {
    // What is damaged enough can't even be checked.
    return false;
  }
}

/** Makes a file its owner's alone and durable. */
export async function protect(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.chmod(0o600);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
