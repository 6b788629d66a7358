// Whose devices are whose: what the directory names, held against what the person signed. A device that its person does not
// name is nobody's; changes and what does not fit become notices and events.
// Knows nothing of messages, nor of how a manifest is made.
// Source: docs/protocol/09-content.md section 9.12.
import { createHash } from 'node:crypto';
import type { DeviceAddress, E2eeSuite, KnownDevice, RemoteBundle } from '@drawbridge/e2ee/suite';
import { isListed, parseManifest } from '@drawbridge/wire/device-manifest';
import { type InteropId, providerNumberOf } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import type { DevicesChange, DevicesEvent } from '../notices/notice-change.ts';
import { forgetDevices } from '../history/hearing.ts';
import { addNotice } from '../notices/notice-records.ts';
import { providerOf } from './contact-records.ts';
import { ProviderNumbers } from './provider-numbers.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { type DeviceList, fetchDeviceList, type ListedDevice, type Request } from './directory.ts';
import { changedDevices, type Judgement, judgeManifest, type ManifestWarning } from './manifest-judgement.ts';
import { readManifest, readWarned, writeManifest, writeWarned } from './manifest-records.ts';

export const deviceListLimits = {
  /** A device that was not named a moment ago is not asked for again within this time. */
  unnamedMs: 60_000,
  /** After a link was authorised, an own device that is not named yet is nothing to tell. */
  linkMs: 600_000,
  /** A device that its person names and the directory does not list is looked for again after this time, then told. */
  leftOutMs: 5_000,
  /** Lists and reports that are remembered; then the oldest is forgotten. */
  maxRemembered: 10_000,
} as const;

export type DeviceListsContext = {
  readonly store: EncryptedStore;
  readonly suite: Pick<E2eeSuite, 'local' | 'readIdentity'>;
  readonly domain: string;
  readonly clock: Clock;
  readonly request: Request;
  readonly ownIdentityKey: () => Promise<Uint8Array>;
  readonly emit: (
    event: DevicesEvent | { readonly kind: 'message'; readonly change: 'new'; readonly message: MessageRecord },
  ) => void;
};

export type JudgedList = {
  /** To be encrypted to. */
  readonly devices: readonly KnownDevice[];
  /** Not named under the key in force; what the directory gives may be under another key, which a bundle shows. */
  readonly undecided: readonly KnownDevice[];
};

export class DeviceLists {
  readonly #context: DeviceListsContext;
  readonly #latest = new Map<string, DeviceList>();
  readonly #reported = new Map<string, true>();
  /** Devices that the manifest in force names, or whose person has none: spares a look at the store for each message. */
  readonly #named = new Map<string, true>();
  /** When a device was found to be unnamed. */
  readonly #unnamed = new Map<string, number>();
  /** Devices that are named and not listed: they are looked for again, or were told. */
  readonly #leftOut = new Map<string, true>();
  #expectedUntilMs = 0;

  readonly #providers: ProviderNumbers;

  constructor(context: DeviceListsContext) {
    this.#context = context;
    this.#providers = new ProviderNumbers(context.domain);
  }

  /** Another device of one's own is about to come. */
  expectOwnDevice(): void {
    this.#expectedUntilMs = this.#context.clock.nowMs() + deviceListLimits.linkMs;
  }

  /** Asks the directory. Rejects with `not-found` when they can't be reached. */
  async fetch(person: InteropId): Promise<JudgedList> {
    const { list, judgement } = await this.read(person);
    const holds = judgement?.holds;
    if (holds === undefined) return { devices: list.devices.map(knownDevice), undecided: [] };
    const named = list.devices.filter(device => isListed(holds, device));
    const { local } = this.#context.suite;
    const isOwn = person === local.interopId;
    const unnamed = list.devices.filter(device => !named.includes(device) && !(isOwn && device.id === local.deviceId));
    const devices = named.map(knownDevice);
    if (!isOwn && judgement?.isTheirs === false) return { devices, undecided: unnamed.map(knownDevice) };
    for (const { id } of unnamed) this.#reportUnlisted(person, id);
    return { devices, undecided: [] };
  }

  /** The list as it came, and what holds of it; without a judgement nothing is known of this person's key. */
  async read(person: InteropId): Promise<{ readonly list: DeviceList; readonly judgement: Judgement | undefined }> {
    const { request, domain } = this.#context;
    const list = await fetchDeviceList(request, `${person}@${domain}`);
    remember(this.#latest, person, list);
    const identityKey = await this.#keyInForce(person);
    if (identityKey === undefined) return { list, judgement: undefined };
    const judgement = this.#take(person, list, identityKey);
    this.#lookForLeftOut(person, leftOutOf(list, judgement));
    return { list, judgement };
  }

  /** A device that is being removed is named for a moment longer than it is listed: whoever is missing then is left out. */
  #lookForLeftOut(person: string, missing: readonly number[]): void {
    const isKnown = (id: number): boolean => this.#leftOut.has(`${person}/${id}`);
    if (missing.every(isKnown)) return;
    for (const id of missing) remember(this.#leftOut, `${person}/${id}`, true);
    this.#context.clock.after(deviceListLimits.leftOutMs, () => void this.#lookAgain(person, missing));
  }

  async #lookAgain(person: string, suspected: readonly number[]): Promise<void> {
    let missing: readonly number[];
    try {
      const { list, judgement } = await this.read(person);
      missing = judgement === undefined ? [] : leftOutOf(list, judgement).filter(id => suspected.includes(id));
      for (const deviceId of missing) {
        const change: DevicesChange = {
          kind: 'left-out-device',
          interopId: person,
          isOwn: this.#isOwn(person),
          deviceId,
        };
        this.#tell(() => ({ value: undefined, changes: [change] }));
      }
    } catch (error) {
      // Without a stream nothing is known: the next list shows it again.
      if (!(error instanceof ClientError)) throw error;
      missing = [];
    }
    for (const id of suspected) if (!missing.includes(id)) this.#leftOut.delete(`${person}/${id}`);
  }

  /**
   * What a bundle's device is to the person whose key the bundle shows. `refused`: the manifest that came with the list is
   * not this key's word.
   */
  async judgeBundle({
    address,
    registrationId,
    identityKey,
  }: RemoteBundle): Promise<'listed' | 'unlisted' | 'refused'> {
    const { interopId: person, deviceId: id } = address;
    const list = this.#latest.get(person) ?? (await this.read(person)).list;
    const judgement = transact(this.#context.store, tx => this.#judge(tx, person, list, identityKey));
    const { holds, isTheirs, warning } = judgement;
    if (list.manifest !== undefined && !isTheirs) {
      this.#tell(tx => this.#warn(tx, person, warning));
      return 'refused';
    }
    const thumbprint = list.devices.find(device => device.id === id)?.deviceKeyThumbprint;
    const named = {
      id,
      registration: registrationId,
      ...(thumbprint === undefined ? {} : { deviceKeyThumbprint: thumbprint }),
    };
    if (holds === undefined || isListed(holds, named)) return 'listed';
    this.#reportUnlisted(person, id);
    return 'unlisted';
  }

  /** A session was begun under this key: the manifest that came with the list is the last one seen. */
  async noteSession(person: InteropId): Promise<void> {
    const list = this.#latest.get(person);
    const identityKey = await this.#keyInForce(person);
    if (list !== undefined && identityKey !== undefined) this.#take(person, list, identityKey);
  }

  /**
   * Whether what this device says may be read: false when the person's manifest, asked for again, does not name it.
   * Rejects when that can't be found out now.
   */
  async mayBeRead({ interopId, deviceId }: DeviceAddress): Promise<boolean> {
    const { store, clock } = this.#context;
    const key = `${interopId}/${deviceId}`;
    if (this.#named.has(key)) return true;
    const isNamed = (): boolean => {
      const isSo = transact(store, tx => isNamedBy(readManifest(tx, interopId)?.text, deviceId));
      if (isSo) remember(this.#named, key, true);
      return isSo;
    };
    if (isNamed()) return true;
    if (clock.nowMs() - (this.#unnamed.get(key) ?? 0) < deviceListLimits.unnamedMs) return false;
    await this.read(interopId);
    if (isNamed()) return true;
    remember(this.#unnamed, key, clock.nowMs());
    return false;
  }

  /** In the transaction of a message that was read under this key: whether its device is one that the key names. */
  isNamed(tx: Transaction, { interopId, deviceId }: DeviceAddress, identity: string): boolean {
    const known = readManifest(tx, interopId);
    return known?.identity !== identity || isNamedBy(known.text, deviceId);
  }

  /** A message of a device that its person does not name was skipped. */
  skipped({ interopId, deviceId }: DeviceAddress): void {
    this.#reportUnlisted(interopId, deviceId);
  }

  #isOwn(person: InteropId): boolean {
    return person === this.#context.suite.local.interopId;
  }

  async #keyInForce(person: InteropId): Promise<Uint8Array | undefined> {
    const { suite, ownIdentityKey } = this.#context;
    if (person === suite.local.interopId) return ownIdentityKey();
    const known = await suite.readIdentity(person);
    if (known.ok) return known.value.identityKey;
    if (known.error.code === 'unknown-identity') return undefined;
    throw new ClientError('store-failed', { cause: known.error });
  }

  #judge(tx: Transaction, interopId: InteropId, list: DeviceList, identityKey: Uint8Array): Judgement {
    const { domain, clock } = this.#context;
    const record = readManifest(tx, interopId);
    const known = record?.identity === identityFingerprint(identityKey) ? record : undefined;
    const provider = providerOf(tx, interopId) ?? this.#providers.nameOf(tx, providerNumberOf(interopId)!);
    return judgeManifest(list.manifest, { domain, interopId, provider, identityKey }, known, clock.nowMs());
  }

  /** Keeps what is new, and tells what changed. */
  #take(person: InteropId, list: DeviceList, identityKey: Uint8Array): Judgement {
    return this.#tell(tx => {
      const judgement = this.#judge(tx, person, list, identityKey);
      const { holds, isNew, warning } = judgement;
      // Another key's word may be a new identity's: whether it is, a bundle of the device that is new shows.
      const isUndecided =
        !judgement.isTheirs && !list.devices.every(device => holds !== undefined && isListed(holds, device));
      const isTold = person === this.#context.suite.local.interopId || !isUndecided;
      const { changes } = isTold ? this.#warn(tx, person, warning) : { changes: [] };
      if (holds === undefined || !isNew || list.manifest === undefined) return { value: judgement, changes };
      const identity = identityFingerprint(identityKey);
      const before = readManifest(tx, person);
      this.#named.clear();
      writeManifest(tx, person, { identity, epoch: holds.epoch, ...list.manifest });
      const known = before?.identity === identity ? parseManifest(before.text) : undefined;
      if (known === undefined) return { value: judgement, changes };
      const { added, removed } = changedDevices(known, holds);
      if (added.length + removed.length === 0) return { value: judgement, changes };
      forgetDevices(tx, this.#context.suite.local.interopId, person, removed);
      return {
        value: judgement,
        changes: [
          ...changes,
          { kind: 'devices-changed', interopId: person, isOwn: this.#isOwn(person), added, removed },
        ],
      };
    });
  }

  #warn(tx: Transaction, person: InteropId, warning: ManifestWarning | undefined): Told<void> {
    if (readWarned(tx, person) === warning) return { value: undefined, changes: [] };
    writeWarned(tx, person, warning);
    if (warning === undefined) return { value: undefined, changes: [] };
    const isOwn = this.#isOwn(person);
    const isEarlier = isOwn && warning === 'wrong-signer';
    const change: DevicesChange = isEarlier
      ? { kind: 'earlier-identity', interopId: person, isOwn }
      : { kind: 'manifest-warning', interopId: person, isOwn, warning };
    return { value: undefined, changes: [change] };
  }

  #reportUnlisted(interopId: InteropId, deviceId: number): void {
    const { clock, suite } = this.#context;
    const key = `${interopId}/${deviceId}`;
    const isExpected = interopId === suite.local.interopId && clock.nowMs() < this.#expectedUntilMs;
    if (isExpected || this.#reported.has(key)) return;
    remember(this.#reported, key, true);
    this.#tell(() => ({
      value: undefined,
      changes: [{ kind: 'unlisted-device', interopId, isOwn: this.#isOwn(interopId), deviceId }],
    }));
  }

  /** What changed is kept in the transaction of the change, then told. */
  #tell<T>(work: (tx: Transaction) => Told<T>): T {
    const { store, clock, emit } = this.#context;
    const { value, changes, lines } = transact(store, tx => {
      const told = work(tx);
      return { ...told, lines: told.changes.flatMap(change => addNotice(tx, change, clock.nowMs())) };
    });
    for (const change of changes) emit({ kind: 'devices', change });
    for (const message of lines) emit({ kind: 'message', change: 'new', message });
    return value;
  }
}

type Told<T> = { readonly value: T; readonly changes: readonly DevicesChange[] };

/** Ids that a person's own word has and the directory has not. */
function leftOutOf({ devices }: DeviceList, { holds, isTheirs }: Judgement): number[] {
  if (holds === undefined || !isTheirs) return [];
  return holds.devices.map(({ id }) => id).filter(id => !devices.some(device => device.id === id));
}

function knownDevice({ id, registration }: ListedDevice): KnownDevice {
  return { deviceId: id, registrationId: registration };
}

/** As the suite names keys. */
function identityFingerprint(identityKey: Uint8Array): string {
  return createHash('sha256').update(identityKey).digest('hex');
}

function isNamedBy(text: string | undefined, deviceId: number): boolean {
  return text === undefined || parseManifest(text)?.devices.some(({ id }) => id === deviceId) !== false;
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= deviceListLimits.maxRemembered) break;
    map.delete(oldest);
  }
}
