// What the measurements were taken on, and what the kernel says about a process. Linux only, and says so elsewhere.
// Knows nothing of servers or protocols.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export const repositoryFolder = fileURLToPath(new URL('../../', import.meta.url));

export type Machine = {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
};

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: gitCommit(),
    date: new Date().toISOString(),
  };
}

function gitCommit(): string {
  try {
    const run = (args: string[]): string =>
      execFileSync('git', args, {
        cwd: repositoryFolder,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim();
    const changed = run(['status', '--porcelain', '--untracked-files=no', '--', 'packages', 'apps']) !== '';
    return run(['rev-parse', '--short=12', 'HEAD']) + (changed ? ' with changes' : '');
  } catch {
    return 'unknown';
  }
}

/** Why this machine can't measure, in words; undefined when it can. */
export function unfitMachine(): string | undefined {
  if (process.platform !== 'linux') return 'CPU time and memory of servers are read from /proc: run this on Linux';
  if (!hasCommand('taskset')) return 'taskset is missing: install util-linux';
  return undefined;
}

export function hasCommand(name: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** USER_HZ: the unit of /proc/PID/stat. 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** User and system CPU time of a process with all its threads, milliseconds, in steps of 10; its dead children left out. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / ticksPerSecond;
}

/** Of `cpuMsOf`, what the kernel did for the process. */
export function systemMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[12]) * 1_000) / ticksPerSecond;
}

/** CPU time that all processes of the machine have used, milliseconds. */
export function machineCpuMs(): number {
  const fields = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.trim().split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields;
  return ((user + nice + system + irq + softirq) * 1_000) / ticksPerSecond;
}

export type Memory = {
  /** Resident now, with what the kernel has swapped out. */
  readonly residentKiB: number;
  /** Highest since `resetMemoryPeak`. */
  readonly peakKiB: number;
};

export function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+([0-9]+)`, 'm').exec(status)?.[1] ?? 0);
  return { residentKiB: field('VmRSS') + field('VmSwap'), peakKiB: field('VmHWM') };
}

/** The kernel may reclaim idle pages by itself, so that resident memory understates: the peak since a reset does not. */
export function resetMemoryPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // Not allowed here: the peak is then the process's own since its start.
  }
}

export type SwitchCounts = { readonly voluntary: number; readonly readCalls: number; readonly writeCalls: number };

/** Context switches of the process's threads, and its read and write system calls where the kernel counts them. */
export function switchesOf(pid: number): SwitchCounts {
  let voluntary = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
      voluntary += Number(/^voluntary_ctxt_switches:\s+([0-9]+)/m.exec(status)?.[1] ?? 0);
    } catch {
      // The thread has ended meanwhile.
    }
  }
  let io = '';
  try {
    io = readFileSync(`/proc/${pid}/io`, 'latin1');
  } catch {
    // Not counted on this kernel.
  }
  const count = (name: string): number => Number(new RegExp(`^${name}: ([0-9]+)`, 'm').exec(io)?.[1] ?? 0);
  return { voluntary, readCalls: count('syscr'), writeCalls: count('syscw') };
}

/** Moves a process with all its threads to one core; new threads follow. */
export function pinToCore(pid: number, core: number): void {
  if (availableParallelism() < 2) return;
  execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' });
}

/** Command and arguments that start a program on one core; unchanged where there is only one. */
export function onCore(core: number, command: string, args: readonly string[]): { command: string; args: string[] } {
  if (availableParallelism() < 2) return { command, args: [...args] };
  return { command: 'taskset', args: ['-c', String(core), command, ...args] };
}

export const serverCore = 0;
export const loadCore = 1;

/** Files and sockets that a process may have open. */
export function fileLimit(): number {
  return Number(/^Max open files\s+([0-9]+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 1_024);
}

/** Tries to raise the limit for this process and its children; where that is not allowed it stays. */
export function raiseFileLimit(): void {
  if (fileLimit() >= 65_536) return;
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=65536:65536'], { stdio: 'ignore' });
  } catch {
    // Suites take what there is.
  }
}
