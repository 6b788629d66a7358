// Plays the hostile crowd: honest traffic alone, then with the whole crowd, then alone again; and what came of it.
// Knows nothing of single attacks.
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdtempSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CrowdReport, CrowdSetup } from './attackers.ts';
import { type Book, HonestErrands, HonestPairs } from './honest.ts';
import { type Network, type Person, type ProviderName, startNetwork } from './network.ts';

export type CrowdOptions = {
  /** Honest traffic alone, before and after. */
  readonly quietSeconds: number;
  /** Together with the crowd. */
  readonly crowdSeconds: number;
  readonly pairs: number;
  /** A pair's messages in each direction. */
  readonly everyMs: number;
};

export type Latency = {
  readonly messages: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
};

export type CrowdResult = {
  readonly hasIpv6: boolean;
  readonly quiet: Latency;
  readonly crowded: Latency;
  readonly book: Book;
  /** What honest people asked beside writing, by errand; and what was not given to them. */
  readonly errands: Readonly<Record<string, number>>;
  readonly errandsFailed: readonly string[];
  /** Honest people who were away and of whom their provider was told. */
  readonly awayWoken: number;
  /** A provider that came up in the middle of it: its person could log in. */
  readonly newcomerLoggedIn: boolean;
  /** Resident memory of the gatekeeper. */
  readonly beforeMiB: number;
  readonly mostMiB: number;
  readonly afterMiB: number;
  /** What the gatekeeper used of the machine while the crowd was there. */
  readonly gatekeeperCores: number;
  /** What the crowd did, by attack. */
  readonly attacks: Readonly<Record<string, Readonly<Record<string, number>>>>;
};

const accountsOfCrowd = 10;
const sleepersOfCrowd = 200;
/** Each asks every three seconds or so. */
const errandPeople = 8;
const patienceMs = 60_000;

export async function playCrowd(options: CrowdOptions): Promise<CrowdResult> {
  const folder = mkdtempSync(join(tmpdir(), 'drawbridge-crowd-'));
  try {
    const network = await startNetwork(folder);
    try {
      return await play(network, options);
    } finally {
      await network.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

async function play(network: Network, options: CrowdOptions): Promise<CrowdResult> {
  const named = (
    provider: ProviderName,
    name: string,
    count: number,
  ): { provider: ProviderName; identifier: string }[] =>
    Array.from({ length: count }, (_, i) => ({ provider, identifier: `${name}${i}` }));
  const [left, right, accounts, sleepers, busy, others, wrens] = [
    await network.enlist(named('heron', 'left', options.pairs)),
    await network.enlist(named('swallow', 'right', options.pairs)),
    await network.enlist(named('skylark', 'crowd', accountsOfCrowd)),
    await network.enlist(named('skylark', 'sleeper', sleepersOfCrowd)),
    await network.enlist(named('heron', 'busy', errandPeople)),
    await network.enlist(named('swallow', 'away', 1)),
    await network.enlist(named('wren', 'late', 1)),
  ];
  const away = others[0]!;
  const pairs = new HonestPairs(options.everyMs);
  for (const [i, person] of left.entries()) await pairs.add(network, [person, right[i]!]);
  const errands = new HonestErrands(network, busy, away);
  await errands.prepare();
  const crowd = await startCrowd({
    target: network.target,
    accounts,
    sleepers,
    victims: { there: left[0]!, away },
    hasIpv6: hasCrowdAddresses(),
  });
  const memory = watchMemory(network.gatekeeper.pid);
  try {
    pairs.start();
    errands.start();
    await sleep(options.quietSeconds);
    const [beforeMiB, crowdBeganMs] = [memory.nowMiB(), performance.now()];
    const cpuBeganMs = cpuMs(network.gatekeeper.pid);
    crowd.begin();
    await sleep(options.crowdSeconds / 2);
    await network.startWren();
    const newcomer = await loggedIn(network, wrens[0]!);
    await sleep(options.crowdSeconds / 2);
    const crowdEndedMs = performance.now();
    const gatekeeperCores = (cpuMs(network.gatekeeper.pid) - cpuBeganMs) / (crowdEndedMs - crowdBeganMs);
    const attacks = await crowd.end();
    await errands.stop();
    await pairs.stop(patienceMs);
    await sleep(options.quietSeconds);
    const during = (fromMs: number, toMs: number): Latency =>
      latencyOf(pairs.samples.flatMap(({ atMs, tookMs }) => (atMs >= fromMs && atMs < toMs ? [tookMs] : [])));
    return {
      hasIpv6: hasCrowdAddresses(),
      quiet: during(0, crowdBeganMs),
      crowded: during(crowdBeganMs, crowdEndedMs),
      book: pairs.book,
      errands: Object.fromEntries(errands.done),
      errandsFailed: errands.failed,
      awayWoken: network.wakeUps.get(away.identifier) ?? 0,
      newcomerLoggedIn: newcomer,
      beforeMiB,
      mostMiB: memory.mostMiB(),
      afterMiB: memory.nowMiB(),
      gatekeeperCores: Math.round(gatekeeperCores * 100) / 100,
      attacks,
    };
  } finally {
    memory.stop();
    crowd.kill();
  }
}

/** Tries as a client does: the gatekeeper asks a provider that was away again after some seconds. */
async function loggedIn(network: Network, person: Person): Promise<boolean> {
  for (let i = 0; i < 40; i++) {
    try {
      const errand = await network.login(person);
      await errand.end();
      return true;
    } catch {
      await sleep(1);
    }
  }
  return false;
}

type RunningCrowd = {
  readonly begin: () => void;
  readonly end: () => Promise<CrowdResult['attacks']>;
  readonly kill: () => void;
};

async function startCrowd(setup: CrowdSetup): Promise<RunningCrowd> {
  const child: ChildProcess = fork(join(import.meta.dirname, 'attackers.ts'), [JSON.stringify(setup)], {
    execArgv: ['--conditions=drawbridge-source'],
  });
  const next = (): Promise<CrowdReport> =>
    new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', code => reject(new Error(`the crowd ended with ${code}`)));
    });
  await next();
  return {
    begin: () => void child.send('begin'),
    async end() {
      const report = next();
      child.send('stop');
      const said = await report;
      return said.kind === 'done' ? said.counts : {};
    },
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Whether the machine, or this network namespace, lets anybody come from 2001:db8:66::/48 (see `run.ts`). */
function hasCrowdAddresses(): boolean {
  return process.env['DRAWBRIDGE_CROWD_IPV6'] === '1' && networkInterfaces()['lo'] !== undefined;
}

function residentMiB(pid: number): number {
  const kibibytes = /VmRSS:\s+([0-9]+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kibibytes ?? Number.NaN) / 1_024;
}

/** User and system time of a process, by Linux's hundredths of a second (proc_pid_stat(5)). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function watchMemory(pid: number): { nowMiB: () => number; mostMiB: () => number; stop: () => void } {
  let most = 0;
  const look = (): void => {
    most = Math.max(most, residentMiB(pid));
  };
  const timer = setInterval(look, 100);
  return { nowMiB: () => residentMiB(pid), mostMiB: () => most, stop: () => clearInterval(timer) };
}

function latencyOf(tookMs: readonly number[]): Latency {
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round((sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN) * 10) / 10;
  return { messages: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), mostMs: at(1) };
}

async function sleep(seconds: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, seconds * 1_000));
}
