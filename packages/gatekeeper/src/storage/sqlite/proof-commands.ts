// Used proof ids: compare-and-set, and forgetting what has expired. Runs in the storage workers.
// Knows nothing of proofs themselves.
// Source: docs/protocol/02 (`jti` is taken once within the proof's lifetime).
import type { DatabaseSync } from 'node:sqlite';
import { prepared } from './prepared.ts';

export const proofWrites = {
  /**
   * True for exactly one caller per id, in the order of the lists. `ids` are hashes: what they were made of is not kept.
   * A failure takes none of them.
   */
  proofsTake(db: DatabaseSync, args: { ids: readonly Uint8Array[]; expiresAtMs: readonly number[] }): boolean[] {
    const insert = prepared(db, 'INSERT OR IGNORE INTO proof_id (id, expires_at) VALUES (?, ?)');
    return args.ids.map((id, index) => Number(insert.run(id, args.expiresAtMs[index]!).changes) === 1);
  },

  /** Forgets ids that expired at or before `nowMs`, at most `limit`; gives back how many. */
  proofSweep(db: DatabaseSync, args: { nowMs: number; limit: number }): number {
    const remove = prepared(
      db,
      'DELETE FROM proof_id WHERE id IN (SELECT id FROM proof_id WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)',
    );
    return Number(remove.run(args.nowMs, args.limit).changes);
  },
};
