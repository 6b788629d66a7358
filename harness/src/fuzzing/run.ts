// Plays seeds in processes of their own for a time, and keeps those that fail: an exception, a crash, too much memory or
// no end. Knows nothing of what is fuzzed.
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FuzzTargetName, fuzzTargets } from './targets.ts';

export type FuzzOrder = { readonly target: FuzzTargetName; readonly seed: number; readonly iterations: number };
export type FuzzReport = { readonly failure: string | undefined };

/** One seed that failed once: played again by a test for ever. */
export type FuzzCase = { readonly seed: number; readonly iterations: number; readonly failure: string };

/** A seed that takes longer never ends. A worker that needs more memory has a leak, or is made to hoard. */
const maxSeedMs = 120_000;
const maxWorkerMiB = 512;
const progressMs = 10_000;
const maxFailureLength = 500;

export type FuzzOptions = {
  readonly minutes: number;
  /** The first seed; each further one is one more, modulo 2^32. */
  readonly seed: number;
  readonly jobs: number;
  readonly targets: readonly FuzzTargetName[];
  readonly corpusFolder: string;
  readonly print: (line: string) => void;
  readonly workerFile?: URL;
  readonly maxSeedMs?: number;
};

export type FuzzOutcome = { readonly seeds: number; readonly rounds: number; readonly failures: number };

/** Plays seeds until the time is over. */
export async function runFuzz(options: FuzzOptions): Promise<FuzzOutcome> {
  const endMs = performance.now() + options.minutes * 60_000;
  const counts = new Map<FuzzTargetName, number>(options.targets.map(name => [name, 0]));
  let seeds = 0;
  let failures = 0;
  const progress = setInterval(() => {
    const done = [...counts].map(([name, rounds]) => `${name} ${rounds.toLocaleString('en')}`).join(', ');
    const left = Math.max(0, Math.round((endMs - performance.now()) / 1_000));
    options.print(`${done} rounds; ${failures} failed; ${left} s left`);
  }, progressMs);

  const work = async (): Promise<void> => {
    const worker = new FuzzWorker(options.workerFile ?? new URL('./worker.ts', import.meta.url), options.maxSeedMs);
    try {
      while (performance.now() < endMs) {
        const at = seeds++;
        const target = options.targets[at % options.targets.length]!;
        const order = { target, seed: (options.seed + at) >>> 0, iterations: fuzzTargets[target].iterations };
        const failure = await worker.play(order);
        counts.set(target, counts.get(target)! + order.iterations);
        if (failure === undefined) continue;
        failures++;
        options.print(`FAILED ${target}, seed ${order.seed}: ${failure}`);
        keep(options.corpusFolder, target, { seed: order.seed, iterations: order.iterations, failure });
      }
    } finally {
      worker.close();
    }
  };
  try {
    await Promise.all(Array.from({ length: options.jobs }, work));
  } finally {
    clearInterval(progress);
  }
  const rounds = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { seeds, rounds, failures };
}

/** The kept seeds of a target. */
export function readCorpus(folder: string, target: FuzzTargetName): FuzzCase[] {
  const file = join(folder, `${target}.json`);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as FuzzCase[]) : [];
}

function keep(folder: string, target: FuzzTargetName, found: FuzzCase): void {
  const known = readCorpus(folder, target);
  if (known.some(each => each.seed === found.seed && each.iterations === found.iterations)) return;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${target}.json`), `${JSON.stringify([...known, found], undefined, 2)}\n`);
}

/** A process that is replaced when it ends or has to be ended. */
class FuzzWorker {
  readonly #file: URL;
  readonly #maxSeedMs: number;
  #process: ChildProcess | undefined;

  constructor(file: URL, maxMs = maxSeedMs) {
    this.#file = file;
    this.#maxSeedMs = maxMs;
  }

  /** Why it failed; undefined when all was well. */
  async play(order: FuzzOrder): Promise<string | undefined> {
    const child = (this.#process ??= fork(this.#file, {
      execArgv: ['--conditions=drawbridge-source', `--max-old-space-size=${maxWorkerMiB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    }));
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const reported = (report: FuzzReport): void => resolve(report.failure?.slice(0, maxFailureLength));
    const ended = (code: number | null, signal: string | null): void => {
      this.#process = undefined;
      resolve(`the process ended: ${signal ?? `code ${code}`}`);
    };
    child.on('message', reported);
    child.on('exit', ended);
    child.on('error', () => ended(null, 'not started'));
    const timer = setTimeout(() => {
      resolve(`no end within ${this.#maxSeedMs} ms`);
      child.kill('SIGKILL');
      this.#process = undefined;
    }, this.#maxSeedMs);
    child.send(order);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      child.off('message', reported);
      child.off('exit', ended);
      child.removeAllListeners('error');
    }
  }

  close(): void {
    this.#process?.kill('SIGKILL');
  }
}
