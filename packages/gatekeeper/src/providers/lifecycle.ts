// The life of a provider that came by an application: it says what it wants by signed statements, operators decide, and each
// step is durable and in the audit log before it is in force. Knows nothing of HTTP.
// Source: docs/protocol/10 section 10.6; Regulation (EU) 2022/1925, Article 7(4) and (5).
import { hash } from 'node:crypto';
import type { EgressFetch } from '@drawbridge/identity/egress';
import { toldToOwner } from '@drawbridge/identity/judge-signature';
import { createKeySet } from '@drawbridge/identity/key-set';
import {
  type AgreementRef,
  type ProviderStatement,
  type StatementErrorCode,
  verifyProviderStatement,
} from '@drawbridge/identity/provider-statement';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Config } from '../config-schema.ts';
import type { NewEvent } from '../events/event-outbox.ts';
import { composeEvent } from '../events/outbound-events.ts';
import type { ProofIds } from '../enlistment/proof-ids.ts';
import { agreementDigest, agreementText, clausesIn, differences, type Differences } from './agreement.ts';
import { applicationFault, mayAskIssuer, shareOf } from './application-rules.ts';
import type {
  Application,
  Grant,
  ProviderApplications,
  Step,
  StepResult,
  StepTo,
  StoredAgreement,
} from './applications.ts';
import type { Registry } from './registry.ts';

/** What a provider is shown of a step: never who took it. */
export type ShownStep = { readonly atMs: number; readonly step: string; readonly reason: string | undefined };

export type Standing = { readonly application: Application; readonly steps: readonly ShownStep[] };

export type ShownAgreement = StoredAgreement & { readonly before: Differences | undefined };

export type StatementAnswer =
  | {
      readonly kind: 'standing';
      readonly standing: Standing;
      readonly change: 'applied' | 'none' | 'accepted' | 'left';
    }
  | { readonly kind: 'statement-refused'; readonly code: StatementErrorCode }
  | { readonly kind: 'application-refused'; readonly detail: string }
  | { readonly kind: 'agreement-differs' | 'applications-closed' | 'applications-full' | 'unknown' | 'busy' };

export type Lifecycle = {
  /** What a provider says, verified and used up. Rejects with StoreError alone. */
  readonly receive: (token: string) => Promise<StatementAnswer>;
  readonly standingOf: (application: Application) => Promise<Standing>;
  readonly refuse: (step: Step) => Promise<StepResult>;
  /** To the sandbox. */
  readonly admit: (step: Step, number?: number) => Promise<StepResult>;
  readonly promote: (step: Step, enlistments?: number) => Promise<StepResult>;
  readonly withdraw: (step: Step) => Promise<StepResult>;
  readonly changeGrant: (step: Step, grant: Grant) => Promise<StepResult>;
  /** The agreement in force. */
  readonly agreement: () => Promise<ShownAgreement>;
  readonly agreementOf: (version: number) => Promise<ShownAgreement | undefined>;
  /** The agreement follows the configuration. Call it after a reload, too. */
  readonly configured: () => Promise<void>;
  /** Refuses what nobody decided on in time. Idempotent. */
  readonly sweep: () => Promise<void>;
};

export type LifecycleDeps = {
  /** Its members change with a reload. */
  readonly config: () => Config;
  readonly applications: ProviderApplications;
  readonly audit: Pick<AuditLog, 'page'>;
  readonly proofIds: Pick<ProofIds, 'take'>;
  readonly registry: Pick<Registry, 'readAgain' | 'end' | 'registered'>;
  readonly egressFetch: EgressFetch;
  readonly newId: () => string;
  readonly nowMs: () => number;
  /** What providers are told as the time. */
  readonly tellMs: () => number;
  /** By which an application grows old. */
  readonly judgeMs: () => number;
  /** From which it does. */
  readonly stampMs: () => number;
  readonly monotonicMs: () => number;
};

const maxShownSteps = 100;
const dayMs = 86_400_000;

/** What a provider is called in words of its own steps. */
const shownSteps: Readonly<Record<string, string>> = {
  'provider-applied': 'applied',
  'provider-refused': 'refused',
  'provider-admitted': 'sandbox',
  'provider-went-live': 'live',
  'provider-suspended': 'suspended',
  'provider-resumed': 'resumed',
  'provider-withdrawn': 'withdrawn',
  'provider-keys-revoked': 'keys-revoked',
  'provider-terms-changed': 'terms-changed',
  'provider-agreement-accepted': 'agreement-accepted',
};

const unproven: ReadonlySet<string> = new Set<StatementErrorCode>(['key-unknown', 'algorithm-key-mismatch']);

export async function createLifecycle(deps: LifecycleDeps): Promise<Lifecycle> {
  const lifecycle = new ProviderLifecycle(deps);
  await lifecycle.configured();
  return lifecycle;
}

class ProviderLifecycle implements Lifecycle {
  readonly #deps: LifecycleDeps;
  #checking = 0;
  #agreement: StoredAgreement | undefined;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  async configured(): Promise<void> {
    const text = agreementText(this.#deps.config());
    const digest = agreementDigest(text);
    if (this.#agreement?.digest === digest) return;
    this.#agreement = await this.#deps.applications.keepAgreement({ digest, text, nowMs: this.#deps.nowMs() });
  }

  async receive(token: string): Promise<StatementAnswer> {
    // Each may fetch a key set from a place that a stranger named.
    if (this.#checking >= this.#deps.config().applications.checksAtOnce) return { kind: 'busy' };
    this.#checking++;
    try {
      const verdict = await this.#verify(token);
      if (verdict.kind === 'refused') return { kind: 'statement-refused', code: verdict.code };
      return await this.#act(verdict.statement);
    } finally {
      this.#checking--;
    }
  }

  async #verify(token: string): ReturnType<typeof verifyProviderStatement> {
    const { config, registry, egressFetch, proofIds, nowMs, monotonicMs } = this.#deps;
    const { issuer: audience, mode } = config();
    let isRegistered = false;
    const verdict = await verifyProviderStatement(token, {
      audience,
      nowMs: nowMs(),
      keysOf: statement => {
        const { issuer } = statement;
        const registered = registry.registered(issuer);
        isRegistered = registered !== undefined && mode !== 'development';
        if (registered !== undefined) return isRegistered ? toldToOwner(registered.keys) : registered.keys;
        if (!mayAskIssuer(issuer, mode === 'development')) return undefined;
        // Where the set lies is checked against the applicant's own domain below; here against what it names for itself.
        const origins =
          statement.act === 'apply' && this.#fault(statement) === undefined ? statement.application.keySetOrigins : [];
        return createKeySet({ issuer, keySetOrigins: origins, fetch: egressFetch, nowMs: monotonicMs });
      },
      takeId: async ({ issuer, jti, expiresAtMs }) => {
        const [taken] = await proofIds.take([hash('sha256', `${issuer}\n${jti}`, 'buffer')], [expiresAtMs]);
        return taken === true;
      },
    });
    // Which keys of it are at hand is nothing for whoever lacks them.
    const isUnproven = verdict.kind === 'refused' && unproven.has(verdict.code);
    return isRegistered && isUnproven ? { kind: 'refused', code: 'signature-refused' } : verdict;
  }

  #fault(statement: Extract<ProviderStatement, { act: 'apply' }>): string | undefined {
    const { applications, mode } = this.#deps.config();
    return applicationFault(statement, {
      suites: applications.suites,
      regions: applications.regions,
      development: mode === 'development',
    });
  }

  async #act(statement: ProviderStatement): Promise<StatementAnswer> {
    if (statement.act === 'apply') return await this.#apply(statement);
    const { applications, nowMs } = this.#deps;
    const found = await applications.findByIssuer(statement.issuer);
    if (found === undefined) return { kind: 'unknown' };
    switch (statement.act) {
      case 'status':
        return await this.#standing(found.id, 'none');
      case 'accept': {
        if (!this.#isInForce(statement.agreement)) return { kind: 'agreement-differs' };
        const result = await applications.acceptAgreement(found.id, statement.agreement.version, nowMs());
        return await this.#standing(found.id, result === 'accepted' ? 'accepted' : 'none');
      }
      case 'leave': {
        const step = { id: found.id, actor: 'provider', reason: statement.reason, nowMs: nowMs() };
        const result = await this.withdraw(step);
        return await this.#standing(found.id, result.kind === 'done' ? 'left' : 'none');
      }
    }
  }

  async #apply(statement: Extract<ProviderStatement, { act: 'apply' }>): Promise<StatementAnswer> {
    const { applications, newId, stampMs } = this.#deps;
    const { open, waiting, waitingPerDomain } = this.#deps.config().applications;
    if (!open) return { kind: 'applications-closed' };
    const fault = this.#fault(statement);
    if (fault !== undefined) return { kind: 'application-refused', detail: fault };
    if (!this.#isInForce(statement.agreement)) return { kind: 'agreement-differs' };
    const id = newId();
    const result = await applications.apply({
      id,
      issuer: statement.issuer,
      terms: statement.application,
      agreement: statement.agreement.version,
      domain: shareOf(statement.application),
      maxWaiting: waiting,
      maxWaitingPerDomain: waitingPerDomain,
      nowMs: stampMs(),
    });
    switch (result) {
      case 'applied':
        return await this.#standing(id, 'applied');
      case 'issuer-known':
        return { kind: 'application-refused', detail: 'this issuer has applied: ask how it stands' };
      case 'name-taken':
        return {
          kind: 'application-refused',
          detail: 'this name belongs or belonged to a provider: a name and its people stay together; ask the operator',
        };
      case 'full':
        return { kind: 'applications-full' };
    }
  }

  #isInForce({ version, digest }: AgreementRef): boolean {
    return this.#agreement?.version === version && this.#agreement.digest === digest;
  }

  async #standing(id: string, change: 'applied' | 'none' | 'accepted' | 'left'): Promise<StatementAnswer> {
    const application = await this.#deps.applications.find(id);
    if (application === undefined) return { kind: 'unknown' };
    return { kind: 'standing', standing: await this.standingOf(application), change };
  }

  async standingOf(application: Application): Promise<Standing> {
    const { audit } = this.#deps;
    const { id, number } = application;
    const entries = [...(await audit.page(0, maxShownSteps, id))];
    if (number !== undefined) {
      const later = await audit.page(0, maxShownSteps, String(number));
      entries.push(...later.filter(({ action }) => action !== 'provider-admitted'));
    }
    const steps = entries.flatMap(({ atMs, action, reason }) => {
      const step = shownSteps[action];
      return step === undefined ? [] : [{ atMs, step, reason }];
    });
    return { application, steps };
  }

  refuse(step: Step): Promise<StepResult> {
    return this.#step(step, { stage: 'refused' });
  }

  async admit(step: Step, number?: number): Promise<StepResult> {
    const { suites, sandboxEnlistments } = this.#deps.config().applications;
    const application = await this.#deps.applications.find(step.id);
    if (application === undefined) return { kind: 'refused', code: 'application-unknown' };
    const grant: Grant = {
      enlistments: sandboxEnlistments,
      trustClass: 'trial',
      suites: application.terms.suites.filter(suite => suites.includes(suite)),
    };
    return await this.#step(step, { stage: 'sandbox', number, grant });
  }

  async promote(step: Step, enlistments?: number): Promise<StepResult> {
    const application = await this.#deps.applications.find(step.id);
    if (application?.grant === undefined) return { kind: 'refused', code: 'application-unknown' };
    const grant: Grant = {
      enlistments: enlistments ?? this.#deps.config().applications.liveEnlistments,
      trustClass: 'standard',
      suites: application.grant.suites,
    };
    return await this.#step(step, { stage: 'live', grant });
  }

  async withdraw(step: Step): Promise<StepResult> {
    return await this.#step(step, { stage: 'withdrawn' });
  }

  async changeGrant(step: Step, grant: Grant): Promise<StepResult> {
    const event = await this.#told(step, 'terms-changed');
    const result = await this.#deps.applications.changeGrant({ ...step, event }, grant);
    if (result.kind === 'done') await this.#deps.registry.readAgain();
    return result;
  }

  async #step(step: Step, to: StepTo): Promise<StepResult> {
    const { applications, registry } = this.#deps;
    const event = to.stage === 'refused' ? undefined : await this.#told(step, to.stage);
    const result = await applications.step({ ...step, event }, to);
    if (result.kind === 'refused') return result;
    // At once, whatever becomes of the reading.
    if (to.stage === 'withdrawn' && result.number !== undefined) registry.end(result.number);
    if (to.stage !== 'refused') await registry.readAgain();
    return result;
  }

  /** To a provider that has a place for events; one that is not admitted yet is told when it has its number. */
  async #told({ id, reason }: Step, step: string): Promise<NewEvent | undefined> {
    const found = await this.#deps.applications.find(id);
    if (found === undefined) return undefined;
    const { issuer, number = 0, terms } = found;
    const provider = { number, issuer, eventsUrl: terms.eventsUrl };
    const nowMs = this.#deps.tellMs();
    const told = { event: 'urn:drawbridge:event:provider-step', payload: { step, reason }, nowMs } as const;
    return composeEvent(provider, this.#deps.config().limits, told);
  }

  async agreement(): Promise<ShownAgreement> {
    return await this.#shown(this.#agreement!);
  }

  async agreementOf(version: number): Promise<ShownAgreement | undefined> {
    const found = await this.#deps.applications.agreement(version);
    return found === undefined ? undefined : await this.#shown(found);
  }

  async #shown(agreement: StoredAgreement): Promise<ShownAgreement> {
    const before = await this.#deps.applications.agreement(agreement.version - 1);
    const changes = before === undefined ? undefined : differences(clausesIn(before.text), clausesIn(agreement.text));
    return { ...agreement, before: changes };
  }

  async sweep(): Promise<void> {
    const { applications, nowMs, judgeMs } = this.#deps;
    const { waitingDays } = this.#deps.config().applications;
    while ((await applications.expire(judgeMs() - waitingDays * dayMs, nowMs())) > 0);
  }
}
