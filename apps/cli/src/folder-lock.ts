// One process for each data folder. Knows nothing of what the folder is for.
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CommandError } from './command-error.ts';

/** Whether a process has the folder now. Takes nothing, makes no file. */
export function folderIsLocked(folder: string): boolean {
  const file = join(folder, 'lock.sqlite');
  if (!existsSync(file)) return false;
  try {
    lockFolder(folder, '')();
    return false;
  } catch (error) {
    return error instanceof CommandError;
  }
}

/**
 * Takes the folder for this process and gives back what lets go of it. The operating system lets go when the process
 * ends, however it does: nothing stale is left. Throws a CommandError while another process has it.
 */
export function lockFolder(folder: string, user: string): () => void {
  const file = join(folder, 'lock.sqlite');
  closeSync(openSync(file, 'a', 0o600));
  const lock = new DatabaseSync(file);
  try {
    // In memory: the journal of an ended process is nothing to recover.
    lock.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch {
    lock.close();
    throw new CommandError(`another ${user} is using ${folder}`, 'stop it, or name another folder');
  }
  return () => lock.close();
}
