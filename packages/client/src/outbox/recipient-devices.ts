// The devices that a message is encrypted for, as the directory said last: how long that is believed, and when it is asked again.
// Knows nothing of rows, contents or streams.
// Source: docs/protocol/06-stanzas.md section 6.2.
import type { E2eeSuite, KnownDevice } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { DeviceLists } from '../directory/device-lists.ts';
import { ClientError } from '../errors.ts';
import { outboxLimits } from './limits.ts';
import { type SessionStarts, twoIdentities } from './session-starts.ts';

export type RecipientDevicesContext = {
  readonly suite: Pick<E2eeSuite, 'local'>;
  readonly clock: Clock;
  readonly lists: Pick<DeviceLists, 'fetch'>;
};

export class RecipientDevices {
  readonly #context: RecipientDevicesContext;
  readonly #starts: SessionStarts;
  readonly #known = new Map<string, { readonly devices: readonly KnownDevice[]; readonly fetchedAtMs: number }>();
  #ownDeviceExpectedUntilMs = 0;

  constructor(context: RecipientDevicesContext, starts: SessionStarts) {
    this.#context = context;
    this.#starts = starts;
  }

  /** Those that a content of this size goes to. */
  async of(
    { to, toDevice }: { readonly to: InteropId; readonly toDevice?: number | undefined },
    bytes: number,
  ): Promise<readonly KnownDevice[]> {
    const { clock, suite } = this.#context;
    const own = to === suite.local.interopId ? suite.local.deviceId : undefined;
    const nowMs = clock.nowMs();
    let known = this.#known.get(to);
    const alone = own !== undefined && known?.devices.every(device => device.deviceId === own) === true;
    const expecting = alone && nowMs < this.#ownDeviceExpectedUntilMs;
    // Of copies that leave one by one nobody says which device was forgotten.
    const isSplit =
      (known?.devices.length ?? 0) * (bytes + outboxLimits.copyBytes) * (4 / 3) > outboxLimits.maxStanzaBytes;
    const ageMs = alone || isSplit ? outboxLimits.freshListAgeMs : outboxLimits.deviceListAgeMs;
    if (known === undefined || expecting || nowMs - known.fetchedAtMs > ageMs) {
      known = { devices: await this.#fetch(to), fetchedAtMs: nowMs };
      this.#known.set(to, known);
    }
    return known.devices.filter(
      ({ deviceId }) => deviceId !== own && (toDevice === undefined || deviceId === toDevice),
    );
  }

  /** As far as it is known without asking. */
  known(to: InteropId): readonly KnownDevice[] {
    return this.#known.get(to)?.devices ?? [];
  }

  /** Those of a person that the person names; where that can't be told yet, a bundle shows whether the key has changed. */
  async #fetch(person: InteropId): Promise<readonly KnownDevice[]> {
    const { devices, undecided } = await this.#context.lists.fetch(person);
    if (undecided.length === 0) return devices;
    const all = [...devices, ...undecided];
    const refusals = await this.#starts.all(person, all.map(idOf), undecided.map(idOf));
    const codes = refusals.map(({ code }) => code);
    // A person has to look at the key; until then nothing is encrypted to anybody here.
    if (codes.includes('untrusted-identity')) return all;
    if (codes.includes('two-identities')) throw new ClientError('untrusted-identity', { detail: twoIdentities });
    if (refusals.length > 0) return devices;
    // The key in force is another one now: all of the list is looked at again.
    return (await this.#context.lists.fetch(person)).devices;
  }

  /** Nothing can be encrypted for it. */
  leaveOut(person: InteropId, deviceId: number): void {
    const known = this.#known.get(person);
    if (known === undefined) return;
    const devices = known.devices.filter(device => device.deviceId !== deviceId);
    this.#known.set(person, { ...known, devices });
  }

  /** What the directory says about somebody's devices is old: ask again before the next message. */
  forget(person: InteropId): void {
    this.#known.delete(person);
  }

  /** A message came from this device: a list without it is old. */
  note(person: InteropId, deviceId: number): void {
    const known = this.#known.get(person);
    if (known !== undefined && !known.devices.some(device => device.deviceId === deviceId)) this.#known.delete(person);
  }

  /** Another device of one's own is about to come. */
  expectOwn(): void {
    this.#ownDeviceExpectedUntilMs = this.#context.clock.nowMs() + outboxLimits.linkMs;
  }
}

export function idOf({ deviceId }: KnownDevice): number {
  return deviceId;
}
