// A copy of a provider's databases and keys, taken while it runs and checked before it counts. Files of the media origin are
// not copied: they never change, so a copy of the folder or the bucket that is made afterwards holds what the database names.
// Knows nothing of tables.

import { copyFile, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BackupError, copyDatabase, exists, protect, syncFolder } from './database-copy.ts';

const databases = ['provider.sqlite', join('media', 'media.sqlite')];
const keyFile = 'signing-keys.json';

export type ProviderBackup = { readonly folder: string; readonly files: readonly string[] };

/**
 * Copies the databases and signing keys of a data folder to `target`, which must not exist or be empty. The provider may
 * run. Every database copy is complete and passes SQLite's integrity check. The target appears only when all of it is on
 * disk. It holds the signing keys: guard it like the data folder. To restore, stop the provider and put it in the folder's
 * place.
 */
export async function backupProvider(dataFolder: string, target: string): Promise<ProviderBackup> {
  if (!(await exists(join(dataFolder, 'provider.sqlite')))) {
    throw new BackupError('nothing-to-back-up', `${dataFolder} holds no provider: name its data folder.`);
  }
  if ((await exists(target)) && (await readdir(target)).length > 0) {
    throw new BackupError('target-in-use', `${target} is not empty: name a folder that does not exist yet.`);
  }
  const draft = `${target}.part`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const files: string[] = [];
  for (const file of databases) {
    if (!(await exists(join(dataFolder, file)))) continue;
    await mkdir(dirname(join(draft, file)), { recursive: true, mode: 0o700 });
    await copyDatabase(join(dataFolder, file), join(draft, file));
    files.push(file);
  }
  if (await exists(join(dataFolder, keyFile))) {
    await copyFile(join(dataFolder, keyFile), join(draft, keyFile));
    files.push(keyFile);
  }
  for (const file of files) await protect(join(draft, file));
  for (const file of files) await syncFolder(dirname(join(draft, file)));
  await rm(target, { recursive: true, force: true });
  await rename(draft, target);
  await syncFolder(dirname(target));
  return { folder: target, files };
}
