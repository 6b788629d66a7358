// Rows of reports. Runs in the storage workers. Knows nothing of what is reported.
import type { DatabaseSync } from 'node:sqlite';
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
import { writeAudit } from './audit-commands.ts';
import { takeRoom } from './disk-reserve.ts';
import { addEvent } from './event-commands.ts';
import { prepared } from './prepared.ts';

type Row = Omit<ReportSummary, 'decided'> & {
  readonly comment: string | null;
  readonly messages: Uint8Array;
  readonly decision: ReportDecision | null;
  readonly decidedBy: string | null;
  readonly decidedAtMs: number | null;
};

const columns = `id, reporter, reported, category, at AS atMs, count, decision, decided_by AS decidedBy,
  decided_at AS decidedAtMs`;

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

export const reportWrites = {
  reportAdd(
    db: DatabaseSync,
    { report, bounds }: { report: NewReport; bounds: ReportBounds },
  ): Awaited<ReturnType<ReportStore['add']>> {
    const known = prepared(db, 'SELECT id FROM report WHERE digest = ?').get(report.digest);
    if (known !== undefined) return { kind: 'known', id: String(known['id']) };
    const messages = encodeReported(report.messages);
    const { count, bytes } = prepared(
      db,
      'SELECT count(*) AS count, coalesce(sum(length(messages)), 0) AS bytes FROM report',
    ).get() as {
      count: number;
      bytes: number;
    };
    const own = prepared(db, 'SELECT count(*) AS count FROM report WHERE account = ?').get(report.account) as {
      count: number;
    };
    const isFull =
      count >= bounds.inAll || bytes + messages.length > bounds.bytesInAll || own.count >= bounds.perReporter;
    if (isFull) return 'full';
    takeRoom(db, messages.length, performance.now());
    const { id, digest, account, reporter, reported, category, comment, atMs } = report;
    prepared(
      db,
      `INSERT INTO report (id, digest, account, reporter, reported, category, comment, messages, count, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ).run(id, digest, account, reporter, reported, category, comment ?? null, messages, report.messages.length, atMs);
    return { kind: 'added', id };
  },

  reportDecide(
    db: DatabaseSync,
    { id, decision, actor, reason, nowMs: atMs, event }: Parameters<ReportStore['decide']>[0],
  ): 'changed' | 'decided' | 'unknown' {
    const row = prepared(db, 'SELECT decision FROM report WHERE id = ?').get(id);
    if (row === undefined) return 'unknown';
    if (row['decision'] !== null) return 'decided';
    prepared(db, 'UPDATE report SET decision = ?, decided_by = ?, decided_at = ? WHERE id = ?').run(
      decision,
      actor,
      atMs,
      id,
    );
    writeAudit(db, { atMs, actor, action: `report-${decision}`, subject: id, reason });
    addEvent(db, event);
    return 'changed';
  },

  reportsSweep(db: DatabaseSync, { beforeMs, limit }: { beforeMs: number; limit: number }): number {
    const { changes } = prepared(
      db,
      'DELETE FROM report WHERE seq IN (SELECT seq FROM report WHERE at < ? ORDER BY at LIMIT ?)',
    ).run(beforeMs, limit);
    return Number(changes);
  },
};

export const reportReads = {
  reportList(
    db: DatabaseSync,
    { reported, open, beforeMs, limit }: Parameters<ReportStore['list']>[0],
  ): ReportSummary[] {
    const rows = prepared(
      db,
      `SELECT ${columns} FROM report WHERE (?1 IS NULL OR reported = ?1) AND (?2 = 0 OR decision IS NULL)
         AND (?3 IS NULL OR at < ?3) ORDER BY at DESC, seq DESC LIMIT ?4`,
    ).all(reported ?? null, open === true ? 1 : 0, beforeMs ?? null, limit);
    return rows.map(row => summaryOf(row as unknown as Row));
  },

  reportFind(db: DatabaseSync, { id }: { id: string }): Report | undefined {
    const row = prepared(db, `SELECT ${columns}, comment, messages FROM report WHERE id = ?`).get(id) as
      | Row
      | undefined;
    if (row === undefined) return undefined;
    return { ...summaryOf(row), comment: row.comment ?? undefined, messages: decodeReported(row.messages) };
  },
};
