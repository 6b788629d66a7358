// How much mail waits, measured now and then and told as often as somebody asks. Knows no store; clocks are arguments.
import type { MailboxDepth } from '../storage/stores.ts';

/** Counting costs reads: it is not done for every scrape. */
export const depthMaxAgeMs = 60_000;

/** Gives the latest measurement, or makes one. A measurement that fails gives the one before, or nothing. */
export function createMeasuredDepth(
  measure: () => Promise<MailboxDepth>,
  monotonicMs: () => number,
): () => Promise<MailboxDepth | undefined> {
  let known: MailboxDepth | undefined;
  let measuredAtMs = Number.NEGATIVE_INFINITY;
  let underWay: Promise<void> | undefined;
  return async () => {
    if (monotonicMs() - measuredAtMs >= depthMaxAgeMs) {
      underWay ??= measure()
        .then(
          depth => {
            known = depth;
            measuredAtMs = monotonicMs();
          },
          () => undefined,
        )
        .finally(() => {
          underWay = undefined;
        });
      await underWay;
    }
    return known;
  };
}
