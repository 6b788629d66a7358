// Opens the storage that the configuration names: the embedded store, or PostgreSQL. Knows nothing of what is kept.
import { join } from 'node:path';
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';
import { postgresUrl } from './postgres-url.ts';
import { sqliteStores } from './sqlite/sqlite-stores.ts';
import { openSqliteStore } from './sqlite/store.ts';
import { StoreError } from './store-error.ts';
import type { Stores } from './stores.ts';

export type OpenStorage = {
  readonly stores: Stores;
  /** Resolves when storage can't go on: every further command rejects, and only a restart helps. */
  readonly died: Promise<Error>;
  /** The embedded store's file; undefined: the database is elsewhere. */
  readonly databaseFile: string | undefined;
  readonly close: () => Promise<void>;
};

export async function openStorage(config: Pick<Config, 'storage' | 'dataFolder'>): Promise<OpenStorage> {
  if (config.storage.kind === 'sqlite') {
    const databaseFile = join(config.dataFolder, 'gatekeeper.sqlite');
    const store = await openSqliteStore(databaseFile);
    return { stores: sqliteStores(store), died: store.died, databaseFile, close: () => store.close() };
  }
  const url = postgresUrl(config.storage);
  // Whoever has the embedded store needs no driver.
  const { openPostgresStores } = await import('./postgres/postgres-stores.ts');
  try {
    const { stores, close } = await openPostgresStores(url);
    // A database that is away may come back: nothing has died.
    return { stores, died: new Promise(() => undefined), databaseFile: undefined, close };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw new StartError(
      'database-unusable',
      `storage.url: ${error.message}: see that the server runs and the address, user and password are right`,
    );
  }
}
