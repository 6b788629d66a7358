// The audit log's port: what operators did, for ever. Knows no store.

export type AuditNote = {
  readonly atMs: number;
  /**
   * Who did it: the name of an admin; `admin` (the token file), `configuration`, `command` (on the machine itself),
   * `provider` (by a statement or an event that it signed), or `integrity` (by what was counted, chapter 10.3).
   */
  readonly actor: string;
  readonly action:
    | 'provider-registered'
    | 'provider-suspended'
    | 'provider-resumed'
    | 'provider-keys-revoked'
    | 'provider-applied'
    | 'provider-refused'
    | 'provider-admitted'
    | 'provider-went-live'
    | 'provider-withdrawn'
    | 'provider-terms-changed'
    | 'provider-agreement-accepted'
    | 'enlistment-suspended'
    | 'enlistment-resumed'
    | 'enlistment-disabled'
    | 'enlistment-enabled'
    | 'enlistment-renamed'
    | 'enlistment-credentials-compromised'
    | 'enlistment-looked-up'
    | 'enlistment-exported'
    | 'enlistment-deleted'
    | 'own-user-deleted'
    | 'own-user-looked-up'
    | 'own-user-suspended'
    | 'own-user-resumed'
    | 'admin-added'
    | 'admin-removed'
    | 'clock-confirmed'
    | 'events-told-again'
    | 'report-looked-at'
    | 'report-upheld'
    | 'report-dismissed'
    | 'restriction-slowed'
    | 'restriction-accepted-only'
    | 'restriction-lifted'
    | 'restriction-forgiven';
  /** A provider number (of an own user who is not enlisted: 0), the id of an application or a report, an InteropId, an admin's name or `clock`; never a user-visible identifier. */
  readonly subject: string;
  /** In the operator's words; for an admin who was added, the role; of `integrity`, what was counted. */
  readonly reason?: string | undefined;
};
/** `digest`: of the chain (`audit-chain.ts`), in hex. */
export type AuditEntry = AuditNote & {
  readonly seq: number;
  readonly digest: string;
};

export type AuditHead = { readonly seq: number; readonly digest: string; readonly lastSeq: number };

/**
 * The log only grows, and each entry is chained to those before it. Entries about a change are written by the port that makes the change, in the same transaction
 * (`ProviderStates`, `AccountStore`, `AdminAccounts`): there is never one without the other, and a repeat that changes
 * nothing writes nothing.
 */
export interface AuditLog {
  /** For what changes nothing else, such as a look. Not idempotent. */
  note(note: AuditNote): Promise<void>;
  /** Entries after `afterSeq`, of one subject if it is named, oldest first, at most `limit`. Sequences grow and are never given twice. */
  page(afterSeq: number, limit: number, subject?: string): Promise<readonly AuditEntry[]>;
  /** The last entry's place and digest, and the highest number that was ever given; undefined while there is none. */
  head(): Promise<AuditHead | undefined>;
}
