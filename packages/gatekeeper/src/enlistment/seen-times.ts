// Until when used proofs may be forgotten: by what the wall clock has said over a while, not by what it says just now.
// A clock that is set ahead and back again must not let a used proof work once more.
// Knows nothing of proofs. Source: threat 3 of docs/threat-model.md.

/** Longer than any proof can be accepted: its life of 10 minutes, and a minute of skew at each end. */
export const forgettingDelayMs = 15 * 60_000;
const bucketMs = 30_000;

export class SeenTimes {
  readonly #startedAtMs: number;
  /** The earliest wall clock seen in each half minute of the other clock, oldest first. */
  #buckets: { readonly fromMs: number; earliestMs: number }[] = [];

  /** Times of a clock that only goes forward are `monotonic`. */
  constructor(monotonicMs: number) {
    this.#startedAtMs = monotonicMs;
  }

  note(wallMs: number, monotonicMs: number): void {
    const last = this.#buckets.at(-1);
    if (last !== undefined && monotonicMs < last.fromMs + bucketMs) last.earliestMs = Math.min(last.earliestMs, wallMs);
    else this.#buckets.push({ fromMs: monotonicMs, earliestMs: wallMs });
    const kept = this.#buckets.findIndex(({ fromMs }) => fromMs + bucketMs > monotonicMs - forgettingDelayMs);
    if (kept > 0) this.#buckets = this.#buckets.slice(kept);
  }

  /** What ended before this may be forgotten; undefined while too little has been seen. */
  forgetBeforeMs(monotonicMs: number): number | undefined {
    if (monotonicMs - this.#startedAtMs < forgettingDelayMs || this.#buckets.length === 0) return undefined;
    return Math.min(...this.#buckets.map(({ earliestMs }) => earliestMs));
  }
}
