// The suite `signal-1`: libsignal sessions (PQXDH, Double Ratchet with SPQR) between devices.
// Every operation reads a staged view under locks, and its changes reach the store through the caller's commit alone.
// Knows nothing of stanzas, directories, files or content; the clock is an argument.
// Source: docs/protocol/06-stanzas.md, docs/protocol/09-content.md; design: one lock per person, since identity and
// sessions of a person change together; all crypto runs on this thread anyway.
import * as Signal from '@signalapp/libsignal-client';
import {
  type DeviceAddress,
  encodeDeviceAddress,
  type InteropId,
  isDeviceAddress,
  isDeviceId,
  isInteropId,
  MAX_DEVICE_ID,
  MAX_REGISTRATION_ID,
} from './addresses.ts';
import { MAX_CONTENT_BYTES } from './content/content.ts';
import { confirm, MAX_PREKEY_ID, readDeviceKeys, refill, renew } from './device-keys.ts';
import {
  adoptIdentity,
  identityFingerprint,
  identityState,
  putIdentity,
  readIdentityRecord,
  sameKey,
} from './identities.ts';
import { Identities, type LocalIdentity, Prekeys, Sessions } from './libsignal-stores.ts';
import { createLocks } from './locks.ts';
import { padContent, unpadContent } from './padding.ts';
import { safetyNumberOf } from './safety-number.ts';
import { StagedStore, StoreFailure } from './staged.ts';
import type { Commit, E2eeStore, StoreChange } from './stores.ts';
import type {
  DecryptError,
  DecryptOutcome,
  DeviceCiphertext,
  E2eeSuite,
  Encrypted,
  EncryptError,
  EncryptTarget,
  IdentityError,
  IncomingCiphertext,
  Misbound,
  RemoteBundle,
  Result,
  SafetyNumber,
  SessionError,
  SessionStarted,
  StoreError,
} from './suite.ts';

export const SIGNAL_SUITE = 'signal-1';
/** docs/protocol/06 section 6.1. */
export const MAX_CIPHERTEXT_BYTES = 65_536;
/** Targets of one `encryptFor`; each has at most 127 devices. */
export const MAX_TARGETS = 8;

export type OpenError = StoreError | { readonly code: 'invalid-address' } | { readonly code: 'no-device-keys' };

type Bytes = Uint8Array<ArrayBuffer>;

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
  return { ok: true, value: createSuite(options.local, local, options.store, options.nowMs) };
}

const PREKEYS_LOCK = 'prekeys';
const PREKEY_MESSAGE: number = Signal.CiphertextMessageType.PreKey;

function own(bytes: Uint8Array): Bytes {
  return Uint8Array.from(bytes);
}

function protocolAddress(address: DeviceAddress): Signal.ProtocolAddress {
  return Signal.ProtocolAddress.new(address.interopId, address.deviceId);
}

/** Hands the staged result to the caller's commit. */
async function settle<T>(commit: Commit<T>, staged: T): Promise<Result<T, StoreError>> {
  try {
    await commit(staged);
    return { ok: true, value: staged };
  } catch (cause) {
    return { ok: false, error: { code: 'commit-failed', cause } };
  }
}

function createSuite(
  address: DeviceAddress,
  local: LocalIdentity,
  committed: E2eeStore,
  nowMs: () => number,
): E2eeSuite {
  const locks = createLocks();
  const here = protocolAddress(address);

  /** Runs one operation under its locks over a fresh staged view; a failing store becomes a value. */
  async function operate<T, E>(
    keys: readonly string[],
    work: (store: StagedStore) => Promise<Result<T, E | StoreError>>,
  ): Promise<Result<T, E | StoreError>> {
    const store = new StagedStore(committed);
    try {
      const running = locks.run(keys, () => work(store));
      if (running === undefined) return { ok: false, error: { code: 'too-many-waiting' } };
      return await running;
    } catch (error) {
      // libsignal wraps what its stores throw; the staged view remembers it.
      const failure = store.failure ?? (error instanceof StoreFailure ? error : undefined);
      if (failure === undefined) throw error;
      return { ok: false, error: { code: 'store-failed', cause: failure.cause } };
    }
  }

  /** Of the identity key under which this operation spoke with somebody. */
  async function fingerprintInForce(store: StagedStore, person: InteropId): Promise<string> {
    const record = person === local.interopId ? undefined : await readIdentityRecord(store, person);
    return identityFingerprint(record?.identityKey ?? local.publicKey);
  }

  async function encryptFor(
    targets: readonly EncryptTarget[],
    commit: Commit<Encrypted>,
  ): Promise<Result<Encrypted, EncryptError>> {
    const refusal = checkTargets(targets, address);
    if (refusal !== undefined) return { ok: false, error: refusal };
    return operate<Encrypted, EncryptError>(
      targets.map(target => target.to),
      async store => {
        const now = nowMs();
        const sessions = new Sessions(store);
        const identities = new Identities(store, local, now, false);
        const missing: DeviceAddress[] = [];
        const registrations = new Map<string, number>();
        for (const { to, devices } of targets) {
          const record = to === local.interopId ? undefined : await readIdentityRecord(store, to);
          if (record !== undefined && record.pendingIdentityKey.length > 0) {
            const fingerprint = identityFingerprint(record.pendingIdentityKey);
            return { ok: false, error: { code: 'untrusted-identity', interopId: to, fingerprint } };
          }
          for (const { deviceId, registrationId } of devices) {
            const device = { interopId: to, deviceId };
            const session = await sessions.getSession(protocolAddress(device));
            if (session === null || !session.hasCurrentState(new Date(now))) missing.push(device);
            else {
              const known = session.remoteRegistrationId();
              if (registrationId !== undefined && registrationId !== known) missing.push(device);
              else registrations.set(encodeDeviceAddress(device), known);
            }
          }
        }
        if (missing.length > 0) return { ok: false, error: { code: 'no-session', devices: missing } };

        const ciphertexts: DeviceCiphertext[] = [];
        for (const { to, devices, content } of targets) {
          const padded = padContent(content);
          for (const { deviceId } of devices) {
            const device = { interopId: to, deviceId };
            let message: Signal.CiphertextMessage;
            try {
              message = await Signal.signalEncrypt(
                padded,
                protocolAddress(device),
                here,
                sessions,
                identities,
                new Date(now),
              );
            } catch (error) {
              if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
              const fingerprint = identities.refused && identityFingerprint(identities.refused.identityKey);
              // A session that libsignal will not use is as good as none: a fresh bundle mends it.
              if (fingerprint === undefined) return { ok: false, error: { code: 'no-session', devices: [device] } };
              return { ok: false, error: { code: 'untrusted-identity', interopId: to, fingerprint } };
            }
            const kind = message.type() === PREKEY_MESSAGE ? 'prekey' : 'session';
            const bytes = message.serialize();
            if (bytes.length > MAX_CIPHERTEXT_BYTES) {
              return { ok: false, error: { code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES } };
            }
            const registrationId = registrations.get(encodeDeviceAddress(device))!;
            ciphertexts.push({ to, deviceId, registrationId, kind, bytes });
          }
        }
        const inForce = new Map<InteropId, string>();
        for (const { to } of targets) inForce.set(to, await fingerprintInForce(store, to));
        return settle(commit, { ciphertexts, identities: inForce, changes: store.changes });
      },
    );
  }

  async function startSession(
    bundle: RemoteBundle,
    commit: Commit<SessionStarted>,
  ): Promise<Result<SessionStarted, SessionError>> {
    if (!isDeviceAddress(bundle.address) || isSelf(bundle.address, address)) {
      return { ok: false, error: { code: 'invalid-address' } };
    }
    const parsed = parseBundle(bundle);
    if (parsed === undefined) return { ok: false, error: { code: 'invalid-bundle' } };
    const { interopId } = bundle.address;
    return operate<SessionStarted, SessionError>([interopId], async store => {
      const now = nowMs();
      const identities = new Identities(store, local, now, true);
      const remote = protocolAddress(bundle.address);
      try {
        await Signal.processPreKeyBundle(parsed, remote, here, new Sessions(store), identities, new Date(now));
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

  /** Whether a first message opens under the identity key that it brings, and says where it belongs. Keeps nothing. */
  async function canBeRead(
    message: ParsedCiphertext,
    from: DeviceAddress,
    inspect: (content: Uint8Array) => Misbound | undefined,
  ): Promise<boolean> {
    if (message.kind !== 'prekey') return false;
    const store = new StagedStore(committed);
    const { oneTime, signed, kem } = new Prekeys(store);
    const identities = new Identities(store, local, nowMs(), true, true);
    const sessions = new Sessions(store);
    try {
      const padded = await Signal.signalDecryptPreKey(
        message.message,
        protocolAddress(from),
        here,
        sessions,
        identities,
        oneTime,
        signed,
        kem,
      );
      const content = unpadContent(padded);
      return content !== undefined && inspect(content) === undefined;
    } catch (error) {
      if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw store.failure ?? error;
      return false;
    }
  }

  async function decrypt(
    incoming: IncomingCiphertext,
    commit: Commit<DecryptOutcome>,
    inspect: (content: Uint8Array) => Misbound | undefined = () => undefined,
  ): Promise<Result<DecryptOutcome, StoreError>> {
    const { from, kind, bytes } = incoming;
    const refused = (
      error: DecryptError,
      changes: readonly StoreChange[] = [],
      events: SessionStarted['events'] = [],
    ): DecryptOutcome => ({ kind: 'refused', from, error, changes, events });

    if (!isDeviceAddress(from) || isSelf(from, address)) return settle(commit, refused({ code: 'invalid-address' }));
    const message = parseCiphertext(kind, bytes);
    if (message === undefined) return settle(commit, refused({ code: 'malformed-ciphertext' }));
    const keys = message.kind === 'prekey' ? [from.interopId, PREKEYS_LOCK] : [from.interopId];
    return operate<DecryptOutcome, StoreError>(keys, async store => {
      const remote = protocolAddress(from);
      const sessions = new Sessions(store);
      if (message.kind === 'plaintext-retry') {
        const { error } = message;
        if (error.deviceId() !== address.deviceId) return settle(commit, refused({ code: 'malformed-ciphertext' }));
        const ratchetKey = error.ratchetKey();
        const session = await sessions.getSession(remote);
        const ratchetKeyIsCurrent =
          ratchetKey !== undefined && session !== null && session.currentRatchetKeyMatches(ratchetKey);
        const request = { tag: error.timestamp(), deviceId: error.deviceId(), ratchetKeyIsCurrent };
        return settle(commit, { kind: 'retry-request', from, request, changes: [] });
      }
      const identities = new Identities(store, local, nowMs(), message.kind === 'prekey');
      const prekeys = new Prekeys(store);
      let padded: Uint8Array;
      try {
        if (message.kind === 'prekey') {
          padded = await Signal.signalDecryptPreKey(
            message.message,
            remote,
            here,
            sessions,
            identities,
            prekeys.oneTime,
            prekeys.signed,
            prekeys.kem,
          );
        } else {
          if ((await sessions.getSession(remote)) === null) return settle(commit, refused({ code: 'no-session' }));
          padded = await Signal.signalDecrypt(message.message, remote, here, sessions, identities);
        }
      } catch (error) {
        if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
        if (identities.isOfAnother) return settle(commit, refused({ code: 'identity-of-another' }));
        // Nothing of the failed attempt is kept, except an identity key that a person must look at.
        const untrusted = identities.refused;
        if (untrusted !== undefined) {
          const fingerprint = identityFingerprint(untrusted.identityKey);
          // A key that nobody has shown to hold is not a reason to stop a conversation.
          if (untrusted.awaitsAcceptance && !(await canBeRead(message, from, inspect))) {
            return settle(commit, refused({ code: 'malformed-ciphertext' }));
          }
          const { pending, awaitsAcceptance } = untrusted;
          return settle(
            commit,
            refused(
              { code: 'untrusted-identity', fingerprint, awaitsAcceptance },
              pending === undefined ? [] : [pending.change],
              pending === undefined ? [] : [pending.event],
            ),
          );
        }
        if (prekeys.refusal !== undefined) return settle(commit, refused({ code: prekeys.refusal }));
        const duplicate = error.code === Signal.ErrorCode.DuplicatedMessage;
        return settle(commit, refused({ code: duplicate ? 'duplicate' : 'undecryptable' }));
      }
      if (sessions.isTooLarge) {
        const reset: StoreChange = { op: 'delete', table: 'session', key: encodeDeviceAddress(from) };
        return settle(commit, refused({ code: 'session-too-large' }, [reset]));
      }
      const content = unpadContent(padded);
      const { changes } = store;
      // Authentic, so the ratchet has moved: committed even though there is nothing to show.
      if (content === undefined) return settle(commit, refused({ code: 'bad-padding' }, changes, identities.events));
      const part = inspect(content);
      if (part !== undefined) return settle(commit, refused({ code: 'misbound', part }));
      const identity = await fingerprintInForce(store, from.interopId);
      return settle(commit, { kind: 'content', from, identity, content, changes, events: identities.events });
    });
  }

  const endSessions: E2eeSuite['endSessions'] = (interopId, deviceIds, commit) =>
    operate<void, StoreError>([interopId], async store => {
      if (deviceIds === 'all') store.deleteScope('session', interopId);
      else for (const deviceId of deviceIds) store.delete('session', encodeDeviceAddress({ interopId, deviceId }));
      return done(await settle(commit, { changes: store.changes }));
    });

  const archiveSessions: E2eeSuite['archiveSessions'] = (devices, commit) =>
    operate<void, StoreError>(
      devices.map(device => device.interopId),
      async store => {
        const sessions = new Sessions(store);
        for (const device of devices) {
          const session = await sessions.getSession(protocolAddress(device));
          if (session === null) continue;
          session.archiveCurrentState();
          await sessions.saveSession(protocolAddress(device), session);
        }
        return done(await settle(commit, { changes: store.changes }));
      },
    );

  const readIdentity: E2eeSuite['readIdentity'] = interopId =>
    operate([interopId], async store => {
      const record = await readIdentityRecord(store, interopId);
      if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
      return { ok: true, value: identityState(record) };
    });

  const setVerified: E2eeSuite['setVerified'] = (interopId, identityKey, verified, commit) =>
    operate<void, IdentityError>([interopId], async store => {
      const record = await readIdentityRecord(store, interopId);
      if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
      if (!sameKey(record.identityKey, identityKey)) return { ok: false, error: { code: 'identity-key-differs' } };
      const { firstSeenAtMs } = record;
      // A person who has compared the true key has answered what another one asked.
      const pendingIdentityKey = verified ? new Uint8Array() : record.pendingIdentityKey;
      putIdentity(store, interopId, { identityKey: record.identityKey, firstSeenAtMs, verified, pendingIdentityKey });
      return done(await settle(commit, { changes: store.changes }));
    });

  const acceptIdentity: E2eeSuite['acceptIdentity'] = (interopId, identityKey, commit) =>
    operate<void, IdentityError>([interopId], async store => {
      const record = await readIdentityRecord(store, interopId);
      if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
      if (record.pendingIdentityKey.length === 0 || !sameKey(record.pendingIdentityKey, identityKey)) {
        return { ok: false, error: { code: 'identity-key-differs' } };
      }
      adoptIdentity(store, interopId, record, record.pendingIdentityKey, nowMs());
      return done(await settle(commit, { changes: store.changes }));
    });

  const rejectIdentity: E2eeSuite['rejectIdentity'] = (interopId, identityKey, commit) =>
    operate<void, IdentityError>([interopId], async store => {
      const record = await readIdentityRecord(store, interopId);
      if (record === undefined) return { ok: false, error: { code: 'unknown-identity' } };
      if (record.pendingIdentityKey.length === 0 || !sameKey(record.pendingIdentityKey, identityKey)) {
        return { ok: false, error: { code: 'identity-key-differs' } };
      }
      const { firstSeenAtMs, verified } = record;
      putIdentity(store, interopId, { identityKey: record.identityKey, firstSeenAtMs, verified });
      return done(await settle(commit, { changes: store.changes }));
    });

  const safetyNumber: E2eeSuite['safetyNumber'] = async interopId => {
    const numbers = await safetyNumbers(interopId);
    return numbers.ok ? { ok: true, value: numbers.value.inForce } : numbers;
  };

  const safetyNumbers: E2eeSuite['safetyNumbers'] = async interopId => {
    const state = await readIdentity(interopId);
    if (!state.ok) return state;
    const mine = { interopId: local.interopId, identityKey: local.publicKey };
    const numberOf = (identityKey: Uint8Array): SafetyNumber => safetyNumberOf(mine, { interopId, identityKey });
    const { identityKey, pending } = state.value;
    const inForce = numberOf(identityKey);
    return {
      ok: true,
      value: pending === undefined ? { inForce } : { inForce, pending: numberOf(pending.identityKey) },
    };
  };

  const refillKeys: E2eeSuite['refillKeys'] = (counts, commit) =>
    operate([PREKEYS_LOCK], async store => {
      const due = await refill(store, counts, local.pair.privateKey, nowMs());
      if (due === undefined) return { ok: true, value: undefined };
      const committedNow = await settle(commit, due);
      return committedNow.ok ? { ok: true, value: due.publication } : committedNow;
    });

  const renewKeys: E2eeSuite['renewKeys'] = commit =>
    operate([PREKEYS_LOCK], async store => {
      const made = await renew(store, local.pair.privateKey, nowMs());
      const committedNow = await settle(commit, made);
      return committedNow.ok ? { ok: true, value: made.publication } : committedNow;
    });

  const confirmPublished: E2eeSuite['confirmPublished'] = (publication, commit) =>
    operate<void, StoreError>([PREKEYS_LOCK], async store => {
      await confirm(store, publication, nowMs());
      return done(await settle(commit, { changes: store.changes }));
    });

  return {
    name: SIGNAL_SUITE,
    local: address,
    identityKey: local.publicKey,
    encryptFor,
    startSession,
    decrypt,
    archiveSessions,
    endSessions,
    readIdentity,
    setVerified,
    acceptIdentity,
    rejectIdentity,
    safetyNumber,
    safetyNumbers,
    refillKeys,
    renewKeys,
    confirmPublished,
  };
}

function done<E>(result: Result<unknown, E>): Result<void, E> {
  return result.ok ? { ok: true, value: undefined } : result;
}

function isSelf(a: DeviceAddress, b: DeviceAddress): boolean {
  return a.interopId === b.interopId && a.deviceId === b.deviceId;
}

function checkTargets(targets: readonly EncryptTarget[], self: DeviceAddress): EncryptError | undefined {
  const people = new Set<InteropId>();
  if (targets.length > MAX_TARGETS) return { code: 'too-many-devices', max: MAX_TARGETS * MAX_DEVICE_ID };
  for (const { to, devices, content } of targets) {
    if (!isInteropId(to) || people.has(to)) return { code: 'invalid-address' };
    people.add(to);
    if (content.length > MAX_CONTENT_BYTES) return { code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES };
    if (new Set(devices.map(each => each.deviceId)).size !== devices.length) return { code: 'invalid-address' };
    for (const { deviceId } of devices) {
      if (!isDeviceId(deviceId) || isSelf({ interopId: to, deviceId }, self)) return { code: 'invalid-address' };
    }
  }
  return undefined;
}

type ParsedCiphertext =
  | { readonly kind: 'prekey'; readonly message: Signal.PreKeySignalMessage }
  | { readonly kind: 'session'; readonly message: Signal.SignalMessage }
  | { readonly kind: 'plaintext-retry'; readonly error: Signal.DecryptionErrorMessage };

function parseCiphertext(kind: IncomingCiphertext['kind'], bytes: Uint8Array): ParsedCiphertext | undefined {
  if (bytes.length === 0 || bytes.length > MAX_CIPHERTEXT_BYTES) return undefined;
  try {
    switch (kind) {
      case 'prekey':
        return { kind, message: Signal.PreKeySignalMessage.deserialize(own(bytes)) };
      case 'session':
        return { kind, message: Signal.SignalMessage.deserialize(own(bytes)) };
      case 'plaintext-retry': {
        const body = Signal.PlaintextContent.deserialize(own(bytes)).body();
        return { kind, error: Signal.DecryptionErrorMessage.extractFromSerializedBody(body) };
      }
      default:
        return undefined;
    }
  } catch {
    // Bytes of a stranger that are not this kind of message; libsignal says so by throwing.
    return undefined;
  }
}

function parseBundle(bundle: RemoteBundle): Signal.PreKeyBundle | undefined {
  const { address, registrationId, identityKey, signedPrekey, prekey, kemPrekey } = bundle;
  const ids = [signedPrekey.id, kemPrekey.id, ...(prekey === undefined ? [] : [prekey.id])];
  if (!ids.every(id => Number.isInteger(id) && id >= 1 && id <= MAX_PREKEY_ID)) return undefined;
  if (!Number.isInteger(registrationId) || registrationId < 1 || registrationId > MAX_REGISTRATION_ID) return undefined;
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
