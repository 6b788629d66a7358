// `client.account`: this person at their gatekeeper. Enlists and withdraws them, says which providers' people may reach them,
// and what they say of themselves.
// Knows nothing of further devices (`client.devices`).
// Source: docs/protocol/03-http.md, 06-stanzas.md section 6.4.
import type { Profile } from '@drawbridge/e2ee/content-kinds';
import type { Lifecycle } from '../connection/lifecycle.ts';
import { fetchConsent, type ProviderConsent, setConsent } from '../directory/directory.ts';
import { needTheirNumbers } from '../directory/provider-consents.ts';
import { readProviderName } from '../directory/user-name.ts';
import { ClientError } from '../errors.ts';
import type { AccountRecord } from '../store/account-records.ts';
import { enlistDevice, type EnlistmentStatus, fetchStatus, withdrawEnlistment } from './enlist.ts';
import type { LocalDevice } from './local-device.ts';
import { signPossession } from './possession.ts';
import { deviceRecord } from './publication.ts';

export class Account {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  /**
   * Makes this device's keys and enlists it; repeats give the same answer. `replace` removes the person's other devices.
   * Rejects with the codes of the provider and the gatekeeper: `sign-in-refused`, `proof-refused`,
   * `device-authorisation-required`, `identity-key-in-use`, …
   */
  async enlist(options: { readonly replace?: boolean } = {}): Promise<AccountRecord> {
    const { account, trust } = this.#device;
    if (account !== undefined) return account;
    const { keys, publication } = await this.#device.newKeys();
    const { endpoints, issuer, takesPossession } = await this.#device.offer();
    const proof = await this.#device.proof('http', keys);
    const device = deviceRecord(keys, publication);
    const request = {
      proof,
      device,
      ...(takesPossession ? { possession: signPossession(keys, issuer, { proof }) } : {}),
      ...(options.replace === true ? { replace: true } : {}),
    };
    const admitted = await this.#device.admit(await enlistDevice(endpoints.http, request, trust), publication);
    this.#lifecycle.admitted();
    return admitted;
  }

  /** The person and their devices as the gatekeeper knows them. */
  async status(): Promise<EnlistmentStatus> {
    const { offer, keys, account } = await this.#device.http();
    const proof = await this.#device.proof('http', keys);
    return fetchStatus(offer.endpoints.http, account.interopId, proof, this.#device.trust);
  }

  /** Withdraws the person from the gatekeeper with all devices: everything that is kept there is deleted. Ends the stream. */
  async withdraw(): Promise<void> {
    const { offer, keys, account } = await this.#device.http();
    const proof = await this.#device.proof('http', keys);
    await withdrawEnlistment(offer.endpoints.http, account.interopId, proof, this.#device.trust);
    await this.#lifecycle.disconnect();
  }

  /**
   * The providers whose people may reach this person, and be reached. Rejects with `provider-differs` when the gatekeeper calls
   * one by another's number.
   */
  async consent(): Promise<ProviderConsent[]> {
    const consents = await fetchConsent(this.#lifecycle.live().request);
    const { domain } = this.#device.enlisted().account;
    this.#device.transaction(tx => needTheirNumbers(tx, domain, consents));
    return consents;
  }

  /** By number, or by name as `consent` lists it. */
  async optIn(provider: number | string): Promise<void> {
    await this.#setConsent(provider, true);
  }

  async optOut(provider: number | string): Promise<void> {
    await this.#setConsent(provider, false);
  }

  /** Name and picture, for the people written to from now on: they go along with the next message. */
  async setProfile(profile: Profile): Promise<void> {
    this.#lifecycle.worker().profile.set(profile);
  }

  async #setConsent(provider: number | string, optedIn: boolean): Promise<void> {
    const { request } = this.#lifecycle.live();
    let number = provider;
    if (typeof number === 'string') {
      const name = readProviderName(provider);
      const named = (await this.consent()).find(each => each.name === name);
      if (named === undefined) throw new ClientError('not-found', { detail: 'provider' });
      number = named.number;
    }
    await setConsent(request, number, optedIn);
  }
}
