// Who is restricted, and what others have decided about somebody, on PostgreSQL. Knows no rules.
import type { Voice } from '../../integrity/restriction-rules.ts';
import {
  type RestrictedSubject,
  type Restriction,
  type RestrictionStore,
  subjectName,
} from '../../integrity/restriction-store.ts';
import { writeAudit } from './audit.ts';
import type { Database, Sql } from './database.ts';

const columns = 'subject, level, since AS "sinceMs", counted_from AS "countedFromMs" FROM restriction';
const voter = 'account.row AS voter, account.provider AS provider, account.enlisted_at AS "enlistedAtMs"';

/** Of those to whom the subject wrote first, by their own word. */
const decisions = (whose: 'person' | 'provider'): string =>
  `SELECT ${voter}, contact.changed_at AS "atMs",
     CASE contact.state WHEN 'request' THEN 'waiting' WHEN 'accepted' THEN 'accepted' ELSE 'refused' END AS says
   FROM contact JOIN account ON account.row = contact.account
   WHERE contact.${whose} = $1 AND contact.changed_at >= $2 AND loud > 0 AND NOT carried
   ORDER BY contact.changed_at DESC LIMIT $3`;
const reports = (which: string): string =>
  `SELECT ${voter}, report.at AS "atMs", CASE WHEN decision = 'upheld' THEN 'upheld' ELSE 'refused' END AS says
   FROM report JOIN account ON account.row = report.account
   WHERE ${which} AND report.at >= $2 AND coalesce(decision, '') <> 'dismissed' ORDER BY report.at DESC LIMIT $3`;

async function voices(
  database: Database,
  subject: RestrictedSubject,
  sinceMs: number,
  limit: number,
): Promise<readonly Voice[]> {
  if (subject.kind === 'person') {
    const decided = await database.rows<Voice>(decisions('person'), [subject.key, sinceMs, limit]);
    const reported = await database.rows<Voice>(reports('reported = $1'), [subject.interopId, sinceMs, limit]);
    return [...decided, ...reported];
  }
  const decided = await database.rows<Voice>(decisions('provider'), [subject.number, sinceMs, limit]);
  const upheld = "decision = 'upheld' AND starts_with(reported, $1)";
  return [...decided, ...(await database.rows<Voice>(reports(upheld), [`${subject.number}-`, sinceMs, limit]))];
}

async function put(
  sql: Sql,
  { subject, before, level, countedFromMs, nowMs, audit }: Parameters<RestrictionStore['put']>[0],
): Promise<'changed' | 'overtaken'> {
  const name = subjectName(subject);
  const account = subject.kind === 'person' ? subject.row : null;
  if (account !== null) {
    const there = await sql.rows('SELECT 1 FROM account WHERE row = $1 FOR UPDATE', [account]);
    if (there.length === 0) return 'overtaken';
  }
  const values = [name, level, nowMs, countedFromMs];
  const changed =
    before === undefined
      ? await sql.change(
          `INSERT INTO restriction (subject, level, since, counted_from, account) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (subject) DO NOTHING`,
          [...values, account],
        )
      : await sql.change(
          'UPDATE restriction SET level = $2, since = $3, counted_from = $4 WHERE subject = $1 AND level = $5',
          [...values, before],
        );
  if (changed === 0) return 'overtaken';
  if (audit !== undefined) await writeAudit(sql, audit);
  return 'changed';
}

export function postgresRestrictions(database: Database): RestrictionStore {
  return {
    voices: (subject, sinceMs, limit) => voices(database, subject, sinceMs, limit),
    find: subject => database.row<Restriction>(`SELECT ${columns} WHERE subject = $1`, [subject]),
    list: (after, limit) =>
      database.rows<Restriction>(
        `SELECT ${columns} WHERE subject > $1 COLLATE "C" ORDER BY subject COLLATE "C" LIMIT $2`,
        [after, limit],
      ),
    put: change => database.transaction(sql => put(sql, change)),
    async forget(subject, countedBeforeMs) {
      await database.rows(
        `DELETE FROM restriction WHERE subject = $1 AND ((level = 'none' AND counted_from < $2)
           OR (account IS NOT NULL AND account NOT IN (SELECT row FROM account)))`,
        [subject, countedBeforeMs],
      );
    },
  };
}
