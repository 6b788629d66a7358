// This device's own keys: identity, device key, and prekeys with their rotation and refill.
// Private keys are changes to commit before their public halves are published.
// Knows nothing of HTTP, stanzas or who publishes; time is an argument.
// Source: docs/protocol/06-stanzas.md section 6.2, docs/protocol/09-content.md section 9.6; RFC 7638, RFC 8037.
import { createHash, randomInt } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as Signal from '@signalapp/libsignal-client';
import { maxRegistrationId } from '@drawbridge/wire/limits';
import {
  DeviceRecordSchema,
  type KeyIndexRecord,
  type KeyIndexRecord_Rotating,
  KeyIndexRecord_RotatingSchema,
  KeyIndexRecordSchema,
} from './gen/device_pb.ts';
import { MissingRecord, StagedStore, StoreFailure } from './staged.ts';
import type { E2eeStore, StoreChange } from './stores.ts';
import type { KeyPublication, Result, StoreError } from './suite.ts';

export const ONE_TIME_TARGET = 100;
/** With fewer than this left in the directory, more are made. */
export const ONE_TIME_REFILL_BELOW = 51;
export const MAX_ONE_TIME_PER_PUBLISH = 50;
/** Private one-time keys kept here; older ones go when new ones are made. The directory keeps at most 200. */
export const MAX_ONE_TIME_KEPT = 1_000;
/** Ids grow and start again at 1 after this. */
export const MAX_PREKEY_ID = 0xff_ffff;
export const ROTATE_AFTER_MS: number = 7 * 86_400_000;
/** A replaced signed prekey or last-resort key still opens messages that were on their way for this long. */
export const KEEP_REPLACED_MS: number = 30 * 86_400_000;
/** Replaced ones kept: five by age, more by a store that is renewed again and again. */
export const MAX_REPLACED_KEPT = 64;
/** Sessions that one last-resort key may start; then such messages are refused until it is rotated. */
export const MAX_LAST_RESORT_USES = 100_000;

/** The X25519 device key (raw, 32 bytes each) and its RFC 7638 thumbprint (base64url). */
export type DeviceKey = {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
  readonly thumbprint: string;
};

export type DeviceKeys = {
  readonly deviceKey: DeviceKey;
  readonly registrationId: number;
  /** Public, 33 bytes. */
  readonly identityKey: Uint8Array;
  /** libsignal's IdentityKeyPair: secret. For linking another device alone. */
  readonly identityKeyPair: Uint8Array;
};

/** Signed and last-resort keys are always in the publication of a new device. */
export type NewDevice = {
  readonly keys: DeviceKeys;
  readonly publication: KeyPublication;
  readonly changes: readonly StoreChange[];
};

export type DeviceError = { readonly code: 'invalid-identity-key-pair' };

/** RFC 7638 thumbprint of an X25519 public key (RFC 8037: members crv, kty, x), base64url. */
export function deviceKeyThumbprint(publicKey: Uint8Array): string {
  const jwk = `{"crv":"X25519","kty":"OKP","x":"${Buffer.from(publicKey).toString('base64url')}"}`;
  return createHash('sha256').update(jwk).digest('base64url');
}

function deviceKeys(
  identity: Signal.IdentityKeyPair,
  registrationId: number,
  deviceKey: Signal.PrivateKey,
): DeviceKeys {
  const publicKey = deviceKey.getPublicKey().getPublicKeyBytes();
  return {
    deviceKey: { publicKey, privateKey: deviceKey.serialize(), thumbprint: deviceKeyThumbprint(publicKey) },
    registrationId,
    identityKey: identity.publicKey.serialize(),
    identityKeyPair: identity.serialize(),
  };
}

/**
 * Makes all keys of a new device: with a fresh identity, or with that of the person's other devices (from a link ticket).
 * Commit `changes` to an empty store, then enlist with `publication`, then `confirmPublished`.
 */
export function createDevice(options: {
  readonly nowMs: number;
  readonly identityKeyPair?: Uint8Array;
  /** False: none are made now; sessions begin with the last-resort key until the first refill. */
  readonly oneTimeKeys?: boolean;
}): Result<NewDevice, DeviceError> {
  let identity: Signal.IdentityKeyPair;
  try {
    identity =
      options.identityKeyPair === undefined
        ? Signal.IdentityKeyPair.generate()
        : Signal.IdentityKeyPair.deserialize(Uint8Array.from(options.identityKeyPair));
  } catch {
    return { ok: false, error: { code: 'invalid-identity-key-pair' } };
  }
  const keys = deviceKeys(identity, randomInt(1, maxRegistrationId + 1), Signal.PrivateKey.generate());
  const changes: StoreChange[] = [
    {
      op: 'put',
      table: 'device',
      key: 'local',
      value: toBinary(
        DeviceRecordSchema,
        create(DeviceRecordSchema, {
          identityKeyPair: keys.identityKeyPair,
          registrationId: keys.registrationId,
          devicePrivateKey: keys.deviceKey.privateKey,
        }),
      ),
    },
  ];
  const index = create(KeyIndexRecordSchema, { nextPrekeyId: 1, nextKemPrekeyId: 1, nextSignedPrekeyId: 1 });
  const there = options.oneTimeKeys === false ? ONE_TIME_TARGET : 0;
  const counts = { prekeys: there, kemPrekeys: there };
  const publication = makeKeys(index, counts, identity.privateKey, options.nowMs, changes);
  return { ok: true, value: { keys, publication, changes } };
}

/** The same new device under a device key that is known already. */
export function withDeviceKey({ keys, changes }: NewDevice, deviceKey: DeviceKey): Pick<NewDevice, 'keys' | 'changes'> {
  return {
    keys: { ...keys, deviceKey },
    changes: changes.map(change => {
      if (change.op !== 'put' || change.table !== 'device' || change.key !== 'local') return change;
      const record = fromBinary(DeviceRecordSchema, change.value);
      record.devicePrivateKey = Uint8Array.from(deviceKey.privateKey);
      return { ...change, value: toBinary(DeviceRecordSchema, record) };
    }),
  };
}

/** This device's keys, or undefined in an empty store. */
export async function readDeviceKeys(store: E2eeStore): Promise<Result<DeviceKeys | undefined, StoreError>> {
  try {
    const bytes = await new StagedStore(store).read('device', 'local');
    if (bytes === undefined) return { ok: true, value: undefined };
    const record = fromBinary(DeviceRecordSchema, bytes);
    const identity = Signal.IdentityKeyPair.deserialize(Uint8Array.from(record.identityKeyPair));
    const deviceKey = Signal.PrivateKey.deserialize(Uint8Array.from(record.devicePrivateKey));
    return { ok: true, value: deviceKeys(identity, record.registrationId, deviceKey) };
  } catch (error) {
    return { ok: false, error: { code: 'store-failed', cause: error instanceof StoreFailure ? error.cause : error } };
  }
}

export async function readKeyIndex(store: StagedStore): Promise<KeyIndexRecord> {
  const bytes = await store.read('device', 'key-index');
  try {
    if (bytes !== undefined) return fromBinary(KeyIndexRecordSchema, bytes);
  } catch (cause) {
    throw store.fail(cause);
  }
  throw store.fail(new MissingRecord('device', 'key-index'));
}

/** Ids follow each other 1, 2, … 16777215, 1, …; `steps` may be negative. */
export function prekeyIdAfter(id: number, steps: number): number {
  return ((((id - 1 + steps) % MAX_PREKEY_ID) + MAX_PREKEY_ID) % MAX_PREKEY_ID) + 1;
}

function oneTimeNeeded(count: number): number {
  return count >= ONE_TIME_REFILL_BELOW ? 0 : Math.min(ONE_TIME_TARGET - Math.max(0, count), MAX_ONE_TIME_PER_PUBLISH);
}

function rotating(id: number, nowMs: number): KeyIndexRecord_Rotating {
  return create(KeyIndexRecord_RotatingSchema, { id, createdAtMs: BigInt(nowMs) });
}

/** The newest entry when it is young enough; otherwise marks it replaced. */
function currentOf(list: KeyIndexRecord_Rotating[], nowMs: number): KeyIndexRecord_Rotating | undefined {
  const newest = list.at(-1);
  if (newest === undefined || newest.replacedAtMs !== 0n) return undefined;
  // A key dated far in the future was made under a wrong clock; it would never grow old.
  if (Math.abs(nowMs - Number(newest.createdAtMs)) < ROTATE_AFTER_MS) return newest;
  newest.replacedAtMs = BigInt(nowMs);
  return undefined;
}

/** Takes out what was replaced long ago, or too often since, and gives back the ids. */
function takeExpired(list: KeyIndexRecord_Rotating[], nowMs: number): number[] {
  const expired = list.filter(
    (each, at) =>
      at < list.length - 1 - MAX_REPLACED_KEPT ||
      (each.replacedAtMs !== 0n && nowMs - Number(each.replacedAtMs) > KEEP_REPLACED_MS),
  );
  list.splice(0, list.length, ...list.filter(each => !expired.includes(each)));
  return expired.map(each => each.id);
}

/** One-time prekeys: their private halves go to `changes`, and the oldest that are kept give way. */
function makePrekeys(index: KeyIndexRecord, count: number, changes: StoreChange[]): KeyPublication['prekeys'] {
  const prekeys: KeyPublication['prekeys'][number][] = [];
  for (let i = oneTimeNeeded(count); i > 0; i--) {
    const id = index.nextPrekeyId;
    const key = Signal.PrivateKey.generate();
    const publicKey = key.getPublicKey();
    changes.push(
      { op: 'put', table: 'prekey', key: String(id), value: Signal.PreKeyRecord.new(id, publicKey, key).serialize() },
      { op: 'delete', table: 'prekey', key: String(prekeyIdAfter(id, -MAX_ONE_TIME_KEPT)) },
    );
    prekeys.push({ id, publicKey: publicKey.serialize() });
    index.nextPrekeyId = prekeyIdAfter(id, 1);
  }
  return prekeys;
}

/**
 * Rotates and refills: changes `index`, adds the private keys and the index to `changes`, gives back what to publish.
 *
 * A signed prekey or last-resort key that the directory has not confirmed is published again. One-time keys never are: it
 * could have given them out already, and each must serve once.
 */
export function makeKeys(
  index: KeyIndexRecord,
  counts: { readonly prekeys: number; readonly kemPrekeys: number },
  identity: Signal.PrivateKey,
  nowMs: number,
  changes: StoreChange[],
  existing: { readonly signed?: Signal.SignedPreKeyRecord; readonly lastResort?: Signal.KyberPreKeyRecord } = {},
): KeyPublication {
  const prekeys = makePrekeys(index, counts.prekeys, changes);
  const makeKem = (): { id: number; record: Signal.KyberPreKeyRecord } => {
    const id = index.nextKemPrekeyId;
    const pair = Signal.KEMKeyPair.generate();
    const signature = identity.sign(pair.getPublicKey().serialize());
    index.nextKemPrekeyId = prekeyIdAfter(id, 1);
    return { id, record: Signal.KyberPreKeyRecord.new(id, nowMs, pair, signature) };
  };
  const publicKem = (record: Signal.KyberPreKeyRecord): KeyPublication['kemPrekeys'][number] => ({
    id: record.id(),
    publicKey: record.publicKey().serialize(),
    signature: record.signature(),
  });

  const kemPrekeys: KeyPublication['kemPrekeys'][number][] = [];
  for (let i = oneTimeNeeded(counts.kemPrekeys); i > 0; i--) {
    const { id, record } = makeKem();
    changes.push(
      { op: 'put', table: 'kem-prekey', key: String(id), value: record.serialize() },
      { op: 'delete', table: 'kem-prekey', key: String(prekeyIdAfter(id, -MAX_ONE_TIME_KEPT)) },
    );
    kemPrekeys.push(publicKem(record));
  }

  let signed = existing.signed;
  if (currentOf(index.signedPrekeys, nowMs) === undefined) {
    const id = index.nextSignedPrekeyId;
    const key = Signal.PrivateKey.generate();
    const publicKey = key.getPublicKey();
    signed = Signal.SignedPreKeyRecord.new(id, nowMs, publicKey, key, identity.sign(publicKey.serialize()));
    changes.push({ op: 'put', table: 'signed-prekey', key: String(id), value: signed.serialize() });
    index.signedPrekeys.push(rotating(id, nowMs));
    index.nextSignedPrekeyId = prekeyIdAfter(id, 1);
  }
  let lastResort = existing.lastResort;
  if (currentOf(index.lastResortKemPrekeys, nowMs) === undefined) {
    const made = makeKem();
    lastResort = made.record;
    changes.push({ op: 'put', table: 'last-resort-kem-prekey', key: String(made.id), value: lastResort.serialize() });
    index.lastResortKemPrekeys.push(rotating(made.id, nowMs));
  }

  for (const id of takeExpired(index.signedPrekeys, nowMs))
    changes.push({ op: 'delete', table: 'signed-prekey', key: String(id) });
  for (const id of takeExpired(index.lastResortKemPrekeys, nowMs)) {
    changes.push(
      { op: 'delete', table: 'last-resort-kem-prekey', key: String(id) },
      { op: 'delete-scope', table: 'kem-base-key', scope: String(id) },
    );
  }
  changes.push({ op: 'put', table: 'device', key: 'key-index', value: toBinary(KeyIndexRecordSchema, index) });
  return {
    prekeys,
    kemPrekeys,
    ...(signed === undefined
      ? {}
      : {
          signedPrekey: { id: signed.id(), publicKey: signed.publicKey().serialize(), signature: signed.signature() },
        }),
    ...(lastResort === undefined ? {} : { lastResortKemPrekey: publicKem(lastResort) }),
  };
}

/** What `refillKeys` of a suite does: the publication, or undefined when nothing is due. */
export async function refill(
  store: StagedStore,
  counts: { readonly prekeys: number; readonly kemPrekeys: number },
  identity: Signal.PrivateKey,
  nowMs: number,
): Promise<{ publication: KeyPublication; changes: readonly StoreChange[] } | undefined> {
  const index = await readKeyIndex(store);
  const signedBytes = await readUnconfirmed(store, 'signed-prekey', index.signedPrekeys);
  const lastResortBytes = await readUnconfirmed(store, 'last-resort-kem-prekey', index.lastResortKemPrekeys);
  const changes: StoreChange[] = [];
  const publication = makeKeys(index, counts, identity, nowMs, changes, {
    ...(signedBytes === undefined ? {} : { signed: Signal.SignedPreKeyRecord.deserialize(signedBytes) }),
    ...(lastResortBytes === undefined ? {} : { lastResort: Signal.KyberPreKeyRecord.deserialize(lastResortBytes) }),
  });
  const due =
    publication.signedPrekey !== undefined ||
    publication.lastResortKemPrekey !== undefined ||
    publication.prekeys.length > 0 ||
    publication.kemPrekeys.length > 0;
  return due ? { publication, changes } : undefined;
}

/**
 * What `renewKeys` of a suite does: everything that this store may have published is replaced, in a store that is older than
 * what the directory has of it. Private keys stay for messages on their way.
 */
export async function renew(
  store: StagedStore,
  identity: Signal.PrivateKey,
  nowMs: number,
): Promise<{ publication: KeyPublication; changes: readonly StoreChange[] }> {
  const index = await readKeyIndex(store);
  for (const each of [...index.signedPrekeys, ...index.lastResortKemPrekeys]) {
    if (each.replacedAtMs === 0n) each.replacedAtMs = BigInt(nowMs);
  }
  const changes: StoreChange[] = [];
  const publication = makeKeys(index, { prekeys: 0, kemPrekeys: 0 }, identity, nowMs, changes);
  return { publication, changes };
}

async function readUnconfirmed(
  store: StagedStore,
  table: 'signed-prekey' | 'last-resort-kem-prekey',
  list: readonly KeyIndexRecord_Rotating[],
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const newest = list.at(-1);
  return newest === undefined || newest.publishedAtMs !== 0n ? undefined : store.read(table, String(newest.id));
}

/** Marks the rotating keys of a publication as taken by the directory. */
export async function confirm(store: StagedStore, publication: KeyPublication, nowMs: number): Promise<void> {
  const index = await readKeyIndex(store);
  for (const each of index.signedPrekeys) {
    if (each.id === publication.signedPrekey?.id) each.publishedAtMs = BigInt(nowMs);
  }
  for (const each of index.lastResortKemPrekeys) {
    if (each.id === publication.lastResortKemPrekey?.id) each.publishedAtMs = BigInt(nowMs);
  }
  store.put('device', 'key-index', toBinary(KeyIndexRecordSchema, index));
}
