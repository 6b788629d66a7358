// A clock that goes on only when a test says so, and its timers. Knows nothing of what runs by it.
import type { Clock } from '../clock.ts';

export class PlayedClock implements Clock {
  #nowMs = 1_800_000_000_000;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, run };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter(each => each !== timer));
  }

  get timers(): number {
    return this.#timers.length;
  }

  /** What is due by then runs once that time is over. */
  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter(each => !due.includes(each));
    for (const { run } of due) run();
  }

  /** The clock is set: timers run on, as the system's do. */
  set(byMs: number): void {
    this.#nowMs += byMs;
    this.#timers = this.#timers.map(({ atMs, run }) => ({ atMs: atMs + byMs, run }));
  }

  /** As when a process ends. */
  forgetTimers(): void {
    this.#timers = [];
  }
}
