// Whether a PostgreSQL database can be used by this version. Changes nothing. Knows nothing of what is in it.
import { StoreError } from '../store-error.ts';
import { Database } from './database.ts';
import { schemaVersion } from './schema.ts';

/** A sentence with the next step; undefined when it is good. `made`: the tables have to be there, of this version. */
export async function postgresFault(url: string, tables: 'made' | 'any'): Promise<string | undefined> {
  const database = new Database(url);
  try {
    const made = await database.row("SELECT 1 FROM information_schema.tables WHERE table_name = 'drawbridge_schema'");
    const found =
      made === undefined
        ? undefined
        : await database.row<{ version: number; fitFrom: number }>(
            'SELECT version, fit_from AS "fitFrom" FROM drawbridge_schema',
          );
    const version = found?.version ?? 0;
    if (found !== undefined && found.fitFrom > schemaVersion) {
      return `the PostgreSQL database was written by a newer version (${version}): install that version`;
    }
    if (tables === 'any' || version >= schemaVersion) return undefined;
    return 'the PostgreSQL database has no tables of this version: start the gatekeeper of this version once';
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return `storage.url: ${error.message}: see that the server runs and the address, user and password are right`;
  } finally {
    await database.close();
  }
}
