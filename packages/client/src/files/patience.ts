// How long a transfer waits from try to try, and when it gives up because nothing moves.
// Knows nothing of connections or files; time and chance are arguments.
// Source: docs/protocol/11-media.md section 11.4.
import type { Clock, Random } from '../clock.ts';

export const patienceLimits = {
  /** Tries in a row that move nothing; then the transfer fails, and can be taken up later. */
  triesWithoutProgress: 8,
  firstWaitMs: 250,
  maxWaitMs: 10_000,
} as const;

export type PatienceContext = {
  readonly clock: Pick<Clock, 'after'>;
  readonly random: Random;
  readonly signal?: AbortSignal | undefined;
};

export class Patience {
  readonly #context: PatienceContext;
  #triesLeft: number = patienceLimits.triesWithoutProgress;
  #waitMs: number = patienceLimits.firstWaitMs;
  #furthest = 0;

  constructor(context: PatienceContext) {
    this.#context = context;
  }

  progressed(atBytes: number): boolean {
    if (atBytes <= this.#furthest) return false;
    this.#furthest = atBytes;
    this.#triesLeft = patienceLimits.triesWithoutProgress;
    this.#waitMs = patienceLimits.firstWaitMs;
    return true;
  }

  /** `tired`: it was tried often enough, and was not waited for. `aborted`: at once, when the signal says so. */
  async wait(): Promise<'waited' | 'tired' | 'aborted'> {
    const { clock, random, signal } = this.#context;
    if (--this.#triesLeft === 0) return 'tired';
    if (signal?.aborted === true) return 'aborted';
    // Spread, so that many clients of one server that came back don't come at once.
    const waitMs = this.#waitMs * (0.5 + random() / 2);
    this.#waitMs = Math.min(this.#waitMs * 2, patienceLimits.maxWaitMs);
    const { promise, resolve } = Promise.withResolvers<'waited' | 'aborted'>();
    const cancel = clock.after(waitMs, () => resolve('waited'));
    const abort = (): void => resolve('aborted');
    signal?.addEventListener('abort', abort, { once: true });
    const ended = await promise;
    cancel();
    signal?.removeEventListener('abort', abort);
    return ended;
  }
}
