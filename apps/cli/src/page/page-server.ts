// Serves the page to browsers of this machine: on the loopback address alone, to requests that name it by its number, with
// headers that let the page load nothing but itself. Exchanges the launch secret for a session, and opens sockets for tabs
// that hold one. Knows nothing of what is said on them.
// Source: docs/decisions/0071-the-chat-page-is-shown-by-the-process-that-holds-the-keys.md.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { Launch } from './launch.ts';
import type { Asset } from './page-assets.ts';
import { frameLimits } from './protocol.ts';
import type { Taken } from './intake.ts';
import { type MediaPlace, readMediaPath } from './media-path.ts';
import { bearerOf, checkElement, checkHost, checkOrigin, cookieOf, pageProtocol, sessionOf } from './request-gate.ts';

export const pageServerLimits = {
  maxBodyBytes: 1_024,
  maxConnections: 128,
  headersTimeoutMs: 10_000,
  /** A request that says nothing for so long before it is whole. */
  silenceMs: 10_000,
} as const;

/** Nothing is loaded, framed, sent or run but what this process serves; no text ever becomes markup. */
export const securityHeaders = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "media-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'permissions-policy': 'camera=(), microphone=(self), geolocation=(), payment=(), usb=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cache-control': 'no-store',
} as const;

export type PageServerSettings = {
  /** 0: any that is free. */
  readonly port: number;
  readonly assets: ReadonlyMap<string, Asset>;
  readonly onTab: (socket: WebSocket) => void;
  readonly isFull: () => boolean;
  /** The file of a message, for an element of the page. */
  readonly onMedia: (place: MediaPlace, request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** The bytes of a file that was offered there; undefined: none was. */
  readonly onUpload: (path: string, bytes: AsyncIterable<Uint8Array>) => Promise<Taken | undefined>;
  readonly nowMs: () => number;
};

export type PageServer = {
  readonly port: number;
  /** An address that opens the page once; the one before is worth nothing from now on. */
  readonly launchUrl: () => string;
  readonly close: () => Promise<void>;
};

/** Rejects when the port can't be listened on. */
export async function startPageServer(settings: PageServerSettings): Promise<PageServer> {
  const server = createServer({
    headersTimeout: pageServerLimits.headersTimeoutMs,
    // A file may take longer: silence is what ends a request.
    requestTimeout: 0,
  });
  server.maxConnections = pageServerLimits.maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(settings.port, '127.0.0.1', () => resolve());
  });
  const { port } = server.address() as AddressInfo;
  const desk = new FrontDesk(settings, port);
  server.on('request', (request, response) => void desk.answer(request, response));
  server.on('upgrade', (request, socket, head) => desk.upgrade(request, socket, head));
  return {
    port,
    launchUrl: () => `http://127.0.0.1:${port}/#${desk.launch.newSecret()}`,
    close: () => closeServer(server),
  };
}

class FrontDesk {
  readonly launch: Launch;
  readonly #settings: PageServerSettings;
  readonly #port: number;
  readonly #sockets = new WebSocketServer({
    noServer: true,
    maxPayload: frameLimits.maxFrameBytes,
    handleProtocols: () => pageProtocol,
  });

  constructor(settings: PageServerSettings, port: number) {
    this.#settings = settings;
    this.#port = port;
    this.launch = new Launch(settings.nowMs);
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    const stillSpeaks = endWhenSilent(request);
    const fault = checkHost(request.headers, this.#port);
    if (fault !== undefined) return end(response, 421, fault);
    if (request.url?.startsWith('/media/') === true) return this.#giveMedia(request, response);
    if (request.url?.startsWith('/upload/') === true) return this.#takeUpload(request, response, stillSpeaks);
    if (request.method === 'POST' && request.url === '/session') return this.#openSession(request, response);
    if (request.method !== 'GET' && request.method !== 'HEAD') return end(response, 405, 'method-not-allowed');
    const asset = this.#settings.assets.get(request.url ?? '');
    if (asset === undefined) return end(response, 404, 'not-found');
    response.setHeader('content-type', asset.type);
    response.setHeader('content-length', asset.body.length);
    response.end(request.method === 'HEAD' ? undefined : asset.body);
  }

  async #giveMedia(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET') return end(response, 405, 'method-not-allowed');
    const cookie = cookieOf(request.headers, this.launch.cookieName);
    if (cookie === undefined || !this.launch.knowsCookie(cookie)) return end(response, 401, 'unauthorized');
    const place = readMediaPath(request.url ?? '');
    if (place === undefined) return end(response, 404, 'not-found');
    const fault = checkElement(request.headers, place.use);
    if (fault !== undefined) return end(response, 403, fault);
    return this.#settings.onMedia(place, request, response);
  }

  async #takeUpload(request: IncomingMessage, response: ServerResponse, stillSpeaks: () => void): Promise<void> {
    if (request.method !== 'POST') return end(response, 405, 'method-not-allowed');
    const fault = checkOrigin(request.headers, this.#port);
    if (fault !== undefined) return end(response, 403, fault);
    const session = bearerOf(request.headers, this.launch.cookieName);
    if (session === undefined || !this.launch.admits(session)) return end(response, 401, 'unauthorized');
    const taken = await this.#settings.onUpload(request.url ?? '', arriving(request, stillSpeaks));
    if (taken === undefined) return end(response, 404, 'not-found');
    if (!taken.ok) response.setHeader('connection', 'close');
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(taken));
  }

  async #openSession(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const fault = checkOrigin(request.headers, this.#port);
    if (fault !== undefined) return end(response, 403, fault);
    if (request.headers['content-type'] !== 'application/json') return end(response, 415, 'unsupported-media-type');
    const session = this.launch.exchange((await secretIn(request)) ?? '');
    if (session === undefined) return end(response, 403, 'secret-refused');
    const cookie = `${this.launch.cookieName}=${session.cookie}; Path=/; HttpOnly; SameSite=Strict`;
    response.setHeader('set-cookie', cookie);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ token: session.token }));
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Nobody else watches it from here on: who is refused may reset it, or never close their side.
    socket.on('error', () => socket.destroy());
    const fault = this.#judgeUpgrade(request);
    if (fault !== undefined) {
      socket.end(`HTTP/1.1 ${fault}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, tab => this.#settings.onTab(tab));
  }

  #judgeUpgrade({ headers, url }: IncomingMessage): string | undefined {
    if (checkHost(headers, this.#port) !== undefined) return '421 Misdirected Request';
    if (checkOrigin(headers, this.#port) !== undefined) return '403 Forbidden';
    if (url !== '/tab') return '404 Not Found';
    const session = sessionOf(headers, this.launch.cookieName);
    if (session === undefined || !this.launch.admits(session)) return '401 Unauthorized';
    return this.#settings.isFull() ? '503 Service Unavailable' : undefined;
  }
}

/** Gives what is called whenever something of it has come. */
function endWhenSilent(request: IncomingMessage): () => void {
  const timer = setTimeout(() => {
    if (!request.complete) request.socket.destroy();
  }, pageServerLimits.silenceMs);
  request.once('close', () => clearTimeout(timer));
  return () => void timer.refresh();
}

async function* arriving(request: IncomingMessage, stillSpeaks: () => void): AsyncGenerator<Uint8Array> {
  for await (const piece of request) {
    stillSpeaks();
    yield piece as Buffer;
  }
}

function end(response: ServerResponse, status: number, code: string): void {
  response.statusCode = status;
  // What else was to come is not waited for.
  if (!response.req.complete) response.setHeader('connection', 'close');
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${code}\n`);
}

/** Undefined: too long, or not `{ "secret": "…" }`. */
async function secretIn(request: IncomingMessage): Promise<string | undefined> {
  let text = '';
  try {
    for await (const piece of request.setEncoding('utf8')) {
      text += String(piece);
      if (text.length > pageServerLimits.maxBodyBytes) return undefined;
    }
    const secret: unknown = (JSON.parse(text) as { secret?: unknown } | null)?.secret;
    return typeof secret === 'string' ? secret : undefined;
  } catch {
    return undefined;
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
