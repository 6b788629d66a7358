// Rows of reports on PostgreSQL. Knows nothing of what is reported.
import {
  decodeReported,
  encodeReported,
  type NewReport,
  type Report,
  type ReportBounds,
  type ReportDecision,
  type ReportStore,
  type ReportSummary,
} from '../../reports/report-store.ts';
import { writeAudit } from './audit.ts';
import type { Database, Sql } from './database.ts';
import { addEvent } from './events.ts';

type Row = Omit<ReportSummary, 'decided'> & {
  readonly decision: ReportDecision | null;
  readonly decidedBy: string | null;
  readonly decidedAtMs: number | null;
};
type WholeRow = Row & { readonly comment: string | null; readonly messages: Uint8Array };

const columns = `id, reporter, reported, category, at AS "atMs", count, decision, decided_by AS "decidedBy",
  decided_at AS "decidedAtMs"`;

function summaryOf({
  decision,
  decidedBy,
  decidedAtMs,
  id,
  reporter,
  reported,
  category,
  atMs,
  count,
}: Row): ReportSummary {
  const decided = decision === null ? undefined : { decision, actor: decidedBy ?? '', atMs: decidedAtMs ?? 0 };
  return { id, reporter, reported, category, atMs, count, decided };
}

async function add(
  sql: Sql,
  report: NewReport,
  bounds: ReportBounds,
): Promise<Awaited<ReturnType<ReportStore['add']>>> {
  const [known] = await sql.rows<{ id: string }>('SELECT id FROM report WHERE digest = $1', [report.digest]);
  if (known !== undefined) return { kind: 'known', id: known.id };
  const messages = encodeReported(report.messages);
  const [use] = await sql.rows<{ count: number; bytes: number; own: number }>(
    `SELECT count(*) AS count, coalesce(sum(length(messages)), 0) AS bytes, count(*) FILTER (WHERE account = $1) AS own
     FROM report`,
    [report.account],
  );
  const { count, bytes, own } = use!;
  if (count >= bounds.inAll || bytes + messages.length > bounds.bytesInAll || own >= bounds.perReporter) return 'full';
  const { id, digest, account, reporter, reported, category, comment, atMs } = report;
  const added = await sql.change(
    `INSERT INTO report (id, digest, account, reporter, reported, category, comment, messages, count, at)
     SELECT $1, $2, row, $4, $5, $6, $7, $8, $9, $10 FROM account WHERE row = $3`,
    [id, digest, account, reporter, reported, category, comment ?? null, messages, report.messages.length, atMs],
  );
  // The reporter has gone meanwhile: nothing of theirs is kept.
  return added === 0 ? 'full' : { kind: 'added', id };
}

async function decide(
  sql: Sql,
  { id, decision, actor, reason, nowMs: atMs, event }: Parameters<ReportStore['decide']>[0],
): Promise<'changed' | 'decided' | 'unknown'> {
  const [row] = await sql.rows<{ decision: string | null }>('SELECT decision FROM report WHERE id = $1 FOR UPDATE', [
    id,
  ]);
  if (row === undefined) return 'unknown';
  if (row.decision !== null) return 'decided';
  await sql.change('UPDATE report SET decision = $2, decided_by = $3, decided_at = $4 WHERE id = $1', [
    id,
    decision,
    actor,
    atMs,
  ]);
  await writeAudit(sql, { atMs, actor, action: `report-${decision}`, subject: id, reason });
  await addEvent(sql, event);
  return 'changed';
}

export function postgresReports(database: Database): ReportStore {
  return {
    add: (report, bounds) => database.transaction(sql => add(sql, report, bounds)),
    async list({ reported, open, beforeMs, limit }) {
      const rows = await database.rows<Row>(
        `SELECT ${columns} FROM report WHERE ($1::text IS NULL OR reported = $1) AND (NOT $2::boolean OR decision IS NULL)
           AND ($3::bigint IS NULL OR at < $3) ORDER BY at DESC, seq DESC LIMIT $4`,
        [reported ?? null, open === true, beforeMs ?? null, limit],
      );
      return rows.map(summaryOf);
    },
    async find(id): Promise<Report | undefined> {
      const row = await database.row<WholeRow>(`SELECT ${columns}, comment, messages FROM report WHERE id = $1`, [id]);
      if (row === undefined) return undefined;
      return { ...summaryOf(row), comment: row.comment ?? undefined, messages: decodeReported(row.messages) };
    },
    decide: decision => database.transaction(sql => decide(sql, decision)),
    sweep: (beforeMs, limit) =>
      database.transaction(sql =>
        sql.change('DELETE FROM report WHERE seq IN (SELECT seq FROM report WHERE at < $1 ORDER BY at LIMIT $2)', [
          beforeMs,
          limit,
        ]),
      ),
  };
}
