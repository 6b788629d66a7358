// The port for ids of ownership proofs, each taken once. Knows no store and no tokens.
// Source: docs/protocol/02 (`jti` is taken once within the proof's lifetime).

export interface ProofIds {
  /**
   * Takes each id: true for exactly one caller per id, in the order of the lists, over all nodes. Durable when it
   * resolves; when it rejects, none was taken. `ids` are hashes: what they were made of is not kept.
   */
  take(ids: readonly Uint8Array[], expiresAtMs: readonly number[]): Promise<readonly boolean[]>;
  /** Forgets ids that expired at or before `nowMs`, at most `limit`; gives back how many. Idempotent. */
  sweep(nowMs: number, limit: number): Promise<number>;
}
