// Applications of providers and versions of the agreement on PostgreSQL. Knows nothing of who may decide.
import type { ApplicationTerms } from '@drawbridge/identity/provider-statement';
import {
  type Application,
  firstAppliedNumber,
  type Grant,
  lastProviderNumber,
  type ProviderApplications,
  type Stage,
  stageSteps,
  type Step,
  type StepResult,
  type StepTo,
  type StoredAgreement,
} from '../../providers/applications.ts';
import type { ProviderStatus } from '../../providers/provider-states.ts';
import { writeAudit } from './audit.ts';
import { addEvent } from './events.ts';
import type { Database, Sql } from './database.ts';

const columns = `id, issuer, terms, agreement, stage, application.number AS number, grant_given AS "grantGiven",
  applied_at AS "appliedAtMs", coalesce(provider.status, 'live') AS status
  FROM provider_application AS application LEFT JOIN provider ON provider.number = application.number`;
const agreementColumns = 'version, digest, text, since AS "sinceMs" FROM agreement';

type Row = {
  readonly id: string;
  readonly issuer: string;
  readonly terms: string;
  readonly agreement: number;
  readonly stage: Stage;
  readonly number: number | null;
  readonly grantGiven: string | null;
  readonly appliedAtMs: number;
  readonly status: ProviderStatus;
};

function applicationOf({ terms, number, grantGiven, ...rest }: Row): Application {
  return {
    ...rest,
    terms: JSON.parse(terms) as ApplicationTerms,
    number: number ?? undefined,
    grant: grantGiven === null ? undefined : (JSON.parse(grantGiven) as Grant),
  };
}

const subjectOf = ({ id, number }: Pick<Application, 'id' | 'number'>): string => String(number ?? id);

/** Decisions are rare: one after the other, over all nodes, so that no two take the same name or number. */
async function inTurn(sql: Sql): Promise<void> {
  await sql.change('UPDATE audit_head SET last_seq = last_seq');
}

async function find(sql: Sql, id: string): Promise<Application | undefined> {
  const [row] = await sql.rows<Row>(`SELECT ${columns} WHERE id = $1`, [id]);
  return row === undefined ? undefined : applicationOf(row);
}

async function apply(
  sql: Sql,
  args: Parameters<ProviderApplications['apply']>[0],
): Promise<'applied' | 'issuer-known' | 'name-taken' | 'full'> {
  const { id, issuer, terms, agreement, domain, nowMs } = args;
  await inTurn(sql);
  const [known] = await sql.rows<{ issuer: boolean; name: boolean; waiting: number; below: number }>(
    `SELECT
       EXISTS (SELECT 1 FROM provider_application WHERE issuer = $1 AND stage IN ('applied', 'sandbox', 'live')) AS issuer,
       EXISTS (SELECT 1 FROM provider WHERE name = $2)
         OR EXISTS (SELECT 1 FROM provider_application WHERE name = $2 AND stage IN ('applied', 'sandbox', 'live')) AS name,
       (SELECT count(*) FROM provider_application WHERE stage = 'applied') AS waiting,
       (SELECT count(*) FROM provider_application WHERE stage = 'applied' AND domain = $3) AS below`,
    [issuer, terms.name, domain],
  );
  if (known!.issuer) return 'issuer-known';
  if (known!.name) return 'name-taken';
  if (known!.waiting >= args.maxWaiting || known!.below >= args.maxWaitingPerDomain) return 'full';
  await sql.change(
    `INSERT INTO provider_application (id, name, domain, issuer, terms, agreement, stage, applied_at)
     VALUES ($1, $2, $3, $4, $5, $6, 'applied', $7)`,
    [id, terms.name, domain, issuer, JSON.stringify(terms), agreement, nowMs],
  );
  await writeAudit(sql, {
    atMs: nowMs,
    actor: 'provider',
    action: 'provider-applied',
    subject: id,
    reason: terms.name,
  });
  return 'applied';
}

/** The number that it gets, or why not. */
async function numberFor(
  sql: Sql,
  name: string,
  wanted: number | undefined,
): Promise<number | 'number-taken' | 'name-taken'> {
  const [free] = await sql.rows<{ next: number }>(
    `SELECT min(candidate) AS next FROM
       (SELECT $1::integer AS candidate UNION ALL SELECT number + 1 FROM provider WHERE number >= $1) AS candidates
     WHERE candidate NOT IN (SELECT number FROM provider)`,
    [firstAppliedNumber],
  );
  const number = wanted ?? free!.next;
  const [other] = await sql.rows<{ number: number }>('SELECT number FROM provider WHERE number = $1 OR name = $2', [
    number,
    name,
  ]);
  if (other !== undefined) return other.number === number ? 'number-taken' : 'name-taken';
  return number > lastProviderNumber ? 'number-taken' : number;
}

async function step(sql: Sql, made: Step, to: StepTo): Promise<StepResult> {
  await inTurn(sql);
  const application = await find(sql, made.id);
  if (application === undefined) return { kind: 'refused', code: 'application-unknown' };
  const { from, action } = stageSteps[to.stage];
  if (!from.includes(application.stage)) return { kind: 'refused', code: 'wrong-stage' };
  let { number } = application;
  if (to.stage === 'sandbox') {
    const given = await numberFor(sql, application.terms.name, to.number);
    if (typeof given === 'string') return { kind: 'refused', code: given };
    number = given;
    await sql.change("INSERT INTO provider (number, name, status, changed_at) VALUES ($1, $2, 'live', $3)", [
      number,
      application.terms.name,
      made.nowMs,
    ]);
  }
  const grant = 'grant' in to ? to.grant : application.grant;
  await sql.change('UPDATE provider_application SET stage = $2, number = $3, grant_given = $4 WHERE id = $1', [
    made.id,
    to.stage,
    number ?? null,
    grant === undefined ? null : JSON.stringify(grant),
  ]);
  if (to.stage === 'withdrawn' && number !== undefined) {
    await sql.change("UPDATE provider SET status = 'suspended', changed_at = $2 WHERE number = $1", [
      number,
      made.nowMs,
    ]);
  }
  const note = { atMs: made.nowMs, actor: made.actor, action, reason: made.reason };
  if (to.stage === 'sandbox') await writeAudit(sql, { ...note, subject: made.id });
  await writeAudit(sql, { ...note, subject: subjectOf({ id: made.id, number }) });
  if (number !== undefined && made.event !== undefined) await addEvent(sql, { ...made.event, provider: number });
  return { kind: 'done', number };
}

async function changeGrant(sql: Sql, made: Step, grant: Grant): Promise<StepResult> {
  await inTurn(sql);
  const application = await find(sql, made.id);
  if (application === undefined) return { kind: 'refused', code: 'application-unknown' };
  if (application.stage !== 'sandbox' && application.stage !== 'live') return { kind: 'refused', code: 'wrong-stage' };
  await sql.change('UPDATE provider_application SET grant_given = $2 WHERE id = $1', [made.id, JSON.stringify(grant)]);
  const { nowMs: atMs, actor, reason } = made;
  await writeAudit(sql, { atMs, actor, action: 'provider-terms-changed', subject: subjectOf(application), reason });
  await addEvent(sql, made.event);
  return { kind: 'done', number: application.number };
}

async function acceptAgreement(
  sql: Sql,
  id: string,
  version: number,
  nowMs: number,
): Promise<'accepted' | 'same' | 'unknown'> {
  await inTurn(sql);
  const application = await find(sql, id);
  if (application === undefined) return 'unknown';
  if (application.agreement === version) return 'same';
  await sql.change('UPDATE provider_application SET agreement = $2 WHERE id = $1', [id, version]);
  await writeAudit(sql, {
    atMs: nowMs,
    actor: 'provider',
    action: 'provider-agreement-accepted',
    subject: subjectOf(application),
    reason: `version ${version}`,
  });
  return 'accepted';
}

async function expire(sql: Sql, beforeMs: number, nowMs: number): Promise<number> {
  const old = await sql.rows<{ id: string }>(
    `UPDATE provider_application SET stage = 'refused' WHERE id IN (
       SELECT id FROM provider_application WHERE stage = 'applied' AND applied_at < $1 LIMIT 100) RETURNING id`,
    [beforeMs],
  );
  for (const { id } of old) {
    const reason = 'nobody decided in time: apply again';
    await writeAudit(sql, { atMs: nowMs, actor: 'configuration', action: 'provider-refused', subject: id, reason });
  }
  return old.length;
}

async function keepAgreement(
  sql: Sql,
  { digest, text, nowMs }: { readonly digest: string; readonly text: string; readonly nowMs: number },
): Promise<StoredAgreement> {
  await inTurn(sql);
  const [latest] = await sql.rows<StoredAgreement>(`SELECT ${agreementColumns} ORDER BY version DESC LIMIT 1`);
  if (latest?.digest === digest) return latest;
  const version = (latest?.version ?? 0) + 1;
  await sql.change('INSERT INTO agreement (version, digest, text, since) VALUES ($1, $2, $3, $4)', [
    version,
    digest,
    text,
    nowMs,
  ]);
  return { version, digest, text, sinceMs: nowMs };
}

export function postgresApplications(database: Database): ProviderApplications {
  const one = async (where: string, value: string | number): Promise<Application | undefined> => {
    const row = await database.row<Row>(`SELECT ${columns} WHERE ${where}`, [value]);
    return row === undefined ? undefined : applicationOf(row);
  };
  return {
    apply: application => database.transaction(sql => apply(sql, application)),
    step: (made, to) => database.transaction(sql => step(sql, made, to)),
    changeGrant: (made, grant) => database.transaction(sql => changeGrant(sql, made, grant)),
    acceptAgreement: (id, version, nowMs) => database.transaction(sql => acceptAgreement(sql, id, version, nowMs)),
    expire: (beforeMs, nowMs) => database.transaction(sql => expire(sql, beforeMs, nowMs)),
    find: id => one('id = $1', id),
    findByIssuer: issuer =>
      one(`issuer = $1 ORDER BY (stage IN ('applied', 'sandbox', 'live')) DESC, applied_at DESC, id LIMIT 1`, issuer),
    findByNumber: number => one('application.number = $1', number),
    list: async (limit, stage) => {
      const text = `SELECT ${columns} WHERE $2::text IS NULL OR stage = $2 ORDER BY applied_at DESC, id LIMIT $1`;
      return (await database.rows<Row>(text, [limit, stage ?? null])).map(applicationOf);
    },
    admitted: async () => {
      const text = `SELECT ${columns} WHERE stage IN ('sandbox', 'live') ORDER BY application.number`;
      return (await database.rows<Row>(text)).map(applicationOf);
    },
    keepAgreement: agreement => database.transaction(sql => keepAgreement(sql, agreement)),
    agreement: version => database.row<StoredAgreement>(`SELECT ${agreementColumns} WHERE version = $1`, [version]),
  };
}
