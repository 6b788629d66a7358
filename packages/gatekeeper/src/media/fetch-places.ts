// How many fetches may be under way: in all, for a person, for the people of a provider, and from a provider's origins.
// Knows nothing of grants, files or connections.
import type { Limits } from '../config-schema.ts';
import type { Account } from '../enlistment/account.ts';

export class FetchPlaces {
  readonly #limits: Limits;
  /** By person, by their provider, and by the provider whose origin it is. */
  readonly #activeOf = new Map<string, number>();
  #active = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  get active(): number {
    return this.#active;
  }

  /** A place, with its shares; call what it gives when the fetch is over. Undefined when one of them is used up. */
  take(account: Account, { provider }: { readonly provider: number }): (() => void) | undefined {
    const shares = [
      { name: `person ${account.row}`, most: this.#limits.mediaFetchesPerAccount },
      { name: `people of ${account.provider}`, most: this.#limits.mediaFetchesPerProvider },
      { name: `origins of ${provider}`, most: this.#limits.mediaFetchesPerProvider },
    ];
    if (this.#active >= this.#limits.mediaFetches) return undefined;
    if (shares.some(({ name, most }) => (this.#activeOf.get(name) ?? 0) >= most)) return undefined;
    this.#active += 1;
    for (const { name } of shares) this.#activeOf.set(name, (this.#activeOf.get(name) ?? 0) + 1);
    return () => {
      this.#active -= 1;
      for (const { name } of shares) {
        const others = (this.#activeOf.get(name) ?? 1) - 1;
        if (others === 0) this.#activeOf.delete(name);
        else this.#activeOf.set(name, others);
      }
    };
  }
}
