// The port for what a provider's events change of its own people: one transaction each, with the use of the event's id.
// Knows no store, no tokens and no HTTP.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Device } from '../enlistment/account.ts';

export type SubjectChange =
  /** The provider has closed the account for now; `enable` takes it back. An operator's suspension is another matter. */
  | { readonly kind: 'disable'; readonly reason: string | undefined }
  | { readonly kind: 'enable' }
  | { readonly kind: 'purge' }
  | {
      readonly kind: 'rename';
      readonly identifier: string;
      readonly keys: RenamedKeys;
      readonly maxCarriedBlocks: number;
    }
  /** Proofs that were issued before then are good for nothing any more. */
  | { readonly kind: 'compromise'; readonly proofsFromMs: number; readonly reason: string | undefined };

/** Under which hashes others' decisions about the person stand, and are to stand from now on. */
export type RenamedKeys = {
  readonly from: string;
  readonly to: string;
  /** Of a name that means the same person at any provider: a block of it holds for this person, and goes along. */
  readonly sharedFrom?: string | undefined;
};

export type SubjectEvent = {
  readonly provider: number;
  readonly identifier: string;
  readonly change: SubjectChange;
  /** What happened before the person enlisted, or before what was applied last, changes nothing. */
  readonly occurredAtMs: number;
  readonly nowMs: number;
  /** A hash; used up with the change, until then. */
  readonly id: Uint8Array;
  readonly idExpiresAtMs: number;
};

export type SubjectEventResult =
  /** The id was used before. */
  | { readonly kind: 'repeated' }
  /** Nobody of this provider is enlisted under the identifier. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'older' }
  /** It stands like that already. */
  | { readonly kind: 'same' }
  /** Nothing was used up: the new identifier is another person's. */
  | { readonly kind: 'identifier-taken' }
  | {
      readonly kind: 'applied';
      readonly interopId: InteropId;
      /** Of somebody who was deleted. */
      readonly removed: readonly Device[] | undefined;
      /** Whose decisions about the person were renamed with them. */
      readonly deciders: readonly InteropId[];
    };

export interface SubjectEvents {
  /**
   * Applies one event, with its audit entry and the use of its id, or does nothing of it. A person whom an operator has
   * suspended is disabled instead of deleted: otherwise closing an account and opening it would lift the suspension.
   * Rejects with StoreError alone.
   */
  apply(event: SubjectEvent): Promise<SubjectEventResult>;
}

/** Clocks of provider and gatekeeper may differ by this much where an event is compared with an enlistment. */
export const eventClockSkewMs = 60_000;
