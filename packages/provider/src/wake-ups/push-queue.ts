// Hands verified wake-ups to the provider's own push service: a few at a time, again after a growing pause when it fails, and
// never more than a bounded number. They wait in a store: what was added survives a killed process.
// Knows nothing of push services, tokens or streams.
// Source: docs/protocol/03 (Wake-up); docs/operations/running-a-provider.md.

import { type After, systemAfter } from '@drawbridge/identity/timers';
import { Hooks, HookTooSlow } from '../within.ts';
import type { GivenUpWakeUp, KeptWakeUp, PushStore, UsedEvent } from './push-store.ts';

/**
 * Called for each wake-up; a rejection means "try again". A wake-up may come twice, and says nothing but "connect". `signal`
 * is aborted when the try has failed by its time: a hook that runs on then takes one of few places until it ends.
 */
export type WakeUpHook = (identifier: string, gatekeeper: string, signal: AbortSignal) => unknown;

/** Thrown by a hook whose push service says when to come again (`Retry-After`). */
export class PushLater extends Error {
  readonly afterMs: number;
  constructor(afterMs: number) {
    super('the push service wants to be asked later');
    this.afterMs = Number.isFinite(afterMs) ? Math.max(0, afterMs) : defaultAskedPauseMs;
  }

  /** From a `Retry-After` header: seconds, or a date (RFC 9110 section 10.2.3); a minute when it is neither. */
  static fromHeader(header: string | undefined, nowMs: number): PushLater {
    const text = header ?? '';
    return new PushLater(/^[0-9]{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs);
  }
}

const defaultAskedPauseMs = 60_000;

/** The wake-up is not kept; the gatekeeper has to come again. */
export class PushQueueError extends Error {
  readonly code: 'closed' | 'too-many-wait';
  constructor(code: PushQueueError['code']) {
    super(code === 'closed' ? 'the queue of wake-ups is closed' : 'too many wake-ups of this gatekeeper wait');
    this.code = code;
  }
}

export type PushQueueLimits = {
  readonly atOnce: number;
  /** Wake-ups of one gatekeeper that wait or are tried; beyond that it is told to come again. */
  readonly maxPerGatekeeper: number;
  readonly attempts: number;
  /** Before the second try; doubled for each further one, and up to half of it is random. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** The longest pause that a push service may ask for. */
  readonly maxAskedPauseMs: number;
  /** A try that takes longer has failed. */
  readonly timeoutMs: number;
  /** Tries that run on after that; with so many none is begun until one of them ends. */
  readonly maxLate: number;
  /** At least so often it is looked what is due: another process may have added some. */
  readonly lookEveryMs: number;
};

export const defaultPushQueueLimits: PushQueueLimits = {
  atOnce: 32,
  maxPerGatekeeper: 10_000,
  attempts: 12,
  firstPauseMs: 1_000,
  maxPauseMs: 600_000,
  maxAskedPauseMs: 3_600_000,
  timeoutMs: 30_000,
  maxLate: 128,
  lookEveryMs: 60_000,
};

export type PushQueueOptions = {
  readonly store: PushStore;
  readonly hook: WakeUpHook;
  readonly limits: PushQueueLimits;
  readonly log: (event: string, code: string) => void;
  /** 0 up to but not including 1. */
  readonly random: () => number;
  readonly nowMs: () => number;
  /** The system's when left out. */
  readonly after?: After;
};

/** What became of wake-ups since the start, and what is there now. */
export type WakeUpReport = {
  readonly waiting: number;
  readonly taken: number;
  /** Tries that failed and are made again. */
  readonly failed: number;
  /** Tries that have failed by their time and run on just now. */
  readonly late: number;
  /** Given up since the start; the latest of all are `givenUp`. */
  readonly gaveUp: number;
  /** For which there was no room: the gatekeeper comes again. */
  readonly turnedAway: number;
  readonly givenUp: readonly GivenUpWakeUp[];
};

export type PushQueue = {
  /**
   * On the disk when it resolves. `event` is used up together with it; false when it was before. Rejects with a
   * PushQueueError, or with a DatabaseWriteError when it can't be written: then nothing was used up.
   */
  readonly add: (identifier: string, gatekeeper: string, event?: UsedEvent) => Promise<boolean>;
  readonly report: () => WakeUpReport;
  /** Tries everything again that was given up. Gives their number. */
  readonly retryGivenUp: () => Promise<number>;
  /** These have been deleted from the store, with their person: one gatekeeper for each. */
  readonly deleted: (gatekeepers: readonly string[]) => void;
  /** Keeps what waits, and lets what is tried end. */
  readonly close: () => Promise<void>;
};

export function createPushQueue(options: PushQueueOptions): PushQueue {
  const queue = new Pushes(options);
  queue.pump();
  return queue;
}

class Pushes implements PushQueue {
  readonly #options: PushQueueOptions;
  readonly #waiting: Map<string, number>;
  /** By number in the store. */
  readonly #running = new Map<number, Promise<void>>();
  readonly #hooks: Hooks;
  readonly #counts = { taken: 0, failed: 0, gaveUp: 0, turnedAway: 0 };
  readonly #after: After;
  #callOff: (() => void) | undefined;
  #closed = false;

  constructor(options: PushQueueOptions) {
    this.#options = options;
    this.#hooks = new Hooks(options.limits, () => this.pump());
    this.#after = options.after ?? systemAfter;
    this.#waiting = new Map(options.store.countByGatekeeper());
  }

  async add(identifier: string, gatekeeper: string, event?: UsedEvent): Promise<boolean> {
    const { store, limits, nowMs } = this.#options;
    if (this.#closed) throw new PushQueueError('closed');
    if ((this.#waiting.get(gatekeeper) ?? 0) >= limits.maxPerGatekeeper) {
      this.#counts.turnedAway++;
      throw new PushQueueError('too-many-wait');
    }
    // Counted before it is written: a burst that comes in one moment finds the limit too.
    this.#count(gatekeeper, 1);
    let added: Awaited<ReturnType<PushStore['add']>> | undefined;
    try {
      added = await store.add(identifier, gatekeeper, nowMs(), event);
    } finally {
      if (added !== 'added') this.#count(gatekeeper, -1);
    }
    this.pump();
    return added !== 'repeated';
  }

  report(): WakeUpReport {
    const waiting = [...this.#waiting.values()].reduce((sum, count) => sum + count, 0);
    return { waiting, ...this.#counts, late: this.#hooks.late, givenUp: this.#options.store.givenUp() };
  }

  async retryGivenUp(): Promise<number> {
    const { store, nowMs } = this.#options;
    const revived = await store.revive(nowMs());
    this.#waiting.clear();
    for (const [gatekeeper, count] of store.countByGatekeeper()) this.#waiting.set(gatekeeper, count);
    this.pump();
    return revived;
  }

  deleted(gatekeepers: readonly string[]): void {
    for (const gatekeeper of gatekeepers) this.#count(gatekeeper, -1);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#callOff?.();
    await Promise.all(this.#running.values());
  }

  /** Starts what is due, and looks again when the next one is. */
  pump(): void {
    const { store, limits, nowMs } = this.#options;
    if (this.#closed) return;
    this.#callOff?.();
    const now = nowMs();
    for (const wakeUp of store.due(now, now + limits.maxAskedPauseMs, 2 * limits.atOnce)) {
      if (this.#running.size >= limits.atOnce || !this.#hooks.hasRoom) return;
      if (!this.#running.has(wakeUp.id)) this.#start(wakeUp);
    }
    const nextMs = (store.nextAtMs(now) ?? Number.POSITIVE_INFINITY) - now;
    this.#callOff = this.#after(Math.min(nextMs, limits.lookEveryMs), () => this.pump());
  }

  #start(wakeUp: KeptWakeUp): void {
    const attempt = this.#attempt(wakeUp).finally(() => {
      this.#running.delete(wakeUp.id);
      this.pump();
    });
    this.#running.set(wakeUp.id, attempt);
  }

  async #attempt(wakeUp: KeptWakeUp): Promise<void> {
    const { hook, limits, log } = this.#options;
    let failure: { readonly error: unknown } | undefined;
    try {
      await this.#hooks.run(signal => hook(wakeUp.identifier, wakeUp.gatekeeper, signal));
    } catch (error) {
      failure = { error };
    }
    if (failure?.error instanceof HookTooSlow && !this.#hooks.hasRoom) log('wake-up-hook-failed', 'all-hang');
    try {
      await (failure === undefined ? this.#took(wakeUp) : this.#failed(wakeUp, failure.error));
    } catch {
      if (this.#closed) return;
      // It is still there, and would be tried at once: the disk and the push service get a pause.
      log('wake-up-queue-failed', 'storage-failed');
      await new Promise<void>(resolve => this.#after(limits.firstPauseMs, resolve));
    }
  }

  async #took(wakeUp: KeptWakeUp): Promise<void> {
    this.#counts.taken++;
    if (await this.#options.store.remove(wakeUp)) this.#count(wakeUp.gatekeeper, -1);
  }

  async #failed(wakeUp: KeptWakeUp, failure: unknown): Promise<void> {
    const { store, limits, log, nowMs, random } = this.#options;
    if (wakeUp.attempts + 1 >= limits.attempts) {
      if (!(await store.giveUp(wakeUp, reasonOf(failure), nowMs()))) return;
      this.#counts.gaveUp++;
      this.#count(wakeUp.gatekeeper, -1);
      log('wake-up-hook-failed', 'gave-up');
      return;
    }
    this.#counts.failed++;
    const ownMs = Math.min(limits.maxPauseMs, limits.firstPauseMs * 2 ** wakeUp.attempts) * (1 - random() / 2);
    const askedMs = failure instanceof PushLater ? Math.min(limits.maxAskedPauseMs, failure.afterMs) : 0;
    await store.postpone(wakeUp, nowMs() + Math.max(ownMs, askedMs));
  }

  #count(gatekeeper: string, by: 1 | -1): void {
    const left = (this.#waiting.get(gatekeeper) ?? 0) + by;
    if (left <= 0) this.#waiting.delete(gatekeeper);
    else this.#waiting.set(gatekeeper, left);
  }
}

/** A word of a closed set: a message may hold a device's token. */
function reasonOf(failure: unknown): string {
  if (failure instanceof HookTooSlow) return 'timed-out';
  return failure instanceof PushLater ? 'asked-for-later' : 'failed';
}
