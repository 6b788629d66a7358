// Disappearing messages: wipes each when its time has come, also what came due while nothing ran.
// Knows nothing of how timers are agreed on. Which are running is on disk; this holds the same list for the next one due.
// Source: docs/protocol/09-content.md section 9.9.
import type { Clock } from '../clock.ts';
import { take } from './conversation.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import type { MessageRecord } from './message-log.ts';
import { deleteExpiry, type ExpiryRecord, listExpiries, messageKey, readEntry } from '../store/records.ts';
import type { EncryptedStore } from '../store/store.ts';

export const disappearingLimits = {
  /** Wiped in one transaction. */
  batch: 200,
  /** Timers of the system hold no more than 24 days. */
  maxWaitMs: 86_400_000,
  /** Until a store that failed is tried again. */
  retryMs: 5_000,
} as const;

export type DisappearingContext = {
  readonly store: EncryptedStore;
  readonly own: string;
  readonly clock: Clock;
  readonly emit: (event: ClientEvent) => void;
};

export class Disappearing {
  readonly #context: DisappearingContext;
  readonly #running = new Map<string, ExpiryRecord>();
  #nextAtMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;
  #closed = false;

  /** Wipes at once what came due before. */
  constructor(context: DisappearingContext) {
    this.#context = context;
    this.#load();
    this.#wipe();
  }

  /** A message may have begun to run. */
  note({ author, id, expiresAtMs }: MessageRecord): void {
    if (expiresAtMs === undefined || this.#closed) return;
    this.#running.set(messageKey(author, id), { author, id, atMs: expiresAtMs });
    if (expiresAtMs < this.#nextAtMs) this.#schedule(expiresAtMs);
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #load(): void {
    const result = this.#context.store.transaction(tx => {
      for (let after = 0; ; ) {
        const rows = listExpiries(tx, after);
        for (const { expiry } of rows) this.#running.set(messageKey(expiry.author, expiry.id), expiry);
        if (rows.length === 0) return;
        after = rows.at(-1)!.sequence;
      }
    });
    if (!result.ok) throw new ClientError('store-failed', { cause: result.error });
  }

  #schedule(atMs: number): void {
    this.#cancel?.();
    this.#nextAtMs = atMs;
    const waitMs = Math.min(Math.max(atMs - this.#context.clock.nowMs(), 0), disappearingLimits.maxWaitMs);
    this.#cancel = this.#context.clock.after(waitMs, () => this.#wipe());
  }

  #wipe(): void {
    if (this.#closed) return;
    const { store, own, clock, emit } = this.#context;
    const nowMs = clock.nowMs();
    const due = [...this.#running].filter(([, { atMs }]) => atMs <= nowMs).slice(0, disappearingLimits.batch);
    const result = store.transaction(tx =>
      due.flatMap(([, { author, id }]) => {
        const entry = readEntry(tx, author, id);
        deleteExpiry(tx, author, id);
        return entry === undefined ? [] : take(tx, own, entry, { kind: 'gone', why: 'expired' }, nowMs);
      }),
    );
    if (!result.ok) {
      if (result.error.code === 'closed') return;
      emit({ kind: 'problem', error: new ClientError('store-failed', { cause: result.error }) });
      return this.#schedule(nowMs + disappearingLimits.retryMs);
    }
    for (const [key] of due) this.#running.delete(key);
    for (const event of result.value) emit(event);
    let next = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#running.values()) next = Math.min(next, atMs);
    this.#nextAtMs = next;
    if (next < Number.POSITIVE_INFINITY) this.#schedule(next);
  }
}
