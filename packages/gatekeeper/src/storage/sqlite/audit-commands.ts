// Rows of the audit log. Runs in the storage workers. Knows nothing of what is done.
import type { DatabaseSync } from 'node:sqlite';
import { chainStart, entryDigest } from '../../audit/audit-chain.ts';
import type { AuditEntry, AuditHead, AuditNote } from '../../audit/audit-log.ts';
import { prepared } from './prepared.ts';

/** In the transaction of the change that it tells of. The number follows the highest ever given: what is cut leaves a gap. */
export function writeAudit(db: DatabaseSync, { atMs, actor, action, subject, reason }: AuditNote): void {
  const seq = lastSeqOf(db) + 1;
  const last = prepared(db, 'SELECT digest FROM audit ORDER BY seq DESC LIMIT 1').get() as
    | { digest: Uint8Array }
    | undefined;
  const before = last === undefined ? chainStart : hexOf(last.digest);
  const digest = entryDigest(before, { seq, atMs, actor, action, subject, reason });
  prepared(db, 'INSERT INTO audit (seq, at, actor, action, subject, reason, digest) VALUES (?, ?, ?, ?, ?, ?, ?)').run(
    seq,
    atMs,
    actor,
    action,
    subject,
    reason ?? null,
    Buffer.from(digest, 'hex'),
  );
}

/** Gives the entries of earlier versions their digests, as they stand. Once, in the migration's transaction. */
export function chainEarlierEntries(db: DatabaseSync): void {
  const update = db.prepare('UPDATE audit SET digest = ? WHERE seq = ?');
  let before = chainStart;
  let afterSeq = 0;
  for (;;) {
    const rows = db
      .prepare(
        'SELECT seq, at AS atMs, actor, action, subject, reason FROM audit WHERE seq > ? ORDER BY seq LIMIT 1000',
      )
      .all(afterSeq) as unknown as readonly (Omit<AuditEntry, 'digest' | 'reason'> & { reason: string | null })[];
    if (rows.length === 0) return;
    for (const { reason, ...entry } of rows) {
      before = entryDigest(before, { ...entry, reason: reason ?? undefined });
      update.run(Buffer.from(before, 'hex'), entry.seq);
      afterSeq = entry.seq;
    }
  }
}

function lastSeqOf(db: DatabaseSync): number {
  const row = prepared(db, "SELECT seq FROM sqlite_sequence WHERE name = 'audit'").get() as { seq: number } | undefined;
  return row?.seq ?? 0;
}

function hexOf(digest: Uint8Array | null): string {
  return digest === null ? '' : Buffer.from(digest).toString('hex');
}

export const auditWrites = {
  auditNote: (db: DatabaseSync, note: AuditNote): void => writeAudit(db, note),
};

export const auditReads = {
  /** Entries after `afterSeq`, of one subject if it is named, oldest first, at most `limit`. */
  auditPage(db: DatabaseSync, args: { afterSeq: number; limit: number; subject?: string | undefined }): AuditEntry[] {
    const columns = 'seq, at AS atMs, actor, action, subject, reason, digest FROM audit';
    const rows =
      args.subject === undefined
        ? prepared(db, `SELECT ${columns} WHERE seq > ? ORDER BY seq LIMIT ?`).all(args.afterSeq, args.limit)
        : prepared(db, `SELECT ${columns} WHERE subject = ? AND seq > ? ORDER BY seq LIMIT ?`).all(
            args.subject,
            args.afterSeq,
            args.limit,
          );
    return rows.map(row => {
      const { reason, digest, ...entry } = row as unknown as Omit<AuditEntry, 'reason' | 'digest'> & {
        reason: string | null;
        digest: Uint8Array | null;
      };
      return { ...entry, digest: hexOf(digest), ...(reason === null ? {} : { reason }) };
    });
  },

  auditHead(db: DatabaseSync): AuditHead | undefined {
    const row = prepared(db, 'SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1').get() as
      | { seq: number; digest: Uint8Array | null }
      | undefined;
    const lastSeq = lastSeqOf(db);
    if (row === undefined) return lastSeq === 0 ? undefined : { seq: 0, digest: chainStart, lastSeq };
    return { seq: row.seq, digest: hexOf(row.digest), lastSeq };
  },
};
