// A gatekeeper in a child process, seen from the process that started it. Knows nothing of accounts or certificates.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { BulkEnlistment, BulkResult } from '@drawbridge/gatekeeper/control';
import type { Ports } from '@drawbridge/gatekeeper/listen';
import { CommandError } from './command-error.ts';
import type { GatekeeperCommand, GatekeeperReport } from './sandbox-gatekeeper.ts';

/** After this the child is killed: what it had acknowledged is on disk all the same. */
const killAfterMs = 1_500;

export type GatekeeperProcess = {
  readonly pid: number;
  readonly start: (command: Omit<GatekeeperCommand & { kind: 'start' }, 'kind'>) => Promise<Ports>;
  readonly enlist: (list: readonly BulkEnlistment[], optIn: number) => Promise<readonly BulkResult[]>;
  /** Resolves with words when the process ends without having been asked to. */
  readonly died: Promise<string>;
  /** Settles when the process is gone. */
  readonly stop: () => Promise<void>;
};

/** Starts the process; it loads its code while the caller prepares the rest. What it logs goes to standard error. */
export function forkGatekeeper(environment: Readonly<Record<string, string>> = {}): GatekeeperProcess {
  const fromSource = import.meta.url.endsWith('.ts');
  const file = fromSource ? './sandbox-gatekeeper.ts' : './sandbox-gatekeeper.js';
  const child: ChildProcess = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
    // The last as in bin/drawbridge.js.
    execArgv: [...(fromSource ? ['--conditions=drawbridge-source'] : []), '--no-allocation-site-pretenuring'],
    env: { ...process.env, ...environment },
    serialization: 'advanced',
    stdio: ['ignore', 2, 2, 'ipc'],
  });
  const gone = Promise.withResolvers<void>();
  const died = Promise.withResolvers<string>();
  let stopping = false;
  let death: CommandError | undefined;
  let waiting: PromiseWithResolvers<GatekeeperReport> | undefined;
  const ended = (words: string): void => {
    gone.resolve();
    death = new CommandError(`the gatekeeper process ${words}`, 'see the lines above; --verbose shows more');
    if (!stopping) died.resolve(death.message);
    waiting?.reject(death);
  };
  child.on('error', error => ended(`can't be started: ${error.message}`));
  child.on('exit', (code, signal) =>
    ended(signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`),
  );
  child.on('message', (report: GatekeeperReport) => {
    if (report.kind === 'loaded') return;
    waiting?.resolve(report);
    waiting = undefined;
  });

  /** One question at a time; the answers have no number. */
  async function ask(command: GatekeeperCommand): Promise<GatekeeperReport> {
    if (death !== undefined) throw death;
    waiting = Promise.withResolvers();
    const { promise } = waiting;
    // When the channel is closed the process is ending: its end rejects the promise.
    child.send(command, () => {});
    const answer = await promise;
    if (answer.kind === 'failed') throw new CommandError(`the gatekeeper did not start: ${answer.message}`, '');
    return answer;
  }

  return {
    pid: child.pid ?? 0,
    died: died.promise,
    async start(command) {
      const answer = await ask({ kind: 'start', ...command });
      assert(answer.kind === 'ready', 'to a start there is one answer');
      return answer.ports;
    },
    async enlist(list, optIn) {
      const answer = await ask({ kind: 'enlist', list, optIn });
      assert(answer.kind === 'enlisted', 'to an enlistment there is one answer');
      return answer.results;
    },
    async stop() {
      stopping = true;
      if (death !== undefined) return;
      const timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs);
      child.send({ kind: 'stop' } satisfies GatekeeperCommand, () => {});
      await gone.promise;
      clearTimeout(timer);
    },
  };
}
