// Identity keys of other people: first use is trusted and recorded, a change is an event, and a change after the safety
// number was verified needs a person's acceptance. All devices of a person share one identity key.
// Knows nothing of sessions or messages.
// Source: docs/protocol/09-content.md section 9.4.
import { createHash } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { InteropId } from '@drawbridge/wire/jid';
import { type IdentityRecord, IdentityRecordSchema } from './gen/device_pb.ts';
import type { StagedStore } from './staged.ts';
import type { StoreChange } from './stores.ts';
import type { IdentityEvent, IdentityState } from './suite.ts';

/** Lower-case hex SHA-256 of a serialised identity key. */
export function identityFingerprint(identityKey: Uint8Array): string {
  return createHash('sha256').update(identityKey).digest('hex');
}

export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

export async function readIdentityRecord(
  store: StagedStore,
  interopId: InteropId,
): Promise<IdentityRecord | undefined> {
  const bytes = await store.read('identity', interopId);
  if (bytes === undefined) return undefined;
  try {
    return fromBinary(IdentityRecordSchema, bytes);
  } catch (cause) {
    throw store.fail(cause);
  }
}

export function identityState(record: IdentityRecord): IdentityState {
  const pending = record.pendingIdentityKey;
  return {
    identityKey: record.identityKey,
    fingerprint: identityFingerprint(record.identityKey),
    firstSeenAtMs: Number(record.firstSeenAtMs),
    verified: record.verified,
    ...(pending.length === 0 ? {} : { pending: { identityKey: pending, fingerprint: identityFingerprint(pending) } }),
  };
}

export function putIdentity(
  store: StagedStore,
  interopId: InteropId,
  fields: { identityKey: Uint8Array; firstSeenAtMs: bigint; verified: boolean; pendingIdentityKey?: Uint8Array },
): void {
  store.put('identity', interopId, toBinary(IdentityRecordSchema, create(IdentityRecordSchema, fields)));
}

/** Whose identity key this is as far as is known: one key is one person's. */
export async function ownerOf(store: StagedStore, identityKey: Uint8Array): Promise<InteropId | undefined> {
  const bytes = await store.read('identity', ownerKey(identityKey));
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

/** Remembers whose key it is; keys of stores of 0.1.0 are noted when they are seen next. */
export async function noteOwner(store: StagedStore, interopId: InteropId, identityKey: Uint8Array): Promise<void> {
  if ((await ownerOf(store, identityKey)) === interopId) return;
  store.put('identity', ownerKey(identityKey), new TextEncoder().encode(interopId));
}

function ownerKey(identityKey: Uint8Array): string {
  return `key ${identityFingerprint(identityKey)}`;
}

/** What a key means for a person whose record is known. */
export type Trust = 'first-seen' | 'same' | 'changed' | 'changed-after-verification';

export function judgeIdentity(record: IdentityRecord | undefined, identityKey: Uint8Array): Trust {
  if (record === undefined) return 'first-seen';
  if (sameKey(record.identityKey, identityKey)) return 'same';
  return record.verified ? 'changed-after-verification' : 'changed';
}

/** Puts a new or changed key in force; a change ends every session under the old key. */
export function adoptIdentity(
  store: StagedStore,
  interopId: InteropId,
  record: IdentityRecord | undefined,
  identityKey: Uint8Array,
  nowMs: number,
): IdentityEvent {
  if (record !== undefined) store.deleteScope('session', interopId);
  putIdentity(store, interopId, { identityKey, firstSeenAtMs: BigInt(nowMs), verified: false });
  const fingerprint = identityFingerprint(identityKey);
  return record === undefined
    ? { kind: 'identity-first-seen', interopId, fingerprint }
    : {
        kind: 'identity-changed',
        interopId,
        oldFingerprint: identityFingerprint(record.identityKey),
        newFingerprint: fingerprint,
        newIdentityKey: identityKey,
        needsAcceptance: false,
      };
}

/** Remembers a key that was refused; nothing when it is remembered already. */
export function recordPending(
  interopId: InteropId,
  record: IdentityRecord,
  identityKey: Uint8Array,
): { change: StoreChange; event: IdentityEvent } | undefined {
  if (sameKey(record.pendingIdentityKey, identityKey)) return undefined;
  const value = toBinary(IdentityRecordSchema, { ...record, pendingIdentityKey: identityKey });
  return {
    change: { op: 'put', table: 'identity', key: interopId, value },
    event: {
      kind: 'identity-changed',
      interopId,
      oldFingerprint: identityFingerprint(record.identityKey),
      newFingerprint: identityFingerprint(identityKey),
      newIdentityKey: identityKey,
      needsAcceptance: true,
    },
  };
}
