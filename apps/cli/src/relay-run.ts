// Runs, changes or checks a relay by its configuration. Knows nothing of how it passes bytes on.
import { once } from 'node:events';
import { connect, type Server } from 'node:net';
import type { ControlLog } from '@drawbridge/gatekeeper/control';
import { CommandError, exitCodes } from './command-error.ts';
import { portFault } from './dev-config.ts';
import { closeWithin, onReload, untilStopped } from './lifetime.ts';
import { createOperatorLog } from './operator-log.ts';
import { type Place, placeText, readRelayConfig, type RelayConfig, type RelayFlags } from './relay/relay-config.ts';
import { createRelayHealth } from './relay/relay-health.ts';
import { Relay } from './relay/relay-server.ts';

/** After the spread, the time for the last sockets. */
const closeMs = 2_000;

/** Runs until a signal. Rejects with a CommandError or the system's error when it can't start. */
export async function runRelay(flags: RelayFlags): Promise<void> {
  const config = readRelayConfig(flags);
  const log = createOperatorLog(process.stdout);
  const stopped = untilStopped();
  let drainSeconds = config.drainSeconds;
  const relay = new Relay({
    ...config,
    onUpstream: ({ host, port }, code) =>
      code === undefined
        ? log('info', 'upstream-reached', { host, port })
        : log('warn', 'upstream-unreachable', { host, port, code }),
  });
  let ready = false;
  const health = createRelayHealth(relay, () => ready);
  const { port } = await listenOn(relay.server, config.listen);
  if (config.health !== undefined) await listenOn(health, config.health);
  ready = true;
  log('info', 'listening', { host: config.listen.host, port });
  onReload(() => {
    drainSeconds = reloadRelay(relay, config, flags, log) ?? drainSeconds;
  });
  await stopped;
  ready = false;
  log('info', 'stopping', { connections: relay.counts.connections });
  const spreadMs = drainSeconds * 1000;
  const isClosed = await closeWithin(spreadMs + closeMs, () => relay.drain(spreadMs));
  if (!isClosed) throw new CommandError('the relay could not close in good order', 'report what the log says');
  health.close();
  log('info', 'stopped', {});
  process.exit(exitCodes.ok);
}

/** Reads the file again; what is wrong in it changes nothing. Gives the new time to drain; undefined: refused. */
function reloadRelay(relay: Relay, running: RelayConfig, flags: RelayFlags, log: ControlLog): number | undefined {
  if (flags.config === undefined) {
    log('warn', 'reload-refused', { code: 'no-file', next: 'start it with --config to change it while it runs' });
    return undefined;
  }
  let next: RelayConfig;
  try {
    next = readRelayConfig(flags);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    log('error', 'reload-refused', { code: 'configuration', next: `mend it, and send SIGHUP again: ${words}` });
    return undefined;
  }
  relay.reconfigure(next);
  for (const key of ['listen', 'health'] as const) {
    if (JSON.stringify(next[key]) !== JSON.stringify(running[key])) log('warn', 'reload-needs-restart', { key });
  }
  log('info', 'reloaded', {});
  return next.drainSeconds;
}

async function listenOn(server: Server, { host, port }: Place): Promise<{ port: number }> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : port };
}

/** Writes what it finds, each on a line. Throws a CommandError when a start would fail or an upstream is out of reach. */
export async function checkRelay(flags: RelayFlags, { offline }: { readonly offline: boolean }): Promise<void> {
  const config = readRelayConfig(flags);
  const faults: string[] = [];
  const say = (fault: string | undefined, good: string, bad: string): void => {
    process.stdout.write(fault === undefined ? `ok    ${good}\n` : `FAIL  ${bad}\n`);
    if (fault !== undefined) faults.push(`  ${bad}`);
  };
  for (const [name, at] of [
    ['listen', config.listen],
    ['health', config.health],
  ] as const) {
    if (at === undefined) continue;
    const code = await portFault(at.port, at.host);
    const bad = `${name} ${placeText(at)} can't be listened on (${code}): stop what uses it, or name another`;
    say(code, `${name} ${placeText(at)} is free`, bad);
  }
  for (const upstream of offline ? [] : config.upstreams) {
    const code = await upstreamFault(config, upstream);
    const bad = `upstream ${placeText(upstream)} is out of reach (${code}): mend its name, or the way to it`;
    say(code, `upstream ${placeText(upstream)} answers`, bad);
  }
  if (faults.length > 0) throw new CommandError(`the relay would not work:\n${faults.join('\n')}`, 'mend these');
  process.stdout.write('the configuration is good\n');
}

/** The system's code; undefined when a connection can be made from the address that the gatekeeper is to see. */
async function upstreamFault(config: RelayConfig, upstream: Place): Promise<string | undefined> {
  const { outgoingAddress, limits } = config;
  const socket = connect({ ...upstream, ...(outgoingAddress === undefined ? {} : { localAddress: outgoingAddress }) });
  const fault = await new Promise<string | undefined>(resolve => {
    socket.once('connect', () => resolve(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    socket.setTimeout(limits.openingSeconds * 1000, () => resolve('ETIMEDOUT'));
  });
  socket.destroy();
  return fault;
}
