// What a reader makes of the manifest that a directory gives, and of one that it keeps back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDevice } from '@drawbridge/e2ee/device-keys';
import { signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import {
  type DeviceManifest,
  encodeManifest,
  manifestSignedBytes,
  parseManifest,
  type SignedManifest,
} from '@drawbridge/wire/device-manifest';
import { changedDevices, judgeManifest, type KnownManifest } from './manifest-judgement.ts';

const made = createDevice({ nowMs: 0, oneTimeKeys: false });
const another = createDevice({ nowMs: 0, oneTimeKeys: false });
assert(made.ok && another.ok);
const { identityKeyPair, identityKey } = made.value.keys;
const interopId = '1-aaaaaaaaaaaaaaaaaaaaaaaaaa';
const who = { domain: 'citadel.example', interopId, provider: 'skylark.example', identityKey };
const device = (id: number) => ({
  id,
  registration: 7,
  deviceKeyThumbprint: 'a'.repeat(43),
  addedAtMs: 1,
});

function manifest(epoch: number, ids: readonly number[], more: Partial<DeviceManifest> = {}): SignedManifest {
  const { domain, provider } = who;
  const devices = ids.map(device);
  const statement = { domain, provider, interopId, epoch, issuedAtMs: 1_000, freshUntilMs: 9_000, devices };
  const text = encodeManifest({ ...statement, ...more });
  return { text, signature: signAsIdentity(identityKeyPair, manifestSignedBytes(text)) };
}
const known = (epoch: number, ids: readonly number[]): KnownManifest => ({ epoch, text: manifest(epoch, ids).text });
function judged(given: SignedManifest | undefined, before?: KnownManifest, nowMs = 2_000, identity = identityKey) {
  const { holds, ...rest } = judgeManifest(given, { ...who, identityKey: identity }, before, nowMs);
  return { ids: holds?.devices.map(({ id }) => id), ...rest };
}

test('a person without a manifest has said nothing; one that is kept back is missed', () => {
  assert.deepEqual(judged(undefined), { ids: undefined, isNew: false, isTheirs: true, warning: undefined });
  assert.deepEqual(judged(undefined, known(3, [1])), { ids: [1], isNew: false, isTheirs: false, warning: 'missing' });
});

test('a newer one holds; what is older, or another of the same epoch, does not, and is warned of', () => {
  const news = { isNew: true, isTheirs: true, warning: undefined };
  assert.deepEqual(judged(manifest(4, [1, 2]), known(3, [1])), { ids: [1, 2], ...news });
  assert.deepEqual(judged(manifest(3, [1]), known(3, [1])), { ids: [1], ...news, isNew: false });
  const old = { ids: [1], isNew: false, isTheirs: true };
  assert.deepEqual(judged(manifest(2, [1, 2]), known(3, [1])), { ...old, warning: 'older-epoch' });
  assert.deepEqual(judged(manifest(3, [1, 2]), known(3, [1])), { ...old, warning: 'two-of-one-epoch' });
});

test('an expired one is still the latest word, and is warned of', () => {
  assert.deepEqual(judged(manifest(4, [1, 2]), known(3, [1]), 9_000), {
    ids: [1, 2],
    isNew: true,
    isTheirs: true,
    warning: 'expired',
  });
});

test('the word of another key, or about another person, changes nothing', () => {
  const kept = { ids: [1], isNew: false, isTheirs: false };
  const { identityKey: other } = another.value.keys;
  assert.deepEqual(judged(manifest(9, [1, 9]), known(3, [1]), 2_000, other), { ...kept, warning: 'wrong-signer' });
  const elsewhere = manifest(9, [1, 9], { domain: 'bastion.example' });
  assert.deepEqual(judged(elsewhere, known(3, [1])), { ...kept, warning: 'wrong-person' });
  assert.deepEqual(judged({ ...manifest(9, [1, 9]), text: '{}' }, known(3, [1])), { ...kept, warning: 'malformed' });
});

test('devices that came, went, or are others under the same id', () => {
  const parsed = (...ids: number[]): DeviceManifest => parseManifest(manifest(1, ids).text)!;
  assert.deepEqual(changedDevices(parsed(1, 2), parsed(2, 3)), { added: [3], removed: [1] });
  const other = { ...parsed(1), devices: [{ ...device(1), registration: 8 }] };
  assert.deepEqual(changedDevices(parsed(1), other), { added: [1], removed: [1] });
});
