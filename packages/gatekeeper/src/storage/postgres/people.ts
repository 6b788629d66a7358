// What an operator may see of a person, on PostgreSQL. Knows nothing of roles or HTTP.
import type {
  ExportedMail,
  KeptRows,
  PersonExport,
  PersonRecords,
  PersonView,
  ViewedDevice,
} from '../../admin/person-records.ts';
import type { Account, Device } from '../../enlistment/account.ts';
import type { Database } from './database.ts';
import { devicesOf } from './devices.ts';
import { countKeys } from './keys.ts';
import { accountOf, statusColumn } from './rows.ts';

type Found = Omit<PersonView, 'devices' | 'optIns' | 'suspension'> & { readonly row: number };

async function findPerson(database: Database, interopId: string): Promise<Found | undefined> {
  return await database.row<Found>(
    `SELECT row, interop_id AS "interopId", provider, identifier, ${statusColumn}, enlisted_at AS "enlistedAtMs"
     FROM account WHERE interop_id = $1`,
    [interopId],
  );
}

async function viewDevice(database: Database, device: Device): Promise<ViewedDevice | undefined> {
  const its = [accountOf(device.row), device.row];
  const seen = await database.row<{ atMs: number; count: number; bytes: number }>(
    `SELECT enlisted_at AS "atMs", count, bytes FROM device
     JOIN mailbox_head ON mailbox_head.account = device.account AND mailbox_head.device = device.row
     WHERE device.account = $1 AND device.row = $2`,
    its,
  );
  if (seen === undefined) return undefined;
  const { atMs: enlistedAtMs, count, bytes } = seen;
  return { ...device, enlistedAtMs, keys: await countKeys(database, device.row), waiting: { count, bytes } };
}

async function suspensionOf(
  database: Database,
  subject: string,
  status: Account['status'],
): Promise<PersonView['suspension']> {
  if (status !== 'suspended') return undefined;
  const row = await database.row<{ atMs: number; actor: string; reason: string | null }>(
    `SELECT at AS "atMs", actor, reason FROM audit WHERE subject = $1 AND action IN ('enlistment-suspended', 'enlistment-disabled')
     ORDER BY seq DESC LIMIT 1`,
    [subject],
  );
  if (row === undefined) return undefined;
  const { reason, ...rest } = row;
  return { ...rest, ...(reason === null ? {} : { reason }) };
}

async function viewOf(database: Database, { row, ...person }: Found): Promise<PersonView> {
  const optIns = await database.rows<{ provider: number }>(
    'SELECT provider FROM opt_in WHERE account = $1 ORDER BY provider',
    [row],
  );
  const devices = await Promise.all((await devicesOf(database, row)).map(device => viewDevice(database, device)));
  return {
    ...person,
    suspension: await suspensionOf(database, person.interopId, person.status),
    optIns: optIns.map(each => each.provider),
    devices: devices.filter(device => device !== undefined),
  };
}

/**
 * All rows that name the account or the person; found by the columns of the tables, so that no table is forgotten. Mail
 * itself is read by pages.
 */
async function keptOf(database: Database, { row, interopId, provider, identifier }: Found): Promise<KeptRows> {
  const tables = await database.rows<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns
     WHERE table_schema = current_schema() AND column_name = 'account' AND table_name <> 'mailbox' ORDER BY table_name`,
  );
  const kept: Record<string, KeptRows[string]> = {};
  const add = async (table: string, column: string, value: number | string): Promise<void> => {
    const rows = await database.rows<Record<string, string | number | boolean | Uint8Array | null>>(
      `SELECT * FROM ${table} WHERE ${column} = $1`,
      [value],
    );
    if (rows.length > 0) kept[table] = [...(kept[table] ?? []), ...rows.map(plain)];
  };
  await add('account', 'row', row);
  for (const { name } of tables) await add(name, 'account', row);
  await add('mailbox_share', 'sender', interopId);
  await add('audit', 'subject', interopId);
  const events = await database.rows<Record<string, string | number | null>>(
    'SELECT * FROM outgoing_event WHERE provider = $1 AND subject = $2',
    [provider, identifier],
  );
  if (events.length > 0) kept['outgoing_event'] = events;
  return kept;
}

function plain(row: Record<string, string | number | boolean | Uint8Array | null>): KeptRows[string][number] {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, typeof value === 'boolean' ? Number(value) : value]),
  );
}

export function postgresPeople(database: Database): PersonRecords {
  return {
    async view(interopId) {
      const found = await findPerson(database, interopId);
      return found === undefined ? undefined : await viewOf(database, found);
    },
    async export(interopId): Promise<PersonExport | undefined> {
      const found = await findPerson(database, interopId);
      if (found === undefined) return undefined;
      return { person: await viewOf(database, found), kept: await keptOf(database, found) };
    },
    async mail(device, afterSeq, maxCount, maxBytes) {
      const rows = await database.rows<Omit<ExportedMail, 'sender'> & { sender: string | null }>(
        `SELECT seq, expires_at AS "expiresAtMs", sender, stanza FROM mailbox
         WHERE account = $1 AND device = $2 AND seq > $3
           AND EXISTS (SELECT 1 FROM device WHERE account = $1 AND row = $2) ORDER BY seq LIMIT $4`,
        [accountOf(device), device, afterSeq, maxCount],
      );
      let bytes = 0;
      const over = rows.findIndex((row, i) => (bytes += row.stanza.length) > maxBytes && i > 0);
      const page = over < 0 ? rows : rows.slice(0, over);
      return page.map(({ sender, ...entry }) => ({ ...entry, sender: sender ?? undefined }));
    },
  };
}
