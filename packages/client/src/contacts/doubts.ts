// What the gatekeeper says of decisions and no own device has said: the other devices are asked, and when none of them says so a
// person is told. The devices of a person tell one another all their decisions when one asks.
// Knows nothing of which word holds (`history/standing.ts`).
// Source: docs/protocol/10-consent-and-reports.md section 10.1.
import { contentKindLimits, type SyncedDecision } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import type { ClientEvent } from '../events.ts';
import { type Authoring, bytesOf, encoded } from '../history/authoring.ts';
import { allChats } from '../history/history.ts';
import { chatWith, personOf } from '../history/message-names.ts';
import { isDoubtful, standingOf } from '../history/standing.ts';
import { standingEvent } from '../history/standing-changes.ts';
import { addNotice } from '../notices/notice-records.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { contentPayload } from '../outbox/rows.ts';
import { readSetting, writeSetting } from '../store/account-records.ts';
import { readChat, writeChat } from '../store/message-records.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

export const doubtLimits = {
  /** An own device's word usually comes right behind the gatekeeper's. */
  askMs: 5_000,
  /** For the other devices to answer. */
  tellMs: 25_000,
  /** People whom a person is told about at once; the others follow. */
  toldAtOnce: 100,
  /** Until the other devices are asked again. */
  askAgainMs: 600_000,
  /** They are asked without a doubt when this went by: their words may have been lost on the way. */
  askAnywayMs: 14 * 86_400_000,
  /** Decisions that are told to a device that asks; refusals first. */
  toldDecisions: 4_000,
} as const;

export type DoubtsContext = {
  readonly store: EncryptedStore;
  readonly authoring: Authoring;
  readonly outbox: Pick<Outbox, 'add' | 'hasRoom'>;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
};

export class Doubts {
  readonly #context: DoubtsContext;
  #cancel: (() => void) | undefined;

  constructor(context: DoubtsContext) {
    this.#context = context;
  }

  /** Something is in doubt: asks soon, and tells later what is still so. */
  arm(): void {
    const { clock } = this.#context;
    if (this.#cancel !== undefined) return;
    this.#cancel = clock.after(doubtLimits.askMs, () => {
      const people = this.#doubtful();
      if (people.length > 0) this.ask(doubtLimits.askAgainMs);
      this.#cancel = clock.after(doubtLimits.tellMs, () => {
        this.#cancel = undefined;
        this.#tell(people);
        if (this.#doubtful().length > 0) this.arm();
      });
    });
  }

  /** Asks the other devices for their decisions, unless that was done within this time. */
  ask(unlessWithinMs: number = doubtLimits.askAnywayMs): void {
    const { store, authoring, outbox, clock } = this.#context;
    const nowMs = clock.nowMs();
    const asked = store.transaction(tx => {
      const askedAtMs = Number(readSetting(tx, 'decisions-asked') ?? Number.NEGATIVE_INFINITY);
      if (askedAtMs <= nowMs && nowMs - askedAtMs < unlessWithinMs) return false;
      if (!outbox.hasRoom(tx)) return false;
      writeSetting(tx, 'decisions-asked', String(nowMs));
      authoring.sync(tx, { decisionsAsked: true });
      return true;
    });
    if (asked.ok && asked.value) authoring.announce([]);
  }

  /** Another device of this person asks. */
  answer(tx: Transaction, deviceId: number): void {
    const { authoring, outbox } = this.#context;
    const known = allChats(tx).flatMap(({ chat, decided }): SyncedDecision[] => {
      if (decided === undefined) return [];
      const { atMs, id, state } = decided;
      return [{ chat: personOf(chat), state, decided: { atMs, messageId: bytesOf(id) } }];
    });
    const isRefusal = ({ state }: SyncedDecision): number => Number(state === 'denied' || state === 'blocked');
    const told = known.toSorted((a, b) => isRefusal(b) - isRefusal(a)).slice(0, doubtLimits.toldDecisions);
    const { maxSyncEntries } = contentKindLimits;
    for (let at = 0; at < told.length && outbox.hasRoom(tx); at += maxSyncEntries) {
      const content = authoring.content({ kind: 'device-sync', decisions: told.slice(at, at + maxSyncEntries) });
      const payload = contentPayload(encoded(content));
      outbox.add(tx, { to: authoring.own, toDevice: deviceId, payload, silent: true });
    }
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A store that fails now loses nothing: with the next list they are found again. */
  #doubtful(): InteropId[] {
    const found = this.#context.store.transaction(tx => allChats(tx).filter(isDoubtful));
    return found.ok ? found.value.slice(0, doubtLimits.toldAtOnce).map(({ chat }) => personOf(chat)) : [];
  }

  #tell(people: readonly InteropId[]): void {
    const { store, clock, emit } = this.#context;
    const told = store.transaction(tx => people.flatMap(person => tellOf(tx, person, clock.nowMs())));
    if (told.ok) for (const event of told.value) emit(event);
  }
}

function tellOf(tx: Transaction, interopId: InteropId, nowMs: number): ClientEvent[] {
  const record = readChat(tx, chatWith(interopId));
  if (record.claim === undefined || !isDoubtful(record)) return [];
  const { state: claimed } = record.claim;
  const holds = standingOf(record);
  writeChat(tx, { ...record, claim: { ...record.claim, isTold: true } });
  const lines = addNotice(tx, { kind: 'contact-unconfirmed', interopId, holds, claimed }, nowMs);
  return [
    ...lines.map(message => ({ kind: 'message', change: 'new', message }) as const),
    standingEvent(interopId, holds, claimed),
  ];
}
