// Disappearing messages: wipes each when its time has run, also what came due while nothing ran. Time is what went by for
// this device (elapsed-time.ts), not what a clock shows.
// Knows nothing of how timers are agreed on. Which are running is on disk; this holds the same list for the next one due.
// Source: docs/protocol/09-content.md section 9.9.
import type { InteropId } from '@drawbridge/wire/jid';
import type { Clock } from '../clock.ts';
import { addFact } from './conversation.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { ElapsedTime } from './elapsed-time.ts';
import type { LogEntry, MessageRecord } from './message-log.ts';
import {
  deleteExpiry,
  type ExpiryRecord,
  listExpiries,
  messageKey,
  readEntry,
  readExpiry,
  writeExpiry,
} from '../store/message-records.ts';
import { readElapsed, writeElapsed } from '../store/account-records.ts';
import type { StoreFault } from '../store/store-errors.ts';
import type { EncryptedStore, Transaction } from '../store/store.ts';

export const disappearingLimits = {
  /** Wiped in one transaction. */
  batch: 200,
  /** Timers of the system stand still while a machine sleeps: the time that went by is looked at this often. */
  maxWaitMs: 60_000,
  /** How far elapsed time is, is kept this often while something runs; in between only a fall can lose it, to the clock. */
  keepMs: 3_600_000,
  /** Until a store that failed is tried again. */
  retryMs: 5_000,
} as const;

export type DisappearingContext = {
  readonly store: EncryptedStore;
  readonly own: InteropId;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
  /** Tells the person of own messages that are wiped and were not sent, in the transaction that wipes them. */
  readonly neverSent: (tx: Transaction, entries: readonly LogEntry[]) => readonly ClientEvent[];
  /** After the commit: something waits for one's own other devices. */
  readonly ownHasNews: () => void;
};

export class Disappearing {
  readonly #context: DisappearingContext;
  /** When each is due, in elapsed time. */
  readonly #running = new Map<string, ExpiryRecord & { readonly dueMs: number }>();
  readonly #elapsed: ElapsedTime;
  #keptAtMs: number;
  #nextAtMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #closed = false;

  /** Wipes at once what came due before. */
  constructor(context: DisappearingContext) {
    this.#context = context;
    const { store, clock } = context;
    const result = store.transaction(tx => {
      const elapsed = new ElapsedTime(clock, readElapsed(tx));
      for (const expiry of listExpiries(tx)) this.#start(tx, expiry, elapsed);
      writeElapsed(tx, elapsed.record());
      return elapsed;
    });
    if (!result.ok) throw new ClientError('store-failed', { cause: result.error });
    this.#elapsed = result.value;
    this.#keptAtMs = this.#elapsed.nowMs();
    while (this.#wipe() === disappearingLimits.batch);
  }

  /** A message may have begun to run. */
  note({ author, id, expiresAtMs }: MessageRecord): void {
    if (expiresAtMs === undefined || this.#closed || this.#running.has(messageKey(author, id))) return;
    const result = this.#context.store.transaction(tx => {
      const expiry = readExpiry(tx, author, id);
      if (expiry === undefined) return undefined;
      writeElapsed(tx, this.#elapsed.record());
      return this.#start(tx, expiry, this.#elapsed);
    });
    // A row that has no end yet gets one at the next start.
    if (!result.ok) return this.#failed(result.error);
    if (result.value !== undefined && result.value.dueMs < this.#nextAtMs) this.#schedule(result.value.dueMs);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancel?.();
    // Should this fail, the clock tells how long it was since the last time.
    this.#context.store.transaction(tx => writeElapsed(tx, this.#elapsed.record()));
  }

  /** Runs from now, unless it does already. */
  #start(tx: Transaction, expiry: ExpiryRecord, elapsed: ElapsedTime): { readonly dueMs: number } {
    const dueMs = expiry.dueMs ?? elapsed.nowMs() + expiry.runMs;
    const running = { ...expiry, dueMs };
    if (expiry.dueMs === undefined) writeExpiry(tx, running);
    this.#running.set(messageKey(expiry.author, expiry.id), running);
    return running;
  }

  #schedule(atMs: number): void {
    this.#cancel?.();
    this.#nextAtMs = atMs;
    const waitMs = Math.min(Math.max(atMs - this.#elapsed.nowMs(), 0), disappearingLimits.maxWaitMs);
    this.#cancel = this.#context.clock.after(waitMs, () => this.#look());
  }

  #look(): void {
    const nowMs = this.#elapsed.nowMs();
    const isQuiet = nowMs < this.#nextAtMs && nowMs - this.#keptAtMs < disappearingLimits.keepMs;
    if (isQuiet) this.#schedule(this.#nextAtMs);
    else this.#wipe();
  }

  /** Gives how many it wiped. */
  #wipe(): number {
    if (this.#closed) return 0;
    const { store, own, emit, neverSent, ownHasNews } = this.#context;
    const nowMs = this.#elapsed.nowMs();
    const due = [...this.#running].filter(([, { dueMs }]) => dueMs <= nowMs).slice(0, disappearingLimits.batch);
    const result = store.transaction(tx => {
      writeElapsed(tx, this.#elapsed.record());
      const entries = due.flatMap(([, { author, id }]) => {
        deleteExpiry(tx, author, id);
        return [readEntry(tx, author, id)].filter(entry => entry !== undefined);
      });
      const unsent = entries.filter(entry => isUnsent(entry, own));
      const wiped = entries.flatMap(entry => addFact(tx, own, entry, { kind: 'gone', why: 'expired' }));
      return unsent.length === 0 ? { events: wiped } : { events: [...wiped, ...neverSent(tx, unsent)], hasNews: true };
    });
    if (!result.ok) {
      this.#failed(result.error);
      if (result.error.code !== 'closed') this.#schedule(nowMs + disappearingLimits.retryMs);
      return 0;
    }
    this.#keptAtMs = nowMs;
    for (const [key] of due) this.#running.delete(key);
    const { events, hasNews } = result.value;
    for (const event of events) emit(event);
    if (hasNews === true) ownHasNews();
    let next = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#running.values()) next = Math.min(next, dueMs);
    this.#nextAtMs = next;
    if (next < Number.POSITIVE_INFINITY) this.#schedule(next);
    return due.length;
  }

  #failed(error: StoreFault): void {
    if (error.code === 'closed') return;
    this.#context.emit({ kind: 'problem', error: new ClientError('store-failed', { cause: error }) });
  }
}

function isUnsent({ author, gone, receipts, progress }: LogEntry, own: InteropId): boolean {
  const isWaiting = progress?.state === 'queued' || progress?.state === 'held';
  return author === own && gone === undefined && receipts === undefined && isWaiting;
}
