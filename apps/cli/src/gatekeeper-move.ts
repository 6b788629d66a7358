// `drawbridge gatekeeper migrate-store`: the embedded store of a data folder moves to the PostgreSQL database that the
// configuration names. Knows nothing of what is in it.
import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { MoveError, moveStore } from '@drawbridge/gatekeeper/move-store';
import { postgresUrl } from '@drawbridge/gatekeeper/storage-address';
import { CommandError } from './command-error.ts';
import { lockFolder } from './folder-lock.ts';
import { readGatekeeperConfig } from './gatekeeper-run.ts';

/** Leaves the store under another name, so that no gatekeeper goes on with what is old by then. */
const movedSuffix = '.moved';

export async function migrateStore(configFile: string): Promise<void> {
  const { dataFolder, storage } = readGatekeeperConfig(configFile);
  if (storage.kind !== 'postgres') {
    throw new CommandError(
      `${configFile} names the embedded store`,
      'name the PostgreSQL database in it (`storage`): the embedded store in the data folder moves there',
    );
  }
  const file = join(dataFolder, 'gatekeeper.sqlite');
  if (!existsSync(file)) {
    throw new CommandError(`${file} is not there: there is nothing to move`, 'see `dataFolder` of the configuration');
  }
  const unlock = lockFolder(dataFolder, 'gatekeeper');
  try {
    const { rows } = await moveStore(file, postgresUrl(storage), ({ step, table, rows: count }) =>
      process.stdout.write(`${step} ${table}: ${count} rows\n`),
    ).catch(explained);
    for (const end of ['-wal', '-shm', '']) {
      if (existsSync(file + end)) renameSync(file + end, `${file}${movedSuffix}${end}`);
    }
    process.stdout.write(
      `${rows} rows moved and compared; the embedded store is ${file}${movedSuffix} now\n` +
        `Next: start the gatekeeper; keep the old store until a backup of the database is there, then delete it\n`,
    );
  } finally {
    unlock();
  }
}

function explained(error: unknown): never {
  if (error instanceof MoveError)
    throw new CommandError(`${error.message}; nothing was moved`, 'mend this, then try again');
  throw error;
}
