// `client.identities`: the identity keys of people, what a person has compared of them, and changes that wait for a decision.
// Knows nothing of who offers a key: sessions, bundles and messages go through the encryption suite.
// Source: docs/protocol/09-content.md section 9.6.
import { formatSafetyNumber } from '@drawbridge/e2ee/safety-number';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { E2eeSuite, SafetyNumber } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import { type LocalDevice, suiteValue } from '../account/local-device.ts';
import type { Lifecycle } from '../connection/lifecycle.ts';
import type { Recipient } from '../directory/people.ts';
import { forgetHeld } from '../store/inbox-records.ts';

export type Identity = {
  readonly fingerprint: string;
  readonly verified: boolean;
  readonly identityKey: Uint8Array;
  /** A changed key that waits for `accept`. */
  readonly pending: { readonly fingerprint: string; readonly identityKey: Uint8Array } | undefined;
};

export type SafetyNumberView = { readonly digits: string; readonly formatted: string; readonly scannable: Uint8Array };

export class Identities {
  readonly #device: LocalDevice;
  readonly #lifecycle: Lifecycle;

  constructor(device: LocalDevice, lifecycle: Lifecycle) {
    this.#device = device;
    this.#lifecycle = lifecycle;
  }

  async get(person: Recipient): Promise<Identity> {
    const { interopId, suite } = await this.#person(person);
    const { fingerprint, verified, identityKey, pending } = suiteValue(await suite.readIdentity(interopId));
    return { fingerprint, verified, identityKey, pending };
  }

  /** What two people compare: the same digits on both sides, or somebody sits between them. */
  async safetyNumber(person: Recipient): Promise<SafetyNumberView> {
    const { interopId, suite } = await this.#person(person);
    return view(suiteValue(await suite.safetyNumber(interopId)));
  }

  /** Side by side: of the key in force and, while one waits, of the changed key. Compare that one before `accept`. */
  async safetyNumbers(
    person: Recipient,
  ): Promise<{ readonly inForce: SafetyNumberView; readonly pending: SafetyNumberView | undefined }> {
    const { interopId, suite } = await this.#person(person);
    const { inForce, pending } = suiteValue(await suite.safetyNumbers(interopId));
    return { inForce: view(inForce), pending: pending === undefined ? undefined : view(pending) };
  }

  /** Records that a person has compared the safety number of exactly this key (from `get`), or takes that back. */
  async setVerified(person: Recipient, identityKey: Uint8Array, verified = true): Promise<void> {
    const { interopId, suite } = await this.#person(person);
    if (!verified) {
      suiteValue(await suite.setVerified(interopId, identityKey, false, this.#device.commit));
      return;
    }
    suiteValue(await suite.setVerified(interopId, identityKey, true, staged => this.#answer(interopId, staged)));
    this.#lifecycle.worker().identityRejected(interopId);
  }

  /** Accepts a changed key that a person was shown (`pending` of `get`): what waited is sent and read. */
  async accept(person: Recipient, identityKey: Uint8Array): Promise<void> {
    const { interopId, suite } = await this.#person(person);
    suiteValue(await suite.acceptIdentity(interopId, identityKey, this.#device.commit));
    this.#lifecycle.worker().identityAccepted(interopId);
  }

  /** Refuses a changed key that a person was shown: what came under it is forgotten, what waited goes to the key in force. */
  async reject(person: Recipient, identityKey: Uint8Array): Promise<void> {
    const { interopId, suite } = await this.#person(person);
    suiteValue(await suite.rejectIdentity(interopId, identityKey, staged => this.#answer(interopId, staged)));
    this.#lifecycle.worker().identityRejected(interopId);
  }

  /** The pending key is gone, and with it what waited to be read under it. */
  #answer(interopId: InteropId, { changes }: { readonly changes: readonly StoreChange[] }): void {
    this.#device.transaction(tx => {
      tx.apply(changes);
      forgetHeld(tx, interopId);
    });
  }

  async #person(person: Recipient): Promise<{ interopId: InteropId; suite: E2eeSuite }> {
    const interopId = await this.#lifecycle.worker().people.resolve(person);
    return { interopId, suite: this.#device.enlisted().suite };
  }
}

function view({ digits, scannable }: SafetyNumber): SafetyNumberView {
  return { digits, formatted: formatSafetyNumber(digits), scannable };
}
