// Time that went by for this device: from start to start it goes on, and no clock that is set ahead or back while it runs
// moves it. Pure: the clock and what was kept are arguments. Knows nothing of messages or storage.
// Source: docs/protocol/09-content.md section 9.9; docs/decisions/0044.
import type { Clock } from '../clock.ts';

/** Where elapsed time was, and what the clock showed then, or would have shown had nobody set it back. */
export type ElapsedRecord = { readonly elapsedMs: number; readonly wallMs: number };

export class ElapsedTime {
  readonly #clock: Clock;
  readonly #fromMs: number;
  readonly #fromWallMs: number;
  readonly #baseMs: number;

  /**
   * Goes on from `kept`. How long the device was off only its clock can tell: a clock that was set back in the meantime
   * counts as no time.
   */
  constructor(clock: Clock, kept: ElapsedRecord | undefined) {
    this.#clock = clock;
    this.#fromMs = this.#readMs();
    this.#fromWallMs = clock.nowMs();
    this.#baseMs = kept === undefined ? 0 : kept.elapsedMs + Math.max(0, this.#fromWallMs - kept.wallMs);
  }

  nowMs(): number {
    return this.#baseMs + this.#wentByMs();
  }

  /**
   * To be kept, so that the next start goes on from here. A clock that is set back only now would make that start count the
   * time by which it is wrong.
   */
  record(): ElapsedRecord {
    return { elapsedMs: this.nowMs(), wallMs: Math.max(this.#clock.nowMs(), this.#fromWallMs + this.#wentByMs()) };
  }

  #wentByMs(): number {
    return Math.max(0, this.#readMs() - this.#fromMs);
  }

  #readMs(): number {
    return this.#clock.elapsedMs?.() ?? this.#clock.nowMs();
  }
}
