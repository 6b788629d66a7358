// History for a new device of the same person: contents as they were said, newest first, in pieces that go the ordinary
// way, each encrypted for that device alone. The receiver asks for piece after piece; both sides remember how far they are.
// Knows nothing of streams; what a piece holds is taken in as any content is.
// Source: docs/protocol/09-content.md section 9.10.
import type { ClientEvent } from '../events.ts';
import type { Transaction } from '../store/store.ts';
import { HistoryGiving } from './history-giving.ts';
import type { HistoryQuestion, Piece, TransferContext, TransferOutcome } from './history-posting.ts';
import { HistoryReceiving } from './history-receiving.ts';

export class HistoryTransfer {
  readonly #giving: HistoryGiving;
  readonly #receiving: HistoryReceiving;

  constructor(context: TransferContext) {
    this.#giving = new HistoryGiving(context);
    this.#receiving = new HistoryReceiving(context);
  }

  /** The device that is about to be linked gets the history when it asks. */
  promise(): void {
    this.#giving.promise();
  }

  /** On a device that is there: sends everything to another device of this person, when there is room for its beginning. */
  begin(tx: Transaction, deviceId: number): ClientEvent {
    return this.#giving.begin(tx, deviceId);
  }

  /** On the new device: asks the person's other devices, or goes on with what broke off. */
  ask(tx: Transaction): void {
    this.#receiving.ask(tx);
  }

  /** After a restart: goes on with what was being received. True when there was something. */
  resume(tx: Transaction): boolean {
    return this.#receiving.resume(tx);
  }

  /** A piece, or a question, from another device of this person. */
  receive(tx: Transaction, deviceId: number, body: Piece | HistoryQuestion): TransferOutcome {
    return body.kind === 'history-piece'
      ? this.#receiving.take(tx, deviceId, body)
      : this.#giving.answer(tx, deviceId, body);
  }
}
