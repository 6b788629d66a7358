// Budgets: how often one party may do what costs others something. Bounded in memory; time is an argument, of a clock
// that only goes forward: a wall clock that is set back would lock out whoever had spent anything.
// Knows nothing of what is asked for. Source: threats 6 and 7 of docs/threat-model.md.
// The generic cell rate algorithm (ITU-T I.371): a party is one number, the time at which its bucket is full again.
import { hash } from 'node:crypto';
import type { BudgetConfig } from './config-schema.ts';

/** Who a person is to budgets: the same after they have withdrawn and enlisted again. Names nobody. */
export function personKey(person: { readonly provider: number; readonly identifier: string }): string {
  return hash('sha256', `${person.provider}\n${person.identifier}`, 'base64url');
}

export type BudgetRate = { readonly burst: number; readonly refillSeconds: number };

/**
 * One budget for many parties, at most `maxKeys` of which are remembered.
 *
 * Beyond that the party that spent longest ago is forgotten. Whoever could make others be forgotten has to spend as
 * that many parties first, and what makes parties (enlisting) has its own budget.
 */
export class Budget {
  #refillMs = 0;
  #burst = 0;
  #maxKeys = 0;
  /** Theoretical arrival time by party, in the order of their last spending. */
  readonly #fullAtMs = new Map<string, number>();

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
  waitMs(key: string, nowMs: number, cost = 1): number {
    const usableMs = this.#burst * this.#refillMs;
    const costMs = Math.min(cost, this.#burst) * this.#refillMs;
    return Math.max(0, this.#startMs(key, nowMs) + costMs - usableMs - nowMs);
  }

  spend(key: string, nowMs: number, cost = 1): void {
    const fullAtMs = this.#startMs(key, nowMs) + Math.min(cost, this.#burst) * this.#refillMs;
    this.#fullAtMs.delete(key);
    // Two of the oldest for each new one: what is full again is like new, so forgetting it changes nothing.
    let looked = 0;
    for (const [oldest, fullAgainMs] of this.#fullAtMs) {
      if (looked++ === 2 || (fullAgainMs > nowMs && this.#fullAtMs.size < this.#maxKeys)) break;
      this.#fullAtMs.delete(oldest);
    }
    this.#fullAtMs.set(key, fullAtMs);
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
