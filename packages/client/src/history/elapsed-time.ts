// Time that went by for this device: from start to start it goes on, and no clock that is set ahead or back while it runs
// moves it. Pure: the clock and what was kept are arguments. Knows nothing of messages or storage.
// Source: docs/protocol/09-content.md section 9.9; docs/decisions/0044.
import type { Clock } from '../clock.ts';

/** Where elapsed time was, and what the clock showed then. */
export type ElapsedRecord = { readonly elapsedMs: number; readonly wallMs: number };

export class ElapsedTime {
  readonly #clock: Clock;
  readonly #fromMs: number;
  readonly #baseMs: number;

  /**
   * Goes on from `kept`. How long the device was off only its clock can tell: a clock that was set back in the meantime
   * counts as no time.
   */
  constructor(clock: Clock, kept: ElapsedRecord | undefined) {
    this.#clock = clock;
    this.#fromMs = this.#readMs();
    this.#baseMs = kept === undefined ? 0 : kept.elapsedMs + Math.max(0, clock.nowMs() - kept.wallMs);
  }

  nowMs(): number {
    return this.#baseMs + Math.max(0, this.#readMs() - this.#fromMs);
  }

  /** To be kept, so that the next start goes on from here. */
  record(): ElapsedRecord {
    return { elapsedMs: this.nowMs(), wallMs: this.#clock.nowMs() };
  }

  #readMs(): number {
    return this.#clock.elapsedMs?.() ?? this.#clock.nowMs();
  }
}
