// TCP and WebSocket for the compact transport. Moves bytes; knows nothing of what they mean.
import { createServer, type Server, type Socket } from 'node:net';
import { maxWebSocketMessageBytes } from '@drawbridge/stream/compact-frames';
import type { CompactServerSettings } from '@drawbridge/stream/compact-server';
import type { WebSocket } from 'ws';
import type { ConnectionPlace, ListenerHost } from './admission.ts';
import { CompactStream, type KeyLog } from './compact-stream.ts';

export const compactPath = '/compact';
export const compactProtocol = 'drawbridge-compact';

export type CompactOptions = {
  /** Asked for each connection: static keys change while the gatekeeper runs. */
  readonly settings: () => CompactServerSettings;
  readonly keyLog: KeyLog | undefined;
};

export function createCompactListener(host: ListenerHost, options: CompactOptions): Server {
  return createServer({ noDelay: true }, socket => {
    const place = host.gate.enter(socket.remoteAddress ?? '');
    if (place === undefined) {
      host.log('connection-refused');
      socket.destroy();
      return;
    }
    socket.setKeepAlive(true, host.limits.tcpKeepAliveMs);
    const stream = new CompactStream(host, socketLink(host, socket), {
      settings: options.settings(),
      keyLog: options.keyLog,
      place,
    });
    socket.on('data', (chunk: Buffer) => stream.bytes(chunk));
    socket.on('drain', () => stream.drained());
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => stream.linkLost());
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

function socketLink(host: ListenerHost, socket: Socket): ConstructorParameters<typeof CompactStream>[1] {
  let ended = false;
  return {
    send: bytes => {
      if (socket.writable) socket.write(bytes);
    },
    end: () => {
      if (ended) return;
      ended = true;
      socket.end();
      socket.resume();
      setTimeout(() => socket.destroy(), host.limits.closeMs).unref();
    },
    pause: () => void socket.pause(),
    resume: () => {
      if (!ended) socket.resume();
    },
    get congested() {
      return socket.writableLength > host.limits.congestedBytes;
    },
  };
}
