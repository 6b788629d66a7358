// The port for the links by which strangers come to a person. Knows no store and no secrets: only their hashes.
import type { InteropId } from '@drawbridge/wire/jid';
import type { ContactParty } from './contact-store.ts';

export type ContactLink = {
  /** SHA-256 of the secret. */
  readonly digest: Uint8Array;
  readonly usesLeft: number;
  readonly expiresAtMs: number;
};

/**
 * Each write is one transaction, durable when it resolves. What has expired, by the time that is believed, is not there.
 * Rejects with StoreError alone, and then nothing was changed.
 */
export interface ContactLinkStore {
  /** `full`: `max` others are in force. The same digest again changes nothing; `taken`: it is somebody else's. */
  add(
    link: ContactLink & { readonly account: number; readonly judgeMs: number; readonly max: number },
  ): Promise<'added' | 'full' | 'taken'>;
  /** Idempotent. */
  remove(account: number, digest: Uint8Array): Promise<void>;
  /** By when they expire. */
  list(account: number, judgeMs: number): Promise<readonly ContactLink[]>;
  ownerOf(digest: Uint8Array, judgeMs: number): Promise<InteropId | undefined>;
  /**
   * Its owner accepts whoever comes by it, unless they have denied or blocked them, and one use is gone; whoever is accepted
   * already takes none. `accepted`: the decision is new. `gone`: it can't be used (any more).
   */
  redeem(redemption: {
    readonly digest: Uint8Array;
    readonly owner: number;
    readonly by: Omit<ContactParty, 'row'>;
    readonly nowMs: number;
    readonly judgeMs: number;
    readonly maxContacts: number;
  }): Promise<'accepted' | 'same' | 'gone'>;
  /** Raises the account's version when it changes something. False: the account is gone. Idempotent. */
  setLinkOnly(account: number, linkOnly: boolean): Promise<boolean>;
  /** Removes what has expired or belongs to nobody any more, at most `limit`; gives how many. Idempotent. */
  sweep(judgeMs: number, limit: number): Promise<number>;
}
