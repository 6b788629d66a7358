// The manifest of this person's own devices: made by a device that came, by the one that removed another, and renewed by
// any before it expires. Whoever comes first with an epoch has it; the others look again.
// Knows nothing of other people's, nor of what a manifest is held against (`directory/device-lists.ts`).
// Source: docs/protocol/09-content.md section 9.12.
import type { DeviceKeys } from '@drawbridge/e2ee/device-keys';
import { signAsIdentity } from '@drawbridge/e2ee/identity-signature';
import {
  type DeviceManifest,
  encodeManifest,
  type ManifestDevice,
  manifestLimits,
  manifestSignedBytes,
} from '@drawbridge/wire/device-manifest';
import type { Clock } from '../clock.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import { type DeviceList, publishManifest, removeOwnDevice, type Request } from '../directory/directory.ts';
import type { People } from '../directory/people.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { type AccountRecord, readSetting, writeSetting } from '../store/account-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { transact } from '../store/transact.ts';

export const ownManifestLimits = {
  lifetimeMs: 60 * 86_400_000,
  /** Renewed when it is fresh for less than this. */
  renewMs: 30 * 86_400_000,
  /** Other devices that were quicker, in a row. */
  maxRounds: 5,
} as const;

export type OwnManifestContext = {
  readonly store: EncryptedStore;
  readonly account: AccountRecord;
  readonly keys: () => Promise<DeviceKeys>;
  readonly clock: Clock;
  readonly request: Request;
  readonly lists: DeviceLists;
  readonly people: People;
  readonly emit: (event: ClientEvent) => void;
};

export class OwnManifest {
  readonly #context: OwnManifestContext;
  #work: Promise<void> = Promise.resolve();
  #isLooking = false;

  constructor(context: OwnManifestContext) {
    this.#context = context;
  }

  /** This device was admitted and is not named yet: until then nobody reads what it says. */
  get isDue(): boolean {
    return transact(this.#context.store, tx => readSetting(tx, 'manifest-due')) !== undefined;
  }

  /** Publishes the next manifest when there is something to say. Fulfilled also when that failed: it is tried again later. */
  keep(): Promise<void> {
    this.#work = this.#work.then(async () => {
      try {
        await this.#publishDue();
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
        if (error.code !== 'not-connected' && error.code !== 'closed') this.#context.emit({ kind: 'problem', error });
      }
    });
    return this.#work;
  }

  /** Another device of this person has published: what it says is looked at, once for any number of such words. */
  look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    void this.keep().finally(() => {
      this.#isLooking = false;
    });
  }

  /** Waits for what is under way. */
  close(): Promise<void> {
    return this.#work;
  }

  async #publishDue(): Promise<void> {
    const { account, lists, request } = this.#context;
    for (let round = 0; round < ownManifestLimits.maxRounds; round++) {
      const { list, judgement } = await lists.read(account.interopId);
      if (round === 0) await this.#removeNoted(list);
      // A gatekeeper of 0.1.0 serves none.
      if (!list.servesManifests) return;
      const next = await this.#next(list, judgement?.holds);
      if (next === undefined) return this.#done();
      const text = encodeManifest(next);
      const { identityKeyPair } = await this.#context.keys();
      const signature = signAsIdentity(identityKeyPair, manifestSignedBytes(text));
      if ((await publishManifest(request, { text, signature })) === 'published') {
        await lists.read(account.interopId);
        return this.#done();
      }
    }
    throw new ClientError('too-many-requests', { detail: 'other devices publish their manifest at the same time' });
  }

  /** What was to be removed when this device stopped. */
  async #removeNoted({ devices }: DeviceList): Promise<void> {
    const removals = transact(this.#context.store, readRemovals);
    for (const id of removals) {
      if (devices.some(device => device.id === id)) await removeOwnDevice(this.#context.request, id);
    }
  }

  /** Undefined: what holds is as it should be. */
  async #next(list: DeviceList, holds: DeviceManifest | undefined): Promise<DeviceManifest | undefined> {
    const { store, account, clock, people } = this.#context;
    const nowMs = clock.nowMs();
    const [due, removals] = transact(store, tx => [readSetting(tx, 'manifest-due'), readRemovals(tx)]);
    const own = await this.#ownEntry(holds, nowMs);
    // Before the first one the directory's word is all there is, but for a fresh identity, which nobody else can have.
    const before = holds?.devices ?? (due === 'alone' ? [] : entriesOf(list, nowMs));
    const kept = before.filter(({ id }) => !removals.includes(id) && id !== account.deviceId);
    const isNamed = holds?.devices.some(({ id }) => id === account.deviceId) === true;
    const devices = isNamed || holds === undefined || due !== undefined ? [...kept, own] : kept;
    const served = list.manifest?.text;
    const isServed = holds !== undefined && served === encodeManifest(holds);
    const isSame = holds !== undefined && JSON.stringify(sorted(devices)) === JSON.stringify(sorted(holds.devices));
    const isFresh = holds !== undefined && holds.freshUntilMs - nowMs > ownManifestLimits.renewMs;
    if (isServed && isSame && isFresh) return undefined;
    const me = await people.contact(account.interopId);
    if (me.provider === undefined)
      throw new ClientError('not-found', { detail: "the directory does not say one's own name" });
    return {
      domain: account.domain,
      provider: me.provider,
      interopId: account.interopId,
      epoch: (holds?.epoch ?? 0) + 1,
      issuedAtMs: nowMs,
      freshUntilMs: nowMs + Math.min(ownManifestLimits.lifetimeMs, manifestLimits.maxLifetimeMs),
      devices,
    };
  }

  async #ownEntry(holds: DeviceManifest | undefined, nowMs: number): Promise<ManifestDevice> {
    const { account } = this.#context;
    const { deviceKey, registrationId } = await this.#context.keys();
    const { thumbprint: deviceKeyThumbprint } = deviceKey;
    const known = holds?.devices.find(
      entry => entry.id === account.deviceId && entry.deviceKeyThumbprint === deviceKeyThumbprint,
    );
    return known ?? { id: account.deviceId, registration: registrationId, deviceKeyThumbprint, addedAtMs: nowMs };
  }

  #done(): void {
    transact(this.#context.store, tx => {
      writeSetting(tx, 'manifest-due', undefined);
      writeSetting(tx, 'manifest-removals', undefined);
    });
  }
}

/** A device that this one removes; in the store before the gatekeeper is asked, so that a crash in between loses nothing. */
export function noteRemoval(tx: Parameters<typeof readSetting>[0], deviceId: number): void {
  writeSetting(tx, 'manifest-removals', JSON.stringify([...new Set([...readRemovals(tx), deviceId])]));
}

export function readRemovals(tx: Parameters<typeof readSetting>[0]): readonly number[] {
  const text = readSetting(tx, 'manifest-removals');
  return text === undefined ? [] : (JSON.parse(text) as number[]);
}

function entriesOf(list: DeviceList, addedAtMs: number): ManifestDevice[] {
  return list.devices.flatMap(({ id, registration, deviceKeyThumbprint }) =>
    deviceKeyThumbprint === undefined ? [] : [{ id, registration, deviceKeyThumbprint, addedAtMs }],
  );
}

function sorted(devices: readonly ManifestDevice[]): ManifestDevice[] {
  return [...devices]
    .sort((a, b) => a.id - b.id)
    .map(({ addedAtMs, deviceKeyThumbprint, id, registration }) => ({
      addedAtMs,
      deviceKeyThumbprint,
      id,
      registration,
    }));
}
