// Who may still meet new people, and how fast: budgets of first contacts, and restrictions by what others have decided. Nobody
// but an operator learns of a restriction: whoever is restricted is told to wait, as by any budget.
// Knows no encodings and no content. Source: docs/protocol/10 section 10.3.
import type { AuditNote } from '../audit/audit-log.ts';
import { type Budgets, type Charge, personKey } from '../budgets.ts';
import type { Config } from '../config-schema.ts';
import type { Account } from '../enlistment/account.ts';
import type { Enlistment } from '../enlistment/enlistment.ts';
import {
  explainJudged,
  type Judged,
  judgeVoices,
  type RestrictionLevel,
  restrictionLevels,
  type RestrictionRules,
  windowMs,
} from './restriction-rules.ts';
import { type RestrictedSubject, type Restriction, type RestrictionStore, subjectName } from './restriction-store.ts';

export const integrityLimits = {
  /** Of each kind, the latest: what is judged costs a bounded read. */
  voices: 1_000,
  /** A provider is judged at most this often. */
  providerMs: 60_000,
  /** A level holds at least this long: whoever flips one decision does not fill the audit log. */
  holdsMs: 3_600_000,
  /** Restrictions that are looked at in one round of the sweep. */
  sweptAtOnce: 100,
} as const;

export type IntegrityDeps = {
  readonly store: RestrictionStore;
  readonly budgets: Budgets;
  readonly config: () => Pick<Config, 'integrity' | 'budgets'>;
  readonly accounts: { find(interopId: string): Promise<Account | undefined> };
  readonly enlistment: Pick<Enlistment, 'setStatus'>;
  /** Who suspended this person; undefined: they are not. */
  readonly suspendedBy: (interopId: string) => Promise<string | undefined>;
  /** How much one thing takes from a budget of this provider: more on trial. */
  readonly providerCost: (provider: number) => number;
  readonly nowMs: () => number;
  /** By which what was decided grows old. */
  readonly judgeMs: () => number;
  readonly monotonicMs: () => number;
  /** A level came into force; nothing in it names anybody. */
  readonly onLevel: (kind: RestrictedSubject['kind'], level: RestrictionLevel) => void;
};

/** A person's device, and from where it came. */
export type FirstContactFrom = { readonly device: number; readonly network: string };

/** As the audit log names it. */
export const integrityActor = 'integrity';
const actions = {
  none: 'restriction-lifted',
  slowed: 'restriction-slowed',
  'accepted-only': 'restriction-accepted-only',
  suspended: undefined,
} as const;

export function personSubject({ interopId, row, contacts }: Account): RestrictedSubject {
  return { kind: 'person', interopId, row, key: contacts.key };
}

function isHarder(level: RestrictionLevel, than: RestrictionLevel): boolean {
  return restrictionLevels.indexOf(level) > restrictionLevels.indexOf(than);
}

export class Integrity {
  readonly #deps: IntegrityDeps;
  readonly #providers = new Map<number, { readonly level: RestrictionLevel; readonly atMs: number }>();
  #sweptAfter = '';

  constructor(deps: IntegrityDeps) {
    this.#deps = deps;
  }

  /**
   * Before a message that would be somebody's first to somebody: 0 when it may go on, otherwise after how many seconds to try
   * again. The same whatever the recipient has decided. Rejects with StoreError alone.
   */
  async firstContact(from: Account, to: Account, by: FirstContactFrom): Promise<number> {
    const { budgets, config } = this.#deps;
    if (config().budgets.unlimited) return 0;
    const waitSeconds = budgets.take(this.#charges(from, to, by));
    if (waitSeconds > 0 || !config().integrity.enabled) return waitSeconds;
    const levels = [await this.#levelOf(personSubject(from)), await this.#levelOfProvider(from.provider)];
    if (levels.every(level => level === 'none')) return 0;
    const { slowedCosts } = config().integrity;
    const { refillSeconds } = config().budgets.firstContactsPerPerson;
    if (!levels.every(level => level === 'none' || level === 'slowed')) return Math.ceil(refillSeconds * slowedCosts);
    return budgets.take([{ budget: 'firstContactsPerPerson', key: personKey(from), cost: slowedCosts - 1 }]);
  }

  #charges(from: Account, to: Account, { device, network }: FirstContactFrom): readonly Charge[] {
    const { provider } = from;
    const charges: Charge[] = [
      { budget: 'firstContactsPerDevice', key: String(device) },
      { budget: 'firstContactsPerPerson', key: personKey(from) },
      { budget: 'firstContactsPerAddress', key: network },
    ];
    if (provider === 0) return charges;
    const cost = this.#deps.providerCost(provider);
    const target = `${to.contacts.key} ${provider}`;
    return [
      ...charges,
      { budget: 'firstContactsPerProvider', key: String(provider), cost },
      { budget: 'firstContactsPerTargetAndProvider', key: target, cost },
    ];
  }

  /** Somebody has refused or reported this person, or an operator has decided about a report. Rejects with StoreError alone. */
  async refused(interopId: string): Promise<void> {
    if (!this.#deps.config().integrity.enabled) return;
    const account = await this.#deps.accounts.find(interopId);
    if (account !== undefined) await this.#levelOf(personSubject(account));
  }

  /** What is kept, and what would hold by what counts now. Undefined: there is nobody. */
  async look(name: string): Promise<{ readonly kept: Restriction | undefined; readonly judged: Judged } | undefined> {
    const subject = await this.#subjectOf(name);
    return subject === undefined ? undefined : await this.#judge(subject);
  }

  explain(judged: Judged, name: string): string {
    return explainJudged(judged, this.#rules(isProvider(name) ? 'provider' : 'person'));
  }

  list(after: string, limit: number): Promise<readonly Restriction[]> {
    return this.#deps.store.list(after, limit);
  }

  /** Nothing that was said up to now counts any more. A suspension that came of it ends. */
  async forgive(name: string, by: string, reason?: string): Promise<'forgiven' | 'unknown'> {
    const { store, nowMs } = this.#deps;
    const subject = await this.#subjectOf(name);
    if (subject === undefined) return 'unknown';
    const kept = await store.find(name);
    if (subject.kind === 'person' && kept?.level === 'suspended') await this.#resume(subject.interopId, by, reason);
    const audit: AuditNote = { atMs: nowMs(), actor: by, action: 'restriction-forgiven', subject: name, reason };
    const change = {
      subject,
      before: kept?.level,
      level: 'none',
      countedFromMs: nowMs(),
      nowMs: nowMs(),
      audit,
    } as const;
    if ((await store.put(change)) === 'overtaken') return await this.forgive(name, by, reason);
    if (subject.kind === 'provider') this.#providers.delete(subject.number);
    return 'forgiven';
  }

  /** Lifts what has decayed. Idempotent, and bounded: the next round goes on behind it. */
  async sweep(): Promise<void> {
    const { store, judgeMs } = this.#deps;
    const page = await store.list(this.#sweptAfter, integrityLimits.sweptAtOnce);
    this.#sweptAfter = page.length === integrityLimits.sweptAtOnce ? page.at(-1)!.subject : '';
    for (const { subject: name, level, sinceMs, countedFromMs } of page) {
      if (level === 'none') {
        const beforeMs = judgeMs() - windowMs(this.#deps.config().integrity);
        if (countedFromMs < beforeMs) await store.forget(name, beforeMs);
        continue;
      }
      if (judgeMs() - sinceMs < integrityLimits.holdsMs) continue;
      const subject = await this.#subjectOf(name);
      if (subject === undefined) continue;
      const { kept, judged } = await this.#judge(subject);
      if (kept !== undefined && isHarder(kept.level, judged.level)) await this.#change(subject, kept, judged);
    }
  }

  async #subjectOf(name: string): Promise<RestrictedSubject | undefined> {
    if (isProvider(name)) return { kind: 'provider', number: Number(name) };
    const account = await this.#deps.accounts.find(name);
    return account === undefined ? undefined : personSubject(account);
  }

  async #levelOfProvider(number: number): Promise<RestrictionLevel> {
    // Own users are the gatekeeper's: what concerns all of them is not decided by a count.
    if (number === 0) return 'none';
    const { monotonicMs } = this.#deps;
    const known = this.#providers.get(number);
    if (known !== undefined && monotonicMs() - known.atMs < integrityLimits.providerMs) return known.level;
    const level = await this.#levelOf({ kind: 'provider', number });
    this.#providers.set(number, { level, atMs: monotonicMs() });
    return level;
  }

  /** Raises what has to be raised; only the sweep lifts. */
  async #levelOf(subject: RestrictedSubject): Promise<RestrictionLevel> {
    const { kept, judged } = await this.#judge(subject);
    const level = kept?.level ?? 'none';
    if (!isHarder(judged.level, level)) return level;
    await this.#change(subject, kept, judged);
    return judged.level;
  }

  async #judge(
    subject: RestrictedSubject,
  ): Promise<{ readonly kept: Restriction | undefined; readonly judged: Judged }> {
    const { store, judgeMs } = this.#deps;
    const rules = this.#rules(subject.kind);
    const kept = await store.find(subjectName(subject));
    const sinceMs = Math.max(judgeMs() - windowMs(rules), kept?.countedFromMs ?? 0);
    const voices = await store.voices(subject, sinceMs, integrityLimits.voices);
    return { kept, judged: judgeVoices(voices, rules, judgeMs()) };
  }

  #rules(kind: RestrictedSubject['kind']): RestrictionRules {
    const { integrity } = this.#deps.config();
    return kind === 'person' ? integrity : { ...integrity, ...integrity.provider, suspended: undefined };
  }

  async #change(subject: RestrictedSubject, kept: Restriction | undefined, judged: Judged): Promise<void> {
    const { store, nowMs, onLevel } = this.#deps;
    const { level } = judged;
    const name = subjectName(subject);
    const reason = this.explain(judged, name);
    // The suspension first: its own entry says why, and what is repeated after a crash changes nothing.
    if (subject.kind === 'person' && level === 'suspended') {
      await this.#deps.enlistment.setStatus(subject.interopId, 'suspended', integrityActor, nowMs(), reason);
    } else if (subject.kind === 'person' && kept?.level === 'suspended') {
      await this.#resume(subject.interopId, integrityActor, reason);
    }
    const action = actions[level];
    const audit = action && { atMs: nowMs(), actor: integrityActor, action, subject: name, reason };
    const countedFromMs = kept?.countedFromMs ?? 0;
    const put = await store.put({ subject, before: kept?.level, level, countedFromMs, nowMs: nowMs(), audit });
    if (put === 'changed') onLevel(subject.kind, level);
  }

  /** Whom an operator or their provider keeps out stays out. */
  async #resume(interopId: string, by: string, reason: string | undefined): Promise<void> {
    if ((await this.#deps.suspendedBy(interopId)) !== integrityActor) return;
    await this.#deps.enlistment.setStatus(interopId, 'active', by, this.#deps.nowMs(), reason);
  }
}

function isProvider(name: string): boolean {
  return /^[0-9]+$/.test(name);
}
