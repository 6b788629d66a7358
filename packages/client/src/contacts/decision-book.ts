// What this person has decided about others, as far as this device has heard: kept with each chat, so that it is known without a
// stream. Asked for with every new session, and told by the gatekeeper in between.
// Knows nothing of how a person decides (`contacts.ts`).
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import { attribute, childElements, type Element } from '@drawbridge/wire/element';
import { type InteropId, isInteropId, parseJid } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { type Decision, type DecisionState, decisionStates, fetchDecisions } from '../directory/contact-decisions.ts';
import type { Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { defaultsKey, isOn } from '../history/chat-state.ts';
import { allChats, historyLimits, listMessages } from '../history/history.ts';
import { chatWith, personOf } from '../history/message-names.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

/** Messages of a request that are acknowledged to their author once it is accepted. A gatekeeper lets fewer through. */
const maxRequestMessages = 10;

export type DecisionBookContext = {
  readonly store: EncryptedStore;
  readonly own: InteropId;
  readonly domain: string;
  readonly request: Request;
  readonly outbox: Pick<Outbox, 'add' | 'wake' | 'hasRoom'>;
  readonly deliveryReceipts: boolean;
  readonly emit: (event: ClientEvent) => void;
};

export class DecisionBook {
  readonly #context: DecisionBookContext;
  #rows: number | undefined;
  /** Whom the gatekeeper has told of since the list was asked for: that is later than what the list says of them. */
  #told = new Set<InteropId>();

  constructor(context: DecisionBookContext) {
    this.#context = context;
  }

  /** Asks for the whole list. A failure is told nowhere: the next session asks again. */
  async refresh(): Promise<void> {
    const told = new Set<InteropId>();
    this.#told = told;
    try {
      const decisions = await fetchDecisions(this.#context.request);
      if (this.#told === told) this.#learn(decisions, told);
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
    }
  }

  /** Takes a notice of the gatekeeper. False: this stanza is none. */
  hear(stanza: Element): boolean {
    if (attribute(stanza, 'from') !== this.#context.domain) return false;
    const notice = childElements(stanza).find(({ name, ns }) => name === 'contact' && ns === NS_CONSENT);
    if (notice === undefined) return false;
    const interopId = parseJid(attribute(notice, 'jid') ?? '')?.local ?? '';
    const word = attribute(notice, 'state');
    const state = decisionStates.find(each => each === word);
    if (!isInteropId(interopId) || (state === undefined && word !== 'none')) return true;
    this.#told.add(interopId);
    this.#note(tx => this.#set(tx, interopId, state));
    return true;
  }

  #learn(decisions: readonly Decision[], told: ReadonlySet<InteropId>): void {
    const states = new Map(decisions.map(({ interopId, state }) => [interopId, state]));
    this.#note(tx => {
      const known = allChats(tx).filter(({ contact }) => contact !== undefined);
      const gone = known.map(({ chat }) => personOf(chat)).filter(person => !states.has(person));
      const news = [...gone.map(person => [person, undefined] as const), ...states];
      return news.flatMap(([person, state]) => (told.has(person) ? [] : this.#set(tx, person, state)));
    });
  }

  /** A store that fails now loses nothing: the list is asked for again. */
  #note(change: (tx: Transaction) => readonly InteropId[]): void {
    const { store, emit, outbox } = this.#context;
    const noted = store.transaction(tx => {
      const changed = change(tx);
      return changed.map(interopId => ({ interopId, state: readChat(tx, chatWith(interopId)).contact }));
    });
    if (!noted.ok) return;
    for (const { interopId, state } of noted.value) {
      emit({ kind: 'contact', interopId, state: state ?? 'none' });
      if (state === 'accepted') outbox.wake(interopId);
    }
  }

  /** The person, when something has changed. */
  #set(tx: Transaction, person: InteropId, state: DecisionState | undefined): InteropId[] {
    const chat = chatWith(person);
    const { contact: before, ...rest } = readChat(tx, chat);
    if (before === state) return [];
    if (tx.get('chat', chat) === undefined && !this.#hasRoom(tx)) return [];
    // What came until now was acknowledged when it came: no change back and forth has it said again.
    const record = before === 'accepted' ? { ...rest, acknowledgedTo: tx.newPlace() } : rest;
    writeChat(tx, state === undefined ? record : { ...record, contact: state });
    if (before === 'request' && state === 'accepted') this.#acknowledge(tx, person);
    return [person];
  }

  /** A gatekeeper that invents people fills no disk. Counted once: each decision is one row more at most. */
  #hasRoom(tx: Transaction): boolean {
    this.#rows ??= tx.count('chat');
    return this.#rows++ < historyLimits.maxChats;
  }

  /** Nothing was said of a request's messages before: now their author learns that they came. */
  #acknowledge(tx: Transaction, person: InteropId): void {
    const { own, outbox, deliveryReceipts } = this.#context;
    const chat = chatWith(person);
    const record = readChat(tx, chat);
    if (!isOn('sendDelivered', record, readChat(tx, defaultsKey), deliveryReceipts)) return;
    const rows = listMessages(tx, own, { chat, newest: true, limit: maxRequestMessages });
    const theirs = rows.filter(
      ({ sequence, message }) =>
        sequence > (record.acknowledgedTo ?? 0) && message.author === person && isAcknowledged(message.kind),
    );
    if (theirs.length === 0 || !outbox.hasRoom(tx)) return;
    const messageIds = theirs.map(({ message }) => message.id);
    outbox.add(tx, { to: person, payload: { kind: 'receipt', receipt: 'delivered', messageIds }, silent: true });
  }
}

function isAcknowledged(kind: string): boolean {
  return kind !== 'lost' && kind !== 'notice';
}
