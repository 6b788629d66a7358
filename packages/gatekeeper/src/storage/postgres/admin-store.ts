// The admins of a PostgreSQL database, for a command on the machine itself. Knows nothing of roles.
import { AdminStoreError, type OpenAdmins } from '../admin-store-error.ts';
import { postgresAdmins } from './admins.ts';
import { postgresClock } from './clock.ts';
import { postgresFault } from './database-fault.ts';
import { Database } from './database.ts';

/** Rejects with an AdminStoreError. Brings no database to another version: that is for the gatekeeper's start. */
export async function openPostgresAdmins(url: string): Promise<OpenAdmins> {
  const fault = await postgresFault(url, 'made');
  if (fault !== undefined) throw new AdminStoreError('no-database', fault);
  const database = new Database(url);
  return { admins: postgresAdmins(database), clock: postgresClock(database), close: () => database.close() };
}
