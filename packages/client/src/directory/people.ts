// Who is meant, and who somebody is: names and InteropIds, remembered in the store, asked of the directory when they are
// not known.
// Knows nothing of messages, nor of identity keys.
// Source: docs/protocol/06-stanzas.md section 6.3.
import { isInteropId, parseJid, type InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { ConnectionStatus } from '../connection/connection.ts';
import { ClientError } from '../errors.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { addNotice } from '../notices/notice-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import {
  type ContactRecord,
  deleteMove,
  findContact,
  forgetContact,
  lastKnownAs,
  pendingMoveOf,
  type MoveRecord,
  readContact,
  readMove,
  writeContact,
  writeMove,
} from './contact-records.ts';
import { transact } from '../store/transact.ts';
import { identify, lookUp, type Request } from './directory.ts';

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
  /** Whether this person has compared the safety number of somebody. */
  readonly isVerified: (interopId: InteropId) => Promise<boolean>;
  /** A line of a chat that has just come to be. */
  readonly show: (line: MessageRecord) => void;
};

/** A name that leads to somebody else than before; as in the notice `contact-moved`. */
export type Move = { readonly provider: string; readonly identifier: string; readonly interopId: InteropId };

export class People {
  readonly #context: PeopleContext;

  constructor(context: PeopleContext) {
    this.#context = context;
  }

  /** The InteropId of a recipient; asks the directory for names that are not known yet. */
  async resolve(recipient: Recipient): Promise<InteropId> {
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
  async other(recipient: Recipient): Promise<InteropId> {
    const chat = await this.resolve(recipient);
    if (chat === this.#context.own) throw new ClientError('invalid-argument', { detail: 'a message to oneself' });
    return chat;
  }

  /** Whom a message goes to. Throws `untrusted-identity` while a name of theirs waits for a person's decision. */
  async addressee(recipient: Recipient): Promise<InteropId> {
    const chat = await this.other(recipient);
    const move = transact(this.#context.store, tx => pendingMoveOf(tx, chat));
    if (move !== undefined) throw movedError(move);
    return chat;
  }

  /**
   * Asks the directory, even when the name is known already: people move. Throws `untrusted-identity` when the name was
   * that of somebody who was verified.
   */
  async find(provider: string, identifier: string): Promise<InteropId> {
    const { store, request, domain } = this.#context;
    try {
      const jid = await lookUp(request, provider, identifier, domain);
      const interopId = parseJid(jid)!.local;
      const providerNumber = Number(interopId.split('-')[0]);
      const move = await this.#name(interopId, { provider, providerNumber, identifier });
      if (move !== undefined) throw movedError(move);
      return interopId;
    } catch (error) {
      if (error instanceof ClientError && error.code === 'not-found') {
        transact(store, tx => forgetContact(tx, provider, identifier));
      }
      throw error;
    }
  }

  /** The name is that person's from now on. */
  acceptMove(named: Move): void {
    transact(this.#context.store, tx => {
      const { provider, identifier, interopId } = needMove(tx, named);
      deleteMove(tx, needMove(tx, named));
      writeContact(tx, interopId, { provider, providerNumber: Number(interopId.split('-')[0]), identifier });
    });
  }

  /** The name stays with the one who had it; the same answer is not asked about again. */
  rejectMove(named: Move): void {
    transact(this.#context.store, tx => writeMove(tx, { ...needMove(tx, named), state: 'refused' }));
  }

  /** The directory says that somebody has this name. Gives the move when that is not believed. */
  async #name(interopId: InteropId, person: ContactRecord): Promise<MoveRecord | undefined> {
    const { store, clock, isVerified, show } = this.#context;
    const { provider, identifier } = person;
    const before = transact(store, tx => lastKnownAs(tx, provider, identifier));
    const isMoved = before !== undefined && before !== interopId;
    const needsAcceptance = isMoved && (await isVerified(before));
    const { lines, move } = transact(store, tx => {
      const known = readMove(tx, provider, identifier);
      if (known?.interopId === interopId) return { lines: [], move: known };
      const change = { kind: 'contact-moved' as const, needsAcceptance, provider, identifier, interopId };
      const told = isMoved ? addNotice(tx, { ...change, before }, clock.nowMs()) : [];
      if (!isMoved || !needsAcceptance) {
        writeContact(tx, interopId, person);
        return { lines: told, move: undefined };
      }
      const pending = { provider, identifier, before, interopId, state: 'pending' } as const;
      writeMove(tx, pending);
      return { lines: told, move: pending };
    });
    for (const line of lines) show(line);
    return move;
  }

  /** The name of an InteropId; asked once, then remembered. Unknown parts stay undefined when nobody can say now. */
  async contact(interopId: InteropId): Promise<Contact> {
    const { store, request, domain, status } = this.#context;
    let known: ContactRecord | undefined = transact(store, tx => readContact(tx, interopId));
    if (known === undefined && status().kind === 'online') {
      try {
        const person = await identify(request, `${interopId}@${domain}`);
        // Nobody is shown under a verified person's name.
        if ((await this.#name(interopId, person)) === undefined) known = person;
      } catch (error) {
        if (!(error instanceof ClientError)) throw error;
      }
    }
    return { interopId, provider: known?.provider, identifier: known?.identifier };
  }
}

function movedError({ provider, identifier }: MoveRecord): ClientError {
  const detail = `${identifier} at ${provider} was verified and leads to somebody else now`;
  return new ClientError('untrusted-identity', { detail });
}

/** The move exactly as the person was shown it. */
function needMove(tx: Transaction, { provider, identifier, interopId }: Move): MoveRecord {
  const move = readMove(tx, provider, identifier);
  if (move?.state === 'pending' && move.interopId === interopId) return move;
  throw new ClientError('identity-unknown', { detail: 'no such move waits for a decision' });
}
