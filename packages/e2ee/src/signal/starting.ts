// Begins a session with a device from the keys that the directory gives for it.
// Knows nothing of directories, nor of what is sent in the session.
// Source: docs/protocol/06-stanzas.md section 6.2; PQXDH.
import * as Signal from '@signalapp/libsignal-client';
import { maxRegistrationId } from '@drawbridge/wire/limits';
import { isDeviceAddress } from '../addresses.ts';
import { MAX_PREKEY_ID } from '../device-keys.ts';
import { identityFingerprint } from '../identities.ts';
import { Identities, Sessions } from '../libsignal-stores.ts';
import type { Commit } from '../stores.ts';
import type { RemoteBundle, Result, SessionError, SessionStarted } from '../suite.ts';
import { own, protocolAddress, settle, type Workbench } from './workbench.ts';

export async function startSession(
  bench: Workbench,
  bundle: RemoteBundle,
  commit: Commit<SessionStarted>,
): Promise<Result<SessionStarted, SessionError>> {
  if (!isDeviceAddress(bundle.address) || bench.isSelf(bundle.address)) {
    return { ok: false, error: { code: 'invalid-address' } };
  }
  const parsed = parseBundle(bundle);
  if (parsed === undefined) return { ok: false, error: { code: 'invalid-bundle' } };
  const { interopId } = bundle.address;
  return bench.operate<SessionStarted, SessionError>([interopId], async store => {
    const now = bench.nowMs();
    const identities = new Identities(store, bench.local, now, true);
    const remote = protocolAddress(bundle.address);
    try {
      await Signal.processPreKeyBundle(parsed, remote, bench.here, new Sessions(store), identities, new Date(now));
    } catch (error) {
      if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
      if (identities.isOfAnother) return { ok: false, error: { code: 'identity-of-another' } };
      const { refused } = identities;
      if (refused === undefined) return { ok: false, error: { code: 'invalid-bundle' } };
      if (refused.pending !== undefined) {
        const { change, event } = refused.pending;
        const remembered = await settle(commit, { changes: [change], events: [event] });
        if (!remembered.ok) return remembered;
      }
      const fingerprint = identityFingerprint(refused.identityKey);
      return { ok: false, error: { code: 'untrusted-identity', interopId, fingerprint } };
    }
    return settle(commit, { changes: store.changes, events: identities.events });
  });
}

function parseBundle(bundle: RemoteBundle): Signal.PreKeyBundle | undefined {
  const { address, registrationId, identityKey, signedPrekey, prekey, kemPrekey } = bundle;
  const ids = [signedPrekey.id, kemPrekey.id, ...(prekey === undefined ? [] : [prekey.id])];
  if (!ids.every(id => Number.isInteger(id) && id >= 1 && id <= MAX_PREKEY_ID)) return undefined;
  if (!Number.isInteger(registrationId) || registrationId < 1 || registrationId > maxRegistrationId) return undefined;
  try {
    return Signal.PreKeyBundle.new(
      registrationId,
      address.deviceId,
      prekey === undefined ? null : prekey.id,
      prekey === undefined ? null : Signal.PublicKey.deserialize(own(prekey.publicKey)),
      signedPrekey.id,
      Signal.PublicKey.deserialize(own(signedPrekey.publicKey)),
      own(signedPrekey.signature),
      Signal.PublicKey.deserialize(own(identityKey)),
      kemPrekey.id,
      Signal.KEMPublicKey.deserialize(own(kemPrekey.publicKey)),
      own(kemPrekey.signature),
    );
  } catch {
    // As above: keys of a stranger.
    return undefined;
  }
}
