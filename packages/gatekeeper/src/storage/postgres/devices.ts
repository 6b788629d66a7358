// Devices of an account on PostgreSQL, and how one goes with its keys and its mailbox. Knows nothing of who may ask for it.
import type { Device } from '../../enlistment/account.ts';
import type { OrphanedPerson } from '../../mailbox/mailbox-store.ts';
import type { Sql } from './database.ts';
import { removeKeys } from './keys.ts';
import { orphanMailbox } from './mailbox-orphans.ts';
import { accountOf } from './rows.ts';

const deviceColumns = 'row, id, registration_id AS "registrationId", thumbprint, listed FROM device';

/** Active devices of an account in ascending id. */
export async function devicesOf(sql: Pick<Sql, 'rows'>, account: number): Promise<Device[]> {
  return await sql.rows<Device>(`SELECT ${deviceColumns} WHERE account = $1 ORDER BY id`, [account]);
}

/** Whoever holds an older version of this account must read it again. */
export async function raiseVersion(sql: Sql, account: number): Promise<void> {
  await sql.change('UPDATE account SET version = version + 1 WHERE row = $1', [account]);
}

/** `person`: all of its devices go, and those who wrote to it are told. */
export async function removeDevice(sql: Sql, row: number, person?: OrphanedPerson): Promise<void> {
  await removeKeys(sql, row);
  await orphanMailbox(sql, row, person);
  await sql.change('DELETE FROM device WHERE account = $1 AND row = $2', [accountOf(row), row]);
}

/** Whom this person admits, as it is now. */
export async function orphanedPerson(sql: Sql, account: number, provider: number): Promise<OrphanedPerson> {
  const rows = await sql.rows<{ provider: number }>('SELECT provider FROM opt_in WHERE account = $1', [account]);
  return { provider, optIns: rows.map(row => row.provider) };
}
