// The device manifest of each account: taken by comparing epochs, and which devices it names.
// Runs in the storage workers. Knows nothing of signatures; its arguments were checked at the edge.
import type { DatabaseSync } from 'node:sqlite';
import type { ManifestRow, PublishManifest } from '../../enlistment/account-store.ts';
import { devicesOf, raiseVersion } from './account-commands.ts';
import { prepared } from './prepared.ts';

type Published = 'published' | 'older-epoch' | 'device-gone' | 'identity-changed';

function read(db: DatabaseSync, account: number): ManifestRow | undefined {
  const row = prepared(db, 'SELECT epoch, text, signature FROM device_manifest WHERE account = ?').get(account);
  return row === undefined ? undefined : { ...(row as unknown as ManifestRow) };
}

export const manifestWrites = {
  /** Takes a manifest with a higher epoch than the one in force, and marks the devices that it names. */
  manifestPublish(db: DatabaseSync, args: PublishManifest): Published {
    const devices = devicesOf(db, args.account);
    if (!devices.some(device => device.row === args.by)) return 'device-gone';
    const account = prepared(db, 'SELECT identity_key AS identityKey FROM account WHERE row = ?').get(args.account);
    const { identityKey } = account as { identityKey: Uint8Array };
    if (Buffer.compare(identityKey, args.identityKey) !== 0) return 'identity-changed';
    const known = read(db, args.account);
    if (known !== undefined && known.epoch >= args.epoch) return known.text === args.text ? 'published' : 'older-epoch';
    prepared(db, 'INSERT OR REPLACE INTO device_manifest (account, epoch, text, signature) VALUES (?, ?, ?, ?)').run(
      args.account,
      args.epoch,
      args.text,
      args.signature,
    );
    for (const device of devices) {
      const listed = args.devices.some(
        ({ id, registration, deviceKeyThumbprint }) =>
          id === device.id && registration === device.registrationId && deviceKeyThumbprint === device.thumbprint,
      );
      if (listed === device.listed) continue;
      prepared(db, 'UPDATE device SET listed = ? WHERE row = ?').run(listed ? 1 : 0, device.row);
    }
    raiseVersion(db, args.account);
    return 'published';
  },
};

export const manifestReads = {
  manifestRead: (db: DatabaseSync, args: { account: number }): ManifestRow | undefined => read(db, args.account),
};
