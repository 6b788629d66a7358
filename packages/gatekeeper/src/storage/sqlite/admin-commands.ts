// Admins, and what an operator may see of a person. Runs in the storage workers. Knows nothing of roles or HTTP.
import type { DatabaseSync } from 'node:sqlite';
import type { Admin, AdminRole } from '../../admin/admin-accounts.ts';
import type {
  ExportedMail,
  KeptRows,
  PersonExport,
  PersonView,
  ViewedDevice,
  Waiting,
} from '../../admin/person-records.ts';
import type { AuditEntry } from '../../audit/audit-log.ts';
import type { Account } from '../../enlistment/account.ts';
import { devicesOf, statusColumn } from './account-commands.ts';
import { writeAudit } from './audit-commands.ts';
import { countsOf } from './key-commands.ts';
import { prepared } from './prepared.ts';

export const adminWrites = {
  adminAdd(
    db: DatabaseSync,
    admin: { name: string; role: AdminRole; tokenDigest: Uint8Array; actor: string; nowMs: number },
  ): 'added' | 'name-taken' {
    const { name, role, tokenDigest, actor, nowMs } = admin;
    if (prepared(db, 'SELECT 1 FROM admin WHERE name = ?').get(name) !== undefined) return 'name-taken';
    prepared(db, 'INSERT INTO admin (name, role, token_digest, added_at) VALUES (?, ?, ?, ?)').run(
      name,
      role,
      tokenDigest,
      nowMs,
    );
    writeAudit(db, { atMs: nowMs, actor, action: 'admin-added', subject: name, reason: role });
    return 'added';
  },

  adminRemove(
    db: DatabaseSync,
    { name, actor, nowMs }: { name: string; actor: string; nowMs: number },
  ): 'removed' | 'unknown' {
    const { changes } = prepared(db, 'DELETE FROM admin WHERE name = ?').run(name);
    if (Number(changes) === 0) return 'unknown';
    writeAudit(db, { atMs: nowMs, actor, action: 'admin-removed', subject: name });
    return 'removed';
  },
};

const adminColumns = 'name, role, added_at AS addedAtMs FROM admin';

export const adminReads = {
  adminList(db: DatabaseSync): Admin[] {
    const rows = prepared(db, `SELECT ${adminColumns} ORDER BY name`).all();
    return rows.map(row => ({ ...(row as unknown as Admin) }));
  },

  adminFind(db: DatabaseSync, args: { tokenDigest: Uint8Array }): Admin | undefined {
    const row = prepared(db, `SELECT ${adminColumns} WHERE token_digest = ?`).get(args.tokenDigest);
    return row === undefined ? undefined : { ...(row as unknown as Admin) };
  },

  personView: (db: DatabaseSync, args: { interopId: string }): PersonView | undefined => viewOf(db, args.interopId),

  personExport(db: DatabaseSync, args: { interopId: string }): PersonExport | undefined {
    const person = viewOf(db, args.interopId);
    return person === undefined ? undefined : { person, kept: keptOf(db, person) };
  },

  /** Entries of one device, whoever has claimed it. */
  personMail(
    db: DatabaseSync,
    args: { device: number; afterSeq: number; maxCount: number; maxBytes: number },
  ): ExportedMail[] {
    const select = prepared(
      db,
      `SELECT seq, expires_at AS expiresAtMs, sender, stanza FROM mailbox
       WHERE key > (?1 << 32) | ?2 AND key < (?1 + 1) << 32 AND EXISTS (SELECT 1 FROM device WHERE row = ?1)
       ORDER BY key LIMIT ?3`,
    );
    const page: ExportedMail[] = [];
    let bytes = 0;
    for (const row of select.iterate(args.device, args.afterSeq, args.maxCount)) {
      const { sender, ...entry } = row as unknown as Omit<ExportedMail, 'sender'> & { sender: string | null };
      bytes += entry.stanza.length;
      if (page.length > 0 && bytes > args.maxBytes) break;
      page.push({ ...entry, sender: sender ?? undefined });
    }
    return page;
  },
};

function viewOf(db: DatabaseSync, interopId: string): PersonView | undefined {
  const found = prepared(
    db,
    `SELECT row, interop_id AS interopId, provider, identifier, ${statusColumn}, enlisted_at AS enlistedAtMs
     FROM account WHERE interop_id = ?`,
  ).get(interopId) as (Omit<PersonView, 'devices' | 'optIns' | 'suspension'> & { row: number }) | undefined;
  if (found === undefined) return undefined;
  const { row, ...person } = found;
  const optIns = prepared(db, 'SELECT provider FROM opt_in WHERE account = ? ORDER BY provider').all(row);
  return {
    ...person,
    suspension: suspensionOf(db, interopId, person.status),
    optIns: optIns.map(each => Number(each['provider'])),
    devices: devicesOf(db, row).map(device => viewedDevice(db, device)),
  };
}

function viewedDevice(db: DatabaseSync, device: Account['devices'][number]): ViewedDevice {
  const enlisted = prepared(db, 'SELECT enlisted_at AS atMs FROM device WHERE row = ?').get(device.row);
  const waiting = prepared(db, 'SELECT count, bytes FROM mailbox_head WHERE device = ?').get(device.row) as
    | Waiting
    | undefined;
  return {
    ...device,
    enlistedAtMs: (enlisted as { atMs: number }).atMs,
    keys: countsOf(db, device.row),
    waiting: waiting === undefined ? { count: 0, bytes: 0 } : { ...waiting },
  };
}

function suspensionOf(db: DatabaseSync, subject: string, status: Account['status']): PersonView['suspension'] {
  if (status !== 'suspended') return undefined;
  const row = prepared(
    db,
    `SELECT at AS atMs, actor, reason FROM audit WHERE subject = ? AND action IN ('enlistment-suspended', 'enlistment-disabled')
     ORDER BY seq DESC LIMIT 1`,
  ).get(subject) as Pick<AuditEntry, 'atMs' | 'actor'> & { reason: string | null };
  const { reason, ...rest } = row;
  return { ...rest, ...(reason === null ? {} : { reason }) };
}

/**
 * All rows that name the account, one of its devices, or the person; found by the columns of the tables, so that no table
 * is forgotten. Mail itself is read by pages.
 */
function keptOf(db: DatabaseSync, person: PersonView): KeptRows {
  const { row } = prepared(db, 'SELECT row FROM account WHERE interop_id = ?').get(person.interopId) as { row: number };
  const kept: Record<string, KeptRows[string][number][]> = {};
  const add = (table: string, column: string, value: number | string): void => {
    const rows = db.prepare(`SELECT * FROM ${table} WHERE ${column} = ?`).all(value);
    if (rows.length > 0) kept[table] = [...(kept[table] ?? []), ...rows.map(each => ({ ...each }))] as never;
  };
  add('account', 'row', row);
  for (const table of tablesWith(db, 'account')) add(table, 'account', row);
  for (const table of tablesWith(db, 'device')) {
    if (table !== 'mailbox') for (const device of person.devices) add(table, 'device', device.row);
  }
  add('mailbox_share', 'sender', person.interopId);
  add('audit', 'subject', person.interopId);
  const told = prepared(db, 'SELECT * FROM outgoing_event WHERE provider = ? AND subject = ?');
  const events = told.all(person.provider, person.identifier);
  return events.length === 0 ? kept : { ...kept, outgoing_event: events as never };
}

function tablesWith(db: DatabaseSync, column: string): string[] {
  const select = prepared(
    db,
    `SELECT master.name FROM sqlite_master AS master JOIN pragma_table_info(master.name) AS info
     WHERE master.type = 'table' AND info.name = ? ORDER BY master.name`,
  );
  return select.all(column).map(each => String(each['name']));
}
