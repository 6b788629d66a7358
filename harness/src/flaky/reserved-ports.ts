// Ports that stay a test's own while its servers are started again: numbers from which no system hands out any by itself, each
// held by a listener on an address of its own, so that two runs never have the same.
// Knows nothing of which servers use them.
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { portFault } from '@drawbridge/cli/dev-config';
import type { Random } from '../durability/random.ts';

/** Below what Linux, macOS and IANA hand out for connections and for port 0, and beside those that `freePorts` finds. */
const first = 30_000;
const last = 32_699;
/** Nobody connects to it. A server on all addresses can't listen on the same port either. */
const holdingHost = '127.0.0.3';
const maxTries = 1_000;

export type ReservedPorts = { readonly ports: readonly number[]; release(): Promise<void> };

/** Ports that are free on all of `hosts`, and stay so for this test. */
export async function reservePorts(count: number, hosts: readonly string[], random: Random): Promise<ReservedPorts> {
  const holders = new Map<number, Server>();
  const release = async (): Promise<void> => {
    await Promise.all([...holders.values()].map(holder => new Promise(resolve => holder.close(resolve))));
  };
  for (let tries = 0; holders.size < count; tries++) {
    if (tries >= maxTries) {
      await release();
      throw new Error(`no ${count} ports are free from ${first} to ${last}`);
    }
    const port = random.integer(first, last);
    const holder = holders.has(port) ? undefined : await hold(port);
    if (holder === undefined) continue;
    const faults = await Promise.all(hosts.map(host => portFault(port, host)));
    if (faults.every(fault => fault === undefined)) holders.set(port, holder);
    else holder.close();
  }
  return { ports: [...holders.keys()], release };
}

/** Undefined: somebody has it. */
async function hold(port: number): Promise<Server | undefined> {
  const server = createServer(socket => socket.destroy());
  try {
    server.listen(port, holdingHost);
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}
