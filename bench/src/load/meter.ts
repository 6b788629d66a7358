// Measures a stretch of time: what the server and the generator used of their cores, and what everybody else did.
import { performance } from 'node:perf_hooks';
import { cpuMsOf, machineCpuMs, systemMsOf } from '../machine.ts';
import type { Target } from './target.ts';

export type Metered = {
  readonly seconds: number;
  readonly serverCpuMs: number;
  /** Of that, in the kernel: mostly sockets. */
  readonly serverSystemMs: number;
  readonly serverCores: number;
  readonly generatorCores: number;
  /** What everybody else on the machine used: measurements beside a busy neighbour are worth less. */
  readonly otherCores: number;
};

/** Starts now; call the result at the end. A server that is profiled hears of both moments (profile-hook.ts). */
export function startMeter({ pid, profiled }: Pick<Target, 'pid' | 'profiled'>): () => Metered {
  if (profiled === true) process.kill(pid, 'SIGUSR2');
  const own = process.cpuUsage();
  const beganMs = performance.now();
  const [server, system, machine] = [cpuMsOf(pid), systemMsOf(pid), machineCpuMs()];
  return () => {
    if (profiled === true) process.kill(pid, 'SIGUSR2');
    const [serverCpuMs, machineMs] = [cpuMsOf(pid) - server, machineCpuMs() - machine];
    const elapsedMs = performance.now() - beganMs;
    const used = process.cpuUsage(own);
    const generatorCores = (used.user + used.system) / 1_000 / elapsedMs;
    return {
      seconds: elapsedMs / 1_000,
      serverCpuMs,
      serverSystemMs: systemMsOf(pid) - system,
      serverCores: serverCpuMs / elapsedMs,
      generatorCores,
      otherCores: Math.max(0, (machineMs - serverCpuMs) / elapsedMs - generatorCores),
    };
  };
}

export function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
