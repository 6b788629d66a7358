// The port for what is kept of providers: number, name and status. Knows no store, no keys and no configuration.

import type { NewEvent } from '../events/event-outbox.ts';

export type ProviderStatus = 'live' | 'suspended';

export type RegisterResult =
  | { readonly kind: 'registered'; readonly statuses: readonly ProviderStatus[] }
  | { readonly kind: 'refused'; readonly number: number; readonly storedName: string; readonly storedNumber: number };

/** A provider's key set as it was fetched; `places` names where it lies, for with another place it is another set. */
export type StoredKeySet = {
  readonly number: number;
  readonly places: string;
  readonly body: Uint8Array;
  readonly fetchedAtMs: number;
};

/** People who are enlisted, and bytes that wait for them. */
export type ProviderUse = { readonly number: number; readonly enlistments: number; readonly mailboxBytes: number };

/** Each call is one transaction with its audit entry and the event for the provider, if one is given, durable when it resolves; rejects with StoreError alone. */
export interface ProviderStates {
  /**
   * Makes the configured providers known and gives back the stored status of each, in their order. A number or name that
   * belongs to another provider already is refused, and nothing is written. Idempotent.
   */
  register(
    providers: readonly { readonly number: number; readonly name: string }[],
    nowMs: number,
  ): Promise<RegisterResult>;
  setStatus(change: {
    readonly number: number;
    readonly status: ProviderStatus;
    readonly actor: string;
    readonly reason?: string | undefined;
    readonly nowMs: number;
    readonly event?: NewEvent | undefined;
  }): Promise<'changed' | 'same' | 'unknown'>;
  /** Notes in the audit log that the provider's keys were revoked. Not idempotent: each call is an entry. */
  noteKeysRevoked(note: {
    readonly number: number;
    readonly actor: string;
    readonly reason?: string | undefined;
    readonly nowMs: number;
    readonly event?: NewEvent | undefined;
  }): Promise<void>;
  /** Takes the place of the set that was kept before. A provider that is not registered is passed over. */
  keepKeySet(set: StoredKeySet): Promise<void>;
  keptKeySets(): Promise<readonly StoredKeySet[]>;
  /** Of every provider that was ever registered, in ascending number. */
  listUse(): Promise<readonly ProviderUse[]>;
}
