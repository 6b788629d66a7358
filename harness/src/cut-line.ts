// A TCP port that passes everything on to another, and cuts connections, with a reset, when it is told to.
// Knows nothing of what travels on it.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type CutLine = {
  readonly port: number;
  /** Asked at each connection: how many bytes, of both directions together, it lives for. Undefined: for ever. */
  cutAfterBytes: (() => number) | undefined;
  /** How many connections were cut. */
  cuts: number;
  readonly close: () => void;
};

export async function openCutLine(targetPort: () => number, port = 0): Promise<CutLine> {
  const sockets = new Set<Socket>();
  const server = createServer(inner => {
    const outer = connect(targetPort(), '127.0.0.1');
    const cut = (): void => {
      inner.destroy();
      outer.destroy();
    };
    let leftBytes = line.cutAfterBytes?.() ?? Number.POSITIVE_INFINITY;
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('error', cut).on('close', () => {
        sockets.delete(from);
        cut();
      });
      from.on('data', chunk => {
        leftBytes -= chunk.length;
        if (leftBytes < 0) {
          line.cuts += 1;
          inner.resetAndDestroy();
          outer.resetAndDestroy();
          return;
        }
        if (!to.write(chunk)) from.pause();
      });
      to.on('drain', () => from.resume());
    }
  }).listen(port, '127.0.0.1');
  await once(server, 'listening');
  const line: CutLine = {
    port: (server.address() as AddressInfo).port,
    cutAfterBytes: undefined,
    cuts: 0,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return line;
}
