// The last device manifest that was taken of each person, in the store. Knows nothing of what makes one good.
import type { InteropId } from '@drawbridge/wire/jid';
import { decodeJson, encodeJson } from '../store/json-bytes.ts';
import type { Transaction } from '../store/store.ts';

export type ManifestRecord = {
  /** Fingerprint of the identity key that signed it: epochs of another key say nothing. */
  readonly identity: string;
  readonly epoch: number;
  readonly text: string;
  readonly signature: Uint8Array;
};

export function readManifest(tx: Transaction, person: InteropId): ManifestRecord | undefined {
  const value = tx.get('device-manifest', person);
  return value === undefined ? undefined : (decodeJson(value) as ManifestRecord);
}

export function writeManifest(tx: Transaction, person: InteropId, record: ManifestRecord): void {
  tx.put('device-manifest', person, encodeJson(record));
}

/** What was last warned of about a person's manifest, so that it is told once. */
export function readWarned(tx: Transaction, person: InteropId): string | undefined {
  return tx.get('device-manifest', `warned ${person}`)?.toString();
}

export function writeWarned(tx: Transaction, person: InteropId, warning: string | undefined): void {
  if (warning === undefined) tx.delete('device-manifest', `warned ${person}`);
  else tx.put('device-manifest', `warned ${person}`, Buffer.from(warning));
}
