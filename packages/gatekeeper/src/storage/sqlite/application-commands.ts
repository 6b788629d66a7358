// Applications of providers and versions of the agreement. Runs in the storage workers. Knows nothing of who may decide.
import type { DatabaseSync } from 'node:sqlite';
import type { ApplicationTerms } from '@drawbridge/identity/provider-statement';
import {
  type Application,
  firstAppliedNumber,
  type Grant,
  lastProviderNumber,
  type Stage,
  stageSteps,
  type Step,
  type StepResult,
  type StepTo,
  type StoredAgreement,
} from '../../providers/applications.ts';
import type { ProviderStatus } from '../../providers/provider-states.ts';
import { writeAudit } from './audit-commands.ts';
import { addEvent } from './event-commands.ts';
import { prepared } from './prepared.ts';

const columns = `id, issuer, terms, agreement, stage, provider_application.number AS number, grant_given AS grantGiven,
  applied_at AS appliedAtMs, coalesce(provider.status, 'live') AS status
  FROM provider_application LEFT JOIN provider ON provider.number = provider_application.number`;

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

function applicationOf(row: unknown): Application | undefined {
  if (row === undefined) return undefined;
  const { terms, number, grantGiven, ...rest } = row as Row;
  return {
    ...rest,
    terms: JSON.parse(terms) as ApplicationTerms,
    number: number ?? undefined,
    grant: grantGiven === null ? undefined : (JSON.parse(grantGiven) as Grant),
  };
}

const find = (db: DatabaseSync, id: string): Application | undefined =>
  applicationOf(prepared(db, `SELECT ${columns} WHERE id = ?`).get(id));

/** A provider's number once it has one, its application before that. */
const subjectOf = ({ id, number }: Pick<Application, 'id' | 'number'>): string => String(number ?? id);

/** The smallest that nobody has or had. */
function nextNumber(db: DatabaseSync): number {
  const { next } = prepared(db, nextNumberText).get(firstAppliedNumber) as { next: number };
  return next;
}

const nextNumberText = `SELECT min(candidate) AS next FROM
  (SELECT ?1 AS candidate UNION ALL SELECT number + 1 FROM provider WHERE number >= ?1)
  WHERE candidate NOT IN (SELECT number FROM provider)`;

export const applicationWrites = {
  providerApply(
    db: DatabaseSync,
    args: {
      id: string;
      issuer: string;
      terms: ApplicationTerms;
      agreement: number;
      domain: string;
      maxWaiting: number;
      maxWaitingPerDomain: number;
      nowMs: number;
    },
  ): 'applied' | 'issuer-known' | 'name-taken' | 'full' {
    const { id, issuer, terms, agreement, domain, nowMs } = args;
    const open = "stage IN ('applied', 'sandbox', 'live')";
    if (prepared(db, `SELECT 1 FROM provider_application WHERE issuer = ? AND ${open}`).get(issuer) !== undefined) {
      return 'issuer-known';
    }
    const taken =
      prepared(db, 'SELECT 1 FROM provider WHERE name = ?').get(terms.name) ??
      prepared(db, `SELECT 1 FROM provider_application WHERE name = ? AND ${open}`).get(terms.name);
    if (taken !== undefined) return 'name-taken';
    const { all, below } = prepared(
      db,
      `SELECT count(*) AS "all", count(*) FILTER (WHERE domain = ?) AS below FROM provider_application WHERE stage = 'applied'`,
    ).get(domain) as { all: number; below: number };
    if (all >= args.maxWaiting || below >= args.maxWaitingPerDomain) return 'full';
    prepared(
      db,
      `INSERT INTO provider_application (id, name, domain, issuer, terms, agreement, stage, applied_at)
       VALUES (?, ?, ?, ?, ?, ?, 'applied', ?)`,
    ).run(id, terms.name, domain, issuer, JSON.stringify(terms), agreement, nowMs);
    writeAudit(db, { atMs: nowMs, actor: 'provider', action: 'provider-applied', subject: id, reason: terms.name });
    return 'applied';
  },

  providerStep(db: DatabaseSync, { step, to }: { step: Step; to: StepTo }): StepResult {
    const application = find(db, step.id);
    if (application === undefined) return { kind: 'refused', code: 'application-unknown' };
    const { from, action } = stageSteps[to.stage];
    if (!from.includes(application.stage)) return { kind: 'refused', code: 'wrong-stage' };
    let { number } = application;
    if (to.stage === 'sandbox') {
      number = to.number ?? nextNumber(db);
      const { name } = application.terms;
      const other = prepared(db, 'SELECT number FROM provider WHERE number = ? OR name = ?').get(number, name) as
        | { number: number }
        | undefined;
      if (other !== undefined)
        return { kind: 'refused', code: other.number === number ? 'number-taken' : 'name-taken' };
      if (number > lastProviderNumber) return { kind: 'refused', code: 'number-taken' };
      prepared(db, "INSERT INTO provider (number, name, status, changed_at) VALUES (?, ?, 'live', ?)").run(
        number,
        name,
        step.nowMs,
      );
    }
    const grant = 'grant' in to ? to.grant : application.grant;
    prepared(db, 'UPDATE provider_application SET stage = ?, number = ?, grant_given = ? WHERE id = ?').run(
      to.stage,
      number ?? null,
      grant === undefined ? null : JSON.stringify(grant),
      step.id,
    );
    // Whoever takes it into a configuration later has to let it in by name.
    if (to.stage === 'withdrawn' && number !== undefined) {
      prepared(db, "UPDATE provider SET status = 'suspended', changed_at = ? WHERE number = ?").run(step.nowMs, number);
    }
    const note = { atMs: step.nowMs, actor: step.actor, action, reason: step.reason };
    // Both, so that either leads to it.
    if (to.stage === 'sandbox') writeAudit(db, { ...note, subject: step.id });
    writeAudit(db, { ...note, subject: subjectOf({ id: step.id, number }) });
    if (number !== undefined && step.event !== undefined) addEvent(db, { ...step.event, provider: number });
    return { kind: 'done', number };
  },

  providerGrantChange(db: DatabaseSync, { step, grant }: { step: Step; grant: Grant }): StepResult {
    const application = find(db, step.id);
    if (application === undefined) return { kind: 'refused', code: 'application-unknown' };
    if (application.stage !== 'sandbox' && application.stage !== 'live')
      return { kind: 'refused', code: 'wrong-stage' };
    prepared(db, 'UPDATE provider_application SET grant_given = ? WHERE id = ?').run(JSON.stringify(grant), step.id);
    writeAudit(db, {
      atMs: step.nowMs,
      actor: step.actor,
      action: 'provider-terms-changed',
      subject: subjectOf(application),
      reason: step.reason,
    });
    addEvent(db, step.event);
    return { kind: 'done', number: application.number };
  },

  providerAgreementAccept(
    db: DatabaseSync,
    { id, version, nowMs }: { id: string; version: number; nowMs: number },
  ): 'accepted' | 'same' | 'unknown' {
    const application = find(db, id);
    if (application === undefined) return 'unknown';
    if (application.agreement === version) return 'same';
    prepared(db, 'UPDATE provider_application SET agreement = ? WHERE id = ?').run(version, id);
    writeAudit(db, {
      atMs: nowMs,
      actor: 'provider',
      action: 'provider-agreement-accepted',
      subject: subjectOf(application),
      reason: `version ${version}`,
    });
    return 'accepted';
  },

  providerApplicationsExpire(db: DatabaseSync, { beforeMs, nowMs }: { beforeMs: number; nowMs: number }): number {
    const old = prepared(
      db,
      "SELECT id FROM provider_application WHERE stage = 'applied' AND applied_at < ? LIMIT 100",
    ).all(beforeMs) as unknown as readonly { id: string }[];
    for (const { id } of old) {
      prepared(db, "UPDATE provider_application SET stage = 'refused' WHERE id = ?").run(id);
      const reason = 'nobody decided in time: apply again';
      writeAudit(db, { atMs: nowMs, actor: 'configuration', action: 'provider-refused', subject: id, reason });
    }
    return old.length;
  },

  agreementKeep(db: DatabaseSync, args: { digest: string; text: string; nowMs: number }): StoredAgreement {
    const latest = prepared(db, `SELECT ${agreementColumns} ORDER BY version DESC LIMIT 1`).get();
    if (latest !== undefined && latest['digest'] === args.digest) return { ...(latest as unknown as StoredAgreement) };
    const { lastInsertRowid } = prepared(db, 'INSERT INTO agreement (digest, text, since) VALUES (?, ?, ?)').run(
      args.digest,
      args.text,
      args.nowMs,
    );
    return { version: Number(lastInsertRowid), digest: args.digest, text: args.text, sinceMs: args.nowMs };
  },
};

const agreementColumns = 'version, digest, text, since AS sinceMs FROM agreement';

export const applicationReads = {
  providerApplication: (db: DatabaseSync, { id }: { id: string }): Application | undefined => find(db, id),

  providerApplicationOfIssuer: (db: DatabaseSync, { issuer }: { issuer: string }): Application | undefined =>
    applicationOf(
      prepared(
        db,
        `SELECT ${columns} WHERE issuer = ?
         ORDER BY stage IN ('applied', 'sandbox', 'live') DESC, applied_at DESC, id LIMIT 1`,
      ).get(issuer),
    ),

  providerApplicationOfNumber: (db: DatabaseSync, { number }: { number: number }): Application | undefined =>
    applicationOf(prepared(db, `SELECT ${columns} WHERE provider_application.number = ?`).get(number)),

  providerApplications(
    db: DatabaseSync,
    { limit, stage }: { limit: number; stage?: Stage | undefined },
  ): Application[] {
    const rows =
      stage === undefined
        ? prepared(db, `SELECT ${columns} ORDER BY applied_at DESC, id LIMIT ?`).all(limit)
        : prepared(db, `SELECT ${columns} WHERE stage = ? ORDER BY applied_at DESC, id LIMIT ?`).all(stage, limit);
    return rows.map(row => applicationOf(row)!);
  },

  providersAdmitted: (db: DatabaseSync): Application[] =>
    prepared(db, `SELECT ${columns} WHERE stage IN ('sandbox', 'live') ORDER BY provider_application.number`)
      .all()
      .map(row => applicationOf(row)!),

  agreementRead(db: DatabaseSync, { version }: { version: number }): StoredAgreement | undefined {
    const row = prepared(db, `SELECT ${agreementColumns} WHERE version = ?`).get(version);
    return row === undefined ? undefined : { ...(row as unknown as StoredAgreement) };
  },
};
