// Question: how much memory does a logged-in, silent stream hold in the server?
import { memoryOf, resetMemoryPeak } from '../machine.ts';
import type { ClientSink } from './client.ts';
import { logInAll } from './logins.ts';
import { sleep } from './meter.ts';
import { readPeople, type Target } from './target.ts';

export type IdleJob = {
  readonly kind: 'idle';
  readonly target: Target;
  /** Ascending. */
  readonly steps: readonly number[];
  /** How long to wait before each look: garbage goes away when there is time. */
  readonly settleMs: number;
};

export type IdleResult = {
  readonly baseKiB: number;
  readonly steps: readonly {
    readonly streams: number;
    readonly kibPerStream: number;
    /** From the highest that was resident since the reset after logging in, not lower than what is there now. */
    readonly peakKibPerStream: number;
    readonly residentKiB: number;
    readonly lost: number;
  }[];
};

export async function idle(job: IdleJob): Promise<IdleResult> {
  const { target } = job;
  let lost = 0;
  const sink: ClientSink = { message() {}, acknowledged() {}, refused() {}, lost: () => void lost++ };
  const options = { target, payload: 'equal-bytes', managed: false, available: true, sink, atOnce: 20 } as const;
  const people = readPeople(target, job.steps.at(-1)!);
  // A server that has served nobody yet has not loaded what it needs for the first.
  const first = await logInAll(options, people.slice(0, 50));
  for (const client of first) client.close('in-order');
  await sleep(job.settleMs);
  const baseKiB = memoryOf(target.pid).residentKiB;
  const steps: IdleResult['steps'][number][] = [];
  let streams = 0;
  for (const step of job.steps) {
    await logInAll(options, people.slice(streams, step));
    streams = step;
    resetMemoryPeak(target.pid);
    await sleep(job.settleMs);
    const { residentKiB, peakKiB } = memoryOf(target.pid);
    const peak = Math.max(peakKiB, residentKiB);
    steps.push({
      streams,
      kibPerStream: (residentKiB - baseKiB) / streams,
      peakKibPerStream: (peak - baseKiB) / streams,
      residentKiB,
      lost,
    });
  }
  return { baseKiB, steps };
}
