// Whom a person knows, trusts and has refused, as it goes from one of their devices to a new one: names, identity keys and
// decisions, before the new device has asked anybody.
// Knows nothing of tickets, nor of how they travel.
// Source: docs/protocol/09-content.md section 9.5.
import type { KnownDecision } from '@drawbridge/e2ee/device-link';
import { heardOwnStamp } from '@drawbridge/e2ee/hybrid-clock';
import {
  formerIdentities,
  readOwnedKey,
  readTrust,
  trustChanges,
  type TrustedIdentity,
} from '@drawbridge/e2ee/inherited-trust';
import { type InteropId, providerNumberOf } from '@drawbridge/wire/jid';
import { readContact, writeContact } from '../directory/contact-records.ts';
import { ProviderNumbers } from '../directory/provider-numbers.ts';
import { readUserName } from '../directory/user-name.ts';
import { allChats } from '../history/history.ts';
import { chatWith, messageIdOf, personOf } from '../history/message-names.ts';
import { hearGatekeeper, hearOwn } from '../history/standing.ts';
import { changeStanding } from '../history/standing-changes.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';

export type InheritedPerson = TrustedIdentity & {
  readonly provider: string;
  readonly providerNumber: number;
  /** Empty when the name is not known. */
  readonly identifier: string;
};

/** Everybody whose identity key is known here, the newest first; `place` grows with when that was. */
export function knownPeople(tx: Transaction): (InheritedPerson & { readonly place: number })[] {
  const people: (InheritedPerson & { readonly place: number })[] = [];
  const keys = new Map<InteropId, Uint8Array[]>();
  for (let after: number | undefined; ; ) {
    const rows = tx.list('identity', after === undefined ? {} : { after });
    if (rows.length === 0)
      return people
        .reverse()
        .map(person => ({ ...person, formerIdentities: formerIdentities(person, keys.get(person.interopId)) }));
    for (const { key, value, sequence: place } of rows) {
      const owned = readOwnedKey(key, value);
      if (owned !== undefined) keys.set(owned.owner, [...(keys.get(owned.owner) ?? []), owned.fingerprint]);
      const trust = readTrust(key, value);
      if (trust === undefined) continue;
      const { provider, identifier } = readContact(tx, trust.interopId) ?? { provider: '', identifier: '' };
      people.push({ ...trust, provider, providerNumber: providerNumberOf(trust.interopId) ?? 0, identifier, place });
    }
    after = rows.at(-1)!.sequence;
  }
}

/** For people of whom nothing is known here. `domain`: the gatekeeper's. */
export function inherit(tx: Transaction, domain: string, people: readonly InheritedPerson[]): void {
  tx.apply(trustChanges(people));
  const providers = new ProviderNumbers(domain);
  for (const { interopId, provider, identifier } of people) {
    const name = readUserName(provider, identifier);
    // Also that a number is this provider's holds here from the beginning.
    const isTheirs =
      name !== undefined && providers.take(tx, { number: providerNumberOf(interopId)!, name: name.provider });
    if (isTheirs) writeContact(tx, interopId, name);
  }
}

/** From whom the person is held back, the latest first. */
export function knownDecisions(tx: Transaction): KnownDecision[] {
  return allChats(tx)
    .flatMap(({ chat, contact, heldAtMs, decided }): KnownDecision[] => {
      if (contact === undefined || contact === 'accepted') return [];
      const about = { interopId: personOf(chat), state: contact };
      const isOwn = heldAtMs === undefined && decided?.state === contact;
      if (isOwn) return [{ ...about, atMs: decided.atMs, messageId: Buffer.from(decided.id, 'hex') }];
      return [{ ...about, atMs: heldAtMs ?? 0, messageId: new Uint8Array() }];
    })
    .toSorted((a, b) => b.atMs - a.atMs);
}

export function inheritDecisions(tx: Transaction, decisions: readonly KnownDecision[]): void {
  for (const { interopId, state, atMs, messageId } of decisions) {
    writeStamp(tx, heardOwnStamp(readStamp(tx), atMs));
    changeStanding(tx, chatWith(interopId), before =>
      state === 'request' || messageId.length === 0
        ? hearGatekeeper(before, state, atMs)
        : hearOwn(before, { atMs, id: messageIdOf(messageId), state }),
    );
  }
}
