// The admins of a gatekeeper, for a command on the machine itself: beside a gatekeeper that runs, which sees each change
// with the next request. Knows nothing of roles.
import type { Config } from '../config-schema.ts';
import type { OpenAdmins } from './admin-store-error.ts';
import { postgresUrl } from './postgres-url.ts';
import { openSqliteAdmins } from './sqlite/admin-store.ts';

export { AdminStoreError, type OpenAdmins } from './admin-store-error.ts';

/** Rejects with an AdminStoreError, or the StartError of a password file. Brings no database to another version. */
export async function openAdmins(config: Pick<Config, 'storage' | 'dataFolder'>): Promise<OpenAdmins> {
  if (config.storage.kind === 'sqlite') return openSqliteAdmins(config.dataFolder);
  const { openPostgresAdmins } = await import('./postgres/admin-store.ts');
  return await openPostgresAdmins(postgresUrl(config.storage));
}
