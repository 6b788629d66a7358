// Stands before the connections of a port that load balancers open: takes the PROXY header off, and hands each on as its
// client's. Nothing is read of a connection that a trusted proxy did not open. Knows nothing of what is served.
import type { Server, Socket } from 'node:net';
import { declareAddress } from './peer-address.ts';
import { parseProxyHeader, type ProxyHeaderFault } from './proxy-header.ts';

export type ProxyFrontOptions = {
  readonly isProxy: (address: string) => boolean;
  /** `late` and `ended`: no whole header came. */
  readonly onRefused: (code: ProxyHeaderFault | 'untrusted-source' | 'late' | 'ended' | 'too-many') => void;
  /** From connect to the end of the header. */
  readonly headerMs?: number;
  /** Connections whose header has not come. */
  readonly maxWaiting?: number;
};

const defaultHeaderMs = 5_000;
const defaultMaxWaiting = 4_096;

/** Call when all that listens for connections of this server is there, before it listens. Gives what cuts those that wait. */
export function expectProxyHeaders(server: Server, options: ProxyFrontOptions): () => void {
  const { headerMs = defaultHeaderMs, maxWaiting = defaultMaxWaiting } = options;
  const handlers = server.listeners('connection');
  server.removeAllListeners('connection');
  const waiting = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    const refuse = (code: Parameters<ProxyFrontOptions['onRefused']>[0]): void => {
      options.onRefused(code);
      socket.destroy();
    };
    socket.on('error', cut);
    if (!options.isProxy(socket.remoteAddress ?? '')) return refuse('untrusted-source');
    if (waiting.size >= maxWaiting) return refuse('too-many');
    waiting.add(socket);
    socket.once('close', () => waiting.delete(socket));
    readHeader(socket, headerMs, result => {
      waiting.delete(socket);
      if (typeof result === 'string') return refuse(result);
      if (result.kind === 'client') declareAddress(socket, result.address);
      // The stream is as it was when it came: whoever takes it decides how to read.
      setImmediate(() => {
        if (socket.destroyed) return;
        socket.removeListener('error', cut);
        for (const handler of handlers) handler.call(server, socket);
      });
    });
  });
  return () => {
    for (const socket of waiting) socket.destroy();
  };
}

function cut(this: Socket): void {
  this.destroy();
}

type Done = (
  result: { kind: 'client'; address: string } | { kind: 'proxy' } | ProxyHeaderFault | 'late' | 'ended',
) => void;

/** Takes the header off, and nothing more. Calls once; not when a peer that said nothing goes, such as a health check. */
function readHeader(socket: Socket, headerMs: number, done: Done): void {
  let received = Buffer.alloc(0);
  const stop = (): void => {
    clearTimeout(timer);
    socket.removeListener('readable', read);
    socket.removeListener('close', closed);
  };
  const closed = (): void => {
    stop();
    if (received.length > 0) done('ended');
  };
  const read = (): void => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      received = Buffer.concat([received, chunk]);
    }
    const header = parseProxyHeader(received);
    if (header.kind === 'incomplete') {
      if (socket.readableEnded) socket.destroy();
      return;
    }
    stop();
    if (header.kind === 'refused') return done(header.code);
    if (received.length > header.sizeBytes) socket.unshift(received.subarray(header.sizeBytes));
    done(header);
  };
  const timer = setTimeout(() => {
    stop();
    done('late');
  }, headerMs);
  socket.on('readable', read);
  socket.once('close', closed);
}
