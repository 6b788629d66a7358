// Accounts, devices, opt-ins and device authorisations: every rule that must hold at once is one command here.
// Runs in the storage workers. Knows nothing of proofs, streams or HTTP; its arguments were checked at the edge.
import { hash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Account, Device } from '../../enlistment/account.ts';
import type { NewEvent } from '../../events/event-outbox.ts';
import {
  type AccountStore,
  type EnlistArgs,
  type EnlistRefusal,
  type EnlistResult,
  maxRetiredIdentities,
  type NewDevice,
  type WithdrawnAccount,
} from '../../enlistment/account-store.ts';
import type { OrphanedPerson } from '../../mailbox/mailbox-store.ts';
import { contactKeys } from '../../consent/contact.ts';
import { writeAudit } from './audit-commands.ts';
import { decisionsOf } from './contact-decisions.ts';
import { addOneTimeKeys, removeKeys } from './key-commands.ts';
import { orphanMailbox } from './mailbox-orphans.ts';
import { addEvent } from './event-commands.ts';
import { prepared } from './prepared.ts';

type AccountRow = {
  row: number;
  interopId: InteropId;
  status: string;
  lastDeviceId: number;
  identityKey: Uint8Array;
  proofsFromMs: number;
};

/** Suspended by an operator, or disabled by its provider. */
export const statusColumn = "CASE WHEN disabled THEN 'suspended' ELSE status END AS status";

const refused = (code: EnlistRefusal): EnlistResult => ({ kind: 'refused', code });

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Active devices of an account in ascending id. */
export function devicesOf(db: DatabaseSync, account: number): Device[] {
  const select = prepared(
    db,
    'SELECT row, id, registration_id AS registrationId, thumbprint, listed FROM device WHERE account = ? ORDER BY id',
  );
  const rows = select.all(account) as unknown as (Omit<Device, 'listed'> & { listed: number })[];
  // Named one by one: a copy of a row would grow by a list of its own, and each stream keeps its device.
  return rows.map(({ row, id, registrationId, thumbprint, listed }) => ({
    row,
    id,
    registrationId,
    thumbprint,
    listed: listed === 1,
  }));
}

/** The lowest id never used in the enlistment; after 127, the lowest that is free. */
function nextDeviceId(account: AccountRow, devices: readonly Device[]): number | undefined {
  if (account.lastDeviceId < 127) return account.lastDeviceId + 1;
  const used = new Set(devices.map(device => device.id));
  for (let id = 1; id <= 127; id++) if (!used.has(id)) return id;
  return undefined;
}

/** Whoever holds an older version of this account must read it again. */
export function raiseVersion(db: DatabaseSync, account: number): void {
  prepared(db, 'UPDATE account SET version = version + 1 WHERE row = ?').run(account);
}

/** `person`: all of its devices go, and those who wrote to it are told. */
function removeDevice(db: DatabaseSync, row: number, person?: OrphanedPerson): void {
  removeKeys(db, row);
  orphanMailbox(db, row, person);
  prepared(db, 'DELETE FROM device WHERE row = ?').run(row);
}

/** Whom this person admits, as it is now. */
function orphanedPerson(db: DatabaseSync, account: number, provider: number): OrphanedPerson {
  const rows = prepared(db, 'SELECT provider FROM opt_in WHERE account = ?').all(account);
  return { provider, optIns: rows.map(row => (row as { provider: number }).provider) };
}

function insertDevice(db: DatabaseSync, account: number, id: number, device: NewDevice, nowMs: number): void {
  const { signedPrekey, lastResortKemPrekey } = device;
  const { lastInsertRowid } = prepared(
    db,
    `INSERT INTO device (account, id, registration_id, thumbprint, enlisted_at, signed_prekey_id, signed_prekey,
       signed_prekey_signature, last_resort_id, last_resort, last_resort_signature, listed)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NOT EXISTS (SELECT 1 FROM device_manifest WHERE account = ?))`,
  ).run(
    account,
    id,
    device.registrationId,
    device.thumbprint,
    nowMs,
    signedPrekey.id,
    signedPrekey.publicKey,
    signedPrekey.signature,
    lastResortKemPrekey.id,
    lastResortKemPrekey.publicKey,
    lastResortKemPrekey.signature,
    account,
  );
  const row = Number(lastInsertRowid);
  addOneTimeKeys(db, row, 0, device.prekeys);
  addOneTimeKeys(db, row, 1, device.kemPrekeys);
  prepared(db, 'UPDATE account SET last_device_id = max(last_device_id, ?), version = version + 1 WHERE row = ?').run(
    id,
    account,
  );
}

/** Takes an authorisation of this device key that has not expired: true once. */
function takeAuthorisation(db: DatabaseSync, account: number, thumbprint: string, judgeMs: number): boolean {
  const remove = prepared(
    db,
    'DELETE FROM device_authorisation WHERE account = ? AND thumbprint = ? RETURNING expires_at AS expiresAtMs',
  );
  const row = remove.get(account, thumbprint) as { expiresAtMs: number } | undefined;
  return row !== undefined && row.expiresAtMs > judgeMs;
}

const digestOf = (identityKey: Uint8Array): Uint8Array => hash('sha256', identityKey, 'buffer');

/** Whether this person had that identity key before the one in force. */
function isRetired(db: DatabaseSync, account: number, identityKey: Uint8Array): boolean {
  const select = prepared(db, 'SELECT 1 FROM retired_identity WHERE account = ? AND digest = ?');
  return select.get(account, digestOf(identityKey)) !== undefined;
}

function retire(db: DatabaseSync, account: number, identityKey: Uint8Array): void {
  prepared(db, 'INSERT INTO retired_identity (account, digest) VALUES (?, ?)').run(account, digestOf(identityKey));
  prepared(
    db,
    `DELETE FROM retired_identity WHERE account = ?1 AND seq NOT IN
     (SELECT seq FROM retired_identity WHERE account = ?1 ORDER BY seq DESC LIMIT ${maxRetiredIdentities})`,
  ).run(account);
}

/** What was said under the identity key before is void with it. */
function changeIdentity(db: DatabaseSync, account: AccountRow, identityKey: Uint8Array): void {
  for (const table of ['device_authorisation', 'device_manifest'] as const) {
    prepared(db, `DELETE FROM ${table} WHERE account = ?`).run(account.row);
  }
  retire(db, account.row, account.identityKey);
  prepared(db, 'UPDATE account SET identity_key = ? WHERE row = ?').run(identityKey, account.row);
}

/** The device stays, with its id and its mailbox, under keys that nobody else has; the others go. */
function renew(
  db: DatabaseSync,
  account: AccountRow,
  devices: readonly Device[],
  device: NewDevice,
  isUsed: boolean,
): EnlistResult {
  const there = devices.find(known => known.thumbprint === device.thumbprint);
  if (there === undefined) return refused('device-unknown');
  if (isUsed) return refused('identity-key-in-use');
  if (sameBytes(account.identityKey, device.identityKey) || isRetired(db, account.row, device.identityKey)) {
    return refused('identity-key-not-fresh');
  }
  const removed = devices.filter(known => known !== there);
  for (const old of removed) removeDevice(db, old.row);
  changeIdentity(db, account, device.identityKey);
  removeKeys(db, there.row);
  const { registrationId, signedPrekey, lastResortKemPrekey } = device;
  prepared(
    db,
    `UPDATE device SET registration_id = ?, signed_prekey_id = ?, signed_prekey = ?, signed_prekey_signature = ?,
       last_resort_id = ?, last_resort = ?, last_resort_signature = ?, listed = 1 WHERE row = ?`,
  ).run(
    registrationId,
    signedPrekey.id,
    signedPrekey.publicKey,
    signedPrekey.signature,
    lastResortKemPrekey.id,
    lastResortKemPrekey.publicKey,
    lastResortKemPrekey.signature,
    there.row,
  );
  addOneTimeKeys(db, there.row, 0, device.prekeys);
  addOneTimeKeys(db, there.row, 1, device.kemPrekeys);
  raiseVersion(db, account.row);
  return { kind: 'enlisted', interopId: account.interopId, deviceId: there.id, change: 'identity-renewed', removed };
}

function enlist(db: DatabaseSync, args: EnlistArgs): EnlistResult {
  const { device, nowMs } = args;
  const account = prepared(
    db,
    `SELECT row, interop_id AS interopId, ${statusColumn}, last_device_id AS lastDeviceId, identity_key AS identityKey,
       proofs_from AS proofsFromMs
     FROM account WHERE provider = ? AND identifier = ?`,
  ).get(args.provider, args.identifier) as AccountRow | undefined;
  const keyUse = prepared(db, 'SELECT row FROM account WHERE identity_key = ?').get(device.identityKey) as
    | { row: number }
    | undefined;

  if (account === undefined) {
    if (args.joins !== undefined || args.renews !== undefined) return refused('enlistment-unknown');
    if (keyUse !== undefined) return refused('identity-key-in-use');
    const provider = prepared(db, 'SELECT enlistments FROM provider WHERE number = ?').get(args.provider) as
      | { enlistments: number }
      | undefined;
    if (provider === undefined) return refused('provider-unknown');
    if (provider.enlistments >= args.maxEnlistments) return refused('provider-quota');
    prepared(db, 'UPDATE provider SET enlistments = enlistments + 1 WHERE number = ?').run(args.provider);
    const { lastInsertRowid } = prepared(
      db,
      `INSERT INTO account (interop_id, provider, identifier, identity_key, status, last_device_id, enlisted_at)
       VALUES (?, ?, ?, ?, 'active', 0, ?)`,
    ).run(args.interopId, args.provider, args.identifier, device.identityKey, nowMs);
    insertDevice(db, Number(lastInsertRowid), 1, device, nowMs);
    return { kind: 'enlisted', interopId: args.interopId, deviceId: 1, change: 'account-added', removed: [] };
  }

  const named = args.joins ?? args.renews;
  if (named !== undefined && named !== account.interopId) return refused('enlistment-unknown');
  if (account.status !== 'active') return refused('enlistment-suspended');
  if (args.proofIssuedAtMs !== undefined && args.proofIssuedAtMs < account.proofsFromMs)
    return refused('proof-outdated');
  const devices = devicesOf(db, account.row);
  const sameIdentity = sameBytes(account.identityKey, device.identityKey);
  const there = devices.find(known => known.thumbprint === device.thumbprint);
  if (there !== undefined && sameIdentity && there.registrationId === device.registrationId) {
    return { kind: 'enlisted', interopId: account.interopId, deviceId: there.id, change: 'same', removed: [] };
  }
  const isUsed = keyUse !== undefined && keyUse.row !== account.row;
  if (args.renews !== undefined) return renew(db, account, devices, device, isUsed);
  if (isUsed) return refused('identity-key-in-use');
  // With no device left there is nobody to authorise another: the proof alone decides, as for a new enlistment.
  const startsAgain = devices.length === 0 || (args.replace && args.joins === undefined);
  if (!startsAgain) {
    if (!sameIdentity) return refused('identity-key-differs');
    if (there !== undefined) return refused('device-authorisation-required');
    if (devices.length >= args.maxDevices) return refused('device-limit');
  }
  if (startsAgain && (sameIdentity || isRetired(db, account.row, device.identityKey))) {
    return refused('identity-key-not-fresh');
  }
  const id = nextDeviceId(account, startsAgain ? [] : devices);
  if (id === undefined) return refused('device-limit');
  if (!startsAgain && !takeAuthorisation(db, account.row, device.thumbprint, args.judgeMs)) {
    return refused('device-authorisation-required');
  }
  const removed = startsAgain ? devices : [];
  const person = orphanedPerson(db, account.row, args.provider);
  for (const old of removed) removeDevice(db, old.row, person);
  if (startsAgain) {
    prepared(db, 'DELETE FROM wake_up WHERE account = ?').run(account.row);
    changeIdentity(db, account, device.identityKey);
  }
  insertDevice(db, account.row, id, device, nowMs);
  return { kind: 'enlisted', interopId: account.interopId, deviceId: id, change: 'device-added', removed };
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
export function removeAccount(db: DatabaseSync, row: number, provider: number): Device[] {
  const devices = devicesOf(db, row);
  const person = orphanedPerson(db, row, provider);
  for (const device of devices) removeDevice(db, device.row, person);
  for (const table of accountTables) prepared(db, `DELETE FROM ${table} WHERE account = ?`).run(row);
  prepared(db, 'DELETE FROM account WHERE row = ?').run(row);
  prepared(db, 'UPDATE provider SET enlistments = enlistments - 1 WHERE number = ?').run(provider);
  return devices;
}

export const accountWrites = {
  /** Enlists, adds an authorised device, starts again, or renews; idempotent by device key. See `EnlistRefusal`. */
  accountEnlist: enlist,

  /** Many enlistments in one transaction; each stands alone. */
  accountEnlistMany(db: DatabaseSync, list: readonly EnlistArgs[]): EnlistResult[] {
    return list.map(args => enlist(db, args));
  },

  /** Removes a device with its keys and its mailbox; gives back what it was, undefined when it or `by` isn't there. */
  deviceRemove(db: DatabaseSync, args: { account: number; deviceId: number; by: number }): Device | undefined {
    const devices = devicesOf(db, args.account);
    const device = devices.find(known => known.id === args.deviceId);
    if (device === undefined || !devices.some(known => known.row === args.by)) return undefined;
    removeDevice(db, device.row);
    // It may have let in others that have not come yet.
    prepared(db, 'DELETE FROM device_authorisation WHERE account = ?').run(args.account);
    raiseVersion(db, args.account);
    return device;
  },

  /** Lets a device key join until `expiresAtMs`, once. `full`: `max` others are waiting to be used. */
  deviceAuthorise(
    db: DatabaseSync,
    args: { account: number; by: number; thumbprint: string; expiresAtMs: number; judgeMs: number; max: number },
  ): 'authorised' | 'full' | 'device-gone' {
    const by = prepared(db, 'SELECT 1 FROM device WHERE row = ? AND account = ?').get(args.by, args.account);
    if (by === undefined) return 'device-gone';
    prepared(db, 'DELETE FROM device_authorisation WHERE account = ? AND expires_at <= ?').run(
      args.account,
      args.judgeMs,
    );
    const { count } = prepared(
      db,
      'SELECT count(*) AS count FROM device_authorisation WHERE account = ? AND thumbprint <> ?',
    ).get(args.account, args.thumbprint) as { count: number };
    if (count >= args.max) return 'full';
    prepared(db, 'INSERT OR REPLACE INTO device_authorisation (account, thumbprint, expires_at) VALUES (?, ?, ?)').run(
      args.account,
      args.thumbprint,
      args.expiresAtMs,
    );
    return 'authorised';
  },

  /** Removes expired authorisations, at most `limit`; gives back how many. */
  deviceAuthorisationSweep(db: DatabaseSync, args: { judgeMs: number; limit: number }): number {
    const remove = prepared(
      db,
      `DELETE FROM device_authorisation WHERE (account, thumbprint) IN
       (SELECT account, thumbprint FROM device_authorisation WHERE expires_at <= ? LIMIT ?)`,
    );
    return Number(remove.run(args.judgeMs, args.limit).changes);
  },

  /** Deletes everything that is kept of a person; gives back the devices that were. Refuses a suspended one. */
  accountWithdraw(db: DatabaseSync, args: { account: number; event?: NewEvent | undefined }): WithdrawnAccount {
    const account = prepared(db, `SELECT ${statusColumn}, provider FROM account WHERE row = ?`).get(args.account) as
      | { status: string; provider: number }
      | undefined;
    if (account === undefined) return { kind: 'refused', code: 'enlistment-unknown' };
    // Otherwise withdrawing and enlisting again would undo a suspension.
    if (account.status !== 'active') return { kind: 'refused', code: 'enlistment-suspended' };
    addEvent(db, args.event);
    return { kind: 'withdrawn', devices: removeAccount(db, args.account, account.provider) };
  },

  /** Deletes a person by an operator's order, with the audit entry in the same step; gives back the devices that were. */
  accountRemove(db: DatabaseSync, args: Parameters<AccountStore['remove']>[0]): Device[] | undefined {
    const { interopId: subject, actor, reason, nowMs: atMs } = args;
    const account = prepared(db, 'SELECT row, provider FROM account WHERE interop_id = ?').get(subject) as
      | { row: number; provider: number }
      | undefined;
    if (account === undefined) return undefined;
    writeAudit(db, { atMs, actor, action: 'enlistment-deleted', subject, reason });
    addEvent(db, args.event);
    return removeAccount(db, account.row, account.provider);
  },

  /** Suspends or resumes a person, with the audit entry in the same step. */
  accountSetStatus(db: DatabaseSync, args: Parameters<AccountStore['setStatus']>[0]): 'changed' | 'same' | 'unknown' {
    const account = prepared(db, 'SELECT row, status FROM account WHERE interop_id = ?').get(args.interopId) as
      | { row: number; status: string }
      | undefined;
    if (account === undefined) return 'unknown';
    if (account.status === args.status) return 'same';
    prepared(db, 'UPDATE account SET status = ?, version = version + 1 WHERE row = ?').run(args.status, account.row);
    const { nowMs: atMs, actor, reason, interopId: subject } = args;
    const action = args.status === 'active' ? 'enlistment-resumed' : 'enlistment-suspended';
    writeAudit(db, { atMs, actor, action, subject, reason });
    addEvent(db, args.event);
    return 'changed';
  },

  /** Opts a person in to a provider, or out. False: the account is gone. */
  optInSet(db: DatabaseSync, args: { account: number; provider: number; optedIn: boolean }): boolean {
    const account = prepared(db, 'SELECT 1 FROM account WHERE row = ?').get(args.account);
    if (account === undefined) return false;
    const sql = args.optedIn
      ? 'INSERT OR IGNORE INTO opt_in (account, provider) VALUES (?, ?)'
      : 'DELETE FROM opt_in WHERE account = ? AND provider = ?';
    const { changes } = prepared(db, sql).run(args.account, args.provider);
    if (Number(changes) > 0) raiseVersion(db, args.account);
    return true;
  },

  /** Gives back the count before; undefined when the device is gone. */
  storeCountRaise(db: DatabaseSync, args: { device: number; count: number }): number | undefined {
    const row = prepared(db, 'SELECT store_count AS before FROM device WHERE row = ?').get(args.device) as
      | { before: number }
      | undefined;
    if (row !== undefined && row.before < args.count)
      prepared(db, 'UPDATE device SET store_count = ? WHERE row = ?').run(args.count, args.device);
    return row?.before;
  },
};

const columns = `row, interop_id AS interopId, provider, identifier, ${statusColumn}, proofs_from AS proofsFromMs,
  link_only AS linkOnly, version FROM account WHERE`;

/** One account; with `otherwise`, an account that isn't there costs the same reads, of that row. */
function readAccount(
  db: DatabaseSync,
  condition: string,
  args: readonly (string | number)[],
  otherwise: number | undefined,
  onlyAbout: string | undefined,
): Account | undefined {
  const found = prepared(db, `SELECT ${columns} ${condition}`).get(...args) as
    | (Omit<Account, 'devices' | 'optIns' | 'contacts' | 'linkOnly'> & { readonly linkOnly: number })
    | undefined;
  const row = found?.row ?? otherwise;
  if (row === undefined) return undefined;
  const devices = devicesOf(db, row);
  const optIns = prepared(db, 'SELECT provider FROM opt_in WHERE account = ?').all(row) as unknown as {
    provider: number;
  }[];
  // How many there are must not tell a stranger who exists.
  const decided = decisionsOf(db, row, onlyAbout);
  if (found === undefined) return undefined;
  const contacts = { ...contactKeys(found), decided };
  const linkOnly = found.linkOnly === 1;
  return { ...found, devices, optIns: optIns.map(each => each.provider), linkOnly, contacts };
}

export const accountReads = {
  accountFind(
    db: DatabaseSync,
    args: { interopId: InteropId; askerRow: number | undefined; onlyAbout: string | undefined },
  ): Account | undefined {
    return readAccount(db, 'interop_id = ?', [args.interopId], args.askerRow, args.onlyAbout);
  },

  accountFindByIdentifier(
    db: DatabaseSync,
    args: { provider: number; identifier: string; askerRow: number | undefined; onlyAbout: string | undefined },
  ): Account | undefined {
    const condition = 'provider = ? AND identifier = ?';
    return readAccount(db, condition, [args.provider, args.identifier], args.askerRow, args.onlyAbout);
  },

  accountIdentityKey(db: DatabaseSync, args: { account: number }): Uint8Array | undefined {
    const row = prepared(db, 'SELECT identity_key AS identityKey FROM account WHERE row = ?').get(args.account);
    return (row as { identityKey: Uint8Array } | undefined)?.identityKey;
  },

  accountDevices(db: DatabaseSync, args: { account: number }): { id: number; enlistedAtMs: number }[] {
    const select = prepared(db, 'SELECT id, enlisted_at AS enlistedAtMs FROM device WHERE account = ? ORDER BY id');
    return select.all(args.account).map(row => ({ ...(row as { id: number; enlistedAtMs: number }) }));
  },
};
