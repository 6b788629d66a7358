// What a gatekeeper's backup holds, taken while it runs and checked before it counts; and the way back.
// Files of own users' media origin are not in it: they never change, and are copied afterwards by other means.
// Knows nothing of tables. Source: docs/operations/running-a-gatekeeper.md (Backup and restore).
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { copyProviderFiles, providerBackupKind } from '@drawbridge/provider/backup';
import { type BackupKind, type BackupManifest, restoreBackup, takeBackup } from '@drawbridge/provider/backup-folder';
import { BackupError, copyDatabase, exists } from '@drawbridge/provider/database-copy';
import { schemaVersion } from './schema.ts';

const database = 'gatekeeper.sqlite';
/** Those that are there: a gatekeeper makes what it lacks. */
const keyFiles = [
  'compact-keys.json',
  'compact-backup-key.json',
  'event-keys.json',
  'media-grant-key',
  'stamp-secret',
  'admin-token',
];
const ownUsers = 'users';

const kind: BackupKind = {
  files: [database, ...keyFiles, ...providerBackupKind.files.map(file => `${ownUsers}/${file}`)],
  mainFile: database,
  versions: {
    [database]: schemaVersion,
    ...Object.fromEntries(
      Object.entries(providerBackupKind.versions).map(([file, version]) => [`${ownUsers}/${file}`, version]),
    ),
  },
};

/**
 * Copies databases and keys of a data folder to `target`, which must not exist or be empty. The gatekeeper may run: what it
 * had acknowledged before the call is in the copy. Each database copy passes SQLite's integrity check. The target appears
 * only when all of it is on disk. It holds keys: guard it like the data folder. Rejects with a BackupError.
 */
export async function backupGatekeeper(dataFolder: string, target: string, nowMs: number): Promise<BackupManifest> {
  if (!(await exists(join(dataFolder, database)))) {
    throw new BackupError('nothing-to-back-up', `${dataFolder} holds no gatekeeper: name its configuration.`);
  }
  return await takeBackup(target, nowMs, async draft => {
    await copyDatabase(join(dataFolder, database), join(draft, database));
    const paths = [database];
    for (const file of keyFiles) {
      if (!(await exists(join(dataFolder, file)))) continue;
      await copyFile(join(dataFolder, file), join(draft, file));
      paths.push(file);
    }
    if (await exists(join(dataFolder, ownUsers, 'provider.sqlite'))) {
      await mkdir(join(draft, ownUsers), { mode: 0o700 });
      const files = await copyProviderFiles(join(dataFolder, ownUsers), join(draft, ownUsers));
      paths.push(...files.map(file => `${ownUsers}/${file}`));
    }
    return paths;
  });
}

/**
 * Makes a data folder, which must not exist or be empty, from a backup. Every file is compared with the hash that was taken
 * with it and every database is checked; nothing appears before all of it is on disk. The backup is left as it is.
 * Rejects with a BackupError.
 */
export async function restoreGatekeeper(backup: string, dataFolder: string): Promise<BackupManifest> {
  return await restoreBackup(backup, dataFolder, kind);
}
