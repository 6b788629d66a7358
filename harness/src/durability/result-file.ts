// Where figures are kept, and what they were taken on. Knows nothing of what was measured.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** Writes `bench/results/<name>.json`: the figures, and the machine and commit they are of. */
export function writeResult(name: string, figures: object): void {
  const file = fileURLToPath(new URL(`../../../bench/results/${name}.json`, import.meta.url));
  writeFileSync(file, `${JSON.stringify({ ...figures, machine: machine() }, undefined, 1)}\n`);
}

function machine(): Record<string, string | number> {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: commit(),
    date: new Date().toISOString(),
  };
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return git('rev-parse', '--short=12', 'HEAD').trim();
  } catch {
    return 'unknown';
  }
}
