// V8's helper threads (concurrent marking, compilation) give way to the thread that moves messages, where both must
// share a core. Knows nothing of gatekeepers.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** A helper gets about a quarter of a core that another thread wants too, and all of one that is free. */
const helperNiceness = 5;
const tasks = '/proc/self/task';

/**
 * Lowers the priority of V8's helper threads. Linux alone has priorities by thread (setpriority(2)); elsewhere, and where
 * the system forbids it, nothing happens. Gives how many threads were lowered.
 *
 * On a machine of one core a collection of old objects marks for 100 to 200 ms beside the event loop; with equal rights
 * it takes half of the core for that time, and messages wait for 20 to 50 ms (docs/decisions/0020).
 */
export function letHelpersGiveWay(): number {
  let lowered = 0;
  for (const thread of existsSync(tasks) ? readdirSync(tasks) : []) {
    try {
      if (!readFileSync(`${tasks}/${thread}/comm`, 'utf8').includes('V8Worker')) continue;
      setPriority(Number(thread), helperNiceness);
      lowered++;
    } catch {
      // It has ended, or a sandbox forbids it: latency is a little worse, nothing else.
    }
  }
  return lowered;
}
