// How an enlistment begins, takes a further device, starts again or renews its identity, on PostgreSQL: one transaction,
// with the account locked. Knows nothing of proofs or HTTP; its arguments were checked at the edge.
import { hash } from 'node:crypto';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Device } from '../../enlistment/account.ts';
import {
  type EnlistArgs,
  type EnlistRefusal,
  type EnlistResult,
  maxRetiredIdentities,
  type NewDevice,
} from '../../enlistment/account-store.ts';
import type { Sql } from './database.ts';
import { devicesOf, orphanedPerson, raiseVersion, removeDevice } from './devices.ts';
import { addOneTimeKeys, removeKeys } from './keys.ts';
import { deviceRow, maxDevicesMade, statusColumn } from './rows.ts';

type AccountRow = {
  readonly row: number;
  readonly interopId: InteropId;
  readonly status: string;
  readonly lastDeviceId: number;
  readonly devicesMade: number;
  readonly identityKey: Uint8Array;
  readonly proofsFromMs: number;
};

const refused = (code: EnlistRefusal): EnlistResult => ({ kind: 'refused', code });

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** The lowest id never used in the enlistment; after 127, the lowest that is free. */
function nextDeviceId(account: AccountRow, devices: readonly Device[]): number | undefined {
  if (account.devicesMade >= maxDevicesMade) return undefined;
  if (account.lastDeviceId < 127) return account.lastDeviceId + 1;
  const used = new Set(devices.map(device => device.id));
  for (let id = 1; id <= 127; id++) if (!used.has(id)) return id;
  return undefined;
}

async function insertDevice(
  sql: Sql,
  account: { readonly row: number; readonly provider: number },
  id: number,
  device: NewDevice,
  nowMs: number,
): Promise<void> {
  const { signedPrekey, lastResortKemPrekey } = device;
  const [made] = await sql.rows<{ count: number }>(
    `UPDATE account SET last_device_id = greatest(last_device_id, $2), devices_made = devices_made + 1,
       version = version + 1 WHERE row = $1 RETURNING devices_made AS count`,
    [account.row, id],
  );
  const row = deviceRow(account.row, made!.count);
  await sql.change(
    `INSERT INTO device (account, row, id, registration_id, thumbprint, enlisted_at, signed_prekey_id, signed_prekey,
       signed_prekey_signature, last_resort_id, last_resort, last_resort_signature, listed)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
       NOT EXISTS (SELECT 1 FROM device_manifest WHERE account = $1))`,
    [
      account.row,
      row,
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
    ],
  );
  await sql.change('INSERT INTO mailbox_head (account, device, provider) VALUES ($1, $2, $3)', [
    account.row,
    row,
    account.provider,
  ]);
  await addOneTimeKeys(sql, row, 0, device.prekeys);
  await addOneTimeKeys(sql, row, 1, device.kemPrekeys);
}

/** Takes an authorisation of this device key that has not expired: true once. */
async function takeAuthorisation(sql: Sql, account: number, thumbprint: string, judgeMs: number): Promise<boolean> {
  const [row] = await sql.rows<{ expiresAtMs: number }>(
    'DELETE FROM device_authorisation WHERE account = $1 AND thumbprint = $2 RETURNING expires_at AS "expiresAtMs"',
    [account, thumbprint],
  );
  return row !== undefined && row.expiresAtMs > judgeMs;
}

const digestOf = (identityKey: Uint8Array): Uint8Array => hash('sha256', identityKey, 'buffer');

/** Whether this person had that identity key before the one in force. */
async function isRetired(sql: Sql, account: number, identityKey: Uint8Array): Promise<boolean> {
  const text = 'SELECT 1 FROM retired_identity WHERE account = $1 AND digest = $2';
  return (await sql.rows(text, [account, digestOf(identityKey)])).length > 0;
}

/** What was said under the identity key before is void with it. */
async function changeIdentity(sql: Sql, account: AccountRow, identityKey: Uint8Array): Promise<void> {
  for (const table of ['device_authorisation', 'device_manifest'] as const) {
    await sql.change(`DELETE FROM ${table} WHERE account = $1`, [account.row]);
  }
  await sql.change('INSERT INTO retired_identity (account, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    account.row,
    digestOf(account.identityKey),
  ]);
  await sql.change(
    `DELETE FROM retired_identity WHERE account = $1 AND seq <=
       (SELECT seq FROM retired_identity WHERE account = $1 ORDER BY seq DESC OFFSET $2 LIMIT 1)`,
    [account.row, maxRetiredIdentities],
  );
  await sql.change('UPDATE account SET identity_key = $2 WHERE row = $1', [account.row, identityKey]);
}

/** The device stays, with its id and its mailbox, under keys that nobody else has; the others go. */
async function renew(
  sql: Sql,
  account: AccountRow,
  devices: readonly Device[],
  device: NewDevice,
  isUsed: boolean,
): Promise<EnlistResult> {
  const there = devices.find(known => known.thumbprint === device.thumbprint);
  if (there === undefined) return refused('device-unknown');
  if (isUsed) return refused('identity-key-in-use');
  if (sameBytes(account.identityKey, device.identityKey) || (await isRetired(sql, account.row, device.identityKey))) {
    return refused('identity-key-not-fresh');
  }
  const removed = devices.filter(known => known !== there);
  for (const old of removed) await removeDevice(sql, old.row);
  await changeIdentity(sql, account, device.identityKey);
  await removeKeys(sql, there.row);
  const { registrationId, signedPrekey, lastResortKemPrekey } = device;
  await sql.change(
    `UPDATE device SET registration_id = $3, signed_prekey_id = $4, signed_prekey = $5, signed_prekey_signature = $6,
       last_resort_id = $7, last_resort = $8, last_resort_signature = $9, listed = true WHERE account = $1 AND row = $2`,
    [
      account.row,
      there.row,
      registrationId,
      signedPrekey.id,
      signedPrekey.publicKey,
      signedPrekey.signature,
      lastResortKemPrekey.id,
      lastResortKemPrekey.publicKey,
      lastResortKemPrekey.signature,
    ],
  );
  await addOneTimeKeys(sql, there.row, 0, device.prekeys);
  await addOneTimeKeys(sql, there.row, 1, device.kemPrekeys);
  await raiseVersion(sql, account.row);
  return { kind: 'enlisted', interopId: account.interopId, deviceId: there.id, change: 'identity-renewed', removed };
}

async function enlistNew(sql: Sql, args: EnlistArgs, keyIsUsed: boolean): Promise<EnlistResult> {
  const { device, nowMs } = args;
  if (args.joins !== undefined || args.renews !== undefined) return refused('enlistment-unknown');
  if (keyIsUsed) return refused('identity-key-in-use');
  const [provider] = await sql.rows<{ enlistments: number }>(
    'SELECT enlistments FROM provider WHERE number = $1 FOR UPDATE',
    [args.provider],
  );
  if (provider === undefined) return refused('provider-unknown');
  if (provider.enlistments >= args.maxEnlistments) return refused('provider-quota');
  await sql.change('UPDATE provider SET enlistments = enlistments + 1 WHERE number = $1', [args.provider]);
  const [account] = await sql.rows<{ row: number }>(
    `INSERT INTO account (row, interop_id, provider, identifier, identity_key, status, last_device_id, enlisted_at)
     VALUES (nextval('account_row'), $1, $2, $3, $4, 'active', 0, $5) RETURNING row`,
    [args.interopId, args.provider, args.identifier, device.identityKey, nowMs],
  );
  const { row } = account!;
  await sql.change('INSERT INTO mailbox_person (account) VALUES ($1)', [row]);
  await insertDevice(sql, { row, provider: args.provider }, 1, device, nowMs);
  return { kind: 'enlisted', interopId: args.interopId, deviceId: 1, change: 'account-added', removed: [] };
}

export async function enlist(sql: Sql, args: EnlistArgs): Promise<EnlistResult> {
  const { device, nowMs } = args;
  const [account] = await sql.rows<AccountRow>(
    `SELECT row, interop_id AS "interopId", ${statusColumn}, last_device_id AS "lastDeviceId", devices_made AS "devicesMade",
       identity_key AS "identityKey", proofs_from AS "proofsFromMs" FROM account WHERE provider = $1 AND identifier = $2 FOR UPDATE`,
    [args.provider, args.identifier],
  );
  const [keyUse] = await sql.rows<{ row: number }>('SELECT row FROM account WHERE identity_key = $1', [
    device.identityKey,
  ]);
  if (account === undefined) return await enlistNew(sql, args, keyUse !== undefined);

  const named = args.joins ?? args.renews;
  if (named !== undefined && named !== account.interopId) return refused('enlistment-unknown');
  if (account.status !== 'active') return refused('enlistment-suspended');
  if (args.proofIssuedAtMs !== undefined && args.proofIssuedAtMs < account.proofsFromMs)
    return refused('proof-outdated');
  const devices = await devicesOf(sql, account.row);
  const sameIdentity = sameBytes(account.identityKey, device.identityKey);
  const there = devices.find(known => known.thumbprint === device.thumbprint);
  if (there !== undefined && sameIdentity && there.registrationId === device.registrationId) {
    return { kind: 'enlisted', interopId: account.interopId, deviceId: there.id, change: 'same', removed: [] };
  }
  const isUsed = keyUse !== undefined && keyUse.row !== account.row;
  if (args.renews !== undefined) return await renew(sql, account, devices, device, isUsed);
  if (isUsed) return refused('identity-key-in-use');
  // With no device left there is nobody to authorise another: the proof alone decides, as for a new enlistment.
  const startsAgain = devices.length === 0 || (args.replace && args.joins === undefined);
  if (!startsAgain) {
    if (!sameIdentity) return refused('identity-key-differs');
    if (there !== undefined) return refused('device-authorisation-required');
    if (devices.length >= args.maxDevices) return refused('device-limit');
  }
  if (startsAgain && (sameIdentity || (await isRetired(sql, account.row, device.identityKey)))) {
    return refused('identity-key-not-fresh');
  }
  const id = nextDeviceId(account, startsAgain ? [] : devices);
  if (id === undefined) return refused('device-limit');
  if (!startsAgain && !(await takeAuthorisation(sql, account.row, device.thumbprint, args.judgeMs))) {
    return refused('device-authorisation-required');
  }
  const removed = startsAgain ? devices : [];
  const person = await orphanedPerson(sql, account.row, args.provider);
  for (const old of removed) await removeDevice(sql, old.row, person);
  if (startsAgain) {
    await sql.change('DELETE FROM wake_up WHERE account = $1', [account.row]);
    await changeIdentity(sql, account, device.identityKey);
  }
  await insertDevice(sql, { row: account.row, provider: args.provider }, id, device, nowMs);
  return { kind: 'enlisted', interopId: account.interopId, deviceId: id, change: 'device-added', removed };
}

/** One after the other in one transaction; each stands alone. */
export async function enlistMany(sql: Sql, list: readonly EnlistArgs[]): Promise<EnlistResult[]> {
  const results: EnlistResult[] = [];
  for (const args of list) results.push(await enlist(sql, args));
  return results;
}
