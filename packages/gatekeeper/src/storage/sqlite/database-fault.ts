// Whether the database of a data folder can be opened by this version. Changes nothing. Knows nothing of what is in it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { versionOf } from '@drawbridge/provider/database-file';
import { schemaVersion } from './schema.ts';

/** A sentence that names the file and the next step; undefined when it is good, or there is none yet. */
export function sqliteFault(dataFolder: string): string | undefined {
  const file = join(dataFolder, 'gatekeeper.sqlite');
  if (!existsSync(file)) return undefined;
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { readOnly: true });
    const version = versionOf(database);
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    if (version <= schemaVersion) return undefined;
    return `${file} was written by a newer version (${version}): install that version, or restore a backup`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `${file} can't be opened (${reason}): restore a backup (drawbridge gatekeeper restore), or mend its owner and disk`;
  } finally {
    database?.close();
  }
}
