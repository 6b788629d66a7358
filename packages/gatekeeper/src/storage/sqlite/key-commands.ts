// The key directory's rows: publish, count, take. A one-time key leaves in the same step in which it is given out.
// Runs in the storage workers. Knows nothing of who may ask or of signatures.
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { BundleRow, KeyCounts, KeyPublication, OneTimeKeyRow, SignedKeyRow } from '../../keys/key-directory.ts';
import { prepared } from './prepared.ts';

/** 0: an X25519 prekey, 1: a KEM prekey. */
type Kind = 0 | 1;

/** Digests of keys that were given out are kept for this many keys of a device, so that a repeated upload can't bring one back. */
export const givenKeysKept = 2_000;

function digestOf(publicKey: Uint8Array): Buffer {
  return createHash('sha256').update(publicKey).digest().subarray(0, 16);
}

export function countsOf(db: DatabaseSync, device: number): KeyCounts {
  const count = prepared(db, 'SELECT count(*) AS count FROM one_time_key WHERE device = ? AND kind = ?');
  return {
    prekeys: (count.get(device, 0) as { count: number }).count,
    kemPrekeys: (count.get(device, 1) as { count: number }).count,
  };
}

export function addOneTimeKeys(db: DatabaseSync, device: number, kind: Kind, keys: readonly OneTimeKeyRow[]): void {
  const insert = prepared(
    db,
    'INSERT INTO one_time_key (device, kind, id, public_key, signature) VALUES (?, ?, ?, ?, ?)',
  );
  for (const key of keys) insert.run(device, kind, key.id, key.publicKey, key.signature ?? null);
}

export function removeKeys(db: DatabaseSync, device: number): void {
  prepared(db, 'DELETE FROM one_time_key WHERE device = ?').run(device);
  prepared(db, 'DELETE FROM given_key WHERE device = ?').run(device);
}

/** Takes out one-time keys besides these. Whoever publishes one of them again does so in vain. */
function removeOthers(db: DatabaseSync, device: number, kind: Kind, keys: readonly OneTimeKeyRow[]): void {
  const stored = prepared(
    db,
    'SELECT rowid AS row, public_key AS publicKey FROM one_time_key WHERE device = ? AND kind = ?',
  );
  const remove = prepared(db, 'DELETE FROM one_time_key WHERE rowid = ?');
  const given = prepared(db, 'INSERT OR IGNORE INTO given_key (device, digest) VALUES (?, ?)');
  for (const { row, publicKey } of stored.all(device, kind) as { row: number; publicKey: Uint8Array }[]) {
    if (keys.some(key => Buffer.compare(key.publicKey, publicKey) === 0)) continue;
    remove.run(row);
    given.run(device, digestOf(publicKey));
  }
}

/** The keys that are new: neither stored nor given out before. `undefined`: an id is there with another key. */
function newKeys(
  db: DatabaseSync,
  device: number,
  kind: Kind,
  keys: readonly OneTimeKeyRow[],
): OneTimeKeyRow[] | undefined {
  const stored = prepared(
    db,
    'SELECT public_key AS publicKey FROM one_time_key WHERE device = ? AND kind = ? AND id = ?',
  );
  const given = prepared(db, 'SELECT 1 FROM given_key WHERE device = ? AND digest = ?');
  const fresh: OneTimeKeyRow[] = [];
  for (const key of keys) {
    const there = stored.get(device, kind, key.id) as { publicKey: Uint8Array } | undefined;
    if (there !== undefined) {
      if (Buffer.compare(there.publicKey, key.publicKey) !== 0) return undefined;
    } else if (given.get(device, digestOf(key.publicKey)) === undefined) fresh.push(key);
  }
  return fresh;
}

function takeOneTimeKey(db: DatabaseSync, device: number, kind: Kind): OneTimeKeyRow | undefined {
  const row = prepared(
    db,
    `DELETE FROM one_time_key WHERE rowid =
       (SELECT rowid FROM one_time_key WHERE device = ? AND kind = ? ORDER BY id LIMIT 1)
     RETURNING id, public_key AS publicKey, signature`,
  ).get(device, kind) as { id: number; publicKey: Uint8Array; signature: Uint8Array | null } | undefined;
  if (row === undefined) return undefined;
  prepared(db, 'INSERT OR IGNORE INTO given_key (device, digest) VALUES (?, ?)').run(device, digestOf(row.publicKey));
  return {
    id: row.id,
    publicKey: row.publicKey,
    ...(row.signature === null ? {} : { signature: row.signature }),
  };
}

function trimGivenKeys(db: DatabaseSync, device: number): void {
  prepared(
    db,
    `DELETE FROM given_key WHERE device = ?1 AND seq <=
       (SELECT seq FROM given_key WHERE device = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)`,
  ).run(device, givenKeysKept);
}

type BundleColumns = {
  identityKey: Uint8Array;
  signedPrekeyId: number;
  signedPrekey: Uint8Array;
  signedPrekeySignature: Uint8Array;
  lastResortId: number;
  lastResort: Uint8Array;
  lastResortSignature: Uint8Array;
};

export const keyWrites = {
  /**
   * Replaces the signed prekey and the last-resort key when given and adds one-time keys. All or nothing.
   * A key that is there already, or was given out before, is passed over: a repeated upload changes nothing.
   */
  keysPublish(db: DatabaseSync, args: KeyPublication): 'published' | 'key-conflict' | 'too-many-keys' | 'device-gone' {
    const { device, signedPrekey, lastResortKemPrekey } = args;
    if (prepared(db, 'SELECT 1 FROM device WHERE row = ?').get(device) === undefined) return 'device-gone';
    if (args.only === true) {
      removeOthers(db, device, 0, args.prekeys);
      removeOthers(db, device, 1, args.kemPrekeys);
      trimGivenKeys(db, device);
    }
    const prekeys = newKeys(db, device, 0, args.prekeys);
    const kemPrekeys = newKeys(db, device, 1, args.kemPrekeys);
    if (prekeys === undefined || kemPrekeys === undefined) return 'key-conflict';
    const counts = countsOf(db, device);
    if (counts.prekeys + prekeys.length > args.maxKept || counts.kemPrekeys + kemPrekeys.length > args.maxKept) {
      return 'too-many-keys';
    }
    addOneTimeKeys(db, device, 0, prekeys);
    addOneTimeKeys(db, device, 1, kemPrekeys);
    if (signedPrekey !== undefined) {
      prepared(
        db,
        'UPDATE device SET signed_prekey_id = ?, signed_prekey = ?, signed_prekey_signature = ? WHERE row = ?',
      ).run(signedPrekey.id, signedPrekey.publicKey, signedPrekey.signature, device);
    }
    if (lastResortKemPrekey !== undefined) {
      prepared(
        db,
        'UPDATE device SET last_resort_id = ?, last_resort = ?, last_resort_signature = ? WHERE row = ?',
      ).run(lastResortKemPrekey.id, lastResortKemPrekey.publicKey, lastResortKemPrekey.signature, device);
    }
    return 'published';
  },

  /** Takes one bundle for each device row that is still there; one-time keys are given to this caller alone. */
  keysTake(db: DatabaseSync, args: { devices: readonly number[]; lastResortOnly?: readonly number[] }): BundleRow[] {
    const select = prepared(
      db,
      `SELECT identity_key AS identityKey, signed_prekey_id AS signedPrekeyId, signed_prekey AS signedPrekey,
         signed_prekey_signature AS signedPrekeySignature, last_resort_id AS lastResortId, last_resort AS lastResort,
         last_resort_signature AS lastResortSignature
       FROM device JOIN account ON account.row = device.account WHERE device.row = ?`,
    );
    const bundles: BundleRow[] = [];
    for (const device of args.devices) {
      const row = select.get(device) as BundleColumns | undefined;
      if (row === undefined) continue;
      const spares = args.lastResortOnly?.includes(device) === true;
      const prekey = spares ? undefined : takeOneTimeKey(db, device, 0);
      const kemPrekey = spares ? undefined : (takeOneTimeKey(db, device, 1) as SignedKeyRow | undefined);
      trimGivenKeys(db, device);
      bundles.push({
        device,
        identityKey: row.identityKey,
        signedPrekey: { id: row.signedPrekeyId, publicKey: row.signedPrekey, signature: row.signedPrekeySignature },
        prekey,
        kemPrekey: kemPrekey ?? {
          id: row.lastResortId,
          publicKey: row.lastResort,
          signature: row.lastResortSignature,
        },
        left: countsOf(db, device),
      });
    }
    return bundles;
  },
};

export const keyReads = {
  keysCount(db: DatabaseSync, args: { device: number }): KeyCounts {
    return countsOf(db, args.device);
  },
};
