// Renews the identity of this device's person: fresh keys are made and kept aside, and come into force with the gatekeeper's
// admission, in one transaction with all that rests on them. A device that stops in between goes on with it.
// Knows nothing of streams, nor of why an identity is renewed.
// Source: docs/protocol/03-http.md (identity), docs/protocol/09-content.md section 9.14.
import { createDevice, type DeviceKeys, withDeviceKey } from '@drawbridge/e2ee/device-keys';
import { formerOwner, formerSession, isFormerSession, renewedTables } from '@drawbridge/e2ee/renewal';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { KeyPublication } from '@drawbridge/e2ee/suite';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import type { DevicesChange } from '../notices/notice-change.ts';
import { addNotice } from '../notices/notice-records.ts';
import { decodeJson, encodeJson } from '../store/json-bytes.ts';
import { type AccountRecord, readSetting, writeSetting } from '../store/account-records.ts';
import { readOutbox, writeOutbox } from '../store/outbox-records.ts';
import type { StoreTable, Transaction } from '../store/store.ts';
import { renewIdentity } from './enlist.ts';
import type { LocalDevice } from './local-device.ts';
import { signPossession } from './possession.ts';
import { deviceRecord } from './publication.ts';

/** What is kept until the gatekeeper has admitted it. */
type Aside = {
  readonly keys: DeviceKeys;
  readonly changes: readonly StoreChange[];
  readonly publication: KeyPublication;
  /** Other devices of this person that were to stay: they have to be linked again. */
  readonly linkAgain: readonly number[];
};

/** Whether a renewal was begun and is not done. */
export function isRenewalDue(device: LocalDevice): boolean {
  return device.transaction(tx => readSetting(tx, 'renewal')) !== undefined;
}

/**
 * Makes the keys and keeps them aside, with what `note` writes: from here on the renewal goes on by itself with every start.
 * Rejects with `gatekeeper-refused`, and nothing is kept, when the gatekeeper can't renew identities.
 */
export async function beginRenewal(
  device: LocalDevice,
  linkAgain: readonly number[],
  note: (tx: Transaction) => void,
): Promise<void> {
  const { renewsIdentities } = await device.offer();
  if (!renewsIdentities) throw new ClientError('gatekeeper-refused', { detail: 'it does not renew identities' });
  const before = await device.keys();
  const made = createDevice({ nowMs: device.clock.nowMs() });
  if (!made.ok) throw new ClientError('store-failed', { detail: made.error.code });
  const { publication } = made.value;
  const { keys, changes } = withDeviceKey(made.value, before.deviceKey);
  const aside: Aside = { keys, changes, publication, linkAgain };
  device.transaction(tx => {
    writeSetting(tx, 'renewal', encodeJson(aside).toString());
    note(tx);
  });
}

/**
 * Has the keys admitted that were kept aside, and puts them in force. A failure leaves them aside for the next time. Nothing
 * of this device may be at work meanwhile: streams, outbox and inbox have the earlier keys.
 */
export async function finishRenewal(
  device: LocalDevice,
): Promise<{ readonly change: DevicesChange; readonly lines: readonly MessageRecord[] }> {
  const text = device.transaction(tx => readSetting(tx, 'renewal'));
  if (text === undefined) throw new ClientError('invalid-argument', { detail: 'no renewal was begun' });
  const { keys, changes, publication, linkAgain } = decodeJson(Buffer.from(text)) as Aside;
  const { account } = device.enlisted();
  const { interopId, deviceId } = account;
  const before = await device.keys();
  const { endpoints, issuer } = await device.offer();
  const proof = await device.proof('http', keys);
  const possession = signPossession(keys, issuer, { proof });
  const request = { proof, device: deviceRecord(keys, publication), possession };
  const renewed = await renewIdentity(endpoints.http, interopId, request, device.trust);
  if (renewed.interopId !== interopId || renewed.deviceId !== deviceId)
    throw new ClientError('protocol-error', { detail: 'the gatekeeper renewed another device' });
  const change: DevicesChange = { kind: 'identity-renewed', interopId, isOwn: true, linkAgain };
  let lines: readonly MessageRecord[] = [];
  await device.admit(renewed, publication, {
    pins: account,
    isAlone: true,
    adopt: tx => {
      replaceKeys(tx, account, before.identityKey);
      tx.apply(changes);
      writeSetting(tx, 'renewal', undefined);
      // Fresh sessions and keys are what a restored folder needs, too.
      writeSetting(tx, 'restored', undefined);
      // They are gone with all others.
      writeSetting(tx, 'manifest-removals', undefined);
      lines = addNotice(tx, change, device.clock.nowMs());
    },
  });
  return { change, lines };
}

/** Everything that rests on the earlier identity goes, or is done again; what others have said stays readable. */
function replaceKeys(tx: Transaction, { interopId }: AccountRecord, formerIdentityKey: Uint8Array): void {
  // Sessions with one's own other devices, and what the SDK knows of those.
  tx.deleteScope('session', interopId);
  tx.deleteScope('device-list', interopId);
  for (const table of renewedTables) for (const key of keysOf(tx, table)) tx.delete(table, key);
  const sessions = keysOf(tx, 'session');
  for (const key of sessions.filter(isFormerSession)) tx.delete('session', key);
  for (const key of sessions) if (!isFormerSession(key)) tx.apply(formerSession(key, tx.get('session', key)!));
  tx.apply([formerOwner(interopId, formerIdentityKey)]);
  for (const key of keysOf(tx, 'outbox')) {
    const { ciphertexts: _, ...record } = readOutbox(tx, key)!;
    if (record.to === interopId) tx.delete('outbox', key);
    else writeOutbox(tx, key, record);
  }
}

/** Of a few rows at a time: their values may be large. */
const page = 100;

function keysOf(tx: Transaction, table: StoreTable): string[] {
  const keys: string[] = [];
  for (let after: number | undefined; ; ) {
    const rows = tx.list(table, { limit: page, ...(after === undefined ? {} : { after }) });
    if (rows.length === 0) return keys;
    keys.push(...rows.map(({ key }) => key));
    after = rows.at(-1)!.sequence;
  }
}
