// WebSockets on an HTTP server: XMPP (RFC 7395: one message, one element) on /xmpp, compact frames on /compact.
// Knows nothing of what elements mean.
import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { xmlLimitsOfSession } from '@drawbridge/wire/limits';
import { WebSocket, WebSocketServer } from 'ws';
import type { ListenerHost } from './admission.ts';
import { type CompactOptions, compactPath, compactProtocol, serveCompactWebSocket } from './compact.ts';
import { type XmppLink, XmppStream } from './xmpp-stream.ts';

export const xmppPath = '/xmpp';
/** A little more than what is read of an element, so that the element's own limits speak first. */
const maxMessageBytes = xmlLimitsOfSession.readableBytes + 44 * 1024;
/** WebSocket close code of a message that is too big (RFC 6455 section 7.4.1). */
const messageTooBig = 1009;

/** For a plain request to a port where only WebSockets are served. */
export const upgradeNeeded =
  `Only WebSockets are served here: ${xmppPath} with subprotocol xmpp, ` +
  `${compactPath} with subprotocol ${compactProtocol}.\n`;

/** RFC 7395 section 3.5: the stream's error goes before the close, also when the WebSocket's own limit spoke. */
class XmppWebSocket extends WebSocket {
  /** Makes the words; set once there is a stream. */
  tooBig: (() => void) | undefined;

  override close(code?: number, data?: string | Buffer): void {
    if (code === messageTooBig) this.tooBig?.();
    super.close(code, data);
  }
}

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
    WebSocket: XmppWebSocket,
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
      host.gate.refuse(socket, wrongUpgrade(path, services));
      return;
    }
    const place = host.gate.enter(host.addressOf(request));
    if (place === undefined) {
      host.log('connection-refused');
      host.gate.refuse(
        socket,
        httpAnswer('503 Service Unavailable', 'Too many connections: come again later.', 'Retry-After: 5\r\n'),
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
        else stream.document(data);
      });
      webSocket.tooBig = () => stream.refuse('policy-violation');
      webSocket.on('error', () => setTimeout(() => webSocket.terminate(), host.limits.closeMs).unref());
      webSocket.on('close', () => stream.linkLost());
      request.socket.on('drain', () => stream.drained());
    });
  });
}

/** What is wrong with an upgrade, in words: the path, or the subprotocol. */
function wrongUpgrade(path: string, services: WebSocketServices): string {
  let needed: string | undefined;
  if (path === xmppPath && services.xmpp) needed = 'xmpp';
  else if (path === compactPath && services.compact !== undefined) needed = compactProtocol;
  if (needed === undefined) return httpAnswer('404 Not Found', upgradeNeeded);
  return httpAnswer('400 Bad Request', `Offer the subprotocol ${needed} in Sec-WebSocket-Protocol.`);
}

function httpAnswer(status: string, words: string, headers = ''): string {
  const body = Buffer.byteLength(words);
  return (
    `HTTP/1.1 ${status}\r\n${headers}Connection: close\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body}\r\n\r\n${words}`
  );
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
