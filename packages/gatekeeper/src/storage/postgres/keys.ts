// The key directory on PostgreSQL: publish, count, take. A one-time key leaves in the same transaction in which it is given
// out. Knows nothing of who may ask or of signatures.
import { hash } from 'node:crypto';
import type {
  BundleRow,
  KeyCounts,
  KeyDirectory,
  KeyPublication,
  OneTimeKeyRow,
  SignedKeyRow,
} from '../../keys/key-directory.ts';
import { type Database, hexOf, type Sql } from './database.ts';
import { accountOf } from './rows.ts';

/** 0: an X25519 prekey, 1: a KEM prekey. */
type Kind = 0 | 1;

/** As many digests of keys that were given out are kept for a device, so that a repeated upload can't bring one back. */
const givenKeysKept = 2_000;
const digestBytes = 16;

function digestOf(publicKey: Uint8Array): Uint8Array {
  return hash('sha256', publicKey, 'buffer').subarray(0, digestBytes);
}

const countText = `SELECT count(*) FILTER (WHERE kind = 0) AS prekeys, count(*) FILTER (WHERE kind = 1) AS "kemPrekeys"
  FROM one_time_key WHERE account = $1 AND device = $2`;

export async function countKeys(sql: Pick<Sql, 'rows'>, device: number): Promise<KeyCounts> {
  const [counts] = await sql.rows<KeyCounts>(countText, [accountOf(device), device]);
  return { ...counts! };
}

export async function addOneTimeKeys(
  sql: Sql,
  device: number,
  kind: Kind,
  keys: readonly OneTimeKeyRow[],
): Promise<void> {
  if (keys.length === 0) return;
  await sql.change(
    `INSERT INTO one_time_key (account, device, kind, id, public_key, signature)
     SELECT $1, $2, $3, * FROM unnest($4::bigint[], $5::bytea[], $6::bytea[])`,
    [
      accountOf(device),
      device,
      kind,
      keys.map(key => key.id),
      keys.map(key => key.publicKey),
      keys.map(key => key.signature ?? null),
    ],
  );
}

export async function removeKeys(sql: Sql, device: number): Promise<void> {
  for (const table of ['one_time_key', 'given_key'] as const) {
    await sql.change(`DELETE FROM ${table} WHERE account = $1 AND device = $2`, [accountOf(device), device]);
  }
}

async function noteGiven(sql: Sql, device: number, keys: readonly Uint8Array[]): Promise<void> {
  if (keys.length === 0) return;
  await sql.change(
    `INSERT INTO given_key (account, device, digest) SELECT $1, $2, * FROM unnest($3::bytea[]) ON CONFLICT DO NOTHING`,
    [accountOf(device), device, keys.map(digestOf)],
  );
  await sql.change(
    `DELETE FROM given_key WHERE account = $1 AND device = $2 AND seq <=
       (SELECT seq FROM given_key WHERE account = $1 AND device = $2 ORDER BY seq DESC OFFSET $3 LIMIT 1)`,
    [accountOf(device), device, givenKeysKept],
  );
}

/** Takes out one-time keys besides these. Whoever publishes one of them again does so in vain. */
async function removeOthers(sql: Sql, device: number, kind: Kind, keys: readonly OneTimeKeyRow[]): Promise<void> {
  const removed = await sql.rows<{ publicKey: Uint8Array }>(
    `DELETE FROM one_time_key WHERE account = $1 AND device = $2 AND kind = $3 AND NOT public_key = ANY ($4::bytea[])
     RETURNING public_key AS "publicKey"`,
    [accountOf(device), device, kind, keys.map(key => key.publicKey)],
  );
  await noteGiven(
    sql,
    device,
    removed.map(({ publicKey }) => publicKey),
  );
}

/** The keys that are new: neither stored nor given out before. `undefined`: an id is there with another key. */
async function newKeys(
  sql: Sql,
  device: number,
  kind: Kind,
  keys: readonly OneTimeKeyRow[],
): Promise<OneTimeKeyRow[] | undefined> {
  if (keys.length === 0) return [];
  const account = accountOf(device);
  const there = await sql.rows<{ id: number; publicKey: Uint8Array }>(
    `SELECT id, public_key AS "publicKey" FROM one_time_key
     WHERE account = $1 AND device = $2 AND kind = $3 AND id = ANY ($4::bigint[])`,
    [account, device, kind, keys.map(key => key.id)],
  );
  const given = await sql.rows<{ digest: Uint8Array }>(
    'SELECT digest FROM given_key WHERE account = $1 AND device = $2 AND digest = ANY ($3::bytea[])',
    [account, device, keys.map(key => digestOf(key.publicKey))],
  );
  const stored = new Map(there.map(row => [row.id, row.publicKey]));
  const gone = new Set(given.map(({ digest }) => hexOf(digest)));
  const fresh: OneTimeKeyRow[] = [];
  for (const key of keys) {
    const known = stored.get(key.id);
    if (known !== undefined) {
      if (Buffer.compare(known, key.publicKey) !== 0) return undefined;
    } else if (!gone.has(hexOf(digestOf(key.publicKey)))) fresh.push(key);
  }
  return fresh;
}

/** The device, locked: its keys are one caller's at a time. */
async function lockDevice(sql: Sql, device: number): Promise<boolean> {
  const rows = await sql.rows('SELECT 1 FROM device WHERE account = $1 AND row = $2 FOR UPDATE', [
    accountOf(device),
    device,
  ]);
  return rows.length > 0;
}

async function setSignedKey(
  sql: Sql,
  device: number,
  name: 'signed_prekey' | 'last_resort',
  key: SignedKeyRow | undefined,
): Promise<void> {
  if (key === undefined) return;
  await sql.change(
    `UPDATE device SET ${name}_id = $3, ${name} = $4, ${name}_signature = $5 WHERE account = $1 AND row = $2`,
    [accountOf(device), device, key.id, key.publicKey, key.signature],
  );
}

type Published = 'published' | 'key-conflict' | 'too-many-keys' | 'device-gone';

async function publish(sql: Sql, args: KeyPublication): Promise<Published> {
  const { device } = args;
  if (!(await lockDevice(sql, device))) return 'device-gone';
  if (args.only === true) {
    await removeOthers(sql, device, 0, args.prekeys);
    await removeOthers(sql, device, 1, args.kemPrekeys);
  }
  const prekeys = await newKeys(sql, device, 0, args.prekeys);
  const kemPrekeys = await newKeys(sql, device, 1, args.kemPrekeys);
  if (prekeys === undefined || kemPrekeys === undefined) return 'key-conflict';
  const counts = await countKeys(sql, device);
  if (counts.prekeys + prekeys.length > args.maxKept || counts.kemPrekeys + kemPrekeys.length > args.maxKept) {
    return 'too-many-keys';
  }
  await addOneTimeKeys(sql, device, 0, prekeys);
  await addOneTimeKeys(sql, device, 1, kemPrekeys);
  await setSignedKey(sql, device, 'signed_prekey', args.signedPrekey);
  await setSignedKey(sql, device, 'last_resort', args.lastResortKemPrekey);
  return 'published';
}

async function takeOneTimeKey(sql: Sql, device: number, kind: Kind): Promise<OneTimeKeyRow | undefined> {
  const [row] = await sql.rows<{ id: number; publicKey: Uint8Array; signature: Uint8Array | null }>(
    `DELETE FROM one_time_key WHERE account = $1 AND device = $2 AND kind = $3 AND id =
       (SELECT min(id) FROM one_time_key WHERE account = $1 AND device = $2 AND kind = $3)
     RETURNING id, public_key AS "publicKey", signature`,
    [accountOf(device), device, kind],
  );
  if (row === undefined) return undefined;
  const { id, publicKey, signature } = row;
  return { id, publicKey, ...(signature === null ? {} : { signature }) };
}

type BundleColumns = {
  readonly identityKey: Uint8Array;
  readonly signedPrekeyId: number;
  readonly signedPrekey: Uint8Array;
  readonly signedPrekeySignature: Uint8Array;
  readonly lastResortId: number;
  readonly lastResort: Uint8Array;
  readonly lastResortSignature: Uint8Array;
};

async function takeBundle(sql: Sql, device: number, spares: boolean): Promise<BundleRow | undefined> {
  const [row] = await sql.rows<BundleColumns>(
    `SELECT identity_key AS "identityKey", signed_prekey_id AS "signedPrekeyId", signed_prekey AS "signedPrekey",
       signed_prekey_signature AS "signedPrekeySignature", last_resort_id AS "lastResortId", last_resort AS "lastResort",
       last_resort_signature AS "lastResortSignature"
     FROM device JOIN account ON account.row = device.account
     WHERE device.account = $1 AND device.row = $2 FOR UPDATE OF device`,
    [accountOf(device), device],
  );
  if (row === undefined) return undefined;
  const prekey = spares ? undefined : await takeOneTimeKey(sql, device, 0);
  const kemPrekey = spares ? undefined : ((await takeOneTimeKey(sql, device, 1)) as SignedKeyRow | undefined);
  const taken = [prekey, kemPrekey].flatMap(key => (key === undefined ? [] : [key.publicKey]));
  await noteGiven(sql, device, taken);
  return {
    device,
    identityKey: row.identityKey,
    signedPrekey: { id: row.signedPrekeyId, publicKey: row.signedPrekey, signature: row.signedPrekeySignature },
    prekey,
    kemPrekey: kemPrekey ?? { id: row.lastResortId, publicKey: row.lastResort, signature: row.lastResortSignature },
    left: await countKeys(sql, device),
  };
}

export function postgresKeyDirectory(database: Database): KeyDirectory {
  return {
    publish: keys => database.transaction(sql => publish(sql, keys)),
    takeBundles: (devices, lastResortOnly = []) =>
      database.transaction(async sql => {
        const bundles: BundleRow[] = [];
        for (const device of devices) {
          const bundle = await takeBundle(sql, device, lastResortOnly.includes(device));
          if (bundle !== undefined) bundles.push(bundle);
        }
        return bundles;
      }),
    countOneTimeKeys: device => countKeys(database, device),
  };
}
