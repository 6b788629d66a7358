// Rows of the audit log. Runs in the storage workers. Knows nothing of what is done.
import type { DatabaseSync } from 'node:sqlite';
import type { AuditEntry, AuditNote } from '../../audit/audit-log.ts';
import { prepared } from './prepared.ts';

/** In the transaction of the change that it tells of. */
export function writeAudit(db: DatabaseSync, { atMs, actor, action, subject, reason }: AuditNote): void {
  prepared(db, 'INSERT INTO audit (at, actor, action, subject, reason) VALUES (?, ?, ?, ?, ?)').run(
    atMs,
    actor,
    action,
    subject,
    reason ?? null,
  );
}

export const auditWrites = {
  auditNote: (db: DatabaseSync, note: AuditNote): void => writeAudit(db, note),
};

export const auditReads = {
  /** Entries after `afterSeq`, of one subject if it is named, oldest first, at most `limit`. */
  auditPage(db: DatabaseSync, args: { afterSeq: number; limit: number; subject?: string | undefined }): AuditEntry[] {
    const columns = 'seq, at AS atMs, actor, action, subject, reason FROM audit';
    const rows =
      args.subject === undefined
        ? prepared(db, `SELECT ${columns} WHERE seq > ? ORDER BY seq LIMIT ?`).all(args.afterSeq, args.limit)
        : prepared(db, `SELECT ${columns} WHERE subject = ? AND seq > ? ORDER BY seq LIMIT ?`).all(
            args.subject,
            args.afterSeq,
            args.limit,
          );
    return rows.map(row => {
      const { reason, ...entry } = row as unknown as Omit<AuditEntry, 'reason'> & { reason: string | null };
      return { ...entry, ...(reason === null ? {} : { reason }) };
    });
  },
};
