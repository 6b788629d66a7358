// Takes the ids of ownership proofs, each once and for good: logins that come together share one commit.
// Knows nothing of tokens or accounts.
// Source: docs/protocol/02 (`jti` is taken once within the proof's lifetime); why gathered: docs/decisions/0017.
import { type After, systemAfter } from '@drawbridge/identity/timers';
import type { ProofIds } from './proof-ids.ts';

/** The least time between two commits of proofs: what a login may wait at most beside the commit itself. */
export const proofCommitIntervalMs = 10;
/** Proofs in one commit; more begin the next. */
export const maxProofsPerCommit = 500;

type Batch = {
  readonly ids: Uint8Array[];
  readonly expiresAtMs: number[];
  readonly waiting: PromiseWithResolvers<boolean>[];
};

export type UsedProofs = {
  /**
   * True for exactly one caller per id, when that is durable. Rejects with StoreError; then the id may be taken later.
   * `id` is a hash: what it was made of is not kept.
   */
  take(id: Uint8Array, expiresAtMs: number): Promise<boolean>;
};

/**
 * The first after a pause is committed at once; those that follow within the interval wait for its end together.
 * `monotonicMs` only goes forward.
 */
export function createUsedProofs(store: ProofIds, monotonicMs: () => number, after: After = systemAfter): UsedProofs {
  let batch: Batch | undefined;
  let committedAtMs = Number.NEGATIVE_INFINITY;
  let callOff: (() => void) | undefined;

  function commit(): void {
    callOff?.();
    callOff = undefined;
    const { ids, expiresAtMs, waiting } = batch!;
    batch = undefined;
    committedAtMs = monotonicMs();
    store.take(ids, expiresAtMs).then(
      taken => {
        for (const [index, each] of waiting.entries()) each.resolve(taken[index]!);
      },
      (error: unknown) => {
        for (const each of waiting) each.reject(error);
      },
    );
  }

  return {
    take(id, expiresAtMs) {
      const mine = Promise.withResolvers<boolean>();
      batch ??= { ids: [], expiresAtMs: [], waiting: [] };
      batch.ids.push(id);
      batch.expiresAtMs.push(expiresAtMs);
      const count = batch.waiting.push(mine);
      const waitMs = committedAtMs + proofCommitIntervalMs - monotonicMs();
      if (waitMs <= 0 || count === maxProofsPerCommit) commit();
      else callOff ??= after(Math.ceil(waitMs), commit);
      return mine.promise;
    },
  };
}
