// `drawbridge provider backup`, `restore`, `wake-ups` and `confirm-clock`: what is done with a provider's data folder from outside. Knows nothing
// of what a backup holds, or of push services.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { backupProvider, restoreProvider } from '@drawbridge/provider/backup';
import { BackupError } from '@drawbridge/provider/database-copy';
import { confirmClock } from '@drawbridge/provider/provider-clock';
import { openProviderDatabase } from '@drawbridge/provider/provider-database';
import { createPushStore } from '@drawbridge/provider/push-store';
import { CommandError } from './command-error.ts';

export async function backup(dataFolder: string, folder: string): Promise<void> {
  const { files } = await backupProvider(dataFolder, folder).catch(explained);
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  process.stdout.write(`${folder}: ${files.length} files, ${sizeBytes} bytes, checked\n`);
}

export async function restore(dataFolder: string, folder: string): Promise<void> {
  const { files, takenAt } = await restoreProvider(folder, dataFolder).catch(explained);
  process.stdout.write(
    `${dataFolder}: ${files.length} files of ${takenAt}, checked\n` +
      'Next: copy media/files back when you serve media, then start the provider\n',
  );
}

function explained(error: unknown): never {
  if (error instanceof BackupError) throw new CommandError(error.message, 'docs/operations/running-a-provider.md');
  const { code, path } = error as NodeJS.ErrnoException;
  if (path !== undefined) throw new CommandError(`${path}: ${code ?? 'failed'}`, 'mend its owner, mode or disk');
  throw error;
}

/** Shows whose wake-ups were given up. Those of `retry` wait again, and a provider that runs finds them within a minute. */
export async function wakeUps(dataFolder: string, retry: boolean): Promise<void> {
  const file = join(dataFolder, 'provider.sqlite');
  if (!existsSync(file)) throw new CommandError(`${dataFolder} holds no provider`, 'name its data folder');
  const database = openProviderDatabase(file);
  try {
    const store = createPushStore(database);
    for (const [gatekeeper, count] of store.countByGatekeeper()) {
      process.stdout.write(`${count} of ${gatekeeper} wait for the push service\n`);
    }
    const givenUp = store.givenUp();
    process.stdout.write(`${givenUp.length} were given up${givenUp.length === 0 ? '' : ', the latest first:'}\n`);
    for (const { identifier, gatekeeper, attempts, reason, gaveUpAtMs } of givenUp) {
      const at = new Date(gaveUpAtMs).toISOString();
      process.stdout.write(`${JSON.stringify({ at, identifier, gatekeeper, attempts, reason })}\n`);
    }
    if (retry) process.stdout.write(`${await store.revive(Date.now())} wait again\n`);
  } finally {
    await database.close();
  }
}

/** A person says that this machine's clock is right: whatever expired by it goes. */
export async function confirmProviderClock(dataFolder: string): Promise<void> {
  const file = join(dataFolder, 'provider.sqlite');
  if (!existsSync(file)) throw new CommandError(`${dataFolder} holds no provider`, 'name its data folder');
  const database = openProviderDatabase(file);
  try {
    const nowMs = Date.now();
    await confirmClock(database, nowMs);
    process.stdout.write(
      `${new Date(nowMs).toISOString()} is the time. A provider that runs takes it within five minutes.\n`,
    );
  } finally {
    await database.close();
  }
}
