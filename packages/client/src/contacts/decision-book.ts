// What the gatekeeper says of a person's decisions about others: asked for with every new session, and told in between. It is
// noted with each chat, where an own device's word stands above it (`history/standing.ts`); messages that came while nothing
// was said to their author are acknowledged once they are accepted.
// Knows nothing of how a person decides (`own-decisions.ts`).
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import { attribute, childElements, type Element } from '@drawbridge/wire/element';
import { type InteropId, isInteropId, parseJid } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { type Decision, decisionStates, fetchDecisions, mayBe } from '../directory/contact-decisions.ts';
import type { Clock } from '../clock.ts';
import type { Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { Authoring } from '../history/authoring.ts';
import { defaultsKey, isHeldBack, isOn, type Standing } from '../history/chat-state.ts';
import { allChats, historyLimits } from '../history/history.ts';
import { chatWith, personOf } from '../history/message-names.ts';
import { chatInForce } from '../history/provider-block.ts';
import { hearGatekeeper, isDoubtful } from '../history/standing.ts';
import { changeStanding } from '../history/standing-changes.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { readStamp } from '../store/account-records.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';
import { Doubts } from './doubts.ts';

export type DecisionBookContext = {
  readonly store: EncryptedStore;
  readonly domain: string;
  readonly request: Request;
  readonly outbox: Pick<Outbox, 'add' | 'wake' | 'hasRoom'>;
  readonly authoring: Authoring;
  readonly clock: Clock;
  readonly deliveryReceipts: boolean;
  readonly emit: (event: ClientEvent) => void;
};

export class DecisionBook {
  readonly #context: DecisionBookContext;
  readonly #doubts: Doubts;
  #rows: number | undefined;
  #isListed = false;
  /** People whom the gatekeeper has named since the list was asked for: that is later than what the list says of them. */
  #told = new Set<InteropId>();

  constructor(context: DecisionBookContext) {
    this.#context = context;
    this.#doubts = new Doubts(context);
  }

  close(): void {
    this.#doubts.close();
  }

  /** Asks the other devices of this person for their decisions, when that is due. */
  ask(): void {
    this.#doubts.ask();
  }

  /** Another device of this person asks. */
  answer(tx: Transaction, deviceId: number): void {
    this.#doubts.answer(tx, deviceId);
  }

  /** Whether the list of this session has come, or will not: before that somebody's first message may be a request. */
  get isListed(): boolean {
    return this.#isListed;
  }

  /** A new session. */
  begin(): void {
    this.#isListed = false;
  }

  /** Asks for the whole list. A failure is told nowhere: the next session asks again. */
  async refresh(): Promise<void> {
    const told = new Set<InteropId>();
    this.#told = told;
    const decisions = await fetchDecisions(this.#context.request).catch((error: unknown) => {
      if (!(error instanceof ClientError)) throw error;
    });
    if (this.#told !== told) return;
    if (decisions !== undefined) this.#learn(decisions, told);
    this.#isListed = true;
    this.#acknowledge(tx =>
      allChats(tx)
        .filter(({ owed }) => owed !== undefined)
        .map(({ chat }) => personOf(chat)),
    );
  }

  /** Takes a notice of the gatekeeper. False: this stanza is none. */
  hear(stanza: Element): boolean {
    if (attribute(stanza, 'from') !== this.#context.domain) return false;
    const notice = childElements(stanza).find(({ name, ns }) => name === 'contact' && ns === NS_CONSENT);
    if (notice === undefined) return false;
    const interopId = parseJid(attribute(notice, 'jid') ?? '')?.local ?? '';
    const word = attribute(notice, 'state');
    const state = word === 'none' ? word : decisionStates.find(each => each === word);
    if (!isInteropId(interopId) || state === undefined || !mayBe(interopId, state)) return true;
    this.#told.add(interopId);
    this.#note(() => [[interopId, state]]);
    return true;
  }

  /** What holds about somebody has changed, by whoever's word. */
  changed(person: InteropId): void {
    this.#acknowledge(() => [person]);
  }

  #learn(decisions: readonly Decision[], told: ReadonlySet<InteropId>): void {
    const states = new Map<InteropId, Standing>(decisions.map(({ interopId, state }) => [interopId, state]));
    this.#note(tx => {
      for (const { chat } of allChats(tx)) {
        const person = personOf(chat);
        if (chat !== defaultsKey && !states.has(person)) states.set(person, 'none');
      }
      return [...states].filter(([person]) => !told.has(person));
    });
  }

  /** A store that fails now loses nothing: the list is asked for again. */
  #note(words: (tx: Transaction) => readonly (readonly [InteropId, Standing])[]): void {
    const { store, emit } = this.#context;
    const noted = store.transaction(tx => {
      const lastStampMs = readStamp(tx);
      let isInDoubt = false;
      const events = words(tx).flatMap(([person, word]) => {
        const chat = chatWith(person);
        const before = readChat(tx, chat);
        const after = hearGatekeeper(before, word, lastStampMs);
        isInDoubt ||= isDoubtful(after);
        if (after === before || (tx.get('chat', chat) === undefined && !this.#hasRoom(tx))) return [];
        return changeStanding(tx, chat, () => after);
      });
      return { events, isInDoubt };
    });
    if (!noted.ok) return;
    for (const event of noted.value.events) emit(event);
    if (noted.value.isInDoubt) this.#doubts.arm();
  }

  /** A gatekeeper that invents people fills no disk. Counted once: each decision is one row more at most. */
  #hasRoom(tx: Transaction): boolean {
    this.#rows ??= tx.count('chat');
    return this.#rows++ < historyLimits.maxChats;
  }

  /** A store that fails now loses nothing: with the next session it is looked at again. */
  #acknowledge(people: (tx: Transaction) => readonly InteropId[]): void {
    const { store, outbox } = this.#context;
    const told = store.transaction(tx => people(tx).filter(person => this.#acknowledgeTo(tx, person)));
    if (told.ok) for (const person of told.value) outbox.wake(person);
  }

  /** Each message once: now their author learns that it came. */
  #acknowledgeTo(tx: Transaction, person: InteropId): boolean {
    const { outbox, deliveryReceipts } = this.#context;
    const { owed, ...record } = readChat(tx, chatWith(person));
    if (owed === undefined || isHeldBack(chatInForce(tx, chatWith(person))) || !outbox.hasRoom(tx)) return false;
    writeChat(tx, record);
    if (!isOn('sendDelivered', record, readChat(tx, defaultsKey), deliveryReceipts)) return false;
    outbox.add(tx, { to: person, payload: { kind: 'receipt', receipt: 'delivered', messageIds: owed }, silent: true });
    return true;
  }
}
