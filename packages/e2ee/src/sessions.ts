// The suite `signal-1`: libsignal sessions (PQXDH, Double Ratchet with SPQR) between devices. Opens a device's end of it; the
// operations are in signal/.
// Every operation reads a staged view under locks, and its changes reach the store through the caller's commit alone.
// Knows nothing of stanzas, directories, files or content; the clock is an argument.
// Source: docs/protocol/06-stanzas.md, docs/protocol/09-content.md.
import * as Signal from '@signalapp/libsignal-client';
import { type DeviceAddress, encodeDeviceAddress, isDeviceAddress } from './addresses.ts';
import { confirm, readDeviceKeys, refill, renew } from './device-keys.ts';
import { type LocalIdentity, Sessions } from './libsignal-stores.ts';
import { decrypt } from './signal/decrypting.ts';
import { encryptFor } from './signal/encrypting.ts';
import { identityAnswers } from './signal/identity-answers.ts';
import { startSession } from './signal/starting.ts';
import { done, own, PREKEYS_LOCK, protocolAddress, settle, Workbench } from './signal/workbench.ts';
import type { Commit, E2eeStore } from './stores.ts';
import type { E2eeSuite, Result, StoreError } from './suite.ts';

export const SIGNAL_SUITE = 'signal-1';

export type OpenError = StoreError | { readonly code: 'invalid-address' } | { readonly code: 'no-device-keys' };

/** Opens this device's end of the suite. The store holds what `createDevice` made; one suite per store. */
export async function openSignalSuite(options: {
  readonly local: DeviceAddress;
  readonly store: E2eeStore;
  readonly nowMs: () => number;
}): Promise<Result<E2eeSuite, OpenError>> {
  if (!isDeviceAddress(options.local)) return { ok: false, error: { code: 'invalid-address' } };
  const keys = await readDeviceKeys(options.store);
  if (!keys.ok) return keys;
  if (keys.value === undefined) return { ok: false, error: { code: 'no-device-keys' } };
  const local: LocalIdentity = {
    interopId: options.local.interopId,
    pair: Signal.IdentityKeyPair.deserialize(own(keys.value.identityKeyPair)),
    publicKey: keys.value.identityKey,
    registrationId: keys.value.registrationId,
  };
  return { ok: true, value: suiteOn(new Workbench(options.local, local, options.store, options.nowMs)) };
}

/** The cause of `commit-failed`: `end` was called while the operation was under way. */
class SuiteEnded extends Error {
  constructor() {
    super('this end of the suite is no longer in use');
  }
}

function suiteOn(bench: Workbench): E2eeSuite {
  let isEnded = false;
  const unlessEnded =
    <T>(commit: Commit<T>): Commit<T> =>
    staged => {
      if (isEnded) throw new SuiteEnded();
      return commit(staged);
    };
  return {
    name: SIGNAL_SUITE,
    local: bench.address,
    identityKey: bench.local.publicKey,
    encryptFor: (targets, commit) => encryptFor(bench, targets, unlessEnded(commit)),
    startSession: (bundle, commit) => startSession(bench, bundle, unlessEnded(commit)),
    decrypt: (incoming, commit, inspect) => decrypt(bench, incoming, unlessEnded(commit), inspect),
    endSessions: (interopId, deviceIds, commit) =>
      bench.operate<void, StoreError>([interopId], async store => {
        if (deviceIds === 'all') store.deleteScope('session', interopId);
        else for (const deviceId of deviceIds) store.delete('session', encodeDeviceAddress({ interopId, deviceId }));
        return done(await settle(unlessEnded(commit), { changes: store.changes }));
      }),
    archiveSessions: (devices, commit) =>
      bench.operate<void, StoreError>(
        devices.map(device => device.interopId),
        async store => {
          const sessions = new Sessions(store);
          for (const device of devices) {
            const session = await sessions.getSession(protocolAddress(device));
            if (session === null) continue;
            session.archiveCurrentState();
            await sessions.saveSession(protocolAddress(device), session);
          }
          return done(await settle(unlessEnded(commit), { changes: store.changes }));
        },
      ),
    ...identityAnswers(bench),
    refillKeys: (counts, commit) =>
      bench.operate([PREKEYS_LOCK], async store => {
        const due = await refill(store, counts, bench.local.pair.privateKey, bench.nowMs());
        if (due === undefined) return { ok: true, value: undefined };
        const committed = await settle(unlessEnded(commit), due);
        return committed.ok ? { ok: true, value: due.publication } : committed;
      }),
    renewKeys: commit =>
      bench.operate([PREKEYS_LOCK], async store => {
        const made = await renew(store, bench.local.pair.privateKey, bench.nowMs());
        const committed = await settle(unlessEnded(commit), made);
        return committed.ok ? { ok: true, value: made.publication } : committed;
      }),
    confirmPublished: (publication, commit) =>
      bench.operate<void, StoreError>([PREKEYS_LOCK], async store => {
        await confirm(store, publication, bench.nowMs());
        return done(await settle(unlessEnded(commit), { changes: store.changes }));
      }),
    end() {
      isEnded = true;
    },
  };
}
