// `client.devices`: the devices of this person. Links and removes them, and gives a new one the history.
// Knows nothing of other people's devices: the outbox does.
// Source: docs/protocol/03-http.md (further devices), 06-stanzas.md section 6.4.
import type { EnlistmentStatus } from '../account/enlist.ts';
import type { Account } from '../account/account.ts';
import type { LocalDevice } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { authoriseDevice, removeOwnDevice } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import { historyLimits } from '../history/history.ts';
import type { AccountRecord } from '../store/records.ts';
import { noteRemoval } from './own-manifest.ts';
import { beginLink, finishLink, makeTicket } from './linking.ts';

export type DevicesSettings = {
  readonly device: LocalDevice;
  readonly lifecycle: Lifecycle;
  readonly account: Account;
  /** The person's identifier as the application gave it, for a ticket when the directory can't say. */
  readonly identifier: string | undefined;
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

  /** First step of linking, on the new device (not enlisted): a code to show to a device that is there. */
  async beginLink(): Promise<string> {
    return beginLink(this.#settings.device);
  }

  /**
   * Second step, on a device that is there and connected: lets the new device in; gives the ticket to show to it. With
   * `history`, the new device gets the history when it asks within ten minutes.
   */
  async authoriseLink(code: string, options: { readonly history?: boolean } = {}): Promise<string> {
    const { device, lifecycle, identifier } = this.#settings;
    const messenger = lifecycle.live();
    const me = await messenger.people.contact(device.own());
    const { ticket, jkt } = await makeTicket(device, code, {
      identifier: me.identifier ?? identifier ?? '',
      provider: me.provider ?? '',
    });
    await authoriseDevice(messenger.request, jkt);
    messenger.expectOwnDevice(options.history === true);
    return ticket;
  }

  /** Third step, on the new device: takes the person's identity from the ticket and enlists as their further device. */
  async finishLink(ticket: string): Promise<AccountRecord> {
    const { device, lifecycle } = this.#settings;
    if (device.account !== undefined) return device.account;
    const account = await finishLink(device, ticket);
    lifecycle.admitted();
    return account;
  }

  /** Removes another device of this person. */
  async remove(deviceId: number): Promise<void> {
    const { device, lifecycle } = this.#settings;
    const messenger = lifecycle.live();
    const { account } = device.enlisted();
    if (deviceId === account.deviceId)
      throw new ClientError('invalid-argument', { detail: 'use withdraw() or another device' });
    // A crash in between leaves nothing half done: the next stream goes on with it.
    device.transaction(tx => noteRemoval(tx, deviceId));
    await removeOwnDevice(messenger.request, deviceId);
    messenger.forgetDevices(account.interopId);
    await messenger.manifest.keep();
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
