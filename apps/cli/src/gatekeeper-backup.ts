// `drawbridge gatekeeper backup` and `restore`. Knows nothing of what a backup holds.
import { backupGatekeeper, restoreGatekeeper } from '@drawbridge/gatekeeper/backup';
import { BackupError } from '@drawbridge/provider/database-copy';
import { CommandError } from './command-error.ts';
import { readGatekeeperConfig } from './gatekeeper-run.ts';

/** Proofs that were used since the backup may be used again until they have all expired. */
const waitMinutes = 11;

export async function backup(configFile: string, folder: string): Promise<void> {
  const dataFolder = embeddedFolder(configFile);
  const { files } = await backupGatekeeper(dataFolder, folder, Date.now()).catch(explained);
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  process.stdout.write(`${folder}: ${files.length} files, ${sizeBytes} bytes, checked\n`);
}

export async function restore(configFile: string, folder: string): Promise<void> {
  const dataFolder = embeddedFolder(configFile);
  const { files, takenAt } = await restoreGatekeeper(folder, dataFolder).catch(explained);
  process.stdout.write(
    `${dataFolder}: ${files.length} files of ${takenAt}, checked\n` +
      `Next: start the gatekeeper, ${waitMinutes} minutes after it was stopped at the earliest\n`,
  );
}

/** The data folder of a gatekeeper that keeps everything in it. */
function embeddedFolder(configFile: string): string {
  const { dataFolder, storage } = readGatekeeperConfig(configFile);
  if (storage.kind === 'sqlite') return dataFolder;
  throw new CommandError(
    'the database is PostgreSQL, which has backups of its own',
    `pg_dump or point-in-time recovery for it, and a copy of the keys in ${dataFolder}`,
  );
}

function explained(error: unknown): never {
  if (error instanceof BackupError) throw new CommandError(error.message, 'docs/operations/running-a-gatekeeper.md');
  const { code, path } = error as NodeJS.ErrnoException;
  if (path !== undefined) throw new CommandError(`${path}: ${code ?? 'failed'}`, 'mend its owner, mode or disk');
  throw error;
}
