// Question: how much memory does a logged-in, silent stream hold in the server?
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { type Collected, collectedFile } from '../collect-hook.ts';
import { memoryOf, resetMemoryPeak } from '../machine.ts';
import type { ClientSink } from './client.ts';
import { learn, logIn, logInAll, type LoginOptions } from './logins.ts';
import { sleep } from './meter.ts';
import { median } from '../results.ts';
import { fetchProofs, type Person, readPeople, type Target } from './target.ts';

export type IdleJob = {
  readonly kind: 'idle';
  readonly target: Target;
  /** Ascending. */
  readonly steps: readonly number[];
  /** How long to wait before the first of these looks: what ends by itself, as cached accounts do, has ended. */
  readonly settleMs: number;
  /** Looks at each step, of which the median counts. */
  readonly looks: number;
};

/** Medians of the looks. */
type Seen = {
  readonly residentKiB: number;
  /** Of servers that have collect-hook.ts: what objects of the main thread take, and what they hold outside the heap. */
  readonly heapKiB: number | undefined;
  readonly externalKiB: number | undefined;
};

export type IdleResult = {
  readonly base: Seen;
  readonly steps: readonly (Seen & {
    readonly streams: number;
    /** The highest that was resident since the reset after logging in, before anything was collected. */
    readonly peakKiB: number;
    readonly lost: number;
  })[];
};

const atOnce = 20;
const betweenLooksMs = 1_000;
const collectionMs = 60_000;

export async function idle(job: IdleJob): Promise<IdleResult> {
  const { target } = job;
  let lost = 0;
  const sink: ClientSink = { message() {}, acknowledged() {}, refused() {}, lost: () => void lost++ };
  const options = { target, payload: 'equal-bytes', managed: false, available: true, sink, atOnce } as const;
  const people = readPeople(target, job.steps.at(-1)!);
  // Everybody has been there before, few at a time: the server has loaded what it needs, and caches of its database, which
  // are bounded and no part of a stream, are full.
  await passBy(options, people);
  await sleep(job.settleMs);
  const base = await look(target, job.looks);
  const steps: IdleResult['steps'][number][] = [];
  let streams = 0;
  for (const step of job.steps) {
    await logInAll(options, people.slice(streams, step));
    streams = step;
    resetMemoryPeak(target.pid);
    await sleep(job.settleMs);
    const { residentKiB, peakKiB } = memoryOf(target.pid);
    steps.push({ ...(await look(target, job.looks)), streams, peakKiB: Math.max(peakKiB, residentKiB), lost });
  }
  return { base, steps };
}

/** Everybody logs in and goes, `atOnce` at a time. */
async function passBy(options: LoginOptions, people: readonly Person[]): Promise<void> {
  const known = await learn(options.target);
  for (let first = 0; first < people.length; first += 1_000) {
    const part = people.slice(first, first + 1_000);
    const proofs = await fetchProofs(options.target, first, part.length);
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let at = next++; at < part.length; at = next++) {
        (await logIn(options, known, part[at]!, proofs?.[at])).close('in-order');
      }
    };
    await Promise.all(Array.from({ length: options.atOnce }, lane));
  }
}

async function look(target: Target, times: number): Promise<Seen> {
  const resident: number[] = [];
  const heap: number[] = [];
  const external: number[] = [];
  for (let i = 0; i < times; i++) {
    const collected = await collect(target);
    await sleep(betweenLooksMs);
    resident.push(memoryOf(target.pid).residentKiB);
    if (collected === undefined) continue;
    heap.push(collected.heapBytes / 1_024);
    external.push(collected.externalBytes / 1_024);
  }
  const middle = (values: number[]): number | undefined => (values.length === 0 ? undefined : median(values));
  return { residentKiB: median(resident), heapKiB: middle(heap), externalKiB: middle(external) };
}

/** Has the server collect its garbage, where it can be told to. */
async function collect({ pid, collectFolder }: Target): Promise<Collected | undefined> {
  if (collectFolder === undefined) return undefined;
  const file = collectedFile(collectFolder, pid);
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  for (const startMs = Date.now(); !existsSync(file); await sleep(50)) {
    if (Date.now() - startMs > collectionMs) throw new Error('the server did not collect its garbage');
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Collected;
}
