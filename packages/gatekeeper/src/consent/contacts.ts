// Decisions about people while the gatekeeper runs: rules, storage, what is in memory, and the person's other devices joined.
// Knows nothing of encodings or of who may reach whom (`may-reach.ts`). Source: docs/protocol/10 sections 10.1 and 10.2.
import { type Element, element } from '@drawbridge/wire/element';
import type { InteropId } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import type { Account, Device } from '../enlistment/account.ts';
import type { AccountEvents } from '../enlistment/account-events.ts';
import type { CachedAccounts } from '../enlistment/accounts.ts';
import type { ContactState } from './contact.ts';
import type { Admitted, ContactStore, DecideArgs } from './contact-store.ts';
import { firstContactLimits, type Judgement, judge, maxContacts, type Requests } from './first-contact.ts';

export type Undecided = Extract<Judgement, { readonly kind: 'undecided' }>;
export type MessageFacts = { readonly isLoud: boolean; readonly largestBytes: number };

export type ContactDeps = {
  readonly domain: string;
  readonly store: ContactStore;
  readonly accounts: Pick<CachedAccounts, 'invalidate'>;
  readonly events: Pick<AccountEvents, 'emit'>;
  readonly notifyDevice: (account: Account, device: Device, content: Element) => void;
  readonly requests: () => Requests;
  /** Without the bounds of first contacts: load tests. */
  readonly isUnlimited: () => boolean;
  readonly nowMs: () => number;
};

export class People {
  readonly #deps: ContactDeps;

  constructor(deps: ContactDeps) {
    this.#deps = deps;
  }

  /** From memory, for every routed message. */
  judge(from: Account, to: Account, isLoud: boolean): Judgement {
    return judge(from, to, this.#deps.requests(), isLoud);
  }

  /** What an undecided message needs first. Rejects with StoreError alone. */
  async admit(from: Account, to: Account, what: Undecided, facts: MessageFacts): Promise<Admitted['kind']> {
    const { store, accounts, isUnlimited, nowMs } = this.#deps;
    const { messages, ciphertextBytes, waiting } = firstContactLimits;
    const admitted = await store.admit({
      from,
      to,
      accepts: what.accepts,
      isFirst: what.isFirst,
      isLoud: facts.isLoud,
      isSmall: isUnlimited() || facts.largestBytes <= ciphertextBytes,
      maxMessages: isUnlimited() ? Number.MAX_SAFE_INTEGER : messages,
      maxWaiting: waiting,
      maxContacts,
      nowMs: nowMs(),
    });
    // Both, whatever has changed: it takes the sender as long whoever they are to the recipient.
    accounts.invalidate(from.interopId);
    accounts.invalidate(to.interopId);
    if (admitted.accepted) this.#changed(from, to.interopId, 'accepted');
    if (admitted.requested) this.#changed(to, from.interopId, 'request');
    return admitted.kind;
  }

  /** A person decides about somebody. Gives what holds then; undefined: nothing. Rejects with StoreError alone. */
  async decide(
    by: Account,
    about: DecideArgs['about'],
    decision: DecideArgs['decision'],
  ): Promise<ContactState | 'full' | undefined> {
    const { store, accounts, requests, nowMs } = this.#deps;
    const isOpen = requests() === 'none' || about.provider === by.provider;
    const state = await store.decide({ account: by.row, about, decision, isOpen, maxContacts, nowMs: nowMs() });
    accounts.invalidate(by.interopId);
    if (state !== 'full') this.#changed(by, about.interopId, state);
    return state;
  }

  /**
   * Other nodes hear of it, and the person's devices that are connected, when the one it is about has an address; those that
   * are not connected ask when they come.
   */
  #changed(whose: Account, about: InteropId | undefined, state: ContactState | undefined): void {
    const { domain, events, notifyDevice } = this.#deps;
    events.emit({ kind: 'account-changed', interopId: whose.interopId });
    if (about === undefined) return;
    const notice = element('contact', NS_CONSENT, { jid: `${about}@${domain}`, state: state ?? 'none' });
    for (const device of whose.devices) notifyDevice(whose, device, notice);
  }
}
