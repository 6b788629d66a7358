// What every suite is given: how thorough to be, which peers there are, where temporary files go, how to say what goes on.
import { machineCpuMs } from '../machine.ts';
import { startCopier } from '../servers/copier.ts';
import { startDrawbridge } from '../servers/drawbridge.ts';
import { startEjabberd } from '../servers/ejabberd.ts';
import { startProsody } from '../servers/prosody.ts';
import type { RunningServer } from '../servers/server.ts';

export type XmppPeer = 'ejabberd' | 'ejabberd-minimal' | 'prosody' | 'prosody-minimal';
export type Peer = XmppPeer | 'nginx';
export type Subject = 'drawbridge' | 'copier' | 'copier-sealed' | XmppPeer;

export type SuiteContext = {
  readonly quick: boolean;
  readonly repeats: number;
  readonly peers: readonly Peer[];
  readonly folder: string;
  readonly say: (text: string) => void;
};

export type SubjectOptions = {
  readonly accounts: number;
  readonly offline: boolean;
  readonly sasl: 'plain' | 'scram';
  /** Memory is going to be read: ours collects its garbage when told to. */
  readonly collects?: boolean;
};

export async function startSubject(
  context: SuiteContext,
  subject: Subject,
  options: SubjectOptions,
): Promise<RunningServer> {
  context.say(`starting ${subject}`);
  const { folder } = context;
  const { accounts, offline, sasl, collects = false } = options;
  const variant = subject.endsWith('-minimal') ? 'minimal' : 'default';
  switch (subject) {
    case 'drawbridge':
      return await startDrawbridge({ folder, accounts, collects });
    case 'copier':
      return await startCopier(folder);
    case 'copier-sealed':
      return await startCopier(folder, true);
    case 'ejabberd':
    case 'ejabberd-minimal':
      return await startEjabberd({
        folder,
        variant,
        accounts,
        managed: variant === 'default' || offline,
        offline,
        sasl,
      });
    case 'prosody':
    case 'prosody-minimal':
      return await startProsody({
        folder,
        variant,
        accounts,
        managed: variant === 'default' || offline,
        offline,
        sasl,
      });
  }
}

/** Starts these servers, does the work, and stops them whatever happens. */
export async function withSubjects<T>(
  context: SuiteContext,
  subjects: readonly Subject[],
  options: SubjectOptions,
  work: (servers: ReadonlyMap<Subject, RunningServer>) => Promise<T>,
): Promise<T> {
  const servers = new Map<Subject, RunningServer>();
  try {
    for (const subject of subjects) servers.set(subject, await startSubject(context, subject, options));
    return await work(servers);
  } finally {
    for (const server of servers.values()) await server.stop();
  }
}

/** What others may use of the machine, in cores, for a run to begin; and how long to wait for that, in all. */
const quietCores = 0.3;
const maxWaitMs = 180_000;
const lookMs = 400;
let waitedMs = 0;

/** Waits for a moment in which nobody else is busy here: two programs on one core's caches measure each other. */
async function quietMoment(context: SuiteContext): Promise<void> {
  if (context.quick) return;
  while (waitedMs < maxWaitMs) {
    const before = machineCpuMs();
    await new Promise(resolve => setTimeout(resolve, lookMs));
    if ((machineCpuMs() - before) / lookMs < quietCores) return;
    waitedMs += lookMs;
  }
}

/** How often a run has failed, in all suites. */
let failures = 0;

export function failedRuns(): number {
  return failures;
}

/** One run. A failed one is said and left out: one bad moment must not cost what has been measured for minutes. */
export async function attempt<T>(context: SuiteContext, name: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    await quietMoment(context);
    return await work();
  } catch (error) {
    failures++;
    context.say(`${name} failed: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
