// Rows of the audit log on PostgreSQL, numbered and chained in the order of their commits. Knows nothing of what is done.
import { chainStart, entryDigest } from '../../audit/audit-chain.ts';
import type { AuditEntry, AuditLog, AuditNote } from '../../audit/audit-log.ts';
import type { Database, Sql } from './database.ts';

/**
 * In the transaction of the change that it tells of. The number follows the highest ever given: what is cut leaves a gap.
 * Nodes take turns, so that whoever reads on misses nothing.
 */
export async function writeAudit(sql: Sql, { atMs, actor, action, subject, reason }: AuditNote): Promise<void> {
  const [head] = await sql.rows<{ seq: number }>(
    'UPDATE audit_head SET last_seq = last_seq + 1 RETURNING last_seq AS seq',
  );
  const { seq } = head!;
  const [last] = await sql.rows<{ digest: string }>('SELECT digest FROM audit ORDER BY seq DESC LIMIT 1');
  const digest = entryDigest(last?.digest ?? chainStart, { seq, atMs, actor, action, subject, reason });
  await sql.change(
    'INSERT INTO audit (seq, at, actor, action, subject, reason, digest) VALUES ($1, $2, $3, $4, $5, $6, $7)',
    [seq, atMs, actor, action, subject, reason ?? null, digest],
  );
}

export function postgresAuditLog(database: Database): AuditLog {
  return {
    note: note => database.transaction(sql => writeAudit(sql, note)),
    async page(afterSeq, limit, subject) {
      const rows = await database.rows<Omit<AuditEntry, 'reason'> & { reason: string | null }>(
        `SELECT seq, at AS "atMs", actor, action, subject, reason, digest FROM audit
         WHERE seq > $1 AND ($3::text IS NULL OR subject = $3) ORDER BY seq LIMIT $2`,
        [afterSeq, limit, subject ?? null],
      );
      return rows.map(({ reason, ...entry }) => ({ ...entry, ...(reason === null ? {} : { reason }) }));
    },
    async head() {
      const row = await database.row<{ seq: number | null; digest: string | null; lastSeq: number }>(
        `SELECT last_seq AS "lastSeq", audit.seq, audit.digest FROM audit_head
         LEFT JOIN (SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1) AS audit ON true`,
      );
      const { seq, digest, lastSeq } = row!;
      return lastSeq === 0 ? undefined : { seq: seq ?? 0, digest: digest ?? chainStart, lastSeq };
    },
  };
}
