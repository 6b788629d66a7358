// What routing and the domains know of an enlisted person. Knows nothing of storage or streams.

import type { InteropId } from '@drawbridge/wire/jid';
import type { Contacts } from '../consent/contact.ts';

/** One installation of an enlisted person. `row` names it in storage and in mailboxes and is never used again. */
export type Device = {
  readonly row: number;
  readonly id: number;
  readonly registrationId: number;
  /** RFC 7638 thumbprint of the X25519 device key; ownership proofs are bound to it. */
  readonly thumbprint: string;
  /** False: the person has a device manifest that does not name this device. A message may leave it out. */
  readonly listed: boolean;
};

/** An enlisted person: third-party (provider 1..65535) or the gatekeeper's own user (provider 0). Immutable: a change makes a new value. */
export type Account = {
  readonly row: number;
  readonly interopId: InteropId;
  readonly provider: number;
  /** User-visible identifier, unique within the provider. Never logged. */
  readonly identifier: string;
  /** Suspended by an operator, or disabled by its provider. */
  readonly status: 'active' | 'suspended';
  /** Proofs that were issued before then are not good: the provider has said so. */
  readonly proofsFromMs: number;
  /** Active devices in ascending id. */
  readonly devices: readonly Device[];
  /** Providers whose users this person (an own user) lets in. */
  readonly optIns: readonly number[];
  /** People of other providers have to come by one of this person's links the first time; others find nobody. */
  readonly linkOnly: boolean;
  /** What this person has decided about others, and who they are to others' decisions. */
  readonly contacts: Contacts;
  /** Grows with every change of the account, its devices, opt-ins and decisions. */
  readonly version: number;
};

/** Read access to accounts. Every routed stanza asks, so what is in memory answers at once. */
export interface Accounts {
  /** The account when it is in memory and young enough; undefined says nothing: `find` knows. */
  peek(interopId: InteropId): Account | undefined;
  /**
   * The account, or undefined for an unknown or withdrawn one. With `askerRow` a read takes as long for an unknown one.
   * Rejects with StoreError alone.
   */
  find(interopId: InteropId, askerRow?: number): Promise<Account | undefined>;
  /**
   * From storage itself, in the same time whether there is such a person or not: for questions of strangers. Of decisions the
   * one about the asker alone.
   */
  findAfresh(interopId: InteropId, asker: Pick<Account, 'row' | 'contacts'>): Promise<Account | undefined>;
  findByIdentifier(provider: number, identifier: string): Promise<Account | undefined>;
}

/** What the shell must act on: streams to close, caches to refresh. Emitted after the change is durable. */
export type AccountEvent =
  | { readonly kind: 'account-changed'; readonly interopId: InteropId }
  | { readonly kind: 'device-removed'; readonly interopId: InteropId; readonly device: Device }
  | { readonly kind: 'account-suspended'; readonly interopId: InteropId }
  /** Whoever has a stream logs in again, with a proof that was issued since. */
  | { readonly kind: 'account-compromised'; readonly interopId: InteropId }
  | { readonly kind: 'account-withdrawn'; readonly interopId: InteropId; readonly devices: readonly Device[] }
  | { readonly kind: 'provider-suspended'; readonly provider: number }
  /** Its key set has to be fetched now; with `isRevoked` streams end that other keys vouched for than those in it. */
  | { readonly kind: 'provider-keys'; readonly provider: number; readonly isRevoked: boolean }
  /** What was vouched for by other keys than these stands no longer. */
  | { readonly kind: 'keys-replaced'; readonly provider: number; readonly stands: (keyThumbprint: string) => boolean };
