// One process for each data folder: two would sign with different keys and lose each other's sessions.
// Knows nothing of what the folder holds.

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** SQLITE_BUSY. */
const busy = 5;

export class FolderInUseError extends Error {
  readonly code = 'folder-in-use';
}

/**
 * Takes the folder and gives back what lets go of it. The operating system lets go when the process ends, however it does.
 * Throws a FolderInUseError while another process, or another provider in this one, has it.
 */
export function lockDataFolder(folder: string): () => void {
  const lock = new DatabaseSync(join(folder, 'lock.sqlite'));
  try {
    // In memory: the journal of an ended process is nothing to recover.
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    const isHeld = error instanceof Error && 'errcode' in error && error.errcode === busy;
    if (!isHeld) throw error;
    throw new FolderInUseError(`Another provider is using ${folder}: stop it, or give this one another dataFolder.`);
  }
  return () => lock.close();
}
