// Whether a login may be tried now. Guessing is stopped where it comes from: by address, and by address and identifier
// together, so that a stranger's wrong passwords never lock the owner out. A crowd of addresses that tries one identifier is
// slowed down, the owner with it, and nobody is refused.
// Knows nothing of passwords or who exists. Source: docs/protocol/03 (Provider HTTP); threat 10 of docs/threat-model.md.

import type { AttemptBudget } from './attempt-budget.ts';

export type LoginAttemptsOptions = {
  readonly addresses: AttemptBudget;
  /** By address and identifier. */
  readonly pairs: AttemptBudget;
  /** By identifier alone; an empty one slows down. */
  readonly identifiers: AttemptBudget;
  readonly delayMs: number;
  readonly maxWaiting: number;
  readonly wait: (ms: number) => Promise<void>;
};

export type Admission =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'refused'; readonly waitSeconds: number }
  /** Too many logins wait already; nothing was checked. */
  | { readonly kind: 'busy' };

export type LoginAttempts = {
  /** Counts one try before anything is checked, alike for identifiers that exist and that don't. */
  readonly admit: (address: string, identifier: string) => Promise<Admission>;
  /** The password was right: earlier mistakes from this address are forgotten. */
  readonly succeeded: (address: string, identifier: string) => void;
};

export function createLoginAttempts(options: LoginAttemptsOptions): LoginAttempts {
  let waiting = 0;
  // A space is in no address.
  const pairOf = (address: string, identifier: string): string => `${address} ${identifier}`;

  return {
    async admit(address, identifier) {
      const waitSeconds = options.addresses.take(address) || options.pairs.take(pairOf(address, identifier));
      if (waitSeconds > 0) return { kind: 'refused', waitSeconds };
      if (options.identifiers.take(identifier) === 0) return { kind: 'admitted' };
      if (waiting >= options.maxWaiting) return { kind: 'busy' };
      waiting++;
      try {
        await options.wait(options.delayMs);
      } finally {
        waiting--;
      }
      return { kind: 'admitted' };
    },
    succeeded: (address, identifier) => options.pairs.restore(pairOf(address, identifier)),
  };
}
