// `client.devices`: the devices of this person. Links and removes them, and gives a new one the history.
// Knows nothing of other people's devices: the outbox does.
// Source: docs/protocol/03-http.md (further devices), 06-stanzas.md section 6.4.
import type { EnlistmentStatus } from '../account/enlist.ts';
import type { Account } from '../account/account.ts';
import type { LocalDevice } from '../account/local-device.ts';
import { beginRenewal } from '../account/renewal.ts';
import { connectTimeoutMs, type Lifecycle } from '../connection/lifecycle.ts';
import { authoriseDevice, removeOwnDevice } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import { historyLimits } from '../history/history.ts';
import type { AccountRecord } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';
import { noteRemoval } from './own-manifest.ts';
import { forgoPeople, type PeopleToCome, readPeopleToCome } from './people-to-come.ts';
import {
  beginLink,
  type BegunLink,
  confirmLink,
  type LinkAnswer,
  openTicket,
  prepareTicket,
  readLink,
  refuseLink,
} from './linking.ts';

export type DevicesSettings = {
  readonly device: LocalDevice;
  readonly lifecycle: Lifecycle;
  readonly account: Account;
  /** The person's identifier as the application gave it, for a ticket when the directory can't say. */
  readonly identifier: string | undefined;
};

/** On the device that is there. A person confirms when the new device shows the same `requestCode`. */
export type LinkToConfirm = {
  readonly requestCode: string;
  /** The new device must show it once it has the ticket. */
  readonly answerCode: string;
  readonly identifier: string;
  readonly provider: string;
  /**
   * People whom the ticket has no room for, 0 up to some hundreds: the new device asks this one for them, and meets nobody new
   * before it has them all. Keep this one connected until then.
   */
  readonly peopleToFollow: number;
  /**
   * Lets the new device in; gives the ticket to show to it. With `history`, the new device gets the history when it asks
   * within ten minutes.
   */
  readonly confirm: (options?: { readonly history?: boolean }) => Promise<string>;
};

/** On the new device. A person confirms when it is them, and the other device shows the same `answerCode`. */
export type LinkToAccept = LinkAnswer & {
  /** Takes the person's identity, and whom they trust, and enlists as their further device. */
  readonly confirm: () => Promise<AccountRecord>;
  readonly refuse: () => void;
};

export class Devices {
  readonly #settings: DevicesSettings;

  constructor(settings: DevicesSettings) {
    this.#settings = settings;
  }

  /** The person's devices as the gatekeeper knows them. */
  async list(): Promise<EnlistmentStatus['devices']> {
    return (await this.#settings.account.status()).devices;
  }

  /** First step of linking, on the new device (not enlisted): shows both codes. */
  async beginLink(): Promise<BegunLink> {
    return beginLink(this.#settings.device);
  }

  /**
   * Second step, on a device that is there and connected: reads the new device's code. Nothing has left this device, and
   * nothing is admitted, until `confirm`.
   */
  async readLink(code: string): Promise<LinkToConfirm> {
    const { device, lifecycle, identifier } = this.#settings;
    const messenger = lifecycle.live();
    const request = readLink(device, code);
    const me = await messenger.people.contact(device.own());
    const words = { identifier: me.identifier ?? identifier ?? '', provider: me.provider ?? '' };
    const { answerCode, peopleToFollow, seal } = await prepareTicket(device, request, words);
    const confirm = async (options: { readonly history?: boolean } = {}): Promise<string> => {
      const live = lifecycle.live();
      const ticket = seal();
      await authoriseDevice(live.request, request.deviceKeyThumbprint);
      live.expectOwnDevice(options.history === true);
      return ticket;
    };
    return { requestCode: request.requestCode, answerCode, peopleToFollow, ...words, confirm };
  }

  /**
   * Third step, on the new device: reads the ticket. Nothing of it is in force, and nobody is told, until `confirm`, which
   * may be repeated when its error says so; `refuse` forgets it.
   */
  async openLink(ticket: string): Promise<LinkToAccept> {
    const { device, lifecycle } = this.#settings;
    if (device.account !== undefined) throw new ClientError('link-failed', { detail: 'this device is enlisted' });
    const answer = await openTicket(device, ticket);
    const confirm = async (): Promise<AccountRecord> => {
      if (device.account !== undefined) return device.account;
      const account = await confirmLink(device);
      lifecycle.admitted();
      return account;
    };
    return { ...answer, confirm, refuse: () => refuseLink(device) };
  }

  /**
   * Removes another device of this person. It has held the identity key, so this device takes a fresh one: contacts see that
   * the key changed, and the person's further devices, which are given back, have to be linked again. With
   * `renewIdentity: false` the key stays: for a device that is in the person's hand, and is wiped.
   * A crash in between leaves nothing half done: the next `connect` goes on with it.
   */
  async remove(
    deviceId: number,
    { renewIdentity = true }: { readonly renewIdentity?: boolean } = {},
  ): Promise<{ readonly linkAgain: readonly number[] }> {
    const { device, lifecycle } = this.#settings;
    const messenger = lifecycle.live();
    const { account } = device.enlisted();
    if (deviceId === account.deviceId)
      throw new ClientError('invalid-argument', { detail: 'use withdraw() or another device' });
    const note = (tx: Transaction): void => noteRemoval(tx, deviceId);
    if (!renewIdentity) {
      device.transaction(note);
      await removeOwnDevice(messenger.request, deviceId);
      messenger.forgetDevices(account.interopId);
      await messenger.manifest.keep();
      return { linkAgain: [] };
    }
    const ids = (await this.list()).map(each => each.deviceId);
    if (!ids.includes(deviceId)) throw new ClientError('not-found', { detail: 'device' });
    const linkAgain = ids.filter(id => id !== deviceId && id !== account.deviceId);
    await beginRenewal(device, linkAgain, note);
    // Its streams and proofs end now, also when the provider gives no proof for the rest yet.
    await removeOwnDevice(messenger.request, deviceId).catch((error: unknown) => {
      if (!(error instanceof ClientError)) throw error;
    });
    await lifecycle.renewIdentity();
    await lifecycle.connect(connectTimeoutMs);
    return { linkAgain };
  }

  /**
   * On a new device: whom the device that let it in is still to tell of, `count` in all. Until they have all come nothing is
   * sent to anybody whose key is not known here (such messages are held), nothing of them is read, and their names are not
   * looked up (`people-missing`).
   */
  peopleToCome(): Pick<PeopleToCome, 'deviceId' | 'count'> | undefined {
    const state = this.#settings.device.transaction(readPeopleToCome);
    return state === undefined ? undefined : { deviceId: state.deviceId, count: state.count };
  }

  /**
   * Goes on without them, where that device is lost: the first key that is heard of anybody counts from now on, also of those
   * whom the person had verified there. Their safety numbers have to be compared again.
   */
  forgoPeople(): void {
    const { device, lifecycle } = this.#settings;
    if (device.transaction(tx => forgoPeople(tx, device.clock.nowMs()))) lifecycle.worker().everybodyMet();
  }

  /** On a new device: asks the others for the history; again: for the rest of it. Events of kind `history` tell of it. */
  async requestHistory(): Promise<void> {
    this.#settings.lifecycle.worker().requestHistory();
  }

  /** Sends the history to another device of this person, end-to-end encrypted, across restarts of both. */
  async sendHistory(deviceId: number): Promise<void> {
    const { device, lifecycle } = this.#settings;
    const messenger = lifecycle.live();
    const isDeviceId = Number.isInteger(deviceId) && deviceId >= 1 && deviceId <= historyLimits.maxDevices;
    if (!isDeviceId || deviceId === device.enlisted().account.deviceId)
      throw new ClientError('invalid-argument', { detail: 'deviceId' });
    messenger.sendHistory(deviceId);
  }
}
