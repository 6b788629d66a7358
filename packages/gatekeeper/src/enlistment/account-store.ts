// The port for people and their devices. Every rule that must hold at once is one call. Knows no store, no proofs and no
// streams; arguments were checked at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import type { OneTimeKeyRow, SignedKeyRow } from '../keys/key-directory.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import type { Account, Device } from './account.ts';

export type NewDevice = {
  readonly registrationId: number;
  readonly thumbprint: string;
  readonly identityKey: Uint8Array;
  readonly signedPrekey: SignedKeyRow;
  readonly lastResortKemPrekey: SignedKeyRow;
  readonly prekeys: readonly OneTimeKeyRow[];
  readonly kemPrekeys: readonly OneTimeKeyRow[];
};

export type EnlistArgs = {
  /** Used when the person is new; 128 random bits, so that it is never one that is there. */
  readonly interopId: InteropId;
  readonly provider: number;
  readonly identifier: string;
  readonly device: NewDevice;
  /** Removes the devices that are there, in favour of this one. */
  readonly replace: boolean;
  /** Only as a further device of this enlistment. */
  readonly joins?: string;
  /** This device of that enlistment, which is there, takes fresh keys and stays alone. */
  readonly renews?: InteropId;
  readonly maxDevices: number;
  /** When the proof was issued; left out where none was asked for. */
  readonly proofIssuedAtMs?: number;
  /** Enlistments that the provider may have. */
  readonly maxEnlistments: number;
  readonly nowMs: number;
  /** By which a device's authorisation is over. */
  readonly judgeMs: number;
};

export type EnlistRefusal =
  | 'device-authorisation-required'
  /** Renewal by a device that is not there. */
  | 'device-unknown'
  | 'identity-key-in-use'
  | 'identity-key-differs'
  /** Starting again, or renewing, under an identity key that this person had before: whoever was removed holds it. */
  | 'identity-key-not-fresh'
  | 'device-limit'
  | 'enlistment-suspended'
  | 'enlistment-unknown'
  | 'provider-quota'
  /** The provider has said since that the person's credentials were in wrong hands. */
  | 'proof-outdated'
  | 'provider-unknown';

export type EnlistResult =
  | {
      readonly kind: 'enlisted';
      readonly interopId: InteropId;
      readonly deviceId: number;
      /** `same`: this device key was there already and nothing changed. */
      readonly change: 'same' | 'account-added' | 'device-added' | 'identity-renewed';
      readonly removed: readonly Device[];
    }
  | { readonly kind: 'refused'; readonly code: EnlistRefusal };

/** A person's device manifest as it is passed on: text and signature were checked when it came. */
export type ManifestRow = { readonly epoch: number; readonly text: string; readonly signature: Uint8Array };

export type PublishManifest = ManifestRow & {
  readonly account: number;
  /** The row of the device that publishes it. */
  readonly by: number;
  /** The identity key that signed it. */
  readonly identityKey: Uint8Array;
  readonly devices: readonly {
    readonly id: number;
    readonly registration: number;
    readonly deviceKeyThumbprint: string;
  }[];
};

/** How many of a person's former identity keys are remembered. */
export const maxRetiredIdentities = 100;

export type WithdrawnAccount =
  | { readonly kind: 'withdrawn'; readonly devices: readonly Device[] }
  | { readonly kind: 'refused'; readonly code: 'enlistment-unknown' | 'enlistment-suspended' };

/**
 * Every write is one transaction, with the event for the provider if one is given, durable when it resolves, and raises the version of the account that it changes; one
 * that changes nothing leaves it. A device that is removed takes its keys and its mailbox along in the same transaction.
 * Reads see every write that had resolved when they began. Rejects with StoreError alone, and then nothing was changed.
 */
export interface AccountStore {
  /**
   * With `askerRow` there are the same reads whether the account is there or not (then of the asker's own rows): the time
   * of the answer doesn't tell who exists. With `onlyAbout` (a contact key) of decisions the one about them alone, so that
   * how many there are doesn't tell it either.
   */
  find(interopId: InteropId, askerRow?: number, onlyAbout?: string): Promise<Account | undefined>;
  findByIdentifier(
    provider: number,
    identifier: string,
    askerRow?: number,
    onlyAbout?: string,
  ): Promise<Account | undefined>;
  readIdentityKey(account: number): Promise<Uint8Array | undefined>;
  /** When each active device was enlisted, in ascending device id. */
  listDevices(account: number): Promise<readonly { readonly id: number; readonly enlistedAtMs: number }[]>;

  /**
   * Enlists, adds an authorised device, starts again, or renews the identity; idempotent by device key. A device that renews
   * keeps its id and its mailbox.
   */
  enlist(args: EnlistArgs): Promise<EnlistResult>;
  /** Many at once; each stands alone, answers in the order of the list. */
  enlistMany(list: readonly EnlistArgs[]): Promise<readonly EnlistResult[]>;
  /**
   * Lets a device key join once until then; a repeat renews the time. Counts towards `max` what has not expired.
   * `device-gone`: the device that authorises (`by`, a row) is not there any more.
   */
  authoriseDevice(authorisation: {
    readonly account: number;
    readonly by: number;
    readonly thumbprint: string;
    readonly judgeMs: number;
    readonly expiresAtMs: number;
    readonly max: number;
  }): Promise<'authorised' | 'full' | 'device-gone'>;
  /**
   * Gives back what was removed; undefined when it, or the device that removes it (`by`, a row), isn't there any more.
   * Whatever a device of this person authorised and was not used is void with it.
   */
  removeDevice(removal: {
    readonly account: number;
    readonly deviceId: number;
    readonly by: number;
  }): Promise<Device | undefined>;
  /** The manifest in force; goes with the identity key that signed it. */
  readManifest(account: number): Promise<ManifestRow | undefined>;
  /** Takes a manifest whose epoch is above that of the one in force; the same one again is `published` too. */
  publishManifest(manifest: PublishManifest): Promise<'published' | 'older-epoch' | 'device-gone' | 'identity-changed'>;
  /**
   * Remembers the highest count that the store of a device (a row) has told, and gives back what it was before: a lower or
   * equal one changes nothing. Undefined: the device is gone. No version is raised: nobody caches it.
   */
  raiseStoreCount(device: number, count: number): Promise<number | undefined>;
  /** Deletes everything that is kept of a person; gives back the devices that were. Refuses a suspended one. */
  withdraw(account: number, event?: NewEvent): Promise<WithdrawnAccount>;
  /** The same by an operator, also of a suspended person, with the audit entry in the same transaction; undefined when unknown. */
  remove(removal: {
    readonly interopId: string;
    readonly actor: string;
    readonly reason?: string | undefined;
    readonly nowMs: number;
    readonly event?: NewEvent | undefined;
  }): Promise<readonly Device[] | undefined>;
  /** With the audit entry in the same transaction; `same` writes none. */
  setStatus(change: {
    readonly interopId: InteropId;
    readonly status: Account['status'];
    readonly actor: string;
    readonly reason?: string | undefined;
    readonly nowMs: number;
    readonly event?: NewEvent | undefined;
  }): Promise<'changed' | 'same' | 'unknown'>;
  /** Opts a person in to a provider, or out. False: the account is gone. Idempotent. */
  setOptIn(account: number, provider: number, optedIn: boolean): Promise<boolean>;
  /** Removes expired authorisations, at most `limit`; gives back how many. Idempotent. */
  sweepAuthorisations(judgeMs: number, limit: number): Promise<number>;
}
