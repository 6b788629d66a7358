import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import * as Signal from '@signalapp/libsignal-client';
import {
  createDevice,
  deviceKeyThumbprint,
  KEEP_REPLACED_MS,
  MAX_ONE_TIME_KEPT,
  MAX_ONE_TIME_PER_PUBLISH,
  MAX_REPLACED_KEPT,
  MAX_PREKEY_ID,
  makeKeys,
  prekeyIdAfter,
  readDeviceKeys,
  ROTATE_AFTER_MS,
} from './device-keys.ts';
import { create } from '@bufbuild/protobuf';
import { KeyIndexRecordSchema } from './gen/device_pb.ts';
import { createMemoryStore } from './memory-store.ts';
import { openSignalSuite } from './sessions.ts';
import type { StoreChange } from './stores.ts';
import type { KeyPublication } from './suite.ts';

const local = { interopId: `0-${'a'.repeat(26)}`, deviceId: 1 };

async function device() {
  const store = createMemoryStore();
  const clock = { ms: 1_800_000_000_000 };
  const made = createDevice({ nowMs: clock.ms });
  assert(made.ok);
  store.apply(made.value.changes);
  const opened = await openSignalSuite({ local, store, nowMs: () => clock.ms });
  assert(opened.ok);
  const suite = opened.value;
  const apply = (staged: { changes: readonly StoreChange[] }): void => store.apply(staged.changes);
  const refill = async (prekeys: number, kemPrekeys = prekeys): Promise<KeyPublication | undefined> => {
    const due = await suite.refillKeys({ prekeys, kemPrekeys }, apply);
    assert(due.ok);
    return due.value;
  };
  const confirm = async (publication: KeyPublication): Promise<void> =>
    assert.deepEqual(await suite.confirmPublished(publication, apply), { ok: true, value: undefined });
  return { store, clock, made: made.value, suite, refill, confirm, apply };
}

test('a new device has everything that an enlistment needs, rightly signed', async () => {
  const { made, store } = await device();
  const { keys, publication } = made;
  assert(keys.registrationId >= 1 && keys.registrationId <= 16_380);
  assert.deepEqual(
    [keys.identityKey.length, keys.deviceKey.publicKey.length, keys.deviceKey.privateKey.length],
    [33, 32, 32],
  );
  assert.deepEqual(
    [publication.prekeys.length, publication.kemPrekeys.length],
    [MAX_ONE_TIME_PER_PUBLISH, MAX_ONE_TIME_PER_PUBLISH],
  );
  const identity = Signal.PublicKey.deserialize(Uint8Array.from(keys.identityKey));
  for (const signed of [publication.signedPrekey!, publication.lastResortKemPrekey!, ...publication.kemPrekeys]) {
    assert(identity.verify(Uint8Array.from(signed.publicKey), Uint8Array.from(signed.signature)));
    assert.equal(signed.signature.length, 64);
  }
  assert.equal(publication.lastResortKemPrekey!.publicKey.length, 1_569);
  const ids = publication.kemPrekeys.map(each => each.id).concat(publication.lastResortKemPrekey!.id);
  assert.equal(new Set(ids).size, ids.length, 'one-time and last-resort keys share one row of ids');
  const read = await readDeviceKeys(store);
  assert(read.ok);
  assert.deepEqual(read.value, keys);
  assert.deepEqual(await readDeviceKeys(createMemoryStore()), { ok: true, value: undefined });
});

test('the device key is an X25519 key as others understand it, and its thumbprint that of RFC 7638', async () => {
  const { made } = await device();
  const { publicKey, privateKey, thumbprint } = made.keys.deviceKey;
  const x = Buffer.from(publicKey).toString('base64url');
  const d = Buffer.from(privateKey).toString('base64url');
  const own = createPrivateKey({ key: { kty: 'OKP', crv: 'X25519', x, d }, format: 'jwk' });
  const other = generateKeyPairSync('x25519');
  const theirView = diffieHellman({
    privateKey: other.privateKey,
    publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' }),
  });
  assert.deepEqual(diffieHellman({ privateKey: own, publicKey: other.publicKey }), theirView);
  assert.match(thumbprint, /^[A-Za-z0-9_-]{43}$/);
  // The X25519 public key of RFC 7748 section 6.1 (Alice); the thumbprint is what jose 6.2.17 calculates.
  const alice = Buffer.from('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a', 'hex');
  assert.equal(deviceKeyThumbprint(alice), 'u809Vppx5ixWMOohxWr2aM3m5bD0LQ67g_GPmubQus4');
});

test('one-time keys are refilled below the mark, up to the target, with ids that grow', async () => {
  const { refill, confirm, made } = await device();
  await confirm(made.publication);
  assert.equal(await refill(100), undefined);
  assert.equal(await refill(51), undefined);
  const second = await refill(50);
  assert.deepEqual(
    second?.prekeys.map(each => each.id),
    Array.from({ length: 50 }, (_, i) => 51 + i),
  );
  assert.equal(second?.signedPrekey, undefined);
  const third = await refill(0, 100);
  assert.deepEqual([third?.prekeys.length, third?.prekeys[0]?.id, third?.kemPrekeys.length], [50, 101, 0]);
  const fourth = await refill(100, -5);
  assert.equal(fourth?.kemPrekeys.length, 50);
});

test('rotating keys: published again until confirmed, rotated by age, opened for 30 days more', async () => {
  const { refill, confirm, made, clock, store } = await device();
  const again = await refill(100);
  assert.deepEqual(again?.signedPrekey, made.publication.signedPrekey);
  assert.deepEqual(again?.lastResortKemPrekey, made.publication.lastResortKemPrekey);
  await confirm(again!);
  assert.equal(await refill(100), undefined);
  clock.ms += ROTATE_AFTER_MS - 1;
  assert.equal(await refill(100), undefined);
  clock.ms += 1;
  const rotated = await refill(100);
  assert.equal(rotated?.signedPrekey?.id, 2);
  assert.notEqual(rotated?.lastResortKemPrekey?.id, made.publication.lastResortKemPrekey!.id);
  await confirm(rotated);
  const firstKem = String(made.publication.lastResortKemPrekey!.id);
  store.apply([{ op: 'put', table: 'kem-base-key', key: 'k', scope: firstKem, value: new Uint8Array([1]) }]);
  clock.ms += KEEP_REPLACED_MS;
  await refill(100);
  assert.notEqual(store.read('signed-prekey', '1'), undefined, 'kept for 30 days');
  assert.notEqual(store.read('last-resort-kem-prekey', firstKem), undefined);
  clock.ms += ROTATE_AFTER_MS;
  await refill(100);
  assert.equal(store.read('signed-prekey', '1'), undefined);
  assert.equal(store.read('last-resort-kem-prekey', firstKem), undefined);
  assert.equal(await store.count('kem-base-key', firstKem), 0);
});

test('a key from a clock far ahead does not stay for ever', async () => {
  const { refill, confirm, made, clock } = await device();
  await confirm(made.publication);
  clock.ms -= 365 * 86_400_000;
  assert.equal((await refill(100))?.signedPrekey?.id, 2);
});

test('private keys are committed before anything may be published', async () => {
  const { suite, store, refill } = await device();
  const failed = await suite.refillKeys({ prekeys: 0, kemPrekeys: 0 }, () => {
    throw new Error('disk full');
  });
  assert(!failed.ok && failed.error.code === 'commit-failed');
  const next = await refill(0);
  for (const { id } of next!.prekeys) assert.notEqual(store.read('prekey', String(id)), undefined);
  for (const { id } of next!.kemPrekeys) assert.notEqual(store.read('kem-prekey', String(id)), undefined);
});

test('ids begin again after the last, and old private keys go', () => {
  assert.equal(prekeyIdAfter(MAX_PREKEY_ID, 1), 1);
  assert.equal(prekeyIdAfter(1, -1), MAX_PREKEY_ID);
  const index = create(KeyIndexRecordSchema, {
    nextPrekeyId: MAX_PREKEY_ID,
    nextKemPrekeyId: 5,
    nextSignedPrekeyId: 1,
  });
  const changes: StoreChange[] = [];
  const made = makeKeys(index, { prekeys: 50, kemPrekeys: 100 }, Signal.PrivateKey.generate(), 1, changes);
  assert.deepEqual(
    made.prekeys.slice(0, 3).map(each => each.id),
    [MAX_PREKEY_ID, 1, 2],
  );
  const deleted = changes.flatMap(change => (change.op === 'delete' ? [change.key] : []));
  assert.deepEqual(deleted.slice(0, 2), [
    String(MAX_PREKEY_ID - MAX_ONE_TIME_KEPT),
    String(MAX_PREKEY_ID - MAX_ONE_TIME_KEPT + 1),
  ]);
});

test('an identity key pair that is none is refused', () => {
  assert.deepEqual(createDevice({ nowMs: 1, identityKeyPair: new Uint8Array(10) }), {
    ok: false,
    error: { code: 'invalid-identity-key-pair' },
  });
});

test('a store that is older than what it published replaces all of it, and still opens what is on its way', async () => {
  const { suite, apply, made, store, refill, confirm } = await device();
  await confirm(made.publication);
  const renewed = await suite.renewKeys(apply);
  assert(renewed.ok);
  const { signedPrekey, lastResortKemPrekey, prekeys, kemPrekeys } = renewed.value;
  assert.notDeepEqual(signedPrekey!.publicKey, made.publication.signedPrekey!.publicKey);
  assert.notDeepEqual(lastResortKemPrekey!.publicKey, made.publication.lastResortKemPrekey!.publicKey);
  assert.deepEqual([prekeys.length, kemPrekeys.length], [MAX_ONE_TIME_PER_PUBLISH, MAX_ONE_TIME_PER_PUBLISH]);
  const before = new Set(made.publication.prekeys.map(key => key.id));
  assert(prekeys.every(key => !before.has(key.id)));
  assert(store.read('signed-prekey', String(made.publication.signedPrekey!.id)) !== undefined);
  await confirm(renewed.value);
  assert.equal(await refill(100), undefined, 'the renewed ones are in force');
  for (let i = 0; i < MAX_REPLACED_KEPT + 10; i++) assert((await suite.renewKeys(apply)).ok);
  assert.equal(store.read('signed-prekey', '1'), undefined, 'renewed again and again, it keeps a bounded number');
  assert(store.read('signed-prekey', String(MAX_REPLACED_KEPT)) !== undefined);
});
