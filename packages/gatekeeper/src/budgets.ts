// Budgets: how often one party may do what costs others something. Bounded in memory; time is an argument, of a clock
// that only goes forward: a wall clock that is set back would lock out whoever had spent anything.
// Knows nothing of what is asked for. Source: threats 6 and 7 of docs/threat-model.md.
// The generic cell rate algorithm (ITU-T I.371): a party is one number, the time at which its bucket is full again.
import { hash } from 'node:crypto';
import { siteKey } from '@drawbridge/identity/network-prefix';
import type { BudgetConfig } from './config-schema.ts';

/** Who a person is to budgets: the same after they have withdrawn and enlisted again. Names nobody. */
export function personKey(person: { readonly provider: number; readonly identifier: string }): string {
  return hash('sha256', `${person.provider}\n${person.identifier}`, 'base64url');
}

/** The /48 of an IPv6 address key; undefined for every other party. */
function siteOf(key: string): string | undefined {
  return /^[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){3}$/.test(key) ? siteKey(key) : undefined;
}

export type BudgetRate = { readonly burst: number; readonly refillSeconds: number };

/** So many /64s of one /48 have buckets of their own at a time; what comes from more of them shares the site's, of this many rates. */
export const maxKeysPerSite = 64;
export const siteRates = 16;

/**
 * One budget for many parties, at most `maxKeys` of which are remembered.
 *
 * Beyond that the party that spent longest ago is forgotten. Whoever could make others be forgotten has to spend as
 * that many parties first: what makes parties (enlisting) has its own budget, and a /48 is a few of them, however many
 * addresses it has. To be forgotten costs a party nothing: it may spend again.
 */
export class Budget {
  #refillMs = 0;
  #burst = 0;
  #maxKeys = 0;
  /** Theoretical arrival time by party, in the order of their last spending. */
  readonly #fullAtMs = new Map<string, number>();
  /** Of those, by /48 of an address key. */
  readonly #keysOfSite = new Map<string, number>();

  constructor(rate: BudgetRate, maxKeys: number) {
    this.reconfigure(rate, maxKeys);
  }

  /** Another rate from now on; what was spent stays spent. */
  reconfigure(rate: BudgetRate, maxKeys: number): void {
    this.#refillMs = rate.refillSeconds * 1000;
    this.#burst = rate.burst;
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#fullAtMs.size;
  }

  /** How long until `cost` can be spent, 0 for now; nothing is spent. A cost above the burst counts as the burst. */
  waitMs(party: string, nowMs: number, cost = 1): number {
    const key = this.#bucketOf(party);
    const usableMs = this.#burst * this.#refillMs;
    const costMs = this.#costMs(key, party, cost);
    return Math.max(0, this.#startMs(key, nowMs) + costMs - usableMs - nowMs);
  }

  spend(party: string, nowMs: number, cost = 1): void {
    const key = this.#bucketOf(party);
    const fullAtMs = this.#startMs(key, nowMs) + this.#costMs(key, party, cost);
    this.#forget(key);
    // Two of the oldest for each new one: what is full again is like new, so forgetting it changes nothing.
    let looked = 0;
    for (const [oldest, fullAgainMs] of this.#fullAtMs) {
      if (looked++ === 2 || (fullAgainMs > nowMs && this.#fullAtMs.size < this.#maxKeys)) break;
      this.#forget(oldest);
    }
    this.#fullAtMs.set(key, fullAtMs);
    const site = siteOf(key);
    if (site !== undefined) this.#keysOfSite.set(site, (this.#keysOfSite.get(site) ?? 0) + 1);
  }

  /** Its own, or that of its crowded site. */
  #bucketOf(party: string): string {
    const site = siteOf(party);
    if (site === undefined || this.#fullAtMs.has(party)) return party;
    return (this.#keysOfSite.get(site) ?? 0) < maxKeysPerSite ? party : site;
  }

  #costMs(key: string, party: string, cost: number): number {
    const costMs = Math.min(cost, this.#burst) * this.#refillMs;
    return key === party ? costMs : costMs / siteRates;
  }

  #forget(key: string): void {
    if (!this.#fullAtMs.delete(key)) return;
    const site = siteOf(key);
    if (site === undefined) return;
    const left = (this.#keysOfSite.get(site) ?? 1) - 1;
    if (left === 0) this.#keysOfSite.delete(site);
    else this.#keysOfSite.set(site, left);
  }

  #startMs(key: string, nowMs: number): number {
    const fullAtMs = this.#fullAtMs.get(key) ?? nowMs;
    return Math.max(fullAtMs, nowMs);
  }
}

export type BudgetName = Exclude<keyof BudgetConfig, 'unlimited' | 'keysTracked'>;
export type Charge = { readonly budget: BudgetName; readonly key: string; readonly cost?: number };

export type Budgets = {
  /** Spends all charges or none. 0: spent; otherwise after how many whole seconds it is worth trying again, at least 1. */
  take(charges: readonly Charge[]): number;
  /** How often each budget was the reason to refuse. */
  readonly refusals: ReadonlyMap<BudgetName, number>;
  /** Other rates from now on; what was spent stays spent. */
  reconfigure(config: BudgetConfig): void;
};

export function createBudgets(config: BudgetConfig, monotonicMs: () => number): Budgets {
  let { unlimited } = config;
  const budgets = new Map<BudgetName, Budget>();
  for (const [name, rate] of Object.entries(config)) {
    if (typeof rate === 'object') budgets.set(name as BudgetName, new Budget(rate, config.keysTracked));
  }
  const refusals = new Map<BudgetName, number>();
  return {
    refusals,
    reconfigure(next) {
      unlimited = next.unlimited;
      for (const [name, budget] of budgets) budget.reconfigure(next[name], next.keysTracked);
    },
    take(charges) {
      if (unlimited) return 0;
      const nowMs = monotonicMs();
      let waitMs = 0;
      for (const { budget, key, cost } of charges) {
        const neededMs = budgets.get(budget)!.waitMs(key, nowMs, cost);
        if (neededMs > 0) refusals.set(budget, (refusals.get(budget) ?? 0) + 1);
        waitMs = Math.max(waitMs, neededMs);
      }
      if (waitMs > 0) return Math.ceil(waitMs / 1000);
      for (const { budget, key, cost } of charges) budgets.get(budget)!.spend(key, nowMs, cost);
      return 0;
    },
  };
}
