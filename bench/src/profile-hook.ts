// Loaded into the server before anything else when it is profiled. The first SIGUSR2 begins, the second ends: V8's CPU
// profile of the main thread and of each worker, and what every thread of the process has used of the CPU meanwhile.
// So that starting up, preparing accounts and warming up are not in what is found.
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { isMainThread, type Worker } from 'node:worker_threads';

export type CpuProfile = {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

export type WindowProfile = {
  /** Threads of JavaScript; the first is the main one. */
  readonly profiles: readonly CpuProfile[];
  /** CPU milliseconds by the name that the kernel has for a thread; steps of 10. */
  readonly threads: Readonly<Record<string, number>>;
};

const folder = process.env['DRAWBRIDGE_PROFILE_FOLDER'];
const workers = new Set<Worker>();
type Running = { readonly session: Session; readonly ofWorkers: readonly { stop(): Promise<string> }[] };
let running: Running | undefined;
let before: Record<string, number> = {};

if (isMainThread && folder !== undefined) {
  process.on('worker', worker => {
    workers.add(worker);
    worker.once('exit', () => workers.delete(worker));
  });
  process.on('SIGUSR2', () => void (running === undefined ? begin() : end(running, folder)));
}

async function begin(): Promise<void> {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  const ofWorkers = await Promise.all([...workers].map(async worker => await worker.startCpuProfile()));
  before = threadsMs();
  running = { session, ofWorkers };
}

async function end({ session, ofWorkers }: Running, to: string): Promise<void> {
  const threads = threadsMs();
  for (const [name, ms] of Object.entries(before)) threads[name] = (threads[name] ?? 0) - ms;
  const { profile } = await session.post('Profiler.stop');
  const others = await Promise.all(ofWorkers.map(async each => JSON.parse(await each.stop()) as CpuProfile));
  const found: WindowProfile = { profiles: [profile as CpuProfile, ...others], threads };
  const file = join(to, 'window.json');
  writeFileSync(`${file}.new`, JSON.stringify(found));
  renameSync(`${file}.new`, file);
}

function threadsMs(): Record<string, number> {
  const used: Record<string, number> = {};
  for (const thread of readdirSync('/proc/self/task')) {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1');
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    used[name] = (used[name] ?? 0) + (Number(fields[11]) + Number(fields[12])) * 10;
  }
  return used;
}
