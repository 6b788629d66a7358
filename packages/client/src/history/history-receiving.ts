// The new device: asks another device of its person for the history, piece after piece, and takes in what comes.
// Knows nothing of streams, nor of what pieces hold (`history-items.ts`).
// Source: docs/protocol/09-content.md section 9.10.
import { decodeContent } from '@drawbridge/e2ee/content';
import type { HistoryItem } from '@drawbridge/e2ee/content-kinds';
import { readTransfer, writeTransfer } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';
import { addSaid } from './conversation.ts';
import { hexOf, nothing, type Piece, post, type TransferContext, type TransferOutcome } from './history-posting.ts';
import { chatWith } from './message-names.ts';

/** What the new device remembers. `askedAgain`: the piece that was asked for because another came. */
type Arriving = {
  readonly transferId?: string;
  readonly deviceId?: number;
  readonly next: number;
  readonly askedAgain?: number;
  readonly finished?: boolean;
};

const arrivingName = 'in';

export class HistoryReceiving {
  readonly #context: TransferContext;

  constructor(context: TransferContext) {
    this.#context = context;
  }

  /** Asks the person's other devices, or goes on with what broke off. */
  ask(tx: Transaction): void {
    const before = readTransfer<Arriving>(tx, arrivingName);
    const goesOn = before?.transferId !== undefined && before.finished !== true;
    const state: Arriving = goesOn ? before : { next: 0 };
    const { askedAgain: _, ...rest } = state;
    writeTransfer(tx, arrivingName, rest);
    this.#ask(tx, rest);
  }

  /** After a restart: goes on with what was being received. True when there was something. */
  resume(tx: Transaction): boolean {
    const state = readTransfer<Arriving>(tx, arrivingName);
    if (state?.transferId === undefined || state.finished === true) return false;
    this.ask(tx);
    return true;
  }

  /** The next piece is taken in; one that came too early makes it ask for the one that is missing. */
  take(tx: Transaction, deviceId: number, piece: Piece): TransferOutcome {
    const transferId = hexOf(piece.transferId);
    let state = readTransfer<Arriving>(tx, arrivingName);
    // A new transfer begins at its first piece, and only while this device asks: nobody fills a history by themselves. A
    // finished one stays known, so that its repeats are not taken for new.
    const isAsking = state !== undefined && state.finished !== true && (state.deviceId ?? deviceId) === deviceId;
    if (piece.index === 0 && isAsking && state?.transferId !== transferId) state = { transferId, deviceId, next: 0 };
    if (state?.transferId !== transferId || state.deviceId !== deviceId || piece.index < state.next) return nothing;
    if (piece.index > state.next) {
      if (state.askedAgain === state.next) return nothing;
      writeTransfer(tx, arrivingName, { ...state, askedAgain: state.next });
      this.#ask(tx, state);
      return { events: [], wake: true };
    }
    for (const item of piece.items) this.#item(tx, item);
    const next: Arriving = { transferId, deviceId, next: piece.index + 1, ...(piece.last ? { finished: true } : {}) };
    writeTransfer(tx, arrivingName, next);
    this.#ask(tx, next);
    const { messagesDone: done, messagesTotal: total, last: finished } = piece;
    return { events: [{ kind: 'history', direction: 'receiving', deviceId, done, total, finished }], wake: true };
  }

  /** Taken in as if it had come now, but before everything that is here; what is broken is left out. */
  #item(tx: Transaction, item: HistoryItem): void {
    const { own, clock } = this.#context;
    const { author } = item;
    const decoded = decodeContent(item.content);
    if (!decoded.ok || (author !== own && author !== item.chat)) return;
    const nowMs = clock.nowMs();
    const receivedAtMs = Math.min(item.receivedAtMs, nowMs);
    const said = { author, chat: chatWith(item.chat), content: decoded.value, receivedAtMs };
    const taken = tx.attempt(() => addSaid(tx, own, said, nowMs, true));
    for (const event of taken.ok ? taken.value : []) {
      if (event.kind === 'message') this.#context.noted(event.message);
    }
  }

  /** Without room it is asked for at the next start, or when the person asks. */
  #ask(tx: Transaction, state: Arriving): void {
    if (!this.#context.outbox.hasRoom(tx)) return;
    const transfer = state.transferId === undefined ? {} : { transferId: Buffer.from(state.transferId, 'hex') };
    post(tx, this.#context, state.deviceId, { kind: 'history-request', ...transfer, nextIndex: state.next });
  }
}
