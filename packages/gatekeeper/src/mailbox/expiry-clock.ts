// By which clock mail grows old. A wall clock may be set ahead and back, and acknowledged mail must not be lost by it: what
// comes is good until the later of two clocks says, and is over only when the earlier of them says so. The second clock is
// the wall's time at the start, and goes on by itself. Knows nothing of mailboxes.

/** Whole milliseconds. */
export type ExpiryClock = {
  /** What comes now is counted from here. */
  readonly stampMs: () => number;
  /** What expired at or before this is over. */
  readonly judgeMs: () => number;
};

export function createExpiryClock(wallMs: () => number, monotonicMs: () => number): ExpiryClock {
  const aheadMs = wallMs() - monotonicMs();
  const steadyMs = (): number => Math.floor(monotonicMs() + aheadMs);
  return {
    stampMs: () => Math.max(wallMs(), steadyMs()),
    judgeMs: () => Math.min(wallMs(), steadyMs()),
  };
}
