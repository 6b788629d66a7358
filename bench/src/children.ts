// Child processes of the benchmark: started on their core, stopped whatever happens. Knows nothing of what they do.
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { GeneratorReport, Job, JobResult } from './load/generator.ts';
import { loadCore, onCore } from './machine.ts';

const children = new Set<ChildProcess>();

/** Starts a program on a core (undefined: anywhere) and remembers it, so that it ends with us. */
export function startChild(
  core: number | undefined,
  command: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess {
  const run = core === undefined ? { command, args: [...args] } : onCore(core, command, args);
  const child = spawn(run.command, run.args, options);
  children.add(child);
  child.once('exit', () => children.delete(child));
  child.once('error', () => children.delete(child));
  return child;
}

/** Asks a child to end, and makes it after a while. Resolves when it is gone. */
export async function stopChild(child: ChildProcess, graceMs = 5_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await gone;
  clearTimeout(timer);
}

/** For Ctrl-C and failures. */
export function killAllChildren(): void {
  for (const child of children) child.kill('SIGKILL');
}

const generatorFile = fileURLToPath(new URL('./load/generator.ts', import.meta.url));
/** Where latency is measured, the generator's own collections must be no part of it: many short ones, none long. */
const shortPauses = ['--max-semi-space-size=4'];
/** The second as the command has it. */
export const nodeArguments = ['--conditions=drawbridge-source', '--no-allocation-site-pretenuring'];

/** Runs one job in a fresh load generator. Rejects with what went wrong there, or after `timeoutMs`. */
export function runJob<J extends Job>(job: J, timeoutMs = 300_000): Promise<JobResult<J>> {
  return beginJob(job, timeoutMs).result;
}

export type RunningJob<J extends Job> = {
  /** Fulfilled when it says that it is under way, of jobs that say so. */
  readonly ready: Promise<void>;
  readonly result: Promise<JobResult<J>>;
  /** Tells it to come to its end. */
  end(): void;
};

export function beginJob<J extends Job>(job: J, timeoutMs = 300_000): RunningJob<J> {
  const isOpenLoop = job.kind === 'chat' && job.load.loop === 'open';
  const flags = isOpenLoop ? shortPauses : [];
  const args = [...nodeArguments, '--max-old-space-size=8192', ...flags, generatorFile];
  const child = startChild(loadCore, process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ready = Promise.withResolvers<void>();
  const result = Promise.withResolvers<JobResult<J>>();
  const fail = (error: Error): void => {
    clearTimeout(timer);
    ready.reject(error);
    result.reject(error);
  };
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    fail(new Error(`the load generator took longer than ${timeoutMs / 1_000} s for ${job.kind}`));
  }, timeoutMs);
  // A caller that waits for one of them need not wait for the other.
  ready.promise.catch(() => undefined);
  result.promise.catch(() => undefined);
  child.once('error', fail);
  child.once('exit', code => fail(new Error(`the load generator ended with ${code}`)));
  child.on('message', (report: GeneratorReport) => {
    if (report.kind === 'ready') ready.resolve();
    else if (report.kind === 'failed') fail(new Error(report.message));
    else {
      clearTimeout(timer);
      result.resolve(report.result as JobResult<J>);
    }
  });
  child.send(job);
  return { ready: ready.promise, result: result.promise, end: () => void (child.connected && child.send('end')) };
}
