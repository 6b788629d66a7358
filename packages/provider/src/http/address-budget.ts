// Attempts by address: each address key by itself, and all that are of one IPv6 site together, or whoever has a /48 would be
// 65,536 strangers. Knows nothing of what is attempted.
import { sharesOf, siteKey } from '@drawbridge/identity/network-prefix';
import { type AttemptBudget, type AttemptBudgetLimits, createAttemptBudget } from './attempt-budget.ts';

export function createAddressBudget(
  limits: { readonly address: AttemptBudgetLimits; readonly site: AttemptBudgetLimits },
  nowMs: () => number,
): AttemptBudget {
  const addresses = createAttemptBudget(limits.address, nowMs, sharesOf);
  const sites = createAttemptBudget(limits.site, nowMs);
  return {
    take: address => {
      // One address that is out of attempts takes none of its neighbours'.
      const waitSeconds = addresses.take(address);
      const site = siteKey(address);
      return waitSeconds > 0 || site === undefined ? waitSeconds : sites.take(site);
    },
    restore: addresses.restore,
  };
}
