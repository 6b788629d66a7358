// Question: how soon is everybody back when all devices come at once, each from an address of its own, and none waits
// before its first try? Later tries pause as the SDK does.
import { performance } from 'node:perf_hooks';
import { pauseBeforeRetryMs } from '@drawbridge/client/connection/reconnection';
import { memoryOf, resetMemoryPeak } from '../machine.ts';
import type { ClientSink, LoadClient, Session } from './client.ts';
import type { JobControl } from './generator.ts';
import { learn, logIn, logInAll } from './logins.ts';
import { type Metered, sleep, startMeter } from './meter.ts';
import { fetchProofs, type Person, readPeople, type Target } from './target.ts';

export type HerdJob = {
  readonly kind: 'herd';
  readonly target: Target;
  /** Accounts before it belong to others. */
  readonly first: number;
  readonly devices: number;
  /**
   * `fresh`: everybody logs in. `resume`: everybody is logged in, loses the connection, and takes the session up again.
   */
  readonly how: 'fresh' | 'resume';
  /** A client that is not back by then is given up. */
  readonly deadlineMs: number;
};

export type HerdResult = Metered & {
  /** Of the storm, wall clock: for what others measured meanwhile. */
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  readonly back: number;
  readonly resumed: number;
  /** Until half, nearly all and all were back; undefined when they never were. */
  readonly backMs: {
    readonly p50?: number | undefined;
    readonly p95?: number | undefined;
    readonly all?: number | undefined;
  };
  readonly tries: number;
  /** Tries that failed, by the reason. */
  readonly failures: Readonly<Record<string, number>>;
  readonly baseKiB: number;
  readonly peakKiB: number;
  readonly afterKiB: number;
};

/** Devices come from this many addresses of 127.0.0.0/8. */
const addresses = 16_000;

function addressOf(index: number): string {
  const at = index % addresses;
  return `127.1.${at >> 8}.${at & 255}`;
}

const sink: ClientSink = { message() {}, acknowledged() {}, refused() {}, lost() {} };

export async function herd(job: HerdJob): Promise<HerdResult> {
  const { target, how } = job;
  const people = readPeople(target, job.first + job.devices).slice(job.first);
  const known = await learn(target);
  const options = { target, payload: 'equal-bytes', managed: true, available: true, sink } as const;
  const sessions = new Map<Person, Session>();
  if (how === 'resume') {
    const clients = await logInAll({ ...options, atOnce: 30 }, people);
    await sleep(1_000);
    for (const client of clients) {
      if (client.session !== undefined) sessions.set(client.person, client.session);
      client.close('cut');
    }
    await sleep(1_500);
  }
  // Fetched before: issuing proofs is not what is measured.
  const proofs = await fetchProofs(target, job.first, job.devices);
  if (target.carrier === 'compact') {
    // Devices have been here before, and know the gatekeeper's static key.
    const first = await logIn(options, known, people[0]!, (await fetchProofs(target, job.first, 1))?.[0]);
    first.close('cut');
    sessions.delete(people[0]!);
    await sleep(500);
  }
  const baseKiB = memoryOf(target.pid).residentKiB;
  resetMemoryPeak(target.pid);
  const beganAtMs = Date.now();
  const beganMs = performance.now();
  const stop = startMeter(target);
  const backMs: number[] = [];
  const failures: Record<string, number> = {};
  const counts = { tries: 0, resumed: 0 };
  const giveUpMs = beganMs + job.deadlineMs;

  const comeBack = async (person: Person, firstProof: string | undefined): Promise<LoadClient | undefined> => {
    let proof = firstProof;
    for (let attempt = 0; performance.now() < giveUpMs; attempt++) {
      counts.tries++;
      try {
        const session = sessions.get(person);
        const client = await logIn(options, known, person, proof, session, addressOf(person.index));
        backMs.push(performance.now() - beganMs);
        if (session !== undefined && client.session?.id === session.id) counts.resumed++;
        return client;
      } catch (error) {
        const reason = reasonOf(error);
        failures[reason] = (failures[reason] ?? 0) + 1;
        await sleep(pauseBeforeRetryMs(attempt, reason === 'resource-constraint', Math.random()));
        proof = (await fetchProofs(target, person.index, 1))?.[0];
      }
    }
    return undefined;
  };
  const deadline = new Promise<void>(resolve => setTimeout(resolve, job.deadlineMs + 1_000).unref());
  const all = Promise.all(people.map((person, index) => comeBack(person, proofs?.[index])));
  await Promise.race([all, deadline]);
  const metered = stop();
  const endedAtMs = Date.now();
  const { peakKiB } = memoryOf(target.pid);
  await sleep(3_000);
  const afterKiB = memoryOf(target.pid).residentKiB;
  backMs.sort((a, b) => a - b);
  const within = (share: number): number | undefined => backMs[Math.ceil(job.devices * share) - 1];
  return {
    ...metered,
    beganAtMs,
    endedAtMs,
    back: backMs.length,
    resumed: counts.resumed,
    backMs: { p50: within(0.5), p95: within(0.95), all: within(1) },
    tries: counts.tries,
    failures,
    baseKiB,
    peakKiB: Math.max(peakKiB, baseKiB),
    afterKiB,
  };
}

/** A condition of the stream's end, or few words. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return /<stream:error[^>]*><([a-z-]+)/.exec(text)?.[1] ?? text.slice(0, 60);
}

export type HoldJob = {
  readonly kind: 'hold';
  readonly target: Target;
  readonly first: number;
  readonly devices: number;
};
export type HoldResult = { readonly lost: number };

/** Logs devices in, says that they are ready, and holds their streams until all are lost. */
export async function hold(job: HoldJob, control: JobControl): Promise<HoldResult> {
  const people = readPeople(job.target, job.first + job.devices).slice(job.first);
  const gone = Promise.withResolvers<void>();
  let lost = 0;
  const losing: ClientSink = {
    ...sink,
    lost() {
      if (++lost === job.devices) gone.resolve();
    },
  };
  const options = { target: job.target, payload: 'equal-bytes', managed: true, available: true } as const;
  await logInAll({ ...options, sink: losing, atOnce: 30 }, people);
  control.ready();
  await Promise.race([gone.promise, control.ended]);
  return { lost };
}

export type PairsJob = {
  readonly kind: 'pairs';
  readonly target: Target;
  readonly pairs: number;
  readonly perSecond: number;
};
/** For each message that arrived: when it should have been sent (wall clock) and how long it took. */
export type PairsResult = {
  readonly sent: number;
  readonly samples: readonly (readonly [atMs: number, tookMs: number])[];
  readonly lost: number;
};

/** Pairs who write to one another at a fixed rate from when they are ready until they are told to end. */
export async function pairs(job: PairsJob, control: JobControl): Promise<PairsResult> {
  const people = readPeople(job.target, job.pairs * 2);
  const samples: [number, number][] = [];
  const dueAt = new Map<number, number>();
  // What an earlier run has left in mailboxes is told by its lower numbers.
  let nextId = (Date.now() % 4_000_000) * 1_000;
  let lost = 0;
  const listening: ClientSink = {
    ...sink,
    message(_client, _kind, id) {
      const dueMs = dueAt.get(id);
      if (dueMs === undefined) return;
      dueAt.delete(id);
      samples.push([performance.timeOrigin + dueMs, performance.now() - dueMs]);
    },
    lost: () => void lost++,
  };
  const options = { target: job.target, payload: 'equal-bytes', managed: true, available: true } as const;
  const clients = await logInAll({ ...options, sink: listening, atOnce: 16 }, people);
  await sleep(500);
  const startMs = performance.now();
  const everyMs = 1_000 / job.perSecond;
  let due = 0;
  const ticker = setInterval(() => {
    const nowMs = performance.now();
    for (; startMs + due * everyMs <= nowMs; due++) {
      const id = nextId++;
      dueAt.set(id, startMs + due * everyMs);
      const from = (due * 7_919) % clients.length;
      clients[from]!.send(people[from ^ 1]!, 'text', id);
    }
  }, 1);
  control.ready();
  await control.ended;
  clearInterval(ticker);
  await sleep(2_000);
  for (const client of clients) client.close('in-order');
  return { sent: due, samples, lost };
}
