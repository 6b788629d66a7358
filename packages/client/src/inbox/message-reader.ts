// Hands out incoming messages from the store, one after the other, at the reader's pace, and remembers what was consumed.
// Knows nothing of how messages get into the store.
import type { InteropId } from '@drawbridge/wire/jid';
import { listMessages, type MessageRow, readMessage } from '../history/history.ts';
import type { MessageRecord } from '../history/message-log.ts';
import { readCursor, writeCursor } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';

/** Rows read at once. */
const rowsPerRead = 64;

export type MessageReaderContext<M> = {
  readonly transaction: <T>(work: (tx: Transaction) => T) => T;
  /** InteropId of the reader. */
  readonly own: InteropId;
  /** Whether this one is for the reader: incoming, and not taken back. */
  readonly isWanted: (message: MessageRecord) => boolean;
  /** What the reader gets. */
  readonly present: (message: MessageRecord) => Promise<M>;
  readonly onEnd: (reader: MessageReader<M>) => void;
};

/**
 * An iterator that begins with the oldest message that was not consumed. Asking for the next one consumes the one before;
 * what was handed out and not consumed comes again after a restart.
 */
export class MessageReader<M> {
  readonly #context: MessageReaderContext<M>;
  #rows: MessageRow[] = [];
  #after: number;
  #handedOut: number | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  /** One `next` after the other, whoever asks: each message is handed out once. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: MessageReaderContext<M>) {
    this.#context = context;
    this.#after = context.transaction(readCursor);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<M, undefined>> {
    if (!this.#ended) this.#consume();
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      return await this.#next();
    } finally {
      resolve();
    }
  }

  /** Ends the iterator, also one that waits. The message handed out last is not consumed. */
  return(): Promise<IteratorResult<M, undefined>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#rows = [];
    this.#wake?.();
    this.#context.onEnd(this);
  }

  /** There may be new messages. */
  wake(): void {
    this.#wake?.();
  }

  async #next(): Promise<IteratorResult<M, undefined>> {
    if (!this.#ended) this.#consume();
    for (;;) {
      if (this.#ended) return { done: true, value: undefined };
      const row = this.#rows.shift() ?? this.#read();
      if (row === undefined) {
        await this.#newMessage();
        continue;
      }
      this.#after = row.sequence;
      // Read again: it may have been edited or taken back since.
      const message = this.#context.transaction(tx => readMessage(tx, this.#context.own, row.message));
      if (message === undefined || !this.#context.isWanted(message)) continue;
      this.#handedOut = row.sequence;
      return { done: false, value: await this.#context.present(message) };
    }
  }

  #read(): MessageRow | undefined {
    this.#rows = this.#context.transaction(tx =>
      listMessages(tx, this.#context.own, { arrived: true, after: this.#after, limit: rowsPerRead }),
    );
    return this.#rows.shift();
  }

  #consume(): void {
    const sequence = this.#handedOut;
    if (sequence === undefined) return;
    this.#handedOut = undefined;
    this.#context.transaction(tx => {
      if (readCursor(tx) < sequence) writeCursor(tx, sequence);
    });
  }

  /** The store is synchronous: nothing comes between an empty read and this. */
  #newMessage(): Promise<void> {
    return new Promise<void>(resolve => {
      this.#wake = resolve;
    });
  }
}
