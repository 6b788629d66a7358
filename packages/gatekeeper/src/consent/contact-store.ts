// The port for what people have decided about each other. Knows no store and no stanzas; arguments were checked at the edge.
import type { InteropId } from '@drawbridge/wire/jid';
import type { ContactState, Contacts } from './contact.ts';

/** Somebody as others' decisions know them. */
export type ContactParty = {
  /** Of the account. */
  readonly row: number;
  readonly interopId: InteropId;
  readonly provider: number;
  readonly contacts: Pick<Contacts, 'key' | 'sharedKey'>;
};

export type AdmitArgs = {
  readonly from: ContactParty;
  readonly to: ContactParty;
  /** The sender accepts the recipient with it. */
  readonly accepts: boolean;
  /** The recipient has not accepted the sender: it is counted. */
  readonly isFirst: boolean;
  readonly isLoud: boolean;
  /** No ciphertext is above what a first contact may have. */
  readonly isSmall: boolean;
  readonly maxMessages: number;
  readonly maxWaiting: number;
  readonly maxContacts: number;
  readonly nowMs: number;
};

export type Admitted = {
  /** `shut`: it is dropped, and answered as if it had been taken. */
  readonly kind: 'open' | 'shut' | 'too-many' | 'too-large';
  /** Whose decisions are others now. */
  readonly accepted: boolean;
  readonly requested: boolean;
};

export type DecideArgs = {
  readonly account: number;
  readonly about: Omit<ContactParty, 'row' | 'interopId'> & { readonly interopId: InteropId | undefined };
  readonly decision: 'accept' | 'deny' | 'block' | 'unblock';
  /** Without a request: somebody who was never here counts as accepted before, when they need not ask. */
  readonly isOpen: boolean;
  readonly maxContacts: number;
  readonly nowMs: number;
};

export type ListedContact = {
  readonly interopId: InteropId;
  readonly state: ContactState;
  /** Number of the row in the order of change: where the next page begins. */
  readonly sequence: number;
};

/**
 * Each write is one transaction, durable when it resolves, and raises the version of the accounts whose decisions it changes.
 * Rejects with StoreError alone, and then nothing was changed.
 */
export interface ContactStore {
  /** Counts a message of somebody who was not accepted, notes the request, and accepts on the sender's side. */
  admit(args: AdmitArgs): Promise<Admitted>;
  /** The state that holds then; undefined: none; `full`: no more people can be blocked. Idempotent. */
  decide(args: DecideArgs): Promise<ContactState | 'full' | undefined>;
  /**
   * Decisions of one person in the order in which they were made, after a number; not of those who are refused with all of
   * their provider.
   */
  page(account: number, after: number, limit: number): Promise<readonly ListedContact[]>;
  /** The key under which this person has decided about somebody who had this InteropId; undefined: nothing is kept. */
  findKey(account: number, interopId: InteropId): Promise<(Pick<Contacts, 'key'> & { provider: number }) | undefined>;
}
