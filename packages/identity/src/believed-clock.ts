// By which clock kept things grow old. A wall clock that is set, or wrong when the process starts, must delete nothing that was
// acknowledged: what comes is good until the later of two clocks says so, and is over only when the earlier one does: the wall
// clock, and the time that was last believed, which goes on by itself. Knows nothing of what is kept, or where times are remembered.
// Source: docs/decisions/0068.

/**
 * A clock that has moved on by more than this since it was believed last, at once, is not believed. So much is believed for
 * nothing, and after that as much as has gone by meanwhile: however often a clock leaps, things grow old at most twice as fast.
 */
export const believedLeapMs = 24 * 3_600_000;
/** That a clock is a little ahead is not worth a word: it may run a little faster. */
const toleratedMs = 60_000;
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

/** What outlives a process. */
export type RememberedTime = {
  /** What was believed last. */
  readonly seenMs: number;
  /** When as much time will have gone by as was believed for the leaps of a clock. Earlier than `seenMs`: nothing is owed. */
  readonly leapsPaidAtMs: number;
};

export type BelievedClock = ExpiryClock & {
  /**
   * What others are told as the time: the wall clock while it is believed, and what is believed while it is not, so that they
   * take what was told by a clock that is wrong here.
   */
  readonly tellMs: () => number;
  readonly state: () => ClockState;
  /**
   * To be called now and then. A small leap is believed once it has lasted for its own longest length. Gives what is to be
   * remembered for the next start.
   */
  readonly note: () => RememberedTime;
  /** What is remembered by now, by whichever process: a later time than one's own is believed. */
  readonly hear: (remembered: RememberedTime) => void;
  /** A person says that the wall clock is right. */
  readonly confirm: () => void;
};

function owedMs({ seenMs, leapsPaidAtMs }: RememberedTime): number {
  return Math.max(0, leapsPaidAtMs - seenMs);
}

/** What a clock is that shows `wallMs` when this is remembered; undefined: nothing is known yet. */
export function clockStateAt(wallMs: number, remembered: RememberedTime | undefined): ClockState {
  if (remembered === undefined) return { kind: 'believed' };
  const byMs = wallMs - remembered.seenMs;
  if (byMs > Math.max(toleratedMs, believedLeapMs - owedMs(remembered))) return { kind: 'ahead', byMs };
  if (byMs < -believedLagMs) return { kind: 'behind', byMs: -byMs };
  return { kind: 'believed' };
}

/** `monotonicMs` only goes forward. */
export function createBelievedClock(
  wallMs: () => number,
  monotonicMs: () => number,
  remembered?: RememberedTime,
): BelievedClock {
  /** How far what is believed is ahead of the other clock. */
  let aheadMs = (remembered?.seenMs ?? wallMs()) - monotonicMs();
  let leapsPaidAtMs = remembered?.leapsPaidAtMs ?? 0;
  let leaptAtMs: number | undefined;
  const believedMs = (): number => Math.floor(monotonicMs() + aheadMs);
  const believed = (): RememberedTime => ({ seenMs: believedMs(), leapsPaidAtMs });
  const judgeMs = (): number => Math.min(wallMs(), believedMs());
  const believe = (ms: number): void => {
    aheadMs = ms - monotonicMs();
    leaptAtMs = undefined;
  };
  const believeLeap = (leapMs: number): void => {
    const nowMs = believedMs() + leapMs;
    if (leapMs > 0) leapsPaidAtMs = nowMs + owedMs(believed()) + leapMs;
    believe(nowMs);
  };
  const startLeapMs = wallMs() - believedMs();
  if (startLeapMs >= -believedLagMs && startLeapMs + owedMs(believed()) <= believedLeapMs) believeLeap(startLeapMs);

  return {
    stampMs: () => Math.max(wallMs(), believedMs()),
    judgeMs,
    tellMs: () => (clockStateAt(wallMs(), believed()).kind === 'believed' ? wallMs() : believedMs()),
    state: () => clockStateAt(wallMs(), believed()),
    note() {
      const leapMs = wallMs() - believedMs();
      if (leapMs <= 0 || leapMs > believedLeapMs) leaptAtMs = undefined;
      else if (leaptAtMs === undefined) leaptAtMs = monotonicMs();
      // By then nothing is owed for earlier ones.
      else if (monotonicMs() - leaptAtMs >= believedLeapMs) believeLeap(leapMs);
      return { seenMs: judgeMs(), leapsPaidAtMs };
    },
    hear(heard) {
      if (heard.seenMs > believedMs()) believe(heard.seenMs);
      leapsPaidAtMs = heard.leapsPaidAtMs;
    },
    confirm() {
      leapsPaidAtMs = 0;
      believe(wallMs());
    },
  };
}
