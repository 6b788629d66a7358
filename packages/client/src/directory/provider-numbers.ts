// Which number is which provider's at this gatekeeper. The first word about either holds for good: a number and a name belong
// together for ever, so whoever says otherwise later is mistaken, or lies. Rows of the store, in a transaction of the caller.
// Knows nothing of offers or people.
// Source: docs/protocol/01-identifiers.md, 09-content.md section 9.4.
import { ClientError } from '../errors.ts';
import { getJson, putJson } from '../store/json-rows.ts';
import type { Transaction } from '../store/store.ts';
import { readProviderName } from './user-name.ts';

/** Providers that are remembered of one gatekeeper; what can't be held to is not believed. */
export const maxKnownProviders = 2_000;

export type NumberedProvider = { readonly number: number; readonly name: string };

/** Names in their one form. `domain`: the gatekeeper's own users are of number 0. */
export class ProviderNumbers {
  readonly #domain: string;

  constructor(domain: string) {
    this.#domain = domain;
  }

  /** The name of a number; undefined when nothing was said of it. */
  nameOf(tx: Transaction, number: number): string | undefined {
    return number === 0 ? this.#domain : readKnown(tx).find(each => each.number === number)?.name;
  }

  /** The number of a name in its one form; undefined when nothing was said of it. */
  numberOf(tx: Transaction, name: string): number | undefined {
    return name === this.#domain ? 0 : readKnown(tx).find(each => each.name === name)?.number;
  }

  /** Whether a number can be that provider's, as far as is known. */
  fits(tx: Transaction, said: NumberedProvider): boolean {
    return this.#judge(readKnown(tx), said) !== 'differs';
  }

  /** As `fits`; what fits and is new holds from now on. */
  take(tx: Transaction, said: NumberedProvider): boolean {
    return this.takeAll(tx, [said]);
  }

  /** Those that don't fit change nothing. Whether all fit. */
  takeAll(tx: Transaction, said: readonly NumberedProvider[]): boolean {
    const known = [...readKnown(tx)];
    const before = known.length;
    let fit = true;
    for (const each of said) {
      const verdict = this.#judge(known, each);
      if (verdict === 'differs') fit = false;
      else if (verdict === 'new') known.push({ number: each.number, name: each.name });
    }
    if (known.length > before) putJson(tx, 'setting', 'provider-numbers', known);
    return fit;
  }

  #judge(known: readonly NumberedProvider[], { number, name }: NumberedProvider): 'known' | 'new' | 'differs' {
    if (!Number.isInteger(number) || number < 0 || number > 65_535 || readProviderName(name) !== name) return 'differs';
    if (number === 0 || name === this.#domain) return number === 0 && name === this.#domain ? 'known' : 'differs';
    const other = known.find(each => each.number === number || each.name === name);
    if (other === undefined) return known.length < maxKnownProviders ? 'new' : 'differs';
    return other.number === number && other.name === name ? 'known' : 'differs';
  }
}

export function otherProvider(name: string): ClientError {
  return new ClientError('provider-differs', { detail: name });
}

function readKnown(tx: Transaction): readonly NumberedProvider[] {
  return getJson<NumberedProvider[]>(tx, 'setting', 'provider-numbers') ?? [];
}
