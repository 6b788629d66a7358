// What one person has decided about another, and how it is told whom a decision is about. Kept on the side of whoever decides,
// under a hash of the other's provider and identifier: so it holds for all their devices, and when they have enlisted again.
// Knows no storage, stanzas or streams. Source: docs/protocol/10 sections 10.1 and 10.2.
import { hash } from 'node:crypto';
import type { InteropId } from '@drawbridge/wire/jid';
import { personKey } from '../budgets.ts';

export const contactStates = ['request', 'accepted', 'denied', 'blocked'] as const;
export type ContactState = (typeof contactStates)[number];

/** What a decision leads to; an unblocked person is somebody who was accepted, or nobody. */
export const stateAfter = { accept: 'accepted', deny: 'denied', block: 'blocked', unblock: 'accepted' } as const;

/** A decision about one person, as it is kept. */
export type Contact = {
  readonly state: ContactState;
  /** They were accepted once, or need not be: what they send is not bounded as a first contact is. */
  readonly isOpen: boolean;
  /** Their latest InteropId, for lists; undefined while none is known. */
  readonly interopId: InteropId | undefined;
};

/** Who somebody is to others' decisions, and their own decisions by whom they are about. */
export type Contacts = {
  /** Of a person; for all people of a provider `providerKey`. */
  readonly key: string;
  /** Of an identifier that means the same person at any provider; undefined for names that a provider has given. */
  readonly sharedKey: string | undefined;
  readonly decided: ReadonlyMap<string, Contact>;
};

/** Somebody who has decided nothing, and whom nobody has decided about. */
export const noContacts: Contacts = { key: '', sharedKey: undefined, decided: new Map() };

type Named = { readonly provider: number; readonly identifier: string };
/** What is needed of an account. */
export type Decider = Pick<Named, 'provider'> & { readonly contacts: Contacts };

const providerKeys: string[] = [];

/** Under which a decision about all people of a provider is kept: no person has such a key. */
export function providerKey(provider: number): string {
  return (providerKeys[provider] ??= `@${provider}`);
}

const telephoneNumber = /^\+[1-9][0-9]{6,14}$/;
const mailAddress = /^[^\s@]+@[^\s@]+\.[^\s@]+$/;

export function contactKeys(person: Named): Pick<Contacts, 'key' | 'sharedKey'> {
  const { identifier } = person;
  const isShared = telephoneNumber.test(identifier) || mailAddress.test(identifier);
  const sharedKey = isShared ? `*${hash('sha256', identifier.toLowerCase(), 'base64url')}` : undefined;
  return { key: personKey(person), sharedKey };
}

/**
 * What `whose` has decided about `about`. A block of a provider holds for all its people. One of a telephone number or mail address holds for that identifier at every
 * third-party provider; never for own users by what a provider claims: it could have anybody blocked.
 */
export function decisionAbout(whose: Decider, about: Decider): Contact | undefined {
  const { decided } = whose.contacts;
  if (decided.size === 0) return undefined;
  const { key, sharedKey } = about.contacts;
  const own = decided.get(key);
  if (own?.state === 'blocked') return own;
  const isShared = sharedKey !== undefined && about.provider !== 0;
  const wider = decided.get(providerKey(about.provider)) ?? (isShared ? decided.get(sharedKey) : undefined);
  return wider === undefined ? own : { ...wider, isOpen: own?.isOpen ?? false };
}

/** What this person sends is taken, and dropped. */
export function isShut(contact: Contact | undefined): boolean {
  return contact !== undefined && (contact.state === 'denied' || contact.state === 'blocked');
}
