// What the suite knows of a server under test, whichever it is.
import { type AddressInfo, createConnection, createServer } from 'node:net';
import type { Target } from '../load/target.ts';

export type Endpoint = 'xml' | 'xml-tls' | 'compact';

export interface RunningServer {
  readonly name: string;
  /** The process that is measured. */
  readonly pid: number;
  /** Undefined when the server does not speak it. */
  target(endpoint: Endpoint): Target | undefined;
  stop(): Promise<void>;
}

/** Free ports of loopback. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map(server => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}

/** Resolves when something listens on the port. */
export async function untilListening(port: number, alive: () => boolean, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const open = await new Promise<boolean>(resolve => {
      const socket = createConnection({ host: '127.0.0.1', port }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (open) return;
    if (!alive()) throw new Error(`the server ended before it listened on port ${port}`);
    if (Date.now() > deadline) throw new Error(`nothing listens on port ${port} after ${timeoutMs / 1_000} s`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}
