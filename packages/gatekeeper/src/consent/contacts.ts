// Decisions about people while the gatekeeper runs: rules, storage, what is in memory, and the person's other devices joined.
// Knows nothing of encodings or of who may reach whom (`may-reach.ts`). Source: docs/protocol/10 sections 10.1 and 10.2.
import { type Element, element } from '@drawbridge/wire/element';
import type { InteropId } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import type { Account, Device } from '../enlistment/account.ts';
import type { AccountEvents } from '../enlistment/account-events.ts';
import type { CachedAccounts } from '../enlistment/accounts.ts';
import { type ContactState, providerKey } from './contact.ts';
import type { ContactLinkStore } from './contact-link-store.ts';
import type { Admitted, ContactStore, DecideArgs } from './contact-store.ts';
import type { FirstContactFrom, Integrity } from '../integrity/integrity.ts';
import { firstContactLimits, type Judgement, judge, maxContacts, type Requests } from './first-contact.ts';

export type Undecided = Extract<Judgement, { readonly kind: 'undecided' }>;
/** What became of it; a number: nothing, and after how many seconds it is worth trying again. */
export type FirstAnswer = Admitted['kind'] | number;
export type MessageFacts = { readonly isLoud: boolean; readonly largestBytes: number };

export type ContactDeps = {
  readonly domain: string;
  readonly store: ContactStore;
  readonly links: Pick<ContactLinkStore, 'redeem' | 'setLinkOnly'>;
  readonly accounts: Pick<CachedAccounts, 'invalidate'>;
  readonly events: Pick<AccountEvents, 'emit'>;
  readonly notifyDevice: (account: Account, device: Device, content: Element) => void;
  /** Whether somebody may write to somebody for the first time, and what follows when they are refused. */
  readonly integrity: Pick<Integrity, 'firstContact' | 'refused'>;
  readonly requests: () => Requests;
  /** Without the bounds of first contacts: load tests. */
  readonly isUnlimited: () => boolean;
  readonly nowMs: () => number;
  /** By which links expire. */
  readonly judgeMs: () => number;
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
  async admit(
    from: Account,
    to: Account,
    what: Undecided,
    facts: MessageFacts,
    by: FirstContactFrom,
  ): Promise<FirstAnswer> {
    const { store, accounts, integrity, isUnlimited, nowMs } = this.#deps;
    const { messages, ciphertextBytes, waiting } = firstContactLimits;
    const isSmall = isUnlimited() || facts.largestBytes <= ciphertextBytes;
    // One that asks for something new: those who were refused before wait for nothing but what others wait for.
    const asks = what.isFirst && facts.isLoud && isSmall && !to.contacts.decided.has(from.contacts.key);
    const waitSeconds = asks ? await integrity.firstContact(from, to, by) : 0;
    if (waitSeconds > 0) return waitSeconds;
    const admitted = await store.admit({
      from,
      to,
      accepts: what.accepts,
      isFirst: what.isFirst,
      isLoud: facts.isLoud,
      isSmall,
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
    const { store, accounts, integrity, requests, nowMs } = this.#deps;
    const isProvider = about.contacts.key === providerKey(about.provider);
    const isOpen = !isProvider && (requests() === 'none' || about.provider === by.provider);
    const state = await store.decide({ account: by.row, about, decision, isOpen, maxContacts, nowMs: nowMs() });
    accounts.invalidate(by.interopId);
    if (state !== 'full') this.#changed(by, about.interopId, state);
    if ((decision === 'deny' || decision === 'block') && about.interopId !== undefined && !isProvider) {
      await integrity.refused(about.interopId);
    }
    return state;
  }

  /** Somebody comes by a link of this person. Rejects with StoreError alone. */
  async redeem(owner: Account, by: Account, digest: Uint8Array): Promise<'accepted' | 'same' | 'gone'> {
    const { links, accounts, nowMs, judgeMs } = this.#deps;
    const redemption = { digest, owner: owner.row, by, maxContacts, nowMs: nowMs(), judgeMs: judgeMs() };
    const outcome = await links.redeem(redemption);
    accounts.invalidate(owner.interopId);
    if (outcome === 'accepted') this.#changed(owner, by.interopId, 'accepted');
    return outcome;
  }

  /** False: the person is gone. Rejects with StoreError alone. */
  async setLinkOnly({ row, interopId }: Account, linkOnly: boolean): Promise<boolean> {
    const { links, accounts, events } = this.#deps;
    const isThere = await links.setLinkOnly(row, linkOnly);
    accounts.invalidate(interopId);
    events.emit({ kind: 'account-changed', interopId });
    return isThere;
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
