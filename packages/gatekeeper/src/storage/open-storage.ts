// Opens the storage that the configuration names: the embedded store, or PostgreSQL. Knows nothing of what is kept.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';
import { sqliteStores } from './sqlite/sqlite-stores.ts';
import { openSqliteStore } from './sqlite/store.ts';
import { StoreError } from './store-error.ts';
import type { Stores } from './stores.ts';

type PostgresStorage = Extract<Config['storage'], { readonly kind: 'postgres' }>;

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

/** With the password from its file. Throws a StartError. */
export function postgresUrl({ url, passwordFile }: PostgresStorage): string {
  if (passwordFile === undefined) return url;
  let password: string;
  try {
    password = readFileSync(passwordFile, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartError('database-unusable', `storage.passwordFile: ${passwordFile} can't be read (${code})`);
  }
  // URL doesn't take addresses without a host, which those of sockets are.
  return url.replace(/^(postgres(?:ql)?:\/\/[^:@/]+)@/, `$1:${encodeURIComponent(password)}@`);
}
