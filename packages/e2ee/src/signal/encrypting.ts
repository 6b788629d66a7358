// Encrypts one content for all devices of some people, or for none.
// Knows nothing of stanzas, directories or what contents mean.
// Source: docs/protocol/06-stanzas.md section 6.1.
import * as Signal from '@signalapp/libsignal-client';
import { type InteropId, isInteropId } from '@drawbridge/wire/jid';
import { maxCiphertextBytes, maxDeviceId } from '@drawbridge/wire/limits';
import { type DeviceAddress, encodeDeviceAddress, isDeviceId } from '../addresses.ts';
import { MAX_CONTENT_BYTES } from '../content/content.ts';
import { identityFingerprint, readIdentityRecord } from '../identities.ts';
import { Identities, Sessions } from '../libsignal-stores.ts';
import { padContent } from '../padding.ts';
import type { StagedStore } from '../staged.ts';
import type { Commit } from '../stores.ts';
import type { DeviceCiphertext, Encrypted, EncryptError, EncryptTarget, Result } from '../suite.ts';
import { protocolAddress, settle, type Workbench } from './workbench.ts';

/** Targets of one `encryptFor`; each has at most 127 devices. */
export const MAX_TARGETS = 8;

const PREKEY_MESSAGE: number = Signal.CiphertextMessageType.PreKey;

export async function encryptFor(
  bench: Workbench,
  targets: readonly EncryptTarget[],
  commit: Commit<Encrypted>,
): Promise<Result<Encrypted, EncryptError>> {
  const refusal = checkTargets(targets, bench);
  if (refusal !== undefined) return { ok: false, error: refusal };
  return bench.operate<Encrypted, EncryptError>(
    targets.map(target => target.to),
    async store => {
      const now = bench.nowMs();
      const sessions = new Sessions(store);
      const registrations = await registrationsOf(bench, store, sessions, targets, now);
      if (!registrations.ok) return registrations;
      const identities = new Identities(store, bench.local, now, false);
      const ciphertexts: DeviceCiphertext[] = [];
      for (const { to, devices, content } of targets) {
        const padded = padContent(content);
        for (const { deviceId } of devices) {
          const device = { interopId: to, deviceId };
          const encrypted = await encryptOne(bench, padded, device, { store, sessions, identities, now });
          if (!encrypted.ok) return encrypted;
          const registrationId = registrations.value.get(encodeDeviceAddress(device))!;
          ciphertexts.push({ to, deviceId, registrationId, ...encrypted.value });
        }
      }
      const inForce = new Map<InteropId, string>();
      for (const { to } of targets) inForce.set(to, await bench.fingerprintInForce(store, to));
      return settle(commit, { ciphertexts, identities: inForce, changes: store.changes });
    },
  );
}

function checkTargets(targets: readonly EncryptTarget[], bench: Workbench): EncryptError | undefined {
  const people = new Set<InteropId>();
  if (targets.length > MAX_TARGETS) return { code: 'too-many-devices', max: MAX_TARGETS * maxDeviceId };
  for (const { to, devices, content } of targets) {
    if (!isInteropId(to) || people.has(to)) return { code: 'invalid-address' };
    people.add(to);
    if (content.length > MAX_CONTENT_BYTES) return { code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES };
    if (new Set(devices.map(each => each.deviceId)).size !== devices.length) return { code: 'invalid-address' };
    for (const { deviceId } of devices) {
      if (!isDeviceId(deviceId) || bench.isSelf({ interopId: to, deviceId })) return { code: 'invalid-address' };
    }
  }
  return undefined;
}

/** The registration id of each device's session; refused when a person has to decide, or a device lacks a session. */
async function registrationsOf(
  { local }: Workbench,
  store: StagedStore,
  sessions: Sessions,
  targets: readonly EncryptTarget[],
  now: number,
): Promise<Result<ReadonlyMap<string, number>, EncryptError>> {
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
  return { ok: true, value: registrations };
}

async function encryptOne(
  { here }: Workbench,
  padded: Uint8Array<ArrayBuffer>,
  device: DeviceAddress,
  view: {
    readonly store: StagedStore;
    readonly sessions: Sessions;
    readonly identities: Identities;
    readonly now: number;
  },
): Promise<Result<Pick<DeviceCiphertext, 'kind' | 'bytes'>, EncryptError>> {
  const { store, sessions, identities, now } = view;
  let message: Signal.CiphertextMessage;
  try {
    message = await Signal.signalEncrypt(padded, protocolAddress(device), here, sessions, identities, new Date(now));
  } catch (error) {
    if (store.failure !== undefined || !(error instanceof Signal.LibSignalErrorBase)) throw error;
    const fingerprint = identities.refused && identityFingerprint(identities.refused.identityKey);
    // A session that libsignal will not use is as good as none: a fresh bundle mends it.
    if (fingerprint === undefined) return { ok: false, error: { code: 'no-session', devices: [device] } };
    return { ok: false, error: { code: 'untrusted-identity', interopId: device.interopId, fingerprint } };
  }
  const bytes = message.serialize();
  if (bytes.length > maxCiphertextBytes) {
    return { ok: false, error: { code: 'content-too-large', maxBytes: MAX_CONTENT_BYTES } };
  }
  return { ok: true, value: { kind: message.type() === PREKEY_MESSAGE ? 'prekey' : 'session', bytes } };
}
