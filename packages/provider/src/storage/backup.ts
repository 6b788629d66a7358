// What a provider's backup holds, taken while it runs and checked before it counts; and the way back. Files of the media origin
// are not in it: they never change, so a copy of the folder or the bucket that is made afterwards holds what the database names.
// Knows nothing of tables. Source: docs/operations/running-a-provider.md (Backup and restore).

import { copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '@drawbridge/identity/make-folder';
import { uploadsVersion } from '../media-origin/uploads.ts';
import { type BackupKind, type BackupManifest, restoreBackup, takeBackup } from './backup-folder.ts';
import { BackupError, copyDatabase, exists } from './database-copy.ts';
import { providerDatabaseVersion } from './provider-database.ts';

const mainFile = 'provider.sqlite';
const mediaFile = 'media/media.sqlite';
const keyFile = 'signing-keys.json';

export const providerBackupKind: BackupKind = {
  files: [mainFile, mediaFile, keyFile],
  mainFile,
  versions: { [mainFile]: providerDatabaseVersion, [mediaFile]: uploadsVersion },
};

/**
 * Copies databases and signing keys of a data folder to `target`, which must not exist or be empty. The provider may run.
 * Every database copy is complete and passes SQLite's integrity check. The target appears only when all of it is on disk. It
 * holds the signing keys: guard it like the data folder. Rejects with a BackupError.
 */
export async function backupProvider(dataFolder: string, target: string, nowMs = Date.now()): Promise<BackupManifest> {
  if (!(await exists(join(dataFolder, mainFile)))) {
    throw new BackupError('nothing-to-back-up', `${dataFolder} holds no provider: name its data folder.`);
  }
  return await takeBackup(target, nowMs, async draft => await copyProviderFiles(dataFolder, draft));
}

/**
 * Makes a data folder, which must not exist or be empty, from a backup. Every file is compared with the hash that was taken
 * with it and every database is checked; nothing appears before all of it is on disk. Rejects with a BackupError.
 */
export async function restoreProvider(backup: string, dataFolder: string): Promise<BackupManifest> {
  return await restoreBackup(backup, dataFolder, providerBackupKind);
}

/** Into a folder that is there; gives the paths of what was copied. */
export async function copyProviderFiles(dataFolder: string, draft: string): Promise<readonly string[]> {
  const paths: string[] = [];
  for (const file of [mainFile, mediaFile]) {
    if (!(await exists(join(dataFolder, file)))) continue;
    makeFolder(dirname(join(draft, file)));
    await copyDatabase(join(dataFolder, file), join(draft, file));
    paths.push(file);
  }
  if (await exists(join(dataFolder, keyFile))) {
    await copyFile(join(dataFolder, keyFile), join(draft, keyFile));
    paths.push(keyFile);
  }
  return paths;
}
