// Whether the database of a configuration can be used by this version. Changes nothing. Knows nothing of what is in it.
import type { Config } from '../config-schema.ts';
import { StartError } from '../start-error.ts';
import { postgresUrl } from './postgres-url.ts';
import { sqliteFault } from './sqlite/database-fault.ts';

/** A sentence with the next step; undefined when it is good, or there is none yet. Never rejects. */
export async function databaseFault(config: Pick<Config, 'storage' | 'dataFolder'>): Promise<string | undefined> {
  if (config.storage.kind === 'sqlite') return sqliteFault(config.dataFolder);
  const { postgresFault } = await import('./postgres/database-fault.ts');
  try {
    return await postgresFault(postgresUrl(config.storage), 'any');
  } catch (error) {
    if (error instanceof StartError) return error.message;
    throw error;
  }
}
