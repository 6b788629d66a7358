// WebSockets on an HTTP server: XMPP (RFC 7395: one message, one element) on /xmpp, compact frames on /compact.
// Knows nothing of what elements mean.
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { ListenerHost } from './admission.ts';
import { type CompactOptions, compactPath, compactProtocol, serveCompactWebSocket } from './compact.ts';
import { type XmppLink, XmppStream } from './xmpp-stream.ts';

export const xmppPath = '/xmpp';
/** A little more than the largest element, so that the element's own limit speaks first. */
const maxMessageBytes = 300 * 1024;

export type WebSocketServices = { readonly xmpp: boolean; readonly compact: CompactOptions | undefined };

/** Serves WebSockets on an HTTP server that another listener may share; other upgrades are refused. */
export function attachWebSocket(
  host: ListenerHost,
  server: HttpServer | HttpsServer,
  services: WebSocketServices,
): void {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    clientTracking: false,
    handleProtocols: (protocols, request) => {
      const wanted = pathOf(request) === xmppPath ? 'xmpp' : compactProtocol;
      return protocols.has(wanted) ? wanted : false;
    },
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const path = pathOf(request);
    const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map(name => name.trim());
    const isXmpp = services.xmpp && path === xmppPath && offered.includes('xmpp');
    const compact = path === compactPath && offered.includes(compactProtocol) ? services.compact : undefined;
    if (!isXmpp && compact === undefined) {
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const place = host.gate.enter(request.socket.remoteAddress ?? '');
    if (place === undefined) {
      host.log('connection-refused');
      host.gate.refuse(
        socket,
        'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    }
    socket.once('close', () => place.leave());
    sockets.handleUpgrade(request, socket, head, webSocket => {
      request.socket.setKeepAlive(true, host.limits.tcpKeepAliveMs);
      if (compact !== undefined) {
        serveCompactWebSocket(host, webSocket, request.socket, place, compact);
        return;
      }
      const stream = new XmppStream(host, linkOf(host, webSocket, request), {
        framing: 'websocket',
        carrier: 'secured',
        place,
      });
      webSocket.on('message', (data: Buffer, isBinary: boolean) => {
        if (isBinary) webSocket.close(1003);
        else stream.document(data.toString('utf8'));
      });
      webSocket.on('error', () => webSocket.terminate());
      webSocket.on('close', () => stream.linkLost());
      request.socket.on('drain', () => stream.drained());
    });
  });
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '').split('?', 1)[0] ?? '';
}

function linkOf(host: ListenerHost, webSocket: WebSocket, request: IncomingMessage): XmppLink {
  return {
    send: text => {
      if (webSocket.readyState === webSocket.OPEN) webSocket.send(text);
    },
    end: () => {
      webSocket.close(1000);
      setTimeout(() => webSocket.terminate(), host.limits.closeMs).unref();
    },
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    get congested() {
      return request.socket.writableLength > host.limits.congestedBytes;
    },
    startTls: () => webSocket.terminate(),
  };
}
