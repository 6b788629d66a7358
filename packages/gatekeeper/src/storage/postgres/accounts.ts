// Accounts and devices on PostgreSQL: reads, and what ends or changes an enlistment (how one begins: enlisting.ts). Every
// change locks the account first. Knows nothing of proofs, streams or HTTP; its arguments were checked at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import { contactKeys } from '../../consent/contact.ts';
import type { Account, Device } from '../../enlistment/account.ts';
import type { AccountStore, ManifestRow, PublishManifest } from '../../enlistment/account-store.ts';
import { writeAudit } from './audit.ts';
import { decisionsOf } from './contacts.ts';
import type { Database, Sql } from './database.ts';
import { devicesOf, orphanedPerson, raiseVersion, removeDevice } from './devices.ts';
import { addEvent } from './events.ts';
import { enlist, enlistMany } from './enlisting.ts';
import { accountOf, statusColumn } from './rows.ts';

type Locked = {
  readonly row: number;
  readonly status: Account['status'];
  readonly disabled: boolean;
  readonly provider: number;
};

/** The account, locked until the transaction ends. */
async function lockAccount(sql: Sql, where: 'row' | 'interop_id', value: number | string): Promise<Locked | undefined> {
  const text = `SELECT row, status, disabled, provider FROM account WHERE ${where} = $1 FOR UPDATE`;
  return (await sql.rows<Locked>(text, [value]))[0];
}

const accountTables = [
  'opt_in',
  'contact',
  'device_authorisation',
  'wake_up',
  'device_manifest',
  'retired_identity',
  'mailbox_person',
  'report',
  'restriction',
  'contact_link',
] as const;

/** Everything that is kept of a person; gives back the devices that were. */
export async function removeAccount(sql: Sql, row: number, provider: number): Promise<Device[]> {
  const devices = await devicesOf(sql, row);
  const person = await orphanedPerson(sql, row, provider);
  for (const device of devices) await removeDevice(sql, device.row, person);
  for (const table of accountTables) await sql.change(`DELETE FROM ${table} WHERE account = $1`, [row]);
  await sql.change('DELETE FROM account WHERE row = $1', [row]);
  await sql.change('UPDATE provider SET enlistments = enlistments - 1 WHERE number = $1', [provider]);
  return devices;
}

async function authoriseDevice(
  sql: Sql,
  args: Parameters<AccountStore['authoriseDevice']>[0],
): Promise<'authorised' | 'full' | 'device-gone'> {
  const { account, by, thumbprint, judgeMs, expiresAtMs, max } = args;
  await lockAccount(sql, 'row', account);
  const there = await sql.rows('SELECT 1 FROM device WHERE account = $1 AND row = $2', [account, by]);
  if (there.length === 0) return 'device-gone';
  await sql.change('DELETE FROM device_authorisation WHERE account = $1 AND expires_at <= $2', [account, judgeMs]);
  const [others] = await sql.rows<{ count: number }>(
    'SELECT count(*) AS count FROM device_authorisation WHERE account = $1 AND thumbprint <> $2',
    [account, thumbprint],
  );
  if (others!.count >= max) return 'full';
  await sql.change(
    `INSERT INTO device_authorisation (account, thumbprint, expires_at) VALUES ($1, $2, $3)
     ON CONFLICT (account, thumbprint) DO UPDATE SET expires_at = excluded.expires_at`,
    [account, thumbprint, expiresAtMs],
  );
  return 'authorised';
}

async function removeOneDevice(
  sql: Sql,
  { account, deviceId, by }: { readonly account: number; readonly deviceId: number; readonly by: number },
): Promise<Device | undefined> {
  await lockAccount(sql, 'row', account);
  const devices = await devicesOf(sql, account);
  const device = devices.find(known => known.id === deviceId);
  if (device === undefined || !devices.some(known => known.row === by)) return undefined;
  await removeDevice(sql, device.row);
  // It may have let in others that have not come yet.
  await sql.change('DELETE FROM device_authorisation WHERE account = $1', [account]);
  await raiseVersion(sql, account);
  return device;
}

async function setStatus(
  sql: Sql,
  args: Parameters<AccountStore['setStatus']>[0],
): Promise<'changed' | 'same' | 'unknown'> {
  const { interopId: subject, status, actor, reason, nowMs: atMs, event } = args;
  const account = await lockAccount(sql, 'interop_id', subject);
  if (account === undefined) return 'unknown';
  if (account.status === status) return 'same';
  await sql.change('UPDATE account SET status = $2, version = version + 1 WHERE row = $1', [account.row, status]);
  const action = status === 'active' ? 'enlistment-resumed' : 'enlistment-suspended';
  await writeAudit(sql, { atMs, actor, action, subject, reason });
  await addEvent(sql, event);
  return 'changed';
}

async function setOptIn(sql: Sql, account: number, provider: number, optedIn: boolean): Promise<boolean> {
  if ((await lockAccount(sql, 'row', account)) === undefined) return false;
  const text = optedIn
    ? 'INSERT INTO opt_in (account, provider) VALUES ($1, $2) ON CONFLICT DO NOTHING'
    : 'DELETE FROM opt_in WHERE account = $1 AND provider = $2';
  if ((await sql.change(text, [account, provider])) > 0) await raiseVersion(sql, account);
  return true;
}

async function readManifest(sql: Pick<Sql, 'rows'>, account: number): Promise<ManifestRow | undefined> {
  const text = 'SELECT epoch, text, signature FROM device_manifest WHERE account = $1';
  return (await sql.rows<ManifestRow>(text, [account]))[0];
}

async function publishManifest(
  sql: Sql,
  args: PublishManifest,
): Promise<'published' | 'older-epoch' | 'device-gone' | 'identity-changed'> {
  await lockAccount(sql, 'row', args.account);
  const devices = await devicesOf(sql, args.account);
  if (!devices.some(device => device.row === args.by)) return 'device-gone';
  const text = 'SELECT identity_key AS "identityKey" FROM account WHERE row = $1';
  const [account] = await sql.rows<{ identityKey: Uint8Array }>(text, [args.account]);
  if (Buffer.compare(account!.identityKey, args.identityKey) !== 0) return 'identity-changed';
  const known = await readManifest(sql, args.account);
  if (known !== undefined && known.epoch >= args.epoch) return known.text === args.text ? 'published' : 'older-epoch';
  await sql.change(
    `INSERT INTO device_manifest (account, epoch, text, signature) VALUES ($1, $2, $3, $4)
     ON CONFLICT (account) DO UPDATE SET epoch = excluded.epoch, text = excluded.text, signature = excluded.signature`,
    [args.account, args.epoch, args.text, args.signature],
  );
  const named = devices.filter(device =>
    args.devices.some(
      ({ id, registration, deviceKeyThumbprint }) =>
        id === device.id && registration === device.registrationId && deviceKeyThumbprint === device.thumbprint,
    ),
  );
  await sql.change('UPDATE device SET listed = (row = ANY ($2::bigint[])) WHERE account = $1', [
    args.account,
    named.map(device => device.row),
  ]);
  await raiseVersion(sql, args.account);
  return 'published';
}

async function raiseStoreCount(sql: Sql, device: number, count: number): Promise<number | undefined> {
  const values = [accountOf(device), device];
  const text = 'SELECT store_count AS before FROM device WHERE account = $1 AND row = $2 FOR UPDATE';
  const [row] = await sql.rows<{ before: number }>(text, values);
  if (row !== undefined && row.before < count) {
    await sql.change('UPDATE device SET store_count = $3 WHERE account = $1 AND row = $2', [...values, count]);
  }
  return row?.before;
}

/** One account; with `otherwise`, an account that isn't there costs the same reads, of that row. */
async function readAccount(
  database: Database,
  condition: string,
  values: readonly (string | number)[],
  otherwise: number | undefined,
  onlyAbout: string | undefined,
): Promise<Account | undefined> {
  const found = await database.row<Omit<Account, 'devices' | 'optIns' | 'contacts'>>(
    `SELECT row, interop_id AS "interopId", provider, identifier, ${statusColumn}, proofs_from AS "proofsFromMs",
       link_only AS "linkOnly", version FROM account WHERE ${condition}`,
    values,
  );
  const row = found?.row ?? otherwise;
  if (row === undefined) return undefined;
  const [devices, optIns, decided] = await Promise.all([
    devicesOf(database, row),
    database.rows<{ provider: number }>('SELECT provider FROM opt_in WHERE account = $1', [row]),
    // How many there are must not tell a stranger who exists.
    decisionsOf(database, row, onlyAbout),
  ]);
  if (found === undefined) return undefined;
  const contacts = { ...contactKeys(found), decided };
  return { ...found, devices, optIns: optIns.map(each => each.provider), contacts };
}

export function postgresAccounts(database: Database): AccountStore {
  return {
    find: (interopId: InteropId, askerRow, onlyAbout) =>
      readAccount(database, 'interop_id = $1', [interopId], askerRow, onlyAbout),
    findByIdentifier: (provider, identifier, askerRow, onlyAbout) =>
      readAccount(database, 'provider = $1 AND identifier = $2', [provider, identifier], askerRow, onlyAbout),
    async readIdentityKey(account) {
      const text = 'SELECT identity_key AS "identityKey" FROM account WHERE row = $1';
      return (await database.row<{ identityKey: Uint8Array }>(text, [account]))?.identityKey;
    },
    listDevices: account =>
      database.rows('SELECT id, enlisted_at AS "enlistedAtMs" FROM device WHERE account = $1 ORDER BY id', [account]),
    enlist: args => database.transaction(sql => enlist(sql, args)),
    enlistMany: list => database.transaction(sql => enlistMany(sql, list)),
    authoriseDevice: authorisation => database.transaction(sql => authoriseDevice(sql, authorisation)),
    removeDevice: removal => database.transaction(sql => removeOneDevice(sql, removal)),
    readManifest: account => readManifest(database, account),
    publishManifest: manifest => database.transaction(sql => publishManifest(sql, manifest)),
    raiseStoreCount: (device, count) => database.transaction(sql => raiseStoreCount(sql, device, count)),
    withdraw: (row, event) =>
      database.transaction(async sql => {
        const account = await lockAccount(sql, 'row', row);
        if (account === undefined) return { kind: 'refused', code: 'enlistment-unknown' };
        // Otherwise withdrawing and enlisting again would undo a suspension.
        if (account.status !== 'active' || account.disabled) return { kind: 'refused', code: 'enlistment-suspended' };
        await addEvent(sql, event);
        return { kind: 'withdrawn', devices: await removeAccount(sql, row, account.provider) };
      }),
    remove: ({ interopId: subject, actor, reason, nowMs: atMs, event }) =>
      database.transaction(async sql => {
        const account = await lockAccount(sql, 'interop_id', subject);
        if (account === undefined) return undefined;
        await writeAudit(sql, { atMs, actor, action: 'enlistment-deleted', subject, reason });
        await addEvent(sql, event);
        return await removeAccount(sql, account.row, account.provider);
      }),
    setStatus: change => database.transaction(sql => setStatus(sql, change)),
    setOptIn: (account, provider, optedIn) => database.transaction(sql => setOptIn(sql, account, provider, optedIn)),
    sweepAuthorisations: (nowMs, limit) =>
      database.transaction(sql =>
        sql.change(
          `DELETE FROM device_authorisation WHERE (account, thumbprint) IN
             (SELECT account, thumbprint FROM device_authorisation WHERE expires_at <= $1 LIMIT $2)`,
          [nowMs, limit],
        ),
      ),
  };
}
