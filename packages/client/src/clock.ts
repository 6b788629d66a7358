// Time and chance as arguments, so that what waits and what is drawn can be played by tests.
// Knows nothing of who waits.
import { uptime } from 'node:os';

export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds from any beginning, never set back or ahead; absent in clocks whose `nowMs` is so already. */
  monotonicMs?(): number;
  /**
   * Milliseconds that went by, from any beginning, also while the machine slept, whatever the clock was set to; absent in
   * clocks whose `nowMs` is so already.
   */
  elapsedMs?(): number;
  /** Calls back once after that time; gives a function that calls it off. */
  after(ms: number, run: () => void): () => void;
}

/** 0 <= value < 1, as Math.random. */
export type Random = () => number;

/** The system's timers run longer ones at once. */
const maxTimerMs = 2_147_483_647;

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  elapsedMs: () => uptime() * 1_000,
  after: (ms, run) => {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, maxTimerMs);
      timer = setTimeout(() => (stepMs < leftMs ? wait(leftMs - stepMs) : run()), stepMs);
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};
