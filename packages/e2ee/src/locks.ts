// Keyed locks: whoever asks for some keys waits for everybody who asked for one of them before.
// Two encryptions at once on one session would use one message key twice; these locks are what prevents it.
// Knows nothing of sessions. One process only: the store's own lock keeps other processes out.

/** Operations that may wait or run at once; more are refused. */
export const MAX_WAITING_OPERATIONS = 4_096;

export type Locks = {
  /** Runs `work` when all keys are free and frees them when it is done; undefined when too many wait already. */
  run<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> | undefined;
};

export function createLocks(): Locks {
  // The last operation that asked for a key. All keys are taken in one synchronous step, so nobody waits in a circle.
  const tails = new Map<string, Promise<void>>();
  let waiting = 0;
  return {
    run(keys, work) {
      if (waiting >= MAX_WAITING_OPERATIONS) return undefined;
      waiting++;
      const before = keys.flatMap(key => tails.get(key) ?? []);
      const result = Promise.all(before).then(work);
      const settled = result.then(
        () => {},
        () => {},
      );
      const tail = settled.then(() => {
        waiting--;
        for (const key of keys) if (tails.get(key) === tail) tails.delete(key);
      });
      for (const key of keys) tails.set(key, tail);
      return result;
    },
  };
}
