// Question: what does a connection cost the server on which nobody logs in? TCP, or TLS 1.3 over it, opened and ended in order.
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { readFileSync } from 'node:fs';
import { type Metered, sleep, startMeter } from './meter.ts';
import { domain, type Target } from './target.ts';

export type ConnectionsJob = {
  readonly kind: 'connections';
  readonly target: Target;
  readonly count: number;
  readonly atOnce: number;
  /** On TLS: each shows the ticket of the first. */
  readonly resume: boolean;
};

export type ConnectionsResult = Metered & { readonly cpuMsPerConnection: number };

export async function connections({ target, count, atOnce, resume }: ConnectionsJob): Promise<ConnectionsResult> {
  const { port } = target;
  const ca = target.caFile === undefined ? undefined : readFileSync(target.caFile);
  let ticket: Buffer | undefined;
  const open = async (): Promise<Socket> => {
    if (!target.tls) {
      const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
      await once(socket, 'connect');
      return socket;
    }
    const session = resume && ticket !== undefined ? { session: ticket } : {};
    const options = { host: '127.0.0.1', port, servername: domain, ca, ecdhCurve: 'X25519', ...session };
    const socket = connectTls({ ...options, minVersion: 'TLSv1.3', ALPNProtocols: ['xmpp-client'] });
    const hasTicket = resume && ticket === undefined ? once(socket, 'session') : undefined;
    await once(socket, 'secureConnect');
    if (hasTicket !== undefined) ticket = (await hasTicket)[0] as Buffer;
    else if (resume && !socket.isSessionReused()) throw new Error('the ticket was not taken');
    return socket;
  };
  const round = async (): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next++ < count) {
        const socket = await open();
        socket.resume();
        socket.end();
        await once(socket, 'close');
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
  };
  // Alone, so that its ticket is there for the others; then once for code to be compiled.
  (await open()).destroy();
  await round();
  await sleep(300);
  const stop = startMeter(target);
  await round();
  await sleep(100);
  const metered = stop();
  return { ...metered, cpuMsPerConnection: metered.serverCpuMs / count };
}
