// How long a client waits before it tries again, so that devices that lost a server together do not come back together.
// Knows nothing of connections; chance is an argument. Source: docs/protocol/04-streams.md section 4.4, RFC 6120
// section 3.3.

export const reconnectionLimits = {
  firstPauseMs: 500,
  maxPauseMs: 60_000,
  /** The least span from which a pause is drawn when the gatekeeper has said that it is full or goes down. */
  busyPauseMs: 5_000,
  /** The longest pause when the proof was refused again and again. */
  refusedPauseMs: 600_000,
} as const;

/** Conditions of a stream's end that everybody has been told at once, or that ask for time. */
const busyConditions: ReadonlySet<string> = new Set(['system-shutdown', 'resource-constraint', 'reset']);

export function isBusyCondition(condition: string | undefined): boolean {
  return condition !== undefined && busyConditions.has(condition);
}

/**
 * A pause drawn evenly from 0 to a span that doubles with each attempt (the first is 0) up to a minute.
 *
 * Drawn from the whole span, not around its end: then the devices of one moment are spread over all of it.
 * `random` as Math.random gives it.
 */
export function pauseBeforeRetryMs(attempt: number, busy: boolean, random: number): number {
  const { firstPauseMs, maxPauseMs, busyPauseMs } = reconnectionLimits;
  const span = Math.min(maxPauseMs, firstPauseMs * 2 ** Math.min(attempt, 10));
  return Math.round(random * (busy ? Math.max(span, busyPauseMs) : span));
}

/** The pause of a client whose proof is refused again and again: long, but it goes on, since a provider may mend it. */
export function pauseWhenRefusedMs(random: number): number {
  const { refusedPauseMs } = reconnectionLimits;
  return Math.round(refusedPauseMs / 2 + (random * refusedPauseMs) / 2);
}
