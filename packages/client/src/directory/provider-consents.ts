// Which providers this person has opted in to, as far as this device has heard: kept, so that a chat with somebody who is out of
// reach can be read, and is known to be closed, without a stream. A gatekeeper's own users choose; others have no list.
// Knows nothing of single people (`contacts/decision-book.ts`).
// Source: docs/protocol/06-stanzas.md section 6.3.
import { attribute, childElements, type Element } from '@drawbridge/wire/element';
import { type InteropId, providerNumberOf } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { fetchConsent, type ProviderConsent, readConsent, type Request } from './directory.ts';
import { otherProvider, ProviderNumbers } from './provider-numbers.ts';

export type ProviderConsentsContext = {
  readonly store: EncryptedStore;
  readonly domain: string;
  readonly request: Request;
  readonly emit: (event: ClientEvent) => void;
  /** Others are within reach than before. */
  readonly changed: () => void;
};

export class ProviderConsents {
  readonly #context: ProviderConsentsContext;
  /** Lists that the gatekeeper has told: one that was asked for before is older. */
  #told = 0;

  constructor(context: ProviderConsentsContext) {
    this.#context = context;
  }

  /** Asks for the list. A failure is told nowhere: the next session asks again. */
  async refresh(): Promise<void> {
    const told = this.#told;
    try {
      const consents = await fetchConsent(this.#context.request);
      if (this.#told === told) this.#learn(consents);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
    }
  }

  /** Takes a notice of the gatekeeper: another device has chosen. False: this stanza is none. */
  hear(stanza: Element): boolean {
    if (attribute(stanza, 'from') !== this.#context.domain) return false;
    const notice = childElements(stanza).find(({ name, ns }) => name === 'consent' && ns === NS_CONSENT);
    if (notice === undefined) return false;
    const consents = readConsent(notice);
    if (consents === undefined) return true;
    this.#told++;
    this.#learn(consents);
    return true;
  }

  /** A store that fails now loses nothing: the list is asked for again. */
  #learn(consents: readonly ProviderConsent[]): void {
    const { store, domain, emit, changed } = this.#context;
    const news = JSON.stringify(consents);
    const noted = store.transaction(tx => {
      if (contradiction(tx, domain, consents) !== undefined) return false;
      const before = readSetting(tx, 'consents');
      if (before !== news) writeSetting(tx, 'consents', news);
      return before !== news && (before !== undefined || consents.length > 0);
    });
    if (!noted.ok || !noted.value) return;
    emit({ kind: 'consent', consents });
    changed();
  }
}

/** Throws `provider-differs` for a list that calls a provider by another's number: who chooses by it chooses the wrong one. */
export function needTheirNumbers(tx: Transaction, domain: string, consents: readonly ProviderConsent[]): void {
  const wrong = contradiction(tx, domain, consents);
  if (wrong !== undefined) throw otherProvider(wrong.name);
}

function contradiction(
  tx: Transaction,
  domain: string,
  consents: readonly ProviderConsent[],
): ProviderConsent | undefined {
  const numbers = new ProviderNumbers(domain);
  return numbers.takeAll(tx, consents) ? undefined : consents.find(each => !numbers.fits(tx, each));
}

/** What was heard last; undefined: nothing yet. */
export function readConsents(tx: Transaction): readonly ProviderConsent[] | undefined {
  const kept = readSetting(tx, 'consents');
  return kept === undefined ? undefined : (JSON.parse(kept) as ProviderConsent[]);
}

/** Whether somebody's provider is one that this person is known to have opted out of, or never in to. */
export function isOptedOut(tx: Transaction, person: InteropId): boolean {
  const number = providerNumberOf(person);
  return number !== 0 && readConsents(tx)?.find(each => each.number === number)?.optedIn === false;
}

/** Throws `opted-out`. */
export function refuseOptedOut(tx: Transaction, person: InteropId): void {
  if (isOptedOut(tx, person)) throw new ClientError('opted-out');
}
