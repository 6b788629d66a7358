// Who is restricted, and what others have decided about somebody. Runs in the storage workers. Knows no rules.
import type { DatabaseSync } from 'node:sqlite';
import type { RestrictionLevel, Voice } from '../../integrity/restriction-rules.ts';
import {
  type RestrictedSubject,
  type Restriction,
  type RestrictionStore,
  subjectName,
} from '../../integrity/restriction-store.ts';
import { writeAudit } from './audit-commands.ts';
import { prepared } from './prepared.ts';

const columns = 'subject, level, since AS sinceMs, counted_from AS countedFromMs FROM restriction';
const voter = 'account.row AS voter, account.provider AS provider, account.enlisted_at AS enlistedAtMs';

/** Of those to whom the subject wrote first, by their own word. */
const decisions = (whose: 'person' | 'provider'): string =>
  `SELECT ${voter}, contact.changed_at AS atMs,
     CASE contact.state WHEN 'request' THEN 'waiting' WHEN 'accepted' THEN 'accepted' ELSE 'refused' END AS says
   FROM contact JOIN account ON account.row = contact.account
   WHERE contact.${whose} = ? AND contact.changed_at >= ? AND loud > 0 AND carried = 0
   ORDER BY contact.changed_at DESC LIMIT ?`;
const reports = (which: string): string =>
  `SELECT ${voter}, report.at AS atMs, CASE WHEN decision = 'upheld' THEN 'upheld' ELSE 'refused' END AS says
   FROM report JOIN account ON account.row = report.account
   WHERE ${which} AND report.at >= ? AND coalesce(decision, '') <> 'dismissed' ORDER BY report.at DESC LIMIT ?`;

function find(db: DatabaseSync, subject: string): Restriction | undefined {
  const row = prepared(db, `SELECT ${columns} WHERE subject = ?`).get(subject);
  return row === undefined ? undefined : { ...(row as unknown as Restriction) };
}

export const restrictionReads = {
  restrictionVoices(
    db: DatabaseSync,
    { subject, sinceMs, limit }: { subject: RestrictedSubject; sinceMs: number; limit: number },
  ): Voice[] {
    const rows =
      subject.kind === 'person'
        ? [
            ...prepared(db, decisions('person')).all(subject.key, sinceMs, limit),
            ...prepared(db, reports('reported = ?')).all(subject.interopId, sinceMs, limit),
          ]
        : [
            ...prepared(db, decisions('provider')).all(subject.number, sinceMs, limit),
            ...prepared(db, reports("decision = 'upheld' AND reported GLOB ?")).all(
              `${subject.number}-*`,
              sinceMs,
              limit,
            ),
          ];
    return rows.map(row => ({ ...(row as unknown as Voice) }));
  },

  restrictionFind: (db: DatabaseSync, { subject }: { subject: string }): Restriction | undefined => find(db, subject),

  restrictionList(db: DatabaseSync, { after, limit }: { after: string; limit: number }): Restriction[] {
    const rows = prepared(db, `SELECT ${columns} WHERE subject > ? ORDER BY subject LIMIT ?`).all(after, limit);
    return rows.map(row => ({ ...(row as unknown as Restriction) }));
  },
};

export const restrictionWrites = {
  restrictionPut(
    db: DatabaseSync,
    { subject, before, level, countedFromMs, nowMs, audit }: Parameters<RestrictionStore['put']>[0],
  ): 'changed' | 'overtaken' {
    const name = subjectName(subject);
    if (find(db, name)?.level !== before) return 'overtaken';
    const account = subject.kind === 'person' ? subject.row : null;
    if (account !== null && prepared(db, 'SELECT 1 FROM account WHERE row = ?').get(account) === undefined) {
      return 'overtaken';
    }
    prepared(
      db,
      `INSERT INTO restriction (subject, account, level, since, counted_from) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (subject) DO UPDATE SET level = excluded.level, since = excluded.since,
         counted_from = excluded.counted_from`,
    ).run(name, account, level satisfies RestrictionLevel, nowMs, countedFromMs);
    if (audit !== undefined) writeAudit(db, audit);
    return 'changed';
  },

  restrictionForget(db: DatabaseSync, args: { subject: string; countedBeforeMs: number }): void {
    prepared(
      db,
      `DELETE FROM restriction WHERE subject = ? AND ((level = 'none' AND counted_from < ?)
         OR (account IS NOT NULL AND account NOT IN (SELECT row FROM account)))`,
    ).run(args.subject, args.countedBeforeMs);
  },
};
