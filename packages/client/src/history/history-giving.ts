// The device that gives its history: answers the questions of another device of this person with pieces, a few at a time, and
// remembers for each how far it is.
// Knows nothing of streams, nor of what pieces hold (`history-items.ts`).
// Source: docs/protocol/09-content.md section 9.10.
import { randomBytes } from 'node:crypto';
import { MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { ClientEvent } from '../events.ts';
import { readTransfer, writeTransfer } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';
import { collectPiece, type Start } from './history-pieces.ts';
import {
  hexOf,
  type HistoryQuestion,
  nothing,
  post,
  type TransferContext,
  type TransferOutcome,
} from './history-posting.ts';

export const givingLimits = {
  /** Pieces sent and not asked beyond. */
  window: 4,
  /** After a link was authorised with history, the new device's question is answered by itself. */
  promiseMs: 600_000,
} as const;

/** What the giving device remembers for each device. */
type Outgoing = {
  readonly transferId: string;
  readonly total: number;
  /** The first piece that was not asked beyond; `starts[0]` is where it begins. */
  readonly acknowledged: number;
  readonly next: number;
  readonly starts: readonly Start[];
  /** Index of the last piece, once it is known. */
  readonly last?: number;
};

export class HistoryGiving {
  readonly #context: TransferContext;
  #promisedUntilMs = 0;

  constructor(context: TransferContext) {
    this.#context = context;
  }

  /** The device that is about to be linked gets the history when it asks. */
  promise(): void {
    this.#promisedUntilMs = this.#context.clock.nowMs() + givingLimits.promiseMs;
  }

  /** On a device that is there: sends everything to another device of this person, when there is room for its beginning. */
  begin(tx: Transaction, deviceId: number): ClientEvent {
    const state: Outgoing = {
      transferId: randomBytes(MESSAGE_ID_BYTES).toString('hex'),
      total: tx.count('message'),
      acknowledged: 0,
      next: 0,
      starts: [{ cursor: { phase: 'chats', after: 0 }, done: 0 }],
    };
    this.#send(tx, deviceId, state);
    return { kind: 'history', direction: 'sending', deviceId, done: 0, total: state.total, finished: false };
  }

  /** What another device asks for: the beginning, or the next piece. */
  answer(tx: Transaction, deviceId: number, { transferId, nextIndex }: HistoryQuestion): TransferOutcome {
    const state = readTransfer<Outgoing>(tx, outgoingName(deviceId));
    const isUnknown = transferId === undefined || (state !== undefined && state.transferId !== hexOf(transferId));
    // Nothing of the transfer that was begun last has arrived: repeated questions, and those about one before it, get its
    // beginning again. To begin another for each would leave both sides with different ones.
    if (state?.acknowledged === 0 && isUnknown) return this.#fromItsBeginning(tx, deviceId, state);
    if (transferId === undefined) {
      if (state !== undefined) {
        // It asks from the beginning: it has lost what it had.
        return { events: [this.begin(tx, deviceId)], wake: true };
      }
      if (this.#context.clock.nowMs() > this.#promisedUntilMs) {
        return { events: [{ kind: 'history-asked', deviceId }], wake: false };
      }
      return { events: [this.begin(tx, deviceId)], wake: true };
    }
    if (state?.transferId !== hexOf(transferId)) return nothing;
    if (nextIndex < state.acknowledged || nextIndex > state.next) return nothing;
    const { total } = state;
    if (state.last !== undefined && nextIndex > state.last) {
      writeTransfer(tx, outgoingName(deviceId), undefined);
      return {
        events: [{ kind: 'history', direction: 'sending', deviceId, done: total, total, finished: true }],
        wake: false,
      };
    }
    const starts = state.starts.slice(nextIndex - state.acknowledged);
    // Asked for the same piece twice: it and all behind it are made again.
    const again = nextIndex === state.acknowledged;
    const { last: _, ...rest } = state;
    const next = again
      ? { ...rest, starts: starts.slice(0, 1), next: nextIndex }
      : { ...state, starts, acknowledged: nextIndex };
    this.#send(tx, deviceId, next);
    const done = starts[0]?.done ?? total;
    return { events: [{ kind: 'history', direction: 'sending', deviceId, done, total, finished: false }], wake: true };
  }

  #fromItsBeginning(tx: Transaction, deviceId: number, state: Outgoing): TransferOutcome {
    const { last: _, ...rest } = state;
    this.#send(tx, deviceId, { ...rest, starts: state.starts.slice(0, 1), next: 0 });
    const { total } = state;
    return {
      events: [{ kind: 'history', direction: 'sending', deviceId, done: 0, total, finished: false }],
      wake: true,
    };
  }

  /** Makes pieces as far as the window is open, and remembers where each began. */
  #send(tx: Transaction, deviceId: number, from: Outgoing): void {
    let state = from;
    const { outbox } = this.#context;
    const isOpen = (): boolean => state.next < state.acknowledged + givingLimits.window && outbox.hasRoom(tx);
    while (state.last === undefined && isOpen()) {
      const start = state.starts.at(-1)!;
      const { items, cursor, done } = collectPiece(tx, this.#context, start, state.next === 0);
      const last = cursor === undefined;
      post(tx, this.#context, deviceId, {
        kind: 'history-piece',
        transferId: Buffer.from(state.transferId, 'hex'),
        index: state.next,
        items,
        messagesDone: done,
        messagesTotal: Math.max(state.total, done),
        last,
      });
      const starts = last ? state.starts : [...state.starts, { cursor, done }];
      state = { ...state, starts, next: state.next + 1, ...(last ? { last: state.next } : {}) };
    }
    writeTransfer(tx, outgoingName(deviceId), state);
  }
}

function outgoingName(deviceId: number): string {
  return `out ${deviceId}`;
}
