// Timers that tests play: nothing is called before `advance` has come to its time. Knows no clock but its own.
import type { After } from '../timers.ts';

export class PlayedTimers {
  nowMs = 0;
  #waiting: { readonly dueMs: number; readonly run: () => void }[] = [];

  readonly after: After = (ms, run) => {
    const timer = { dueMs: this.nowMs + ms, run };
    this.#waiting.push(timer);
    return () => {
      this.#waiting = this.#waiting.filter(each => each !== timer);
    };
  };

  /** How many wait. */
  get count(): number {
    return this.#waiting.length;
  }

  /** Calls what is due within that time, in its order, also what it begins meanwhile. */
  advance(ms: number): void {
    const endMs = this.nowMs + ms;
    for (;;) {
      const [next] = this.#waiting.filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#waiting = this.#waiting.filter(each => each !== next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.run();
    }
    this.nowMs = endMs;
  }
}
