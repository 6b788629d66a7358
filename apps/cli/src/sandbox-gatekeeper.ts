// The sandbox's gatekeeper, in a process of its own so that it can be measured and killed alone. Does what the sandbox
// says over the IPC channel, and ends when that channel ends. Knows nothing of certificates, providers or accounts files.
import assert from 'node:assert/strict';
import type { Config } from '@drawbridge/gatekeeper/config';
import type { BulkEnlistment, BulkResult } from '@drawbridge/gatekeeper/control';
import { parseDevice } from '@drawbridge/gatekeeper/keys/device-keys';
import type { Ports } from '@drawbridge/gatekeeper/listen';
import { type Gatekeeper, startGatekeeper } from '@drawbridge/gatekeeper/main';
import { letHelpersGiveWay } from './give-way.ts';
import { closeWithin } from './lifetime.ts';
import { createOperatorLog, type LogLevel } from './operator-log.ts';

export type GatekeeperCommand =
  | {
      readonly kind: 'start';
      readonly config: Config;
      readonly plaintextXmpp: boolean;
      readonly keyLogFile?: string;
      readonly logLevel: LogLevel;
    }
  /** Enlists, and opts own users in to provider `optIn`. */
  | { readonly kind: 'enlist'; readonly list: readonly BulkEnlistment[]; readonly optIn: number }
  | { readonly kind: 'stop' };

export type GatekeeperReport =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'ready'; readonly ports: Ports }
  | { readonly kind: 'enlisted'; readonly results: readonly BulkResult[] }
  | { readonly kind: 'failed'; readonly message: string };

/** What the sandbox waits for before it kills this process. */
const stopMs = 1_200;

letHelpersGiveWay();
let gatekeeper: Gatekeeper | undefined;
let turn: Promise<void> = Promise.resolve();

async function enlist(list: readonly BulkEnlistment[], optIn: number): Promise<BulkResult[]> {
  assert(gatekeeper !== undefined, 'the gatekeeper is started before people enlist');
  const { control } = gatekeeper;
  const results = [...(await control.bulkEnlist(list))];
  for (const [index, result] of results.entries()) {
    const device = parseDevice(list[index]!.device);
    if (result.kind === 'enlisted' || device === undefined) continue;
    // Enlisted by a start that ended before it could write the accounts file: begin that person again.
    const { provider, identifier } = list[index]!;
    results[index] = await control.enlistment.enlist({ provider, identifier, device, replace: true }, Date.now());
  }
  await Promise.all(
    results.map(async (result, index) => {
      if (result.kind !== 'enlisted' || list[index]!.provider !== 0) return;
      const account = await control.accounts.find(result.interopId);
      if (account !== undefined) await control.enlistment.setOptIn(account, optIn, true);
    }),
  );
  return results;
}

async function obey(command: GatekeeperCommand): Promise<void> {
  switch (command.kind) {
    case 'start': {
      const { config, plaintextXmpp, keyLogFile, logLevel } = command;
      gatekeeper = await startGatekeeper({
        config,
        log: createOperatorLog(process.stderr, logLevel),
        development: { alsoPlain: true, plaintextXmpp, ...(keyLogFile === undefined ? {} : { keyLogFile }) },
      });
      report({ kind: 'ready', ports: gatekeeper.ports });
      return;
    }
    case 'enlist':
      report({ kind: 'enlisted', results: await enlist(command.list, command.optIn) });
      return;
    case 'stop':
      await stop();
  }
}

async function stop(): Promise<void> {
  const running = gatekeeper;
  gatekeeper = undefined;
  const closed = running === undefined || (await closeWithin(stopMs, () => running.close()));
  process.exit(closed ? 0 : 1);
}

function report(message: GatekeeperReport): void {
  if (process.connected) process.send?.(message);
}

process.on('message', (command: GatekeeperCommand) => {
  turn = turn
    .then(() => obey(command))
    .catch((error: unknown) => {
      report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    });
});
process.on('disconnect', () => void stop());
process.on('SIGTERM', () => void stop());
// Ctrl-C reaches the sandbox too, which stops this process in its turn.
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
report({ kind: 'loaded' });
