// Counts attempts by key, as a bucket that refills steadily. Knows nothing of what is attempted, or by whom.

export type AttemptBudgetLimits = {
  /** Attempts that are allowed at once … */
  readonly burst: number;
  /** … and an empty bucket is full again after this time. */
  readonly refillMs: number;
  /** Keys that are remembered; beyond that the one unused for longest is forgotten. */
  readonly maxKeys: number;
};

export type AttemptBudget = {
  /** Takes one. 0 when there was one, otherwise the seconds until there is. */
  readonly take: (key: string) => number;
  /** Fills it up again, after a success. */
  readonly restore: (key: string) => void;
};

/** `nowMs` only goes forward, such as `performance.now`. `sharesOf`: how many buckets in one a key has. */
export function createAttemptBudget(
  limits: AttemptBudgetLimits,
  nowMs: () => number,
  sharesOf: (key: string) => number = () => 1,
): AttemptBudget {
  const buckets = new Map<string, { left: number; atMs: number }>();
  return {
    take: key => {
      const now = nowMs();
      const seen = buckets.get(key);
      const burst = limits.burst * sharesOf(key);
      const msPerAttempt = limits.refillMs / burst;
      const left = seen === undefined ? burst : Math.min(burst, seen.left + (now - seen.atMs) / msPerAttempt);
      const granted = left >= 1;
      // Set again, so that the map's order is the order of use.
      buckets.delete(key);
      buckets.set(key, { left: granted ? left - 1 : left, atMs: now });
      if (buckets.size > limits.maxKeys) {
        const oldest = buckets.keys().next();
        if (oldest.done !== true) buckets.delete(oldest.value);
      }
      return granted ? 0 : Math.max(1, Math.ceil(((1 - left) * msPerAttempt) / 1000));
    },
    restore: key => void buckets.delete(key),
  };
}
