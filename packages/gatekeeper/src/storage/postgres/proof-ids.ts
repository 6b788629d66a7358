// Used proof ids on PostgreSQL: compare-and-set, and forgetting what has expired. Knows nothing of proofs themselves.
// Source: docs/protocol/02 (`jti` is taken once within the proof's lifetime).
import type { ProofIds } from '../../enlistment/proof-ids.ts';
import { type Database, hexOf } from './database.ts';

export function postgresProofIds(database: Database): ProofIds {
  return {
    // One statement is one transaction. An id that stands twice in the list is taken by its first place.
    async take(ids, expiresAtMs) {
      const taken = await database.rows<{ id: Uint8Array }>(
        `INSERT INTO proof_id (id, expires_at) SELECT DISTINCT ON (id) * FROM unnest($1::bytea[], $2::bigint[]) AS asked (id, at)
         ORDER BY id ON CONFLICT DO NOTHING RETURNING id`,
        [ids, expiresAtMs],
      );
      const left = new Set(taken.map(({ id }) => hexOf(id)));
      return ids.map(id => left.delete(hexOf(id)));
    },
    sweep: (nowMs, limit) =>
      database.transaction(sql =>
        sql.change(
          `DELETE FROM proof_id WHERE id IN
             (SELECT id FROM proof_id WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`,
          [nowMs, limit],
        ),
      ),
  };
}
