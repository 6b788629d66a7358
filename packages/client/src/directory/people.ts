// Who is meant, and who somebody is: names and InteropIds, remembered in the store, asked of the directory when they are
// not known.
// Knows nothing of messages, nor of identity keys.
// Source: docs/protocol/06-stanzas.md section 6.3.
import { isInteropId, parseJid } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { ConnectionStatus } from '../connection/connection.ts';
import { ClientError } from '../errors.ts';
import { addNotice } from '../notices/notice-records.ts';
import type { EncryptedStore } from '../store/store.ts';
import { type ContactRecord, findContact, forgetContact, readContact, writeContact } from '../store/records.ts';
import { transact } from '../store/transact.ts';
import { identify, lookUp, type Request } from './directory.ts';

/** The person that is meant: by the name that people know, by InteropId, or by bare JID. */
export type Recipient =
  | string
  | { readonly provider: string; readonly identifier: string }
  | { readonly interopId: string };

/** Somebody, as far as is known here. */
export type Contact = {
  readonly interopId: string;
  readonly provider: string | undefined;
  readonly identifier: string | undefined;
};

export type PeopleContext = {
  readonly store: EncryptedStore;
  /** The InteropId of this person. */
  readonly own: string;
  readonly domain: string;
  readonly request: Request;
  readonly clock: Clock;
  readonly status: () => ConnectionStatus;
};

export class People {
  readonly #context: PeopleContext;

  constructor(context: PeopleContext) {
    this.#context = context;
  }

  /** The InteropId of a recipient; asks the directory for names that are not known yet. */
  async resolve(recipient: Recipient): Promise<string> {
    if (typeof recipient === 'string') {
      const local = recipient.includes('@') ? parseJid(recipient)?.local : recipient;
      if (local === undefined || !isInteropId(local))
        throw new ClientError('invalid-argument', { detail: 'recipient' });
      return local;
    }
    if ('interopId' in recipient) {
      if (!isInteropId(recipient.interopId)) throw new ClientError('invalid-argument', { detail: 'recipient' });
      return recipient.interopId;
    }
    const { provider, identifier } = recipient;
    const known = transact(this.#context.store, tx => findContact(tx, provider, identifier));
    return known ?? this.find(provider, identifier);
  }

  /** The other person of a chat: nobody writes to themselves. */
  async other(recipient: Recipient): Promise<string> {
    const chat = await this.resolve(recipient);
    if (chat === this.#context.own) throw new ClientError('invalid-argument', { detail: 'a message to oneself' });
    return chat;
  }

  /** Asks the directory, even when the name is known already: people move. */
  async find(provider: string, identifier: string): Promise<string> {
    const { store, request, domain, clock } = this.#context;
    try {
      const jid = await lookUp(request, provider, identifier, domain);
      const interopId = parseJid(jid)!.local;
      const providerNumber = Number(interopId.split('-')[0]);
      transact(store, tx => {
        const before = findContact(tx, provider, identifier);
        if (before !== undefined && before !== interopId) {
          addNotice(tx, { kind: 'contact-moved', provider, identifier, before, interopId }, clock.nowMs());
        }
        writeContact(tx, interopId, { provider, providerNumber, identifier });
      });
      return interopId;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') {
        transact(store, tx => forgetContact(tx, provider, identifier));
      }
      throw error;
    }
  }

  /** The name of an InteropId; asked once, then remembered. Unknown parts stay undefined when nobody can say now. */
  async contact(interopId: string): Promise<Contact> {
    const { store, request, domain, status } = this.#context;
    let known: ContactRecord | undefined = transact(store, tx => readContact(tx, interopId));
    if (known === undefined && status().kind === 'online') {
      try {
        const person = await identify(request, `${interopId}@${domain}`);
        transact(store, tx => writeContact(tx, interopId, person));
        known = person;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
      }
    }
    return { interopId, provider: known?.provider, identifier: known?.identifier };
  }
}
