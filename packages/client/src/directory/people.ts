// Who is meant, and who somebody is: names and InteropIds, remembered in the store, asked of the directory when they are
// not known.
// Knows nothing of messages, nor of identity keys.
// Source: docs/protocol/06-stanzas.md section 6.3.
import { isInteropId, parseJid, providerNumberOf, type InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { readPeopleToCome } from '../devices/people-to-come.ts';
import type { ConnectionStatus } from '../connection/connection.ts';
import { refuseOptedOut } from './provider-consents.ts';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { addNotice, isNoticed } from '../notices/notice-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { transact } from '../store/transact.ts';
import { findContact, forgetContact, lastKnownAs, readContact, readGoneName } from './contact-records.ts';
import { identify, lookUp, type Request } from './directory.ts';
import { hearName } from './heard-names.ts';
import { acceptName, type Move, refuseName, refuseWhileMoved, unbelieved } from './moved-names.ts';
import { type NumberedProvider, otherProvider, ProviderNumbers } from './provider-numbers.ts';
import { needUserName, type UserName } from './user-name.ts';

/** The person that is meant: by the name that people know, by InteropId, or by bare JID. */
export type Recipient =
  | string
  | { readonly provider: string; readonly identifier: string }
  | { readonly interopId: InteropId };

/** Somebody, as far as is known here. */
export type Contact = {
  readonly interopId: InteropId;
  readonly provider: string | undefined;
  readonly identifier: string | undefined;
};

export type PeopleContext = {
  readonly store: EncryptedStore;
  /** The InteropId of this person. */
  readonly own: InteropId;
  readonly domain: string;
  readonly request: Request;
  readonly clock: Clock;
  readonly status: () => ConnectionStatus;
  /** A line of a chat that has just come to be. */
  readonly show: (line: MessageRecord) => void;
};

export class People {
  readonly #context: PeopleContext;
  readonly #providers: ProviderNumbers;

  constructor(context: PeopleContext) {
    this.#context = context;
    this.#providers = new ProviderNumbers(context.domain);
  }

  /** The InteropId of a recipient; asks the directory for names that are not known yet. */
  async resolve(recipient: Recipient): Promise<InteropId> {
    if (typeof recipient === 'string') {
      const local = recipient.includes('@') ? parseJid(recipient)?.local : recipient;
      if (local === undefined || !isInteropId(local))
        throw new ClientError('invalid-argument', { detail: 'recipient' });
      return local;
    }
    // Applications without types give anything.
    if (!isObject(recipient)) throw new ClientError('invalid-argument', { detail: 'recipient' });
    if ('interopId' in recipient) {
      if (!isInteropId(recipient.interopId)) throw new ClientError('invalid-argument', { detail: 'recipient' });
      return recipient.interopId;
    }
    const name = needUserName(recipient.provider, recipient.identifier);
    const known = transact(this.#context.store, tx => {
      const found = findContact(tx, name);
      return found === undefined || this.#providers.fits(tx, providerIn(name, found)) ? found : 'other-provider';
    });
    if (known === 'other-provider') throw otherProvider(name.provider);
    return known ?? this.#find(name);
  }

  /** The other person of a chat: nobody writes to themselves. */
  async other(recipient: Recipient): Promise<InteropId> {
    const chat = await this.resolve(recipient);
    if (chat === this.#context.own) throw new ClientError('invalid-argument', { detail: 'a message to oneself' });
    return chat;
  }

  /** Whom a message goes to. Throws `untrusted-identity` while a name of theirs waits for a person's decision. */
  async addressee(recipient: Recipient): Promise<InteropId> {
    const chat = await this.other(recipient);
    transact(this.#context.store, tx => {
      refuseWhileMoved(tx, chat);
      refuseOptedOut(tx, chat);
    });
    return chat;
  }

  /**
   * Asks the directory, even when the name is known already: people move. Throws `untrusted-identity` when the answer
   * waits for a person, `provider-differs` when the one whom it names is of another provider.
   */
  async find(provider: string, identifier: string): Promise<Contact> {
    const name = needUserName(provider, identifier);
    return { interopId: await this.#find(name), provider: name.provider, identifier: name.identifier };
  }

  async #find(name: UserName): Promise<InteropId> {
    const { store, request, domain } = this.#context;
    // It may be the name of somebody whom this person knows, and this device not yet.
    if (transact(store, tx => readPeopleToCome(tx) !== undefined && lastKnownAs(tx, name) === undefined))
      throw new ClientError('people-missing');
    try {
      const interopId = await lookUp(request, name, domain);
      if (!this.#isOfProvider(interopId, name)) throw otherProvider(name.provider);
      if (!this.#isBelieved(interopId, name)) throw unbelieved(name);
      return interopId;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') transact(store, tx => forgetContact(tx, name));
      throw error;
    }
  }

  /** The name is that person's from now on. */
  acceptMove(move: Move): void {
    transact(this.#context.store, tx => acceptName(tx, move));
  }

  /** The name stays with the one who had it, or nobody's; the same answer is not asked about again. */
  rejectMove(move: Move): void {
    transact(this.#context.store, tx => refuseName(tx, move));
  }

  /** An InteropId holds its provider's number, whatever the directory says of a name. */
  #isOfProvider(interopId: InteropId, name: UserName): boolean {
    return transact(this.#context.store, tx => this.#providers.take(tx, providerIn(name, interopId)));
  }

  #isBelieved(interopId: InteropId, name: UserName): boolean {
    const { store, own, clock, show } = this.#context;
    const heard = transact(store, tx => hearName(tx, own, { name, interopId }, clock.nowMs()));
    for (const line of heard.lines) show(line);
    return heard.isBelieved;
  }

  /** The name of an InteropId; asked once, then remembered. Unknown parts stay undefined when nobody can say now. */
  async contact(interopId: InteropId): Promise<Contact> {
    const { store, status } = this.#context;
    const [known, gone] = transact(store, tx => [readContact(tx, interopId), readGoneName(tx, interopId)]);
    const name =
      known ?? (gone === undefined && status().kind === 'online' ? await this.#identify(interopId) : undefined);
    return { interopId, provider: name?.provider, identifier: name?.identifier };
  }

  #tellOtherProvider(interopId: InteropId, { provider, identifier }: UserName): void {
    const { store, clock, show } = this.#context;
    const change = { kind: 'provider-differs', interopId, provider, identifier } as const;
    const lines = transact(store, tx => (isNoticed(tx, change) ? [] : addNotice(tx, change, clock.nowMs())));
    for (const line of lines) show(line);
  }

  /** Undefined also when the answer is not believed: nobody is shown under a name that waits for a person. */
  async #identify(interopId: InteropId): Promise<UserName | undefined> {
    const { request, domain, store, own } = this.#context;
    if (interopId !== own && transact(store, readPeopleToCome) !== undefined) return undefined;
    try {
      const { name, providerNumber } = await identify(request, `${interopId}@${domain}`);
      if (providerNumber !== providerNumberOf(interopId) || !this.#isOfProvider(interopId, name)) {
        this.#tellOtherProvider(interopId, name);
        return undefined;
      }
      return this.#isBelieved(interopId, name) ? name : undefined;
    } catch (error) {
      if (error instanceof ClientError) return undefined;
      throw error;
    }
  }
}

/** What a name and the InteropId that it leads to say together of a provider. */
function providerIn({ provider }: UserName, interopId: InteropId): NumberedProvider {
  return { number: providerNumberOf(interopId)!, name: provider };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}
