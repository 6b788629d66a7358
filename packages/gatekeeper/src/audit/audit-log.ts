// The audit log's port: what operators did, for ever. Knows no store.

export type AuditEntry = {
  readonly seq: number;
  readonly atMs: number;
  /** Who did it: `configuration` or `admin`. */
  readonly actor: string;
  readonly action:
    | 'provider-registered'
    | 'provider-suspended'
    | 'provider-resumed'
    | 'provider-keys-revoked'
    | 'enlistment-suspended'
    | 'enlistment-resumed';
  /** A provider number or an InteropId; never a user-visible identifier. */
  readonly subject: string;
};

/**
 * The log only grows. Entries about a change are written by the port that makes the change, in the same transaction
 * (`ProviderStates`, `AccountStore.setStatus`): there is never one without the other, and a repeat that changes nothing
 * writes nothing.
 */
export interface AuditLog {
  /** Entries after `afterSeq`, oldest first, at most `limit`. Sequences grow and are never given twice. */
  page(afterSeq: number, limit: number): Promise<readonly AuditEntry[]>;
}
