// One TCP port for HTTP: with TLS, without, or (development only) both, told apart by the first byte.
// Knows nothing of what is served.
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { Tap } from './admission.ts';
import { HttpConnections, peerOf } from '@drawbridge/identity/http-connections';
import type { HttpPlaceLimits } from '@drawbridge/identity/http-places';
import { addressKey } from '@drawbridge/identity/network-prefix';
import { minTlsVersion, type TlsMaterial } from '../tls/certificate.ts';
import { declareAddress, peerAddress } from './peer-address.ts';

export type HttpPort = {
  /** What to listen with. */
  readonly server: Server | HttpServer | HttpsServer;
  /** The HTTP servers behind it: WebSockets attach to each. */
  readonly servers: readonly (HttpServer | HttpsServer)[];
  /** Open connections that have not become WebSockets. */
  connections(): number;
  /** Takes another certificate and other numbers of connections; those that are there stay. */
  setCertificate(material: TlsMaterial): void;
  setPlaces(limits: HttpPlaceLimits): void;
  /** Closes listener and connections. */
  close(): Promise<void>;
};

export type HttpPortLimits = {
  /** Connections beyond it make the longest idle one give way; those that have become WebSockets do not count. */
  readonly maxConnections: number;
  /** Of these, connections of one address (IPv4, or the /64 of IPv6) and of one /48: all when left out. */
  readonly maxPerAddress?: number;
  readonly maxPerSite?: number;
  readonly headersTimeoutMs: number;
  /** From the end of the headers until the whole body has come; uploads have limits of their own. */
  readonly requestTimeoutMs: number;
  /** A connection on which nothing moves for so long is cut, such as one that does not read its answer. */
  readonly idleMs?: number;
};

const defaultIdleMs = 60_000;
/** How often the time of headers is looked at. */
const lookEveryMs = 5_000;

export type HttpPortOptions = {
  readonly tls: TlsMaterial | undefined;
  readonly alsoPlain: boolean;
  readonly limits: HttpPortLimits;
  /** Requests whose handler ends them when nothing moves: they take as long as bytes come. None when left out. */
  readonly isUpload?: (request: IncomingMessage) => boolean;
  readonly isFull?: () => boolean;
  /** Reverse proxies, whose connections are everybody's: no share of one address holds for them. */
  readonly isProxy?: (address: string) => boolean;
  /** The key by which connections from an address are counted. */
  readonly keyOf?: (address: string) => string;
  readonly tap?: Tap | undefined;
};

/** First byte of a TLS record that holds a handshake message (RFC 8446 section 5.1). */
const tlsHandshakeRecord = 0x16;

export function createHttpPort(handler: RequestListener, options: HttpPortOptions): HttpPort {
  return new Port(handler, options);
}

class Port implements HttpPort {
  readonly server: Server;
  readonly servers: readonly (HttpServer | HttpsServer)[];
  readonly #handler: RequestListener;
  readonly #options: HttpPortOptions;
  readonly #secure: HttpsServer | undefined;
  readonly #plain: HttpServer | undefined;
  readonly #connections: HttpConnections;
  readonly #addressOf = new Map<string, string>();
  readonly #sockets = new Set<Socket>();

  constructor(handler: RequestListener, options: HttpPortOptions) {
    this.#handler = handler;
    this.#options = options;
    const { tls, limits } = options;
    const { maxConnections, maxPerAddress = maxConnections, maxPerSite = maxConnections } = limits;
    this.#connections = new HttpConnections({ maxConnections, maxPerAddress, maxPerSite });
    const common = {
      headersTimeout: limits.headersTimeoutMs,
      // Node has one for all paths; see `#timed`.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(lookEveryMs, limits.headersTimeoutMs),
      keepAliveTimeout: 10_000,
      noDelay: true,
    };
    this.#secure =
      tls === undefined
        ? undefined
        : createHttpsServer({ ...common, ...tls, minVersion: minTlsVersion, handshakeTimeout: 10_000 }, this.#timed);
    this.#plain = tls === undefined || options.alsoPlain ? createHttpServer(common, this.#timed) : undefined;
    this.servers = [this.#secure, this.#plain].filter(server => server !== undefined);
    this.#secure?.on('secureConnection', socket => {
      const address = this.#addressOf.get(peerOf(socket));
      if (address !== undefined) declareAddress(socket, address);
    });
    for (const server of this.servers) this.#watch(server);
    const isBoth = this.#secure !== undefined && this.#plain !== undefined;
    this.server = isBoth ? createTcpServer({ noDelay: true }, socket => this.#tellApart(socket)) : this.servers[0]!;
    this.server.prependListener('connection', (socket: Socket) => this.#connected(socket));
  }

  connections(): number {
    return this.#connections.count;
  }

  setCertificate(material: TlsMaterial): void {
    this.#secure?.setSecureContext({ ...material, minVersion: minTlsVersion });
  }

  setPlaces(limits: HttpPlaceLimits): void {
    this.#connections.setLimits(limits);
  }

  async close(): Promise<void> {
    await new Promise<void>(resolve => {
      this.server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  /** What happens to requests before they are served. */
  #watch(server: HttpServer | HttpsServer): void {
    // Streams that have become WebSockets have rules of their own; media and event streams move at least twice a minute.
    server.timeout = this.#options.limits.idleMs ?? defaultIdleMs;
    server.on('clientError', (_error, socket) => socket.destroy());
    // A WebSocket is bounded as a stream: before login by address, refused ones by time.
    this.#connections.watch(server);
    const { tap } = this.#options;
    if (tap !== undefined) server.on('request', request => tapRequest(request, tap));
  }

  readonly #timed = (request: IncomingMessage, response: ServerResponse): void => {
    const { isUpload, limits } = this.#options;
    if (isUpload?.(request) !== true) {
      const slow = setTimeout(() => request.complete || request.destroy(), limits.requestTimeoutMs);
      // Not at the end of the answer: that may go out while the body still drips.
      request.once('close', () => clearTimeout(slow));
    }
    this.#handler(request, response);
  };

  #connected(socket: Socket): void {
    const address = peerAddress(socket);
    const { isProxy, keyOf = addressKey } = this.#options;
    const key = isProxy?.(address) === true ? '' : keyOf(address);
    if (!this.#connections.take(socket, key, this.#options.isFull?.() === true)) return;
    const peer = peerOf(socket);
    this.#addressOf.set(peer, address);
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#addressOf.delete(peer);
    });
  }

  /** The first byte says whether it is TLS. */
  #tellApart(socket: Socket): void {
    if (socket.destroyed) return;
    socket.on('error', () => socket.destroy());
    socket.setTimeout(this.#options.limits.headersTimeoutMs, () => socket.destroy());
    socket.once('data', first => {
      socket.pause();
      socket.setTimeout(0);
      socket.unshift(first);
      (first[0] === tlsHandshakeRecord ? this.#secure! : this.#plain!).emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  }
}

/** Shows address, headers and body of a request, without taking anything from whoever reads it. */
function tapRequest(request: IncomingMessage, tap: Tap): void {
  tap(`${request.method ?? ''} ${request.url ?? ''}\n${request.rawHeaders.join('\n')}\n`);
  const push = request.push.bind(request);
  request.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) tap(chunk);
    return push(chunk, encoding);
  };
}
