// The relay: a client names one of the fixed upstreams by HTTP CONNECT, and what it says from then on is passed on as it is.
// The gatekeeper sees the relay's address; the relay sees bytes that TLS or Noise has encrypted between the two.
// Knows nothing of XMPP, TLS or people; writes no address anywhere. Source: RFC 9110 section 9.3.6.
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Budget } from '@drawbridge/gatekeeper/budget';
import { addressKey, PrefixCounts } from '@drawbridge/identity/network-prefix';
import { type Place, placeText, type RelayConfig } from './relay-config.ts';
import { joinSockets, type Spend, type Tunnel } from './tunnel.ts';

type Refusal = 'places' | 'not-connect' | 'not-an-upstream' | 'draining' | 'unreachable';

export type RelayCounts = {
  connections: number;
  tunnelsOpened: number;
  /** Both ways. */
  bytes: number;
  readonly refused: Record<Refusal, number>;
};

export type RelayOptions = Pick<RelayConfig, 'upstreams' | 'outgoingAddress' | 'limits'> & {
  /** An upstream can't be reached, or can again. */
  readonly onUpstream?: (upstream: Place, fault: string | undefined) => void;
  /** For tests: shown what passes. */
  readonly tap?: (bytes: Uint8Array) => void;
};

/** A request that names an upstream is small; Node refuses a larger one. */
const maxRequestBytes = 4_096;
const tcpKeepAliveMs = 120_000;
/** Addresses whose shares are remembered. */
const maxAddresses = 100_000;
const longestPauseMs = 1_000;

const alive = { noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs } as const;

export class Relay {
  /** What to listen with. */
  readonly server: Server;
  readonly counts: RelayCounts = {
    connections: 0,
    tunnelsOpened: 0,
    bytes: 0,
    refused: { places: 0, 'not-connect': 0, 'not-an-upstream': 0, draining: 0, unreachable: 0 },
  };
  readonly #options: RelayOptions;
  readonly #openingMs: number;
  readonly #upstreams: ReadonlyMap<string, Place>;
  readonly #faults = new Map<Place, string | undefined>();
  readonly #places: PrefixCounts;
  readonly #shares: Budget;
  readonly #sockets = new Set<Socket>();
  readonly #tunnels = new Set<Tunnel>();
  #isDraining = false;

  constructor(options: RelayOptions) {
    const { upstreams, limits } = options;
    this.#options = options;
    this.#openingMs = limits.openingSeconds * 1000;
    this.#upstreams = new Map(upstreams.map(each => [placeText(each), each]));
    this.#places = new PrefixCounts(limits.connectionsPerAddress, limits.connectionsPerSite);
    const rate = {
      burst: limits.mebibyteBurstPerAddress * 1024,
      refillSeconds: 1 / limits.kibibytesPerSecondPerAddress,
    };
    this.#shares = new Budget(rate, maxAddresses);
    this.server = this.#listener();
  }

  /** Connections that are passed on to an upstream. */
  get tunnels(): number {
    return this.#tunnels.size;
  }

  /** Takes nobody new and ends the tunnels in random order within this time. */
  async drain(spreadMs: number): Promise<void> {
    const closed = this.#stop();
    for (const { cut } of this.#tunnels) setTimeout(cut, Math.random() * spreadMs);
    const end = setTimeout(() => this.#cut(), spreadMs);
    await closed;
    clearTimeout(end);
  }

  /** Ends everything at once. */
  async close(): Promise<void> {
    const closed = this.#stop();
    this.#cut();
    await closed;
  }

  #stop(): Promise<void> {
    this.#isDraining = true;
    return new Promise(resolve => this.server.close(() => resolve()));
  }

  #cut(): void {
    for (const { cut } of this.#tunnels) cut();
    for (const socket of this.#sockets) socket.destroy();
  }

  #listener(): Server {
    const openingMs = this.#openingMs;
    const times = {
      headersTimeout: openingMs,
      requestTimeout: openingMs,
      connectionsCheckingInterval: Math.min(openingMs, 1_000),
    };
    const server = createServer({ ...times, ...alive, maxHeaderSize: maxRequestBytes }, (_request, response) => {
      this.counts.refused['not-connect']++;
      response.writeHead(405, { allow: 'CONNECT', connection: 'close', 'content-type': 'text/plain; charset=utf-8' });
      response.end('Only CONNECT to the upstreams of this relay is served here.\n');
    });
    server.prependListener('connection', socket => this.#enter(socket));
    server.on('clientError', (_error, socket) => socket.destroy());
    server.on('connect', (request, socket, head) => this.#asked(request.url ?? '', socket as Socket, head));
    return server;
  }

  #enter(socket: Socket): void {
    const { counts } = this;
    const key = addressKey(socket.remoteAddress ?? '');
    if (counts.connections >= this.#options.limits.connections || this.#places.full(key) !== undefined) {
      counts.refused.places++;
      setImmediate(() => socket.destroy());
      return;
    }
    counts.connections++;
    this.#places.add(key);
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      counts.connections--;
      this.#places.remove(key);
      this.#sockets.delete(socket);
    });
  }

  #asked(target: string, inner: Socket, head: Buffer): void {
    const upstream = this.#upstreams.get(target.toLowerCase());
    if (this.#isDraining) {
      this.#refuse(inner, 'draining', '503 Service Unavailable', 'This relay is stopping: come again later.');
    } else if (upstream === undefined) {
      this.#refuse(inner, 'not-an-upstream', '403 Forbidden', 'This relay passes on to its own gatekeeper alone.');
    } else this.#reach(upstream, inner, head);
  }

  #reach(upstream: Place, inner: Socket, head: Buffer): void {
    const { outgoingAddress } = this.#options;
    const from = outgoingAddress === undefined ? {} : { localAddress: outgoingAddress };
    const outer = connect({ ...upstream, ...alive, ...from, allowHalfOpen: true });
    let fault = 'ETIMEDOUT';
    outer.setTimeout(this.#openingMs, () => outer.destroy());
    outer.on('error', (error: NodeJS.ErrnoException) => (fault = error.code ?? 'unknown'));
    const gone = (): void => void outer.destroy();
    const failed = (): void => {
      if (inner.destroyed) return;
      this.#note(upstream, fault);
      this.#refuse(inner, 'unreachable', '502 Bad Gateway', 'The gatekeeper is out of reach: come again later.');
    };
    inner.once('close', gone);
    outer.once('close', failed);
    outer.once('connect', () => {
      inner.off('close', gone);
      outer.off('close', failed);
      outer.setTimeout(0);
      this.#note(upstream, undefined);
      this.#join(inner, outer, head);
    });
  }

  #join(inner: Socket, outer: Socket, head: Buffer): void {
    const { limits, tap } = this.#options;
    this.counts.tunnelsOpened++;
    inner.write('HTTP/1.1 200 Connection established\r\n\r\n');
    if (head.length > 0) inner.unshift(head);
    if (tap !== undefined) for (const each of [inner, outer]) each.on('data', tap);
    const tunnel = joinSockets(inner, outer, {
      idleMs: limits.idleSeconds * 1000,
      spend: this.#spendOf(addressKey(inner.remoteAddress ?? '')),
      onEnd: () => this.#tunnels.delete(tunnel),
    });
    this.#tunnels.add(tunnel);
  }

  #spendOf(key: string): Spend {
    return bytes => {
      this.counts.bytes += bytes;
      const nowMs = performance.now();
      this.#shares.spend(key, nowMs, bytes / 1024);
      return Math.min(this.#shares.waitMs(key, nowMs, 0), longestPauseMs);
    };
  }

  /** What changes is told, and not every try. */
  #note(upstream: Place, fault: string | undefined): void {
    if (this.#faults.get(upstream) !== fault) this.#options.onUpstream?.(upstream, fault);
    this.#faults.set(upstream, fault);
  }

  #refuse(socket: Socket, why: Refusal, status: string, words: string): void {
    this.counts.refused[why]++;
    const head = `Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${words.length}`;
    socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${words}`);
    // What it still says is of no interest, and its end is seen.
    socket.resume();
    socket.setTimeout(this.#openingMs, () => socket.destroy());
  }
}
