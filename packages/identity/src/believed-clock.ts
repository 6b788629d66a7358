// By which clock kept things grow old. A wall clock that is set, or wrong when the process starts, must delete nothing that was
// acknowledged: what comes is good until the later of two clocks says so, and is over only when the earlier one does: the wall
// clock, and the time that was last believed, which goes on by itself. Knows nothing of what is kept, or where times are remembered.
// Source: docs/decisions/0068.

/** A clock that has moved on by more than this since it was believed last, at once, is not believed. */
export const believedLeapMs = 24 * 3_600_000;
/** A clock may be this far behind what was believed: what was used once is remembered for longer (`forgettingDelayMs`). */
export const believedLagMs = 10 * 60_000;

/** `ahead`: nothing grows old by it until a person has confirmed it. `behind`: it shows a time that was over before. */
export type ClockState = { readonly kind: 'believed' } | { readonly kind: 'ahead' | 'behind'; readonly byMs: number };

/** Whole milliseconds. */
export type ExpiryClock = {
  /** What comes now is counted from here. */
  readonly stampMs: () => number;
  /** What expired at or before this is over. */
  readonly judgeMs: () => number;
};

export type BelievedClock = ExpiryClock & {
  readonly state: () => ClockState;
  /**
   * To be called now and then. A small leap is believed once it has lasted for its own longest length; `seenMs` is what another
   * process has believed meanwhile. Gives what is to be remembered for the next start.
   */
  readonly note: (seenMs?: number) => number;
  /** A person says that the wall clock is right. */
  readonly confirm: () => void;
};

/** What a clock is that shows `wallMs` when `seenMs` was believed last; undefined: nothing is known yet. */
export function clockStateAt(wallMs: number, seenMs: number | undefined): ClockState {
  const byMs = wallMs - (seenMs ?? wallMs);
  if (byMs > believedLeapMs) return { kind: 'ahead', byMs };
  if (byMs < -believedLagMs) return { kind: 'behind', byMs: -byMs };
  return { kind: 'believed' };
}

/** `monotonicMs` only goes forward; `seenMs` is what was remembered last. */
export function createBelievedClock(wallMs: () => number, monotonicMs: () => number, seenMs?: number): BelievedClock {
  const startMs = clockStateAt(wallMs(), seenMs).kind === 'believed' ? wallMs() : seenMs!;
  /** How far what is believed is ahead of the other clock. */
  let aheadMs = startMs - monotonicMs();
  let leaptAtMs: number | undefined;
  const believedMs = (): number => Math.floor(monotonicMs() + aheadMs);
  const judgeMs = (): number => Math.min(wallMs(), believedMs());
  const believe = (ms: number): void => {
    aheadMs = ms - monotonicMs();
    leaptAtMs = undefined;
  };

  return {
    stampMs: () => Math.max(wallMs(), believedMs()),
    judgeMs,
    state: () => clockStateAt(wallMs(), believedMs()),
    note(otherMs = Number.NEGATIVE_INFINITY) {
      if (otherMs > believedMs()) believe(otherMs);
      const leapMs = wallMs() - believedMs();
      if (leapMs <= 0 || leapMs > believedLeapMs) leaptAtMs = undefined;
      else if (leaptAtMs === undefined) leaptAtMs = monotonicMs();
      else if (monotonicMs() - leaptAtMs >= believedLeapMs) believe(wallMs());
      return judgeMs();
    },
    confirm: () => believe(wallMs()),
  };
}
