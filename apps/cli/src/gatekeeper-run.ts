// Runs or checks a gatekeeper by its configuration file. Knows nothing of how a gatekeeper works.
import { makeFolder } from '@drawbridge/identity/make-folder';
import { type Config, loadConfig } from '@drawbridge/gatekeeper/config';
import { errorPlace } from '@drawbridge/gatekeeper/error-place';
import type { ControlLog } from '@drawbridge/gatekeeper/control';
import type { Gatekeeper } from '@drawbridge/gatekeeper';
import { CommandError, exitCodes, explainSystemError } from './command-error.ts';
import { lockFolder } from './folder-lock.ts';
import { letHelpersGiveWay } from './give-way.ts';
import { closeWithin, onReload, untilStopped, untilUncaught } from './lifetime.ts';
import { createOperatorLog } from './operator-log.ts';

/** Throws a CommandError that names every fault. */
export function readGatekeeperConfig(file: string): Config {
  const loaded = loadConfig(file);
  if (loaded.kind === 'loaded') return loaded.config;
  const faults = loaded.errors.map(error => `  ${error.message}`).join('\n');
  throw new CommandError(
    `${file} can't be used:\n${faults}`,
    'mend these, then `drawbridge gatekeeper check --config FILE`; `drawbridge gatekeeper init DIR` writes one to start from',
  );
}

/** Writes what it finds, each on a line. Throws a CommandError when a start would fail. */
export async function checkGatekeeper(file: string, options: { readonly offline: boolean }): Promise<void> {
  const config = readGatekeeperConfig(file);
  const { findings } = await import('./gatekeeper-check.ts');
  const found = await findings(config, options);
  const words = { good: 'ok  ', warning: 'warn', fault: 'FAIL' };
  for (const { kind, message } of found) process.stdout.write(`${words[kind]}  ${message}\n`);
  const faults = found.filter(({ kind }) => kind === 'fault');
  if (faults.length > 0) {
    const list = faults.map(({ message }) => `  ${message}`).join('\n');
    throw new CommandError(`${file} can't be used:\n${list}`, 'mend these, then check again');
  }
  process.stdout.write(`${file} is good: ${describe(config)}\n`);
}

/** Runs until a signal; rejects with a CommandError when it can't start or can't close in good order. */
export async function runGatekeeper(file: string): Promise<void> {
  const config = readGatekeeperConfig(file);
  letHelpersGiveWay();
  const { startGatekeeper } = await import('@drawbridge/gatekeeper/main');
  const log = createOperatorLog(process.stdout);
  makeFolder(config.dataFolder);
  const unlock = lockFolder(config.dataFolder, 'gatekeeper');
  const stopped = untilStopped();
  const uncaught = untilUncaught();
  let running: Gatekeeper | undefined;
  onReload(() => {
    if (running !== undefined) void reloadGatekeeper(running, file, log);
  });
  const gatekeeper = await startGatekeeper({ config, log }).catch((error: unknown): never => {
    // Its own errors are sentences that say what to do; those of the system name a file or a port.
    const message = error instanceof Error ? error.message : String(error);
    throw explainSystemError(error) ?? new CommandError(message, `drawbridge gatekeeper check --config ${file}`);
  });
  running = gatekeeper;
  log('info', 'listening', { domain: config.domain, ...gatekeeper.ports });
  const failure = await Promise.race([stopped, uncaught, gatekeeper.failed]);
  if (failure === undefined) log('info', 'stopping', {});
  else log('error', 'failed', errorPlace(failure));
  const { drain } = config;
  const close = async (): Promise<void> => {
    // After a fault nothing is waited for.
    if (failure === undefined) await gatekeeper.drain();
    await gatekeeper.close();
  };
  if (!(await closeWithin(drain.deadlineSeconds * 1_000, close))) {
    throw new CommandError('the gatekeeper could not close in good order', 'look at the log, the disk and its space');
  }
  unlock();
  if (failure !== undefined) {
    throw new CommandError(
      'the gatekeeper met a fault and closed in good order',
      'start it again; report what the log says',
    );
  }
  log('info', 'stopped', {});
  process.exit(exitCodes.ok);
}

/** Reads the configuration again; when it can't be used, says so and leaves everything as it is. */
async function reloadGatekeeper(gatekeeper: Pick<Gatekeeper, 'reload'>, file: string, log: ControlLog): Promise<void> {
  const loaded = loadConfig(file);
  if (loaded.kind === 'refused') {
    for (const { code, message } of loaded.errors) log('error', 'reload-refused', { code, next: message });
    return;
  }
  try {
    const result = await gatekeeper.reload(loaded.config);
    if (result.kind === 'refused') {
      log('error', 'reload-refused', { code: 'contradiction', next: result.message });
      return;
    }
    for (const key of result.needsRestart) log('warn', 'reload-needs-restart', { key });
    log('info', 'reloaded', {});
  } catch {
    log('error', 'reload-refused', {
      code: 'store-failed',
      next: 'look at the disk and its space, then send SIGHUP again',
    });
  }
}

function describe(config: Config): string {
  const listeners = Object.entries(config.listeners).map(([name, at]) => `${name} ${at.host}:${at.port}`);
  const providers = config.providers.map(({ number, name }) => `${number} ${name}`);
  return [
    `${config.mode}, domain ${config.domain}, issuer ${config.issuer}`,
    `  listens: ${listeners.join(', ')}`,
    `  providers: ${providers.length === 0 ? 'none yet' : providers.join(', ')}`,
    `  data: ${config.dataFolder}`,
  ].join('\n');
}
