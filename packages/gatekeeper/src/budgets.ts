// Budgets: how often one party may do what costs others something. Knows nothing of what is asked for.
// Source: threats 6 and 7 of docs/threat-model.md.
import { hash } from 'node:crypto';
import { Budget } from './budget.ts';
import type { BudgetConfig } from './config-schema.ts';

/** Who a person is to budgets: the same after they have withdrawn and enlisted again. Names nobody. */
export function personKey(person: { readonly provider: number; readonly identifier: string }): string {
  return hash('sha256', `${person.provider}\n${person.identifier}`, 'base64url');
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
