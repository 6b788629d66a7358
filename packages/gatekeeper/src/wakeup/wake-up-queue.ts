// The port for wake-ups that wait to be sent, so that they outlive a restart. Knows no store and no endpoint.

import type { InteropId } from '@drawbridge/wire/jid';

export type PendingWakeUp = {
  readonly account: number;
  readonly interopId: InteropId;
  readonly provider: number;
  readonly identifier: string;
  readonly tokenId: string;
  readonly requestedAtMs: number;
};

/** With `requestedAtMs`: keep; without: remove. */
export type WakeUpWrite = { readonly account: number; readonly tokenId: string; readonly requestedAtMs?: number };

export interface WakeUpQueue {
  /**
   * Keeps and removes, in the order of the list and all in one transaction. An account has one wake-up: a newer one takes
   * the place of the older, and one is removed only under its own token id, so that a late removal leaves a newer one
   * alone. Gone accounts are passed over. Idempotent.
   */
  write(list: readonly WakeUpWrite[]): Promise<void>;
  /** What waits, by account row after `afterAccount`, at most `limit`. */
  page(afterAccount: number, limit: number): Promise<readonly PendingWakeUp[]>;
}
