// TCP and WebSocket for the compact transport. Moves bytes; knows nothing of what they mean.
import { createServer, type Server, type Socket } from 'node:net';
import { maxWebSocketMessageBytes } from '@drawbridge/stream/compact-frames';
import type { CompactServerSettings } from '@drawbridge/stream/compact-server';
import type { WebSocket } from 'ws';
import type { ConnectionPlace, ListenerHost } from './admission.ts';
import { type ByteLink, CompactStream, type KeyLog } from './compact-stream.ts';
import { peerAddress } from './peer-address.ts';

export const compactPath = '/compact';
export const compactProtocol = 'drawbridge-compact';

export type CompactOptions = {
  /** Asked for each connection: static keys change while the gatekeeper runs. */
  readonly settings: () => CompactServerSettings;
  readonly keyLog: KeyLog | undefined;
};

export function createCompactListener(host: ListenerHost, options: CompactOptions): Server {
  const { tcpKeepAliveMs } = host.limits;
  return createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs }, socket => {
    const place = host.gate.enter(host.keyOf(peerAddress(socket)));
    if (place === undefined) {
      host.log('connection-refused');
      host.gate.refuse(socket);
      return;
    }
    const stream = new CompactStream(host, new SocketLink(host, socket), {
      settings: options.settings(),
      keyLog: options.keyLog,
      place,
    });
    host.gate.sockets.add(socket);
    (socket as CarryingSocket).carried = stream;
    socket.on('data', onData);
    socket.on('drain', onDrain);
    socket.on('error', onError);
    socket.on('close', onClose);
  });
}

/** Serves the compact transport on a WebSocket whose place has been taken. */
export function serveCompactWebSocket(
  host: ListenerHost,
  webSocket: WebSocket,
  socket: Socket,
  place: ConnectionPlace,
  options: CompactOptions,
): void {
  const stream = new CompactStream(
    host,
    {
      send: bytes => {
        if (webSocket.readyState !== webSocket.OPEN) return;
        for (let at = 0; at < bytes.length; at += maxWebSocketMessageBytes) {
          webSocket.send(bytes.subarray(at, at + maxWebSocketMessageBytes));
        }
      },
      end: () => {
        webSocket.close(1000);
        setTimeout(() => webSocket.terminate(), host.limits.closeMs).unref();
      },
      pause: () => webSocket.pause(),
      resume: () => webSocket.resume(),
      get congested() {
        return socket.writableLength > host.limits.congestedBytes;
      },
    },
    { settings: options.settings(), keyLog: options.keyLog, place },
  );
  webSocket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) stream.bytes(data);
    else webSocket.close(1003);
  });
  webSocket.on('error', () => webSocket.terminate());
  webSocket.on('close', () => stream.linkLost());
  socket.on('drain', () => stream.drained());
}

/**
 * A socket that carries a compact stream. Listeners are shared, and find the stream here: connections are many. When the
 * peer has ended its half, Node ends ours (`allowHalfOpen`).
 */
type CarryingSocket = Socket & { carried: CompactStream };

function onData(this: Socket, chunk: Buffer): void {
  (this as CarryingSocket).carried.bytes(chunk);
}
function onDrain(this: Socket): void {
  (this as CarryingSocket).carried.drained();
}
function onError(this: Socket): void {
  this.destroy();
}
function onClose(this: Socket): void {
  const { carried } = this as CarryingSocket;
  carried.host.gate.sockets.delete(this);
  carried.linkLost();
}

class SocketLink implements ByteLink {
  readonly #host: ListenerHost;
  readonly #socket: Socket;
  #ended = false;

  constructor(host: ListenerHost, socket: Socket) {
    this.#host = host;
    this.#socket = socket;
  }

  get congested(): boolean {
    return this.#socket.writableLength > this.#host.limits.congestedBytes;
  }

  send(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.end();
    this.#socket.resume();
    setTimeout(() => this.#socket.destroy(), this.#host.limits.closeMs).unref();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#ended) this.#socket.resume();
  }
}
