// What stays of a device's former identity when it takes a fresh one: sessions by which what was on its way is still read,
// by which nothing is ever said; and whose the former key was.
// Knows nothing of gatekeepers, nor of when an identity is renewed.
// Source: docs/protocol/09-content.md section 9.14.
import type { InteropId } from '@drawbridge/wire/jid';
import { identityFingerprint } from './identities.ts';
import { formerSessionPrefix } from './libsignal-stores.ts';
import type { E2eeTable, StoreChange } from './stores.ts';

/** Tables of which nothing stays: keys that the former identity signed, and what was begun with them. */
export const renewedTables = [
  'prekey',
  'signed-prekey',
  'kem-prekey',
  'last-resort-kem-prekey',
  'kem-base-key',
  'sender-key',
] as const satisfies readonly E2eeTable[];

/** Whether a row of the table `session` is of the identity before. */
export function isFormerSession(key: string): boolean {
  return key.startsWith(formerSessionPrefix);
}

/** A session becomes a former one. */
export function formerSession(key: string, value: Uint8Array): StoreChange[] {
  const scope = key.slice(0, key.lastIndexOf('.'));
  return [
    { op: 'delete', table: 'session', key },
    { op: 'put', table: 'session', key: `${formerSessionPrefix}${key}`, scope, value },
  ];
}

/** The former key stays this person's: nobody else is taken for its owner. */
export function formerOwner(own: InteropId, formerIdentityKey: Uint8Array): StoreChange {
  const value = new TextEncoder().encode(own);
  return { op: 'put', table: 'identity', key: `key ${identityFingerprint(formerIdentityKey)}`, value };
}
