// Loaded into a server before anything else when its memory is read. At each SIGUSR2 all its threads of JavaScript collect
// their garbage, and a file says what the main thread's heap holds then: what is left is held by somebody.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

export type Collected = {
  /** What objects of the main thread take, and what they hold outside of its heap. */
  readonly heapBytes: number;
  readonly externalBytes: number;
};

/** Where a server of this process id says that it has collected. */
export function collectedFile(folder: string, pid: number): string {
  return join(folder, `collected-${pid}.json`);
}

const folder = process.env['DRAWBRIDGE_COLLECT_FOLDER'];
/** Between two collections: finalizers run. */
const restMs = 500;
/** V8 keeps pages that it has emptied for 8 seconds (`--memory-pool-timeout`), then gives them back. */
const pagesGoMs = 10_000;

if (folder !== undefined) {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (how?: object) => void;
  // As V8 does by itself when a process has been idle for a while: with what that takes to give pages back.
  const collect = (): void => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  const others = new BroadcastChannel('drawbridge-collect');
  others.unref();
  if (isMainThread) {
    process.on('SIGUSR2', () => {
      others.postMessage('collect');
      collect();
      setTimeout(() => {
        others.postMessage('collect');
        collect();
        setTimeout(() => report(folder), pagesGoMs);
      }, restMs);
    });
  } else others.onmessage = collect;
}

function report(to: string): void {
  const { heapUsed, external } = process.memoryUsage();
  const file = collectedFile(to, process.pid);
  writeFileSync(`${file}.new`, JSON.stringify({ heapBytes: heapUsed, externalBytes: external } satisfies Collected));
  renameSync(`${file}.new`, file);
}
