// Puts devices into a store's file, of people without names or keys: for tests of what belongs to a device.
import { DatabaseSync } from 'node:sqlite';

/**
 * Adds the devices with rows 1 to `count` to the file of an open store, one for each person but for device 2, which is
 * the second of person 1. Person 3 is of provider 2, all others of provider 1.
 */
export function addDevices(file: string, count: number): void {
  const db = new DatabaseSync(file);
  db.exec('PRAGMA busy_timeout=5000; BEGIN IMMEDIATE');
  const numbers = 'WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)';
  db.prepare(
    `${numbers} INSERT INTO account (row, interop_id, provider, identifier, identity_key, status, last_device_id, enlisted_at)
     SELECT i, 'person ' || i, CASE i WHEN 3 THEN 2 ELSE 1 END, 'person ' || i, CAST(i AS BLOB), 'active', 1, 0 FROM n`,
  ).run(count);
  db.prepare(
    `${numbers} INSERT INTO device (row, account, id, registration_id, thumbprint, enlisted_at, signed_prekey_id,
       signed_prekey, signed_prekey_signature, last_resort_id, last_resort, last_resort_signature)
     SELECT i, CASE i WHEN 2 THEN 1 ELSE i END, CASE i WHEN 2 THEN 2 ELSE 1 END, 1, 'thumbprint ' || i, 0, 1, x'00', x'00', 1, x'00', x'00' FROM n`,
  ).run(count);
  db.exec('COMMIT');
  db.close();
}
