// Keeps a key set fresh by the clock, so that logins seldom wait for a fetch. Knows nothing of keys.
// Source: docs/protocol/02 (Keys: at start, and then periodically).

import { type KeySet, keySetLimits } from './key-set.ts';
import { type After, systemAfter } from './timers.ts';

/** Fetching starts this long before the set is due. */
const aheadMs = 5_000;
const minPauseMs = 1_000;

/** Fetches at once and then whenever it is nearly due, until the returned function is called. `nowMs`: the set's own clock. */
export function keepFresh(keySet: KeySet, nowMs: () => number, after: After = systemAfter): () => void {
  let callOff: (() => void) | undefined;
  let stopped = false;
  const run = async (): Promise<void> => {
    await keySet.refresh();
    if (stopped) return;
    const untilDueMs = keySet.dueAtMs() - nowMs();
    // Retries after a failure are never early: their pauses are what protects the provider.
    const pauseMs = untilDueMs > keySetLimits.maxRetryMs ? untilDueMs - aheadMs : Math.max(untilDueMs, minPauseMs);
    callOff = after(pauseMs, () => void run());
  };
  void run();
  return () => {
    stopped = true;
    callOff?.();
  };
}
