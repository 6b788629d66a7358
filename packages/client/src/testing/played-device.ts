// A device with a real store and a real encryption suite, and stanzas as a gatekeeper delivers them: for tests of what is in
// between. Knows nothing of inboxes and outboxes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { bindContent, placeOf, SALT_BYTES } from '@drawbridge/e2ee/binding';
import { createDevice, type NewDevice } from '@drawbridge/e2ee/device-keys';
import { openSignalSuite } from '@drawbridge/e2ee/sessions';
import type { E2eeSuite, RemoteBundle } from '@drawbridge/e2ee/suite';
import type { Element } from '@drawbridge/wire/element';
import { encodeEnvelopeMessage } from '@drawbridge/wire/envelope';
import { openEncryptedStore } from '../store/encrypted-store.ts';
import type { EncryptedStore } from '../store/store.ts';

export const domain = 'citadel.example';

export type PlayedDevice = {
  readonly store: EncryptedStore;
  readonly suite: E2eeSuite;
  readonly bundle: RemoteBundle;
};

/** `name`: of its file in the folder; `wrap`: makes its store fail. */
export async function playedDevice(
  folder: string,
  interopId: string,
  nowMs: () => number,
  name = interopId,
  wrap: (store: EncryptedStore) => EncryptedStore = store => store,
): Promise<PlayedDevice> {
  const key = { kind: 'key', key: randomBytes(32) } as const;
  const opened = await openEncryptedStore({ path: join(folder, `${name}.db`), key });
  assert(opened.ok);
  const store = wrap(opened.value);
  const made = createDevice({ nowMs: nowMs() });
  assert(made.ok && store.transaction(tx => tx.apply(made.value.changes)).ok);
  const suite = await openSignalSuite({ local: { interopId, deviceId: 1 }, store: store.e2ee, nowMs });
  assert(suite.ok);
  return { store, suite: suite.value, bundle: bundleOf(interopId, made.value) };
}

function bundleOf(interopId: string, { keys, publication }: NewDevice): RemoteBundle {
  return {
    address: { interopId, deviceId: 1 },
    registrationId: keys.registrationId,
    identityKey: keys.identityKey,
    signedPrekey: publication.signedPrekey!,
    kemPrekey: publication.lastResortKemPrekey!,
  };
}

export async function meet(from: PlayedDevice, to: PlayedDevice): Promise<void> {
  const commit = (staged: Parameters<Parameters<E2eeSuite['startSession']>[1]>[0]): void => {
    assert(from.store.transaction(tx => tx.apply(staged.changes)).ok);
  };
  assert((await from.suite.startSession(to.bundle, commit)).ok);
}

/** Encrypts a content, bound as its author binds it, as a stanza that the gatekeeper delivers. */
export async function stanzaFrom(
  from: PlayedDevice,
  to: PlayedDevice,
  bytes: Uint8Array,
  id = randomBytes(16).toString('base64url'),
  how: 'bound' | 'as it is' = 'bound',
): Promise<Element> {
  const { interopId } = to.suite.local;
  const devices = [{ deviceId: 1, registrationId: to.bundle.registrationId }];
  const place = placeOf({ author: from.suite.local, recipient: interopId, domain });
  const content = how === 'bound' ? bindContent(bytes, { place, number: 1, salt: randomBytes(SALT_BYTES) }) : bytes;
  const encrypted = await from.suite.encryptFor([{ to: interopId, devices, content }], staged => {
    assert(from.store.transaction(tx => tx.apply(staged.changes)).ok);
  });
  assert(encrypted.ok);
  const [ciphertext] = encrypted.value.ciphertexts;
  const el = encodeEnvelopeMessage({
    to: `${interopId}@${domain}/1`,
    id,
    type: 'chat',
    suite: from.suite.name,
    fromDevice: 1,
    ciphertexts: [{ deviceId: 1, registrationId: undefined, kind: ciphertext!.kind, payload: ciphertext!.bytes }],
    noStore: false,
    silent: true,
  });
  return { ...el, attrs: [...el.attrs, 'from', `${from.suite.local.interopId}@${domain}/1`] };
}
