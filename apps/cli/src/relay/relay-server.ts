// The relay: a client names one of the fixed upstreams by HTTP CONNECT, and what it says from then on is passed on as it is.
// The gatekeeper sees the relay's address; the relay sees bytes that TLS or Noise has encrypted between the two.
// Knows nothing of XMPP, TLS or people; writes no address anywhere. Source: RFC 9110 section 9.3.6.
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Budget, type BudgetRate } from '@drawbridge/gatekeeper/budget';
import { addressKey, PrefixCounts } from '@drawbridge/identity/network-prefix';
import { type Place, placeText, type RelayConfig } from './relay-config.ts';
import { joinSockets, type Spend, type Tunnel } from './tunnel.ts';

/** What may change while the relay runs. */
export type RelayChange = Pick<RelayConfig, 'upstreams' | 'outgoingAddress' | 'limits'>;

type Refusal = 'places' | 'too-often' | 'not-connect' | 'not-an-upstream' | 'draining' | 'unreachable';

export type RelayCounts = {
  connections: number;
  tunnelsOpened: number;
  /** Both ways. */
  bytes: number;
  readonly refused: Record<Refusal, number>;
};

export type RelayOptions = RelayChange & {
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
    refused: { places: 0, 'too-often': 0, 'not-connect': 0, 'not-an-upstream': 0, draining: 0, unreachable: 0 },
  };
  #options: RelayOptions;
  #upstreams: ReadonlyMap<string, Place> = new Map();
  readonly #faults = new Map<string, string | undefined>();
  readonly #places: PrefixCounts;
  readonly #shares: Budget;
  /** Ways that an address opens: whoever comes again and again would use up what the gatekeeper gives to all behind here. */
  readonly #ways: Budget;
  readonly #sockets = new Set<Socket>();
  /** Each with the upstream that it leads to. */
  readonly #tunnels = new Map<Tunnel, string>();
  #isDraining = false;

  constructor(options: RelayOptions) {
    const { limits } = options;
    this.#options = options;
    this.#places = new PrefixCounts(limits.connectionsPerAddress, limits.connectionsPerSite);
    this.#shares = new Budget(rateOf(limits), maxAddresses);
    this.#ways = new Budget(waysOf(limits), maxAddresses);
    this.server = this.#listener();
    this.reconfigure(options);
  }

  /**
   * Takes other upstreams and limits from now on: what was spent stays spent, and connections that are beyond a new bound stay.
   * Tunnels to what is no upstream any more end at once.
   */
  reconfigure(change: RelayChange): void {
    const { upstreams, limits } = change;
    this.#options = { ...this.#options, ...change };
    this.#upstreams = new Map(upstreams.map(each => [placeText(each), each]));
    this.#places.setBounds(limits.connectionsPerAddress, limits.connectionsPerSite);
    this.#shares.reconfigure(rateOf(limits), maxAddresses);
    this.#ways.reconfigure(waysOf(limits), maxAddresses);
    this.server.headersTimeout = this.#openingMs;
    this.server.requestTimeout = this.#openingMs;
    for (const [{ cut }, upstream] of this.#tunnels) if (!this.#upstreams.has(upstream)) cut();
    for (const known of this.#faults.keys()) if (!this.#upstreams.has(known)) this.#faults.delete(known);
  }

  get #openingMs(): number {
    return this.#options.limits.openingSeconds * 1000;
  }

  /** Connections that are passed on to an upstream. */
  get tunnels(): number {
    return this.#tunnels.size;
  }

  /** Takes nobody new and ends the tunnels in random order within this time. */
  async drain(spreadMs: number): Promise<void> {
    const closed = this.#stop();
    for (const { cut } of this.#tunnels.keys()) setTimeout(cut, Math.random() * spreadMs);
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
    for (const { cut } of this.#tunnels.keys()) cut();
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
    } else {
      const waitMs = this.#opened(addressKey(inner.remoteAddress ?? ''));
      if (waitMs === 0) return this.#reach(upstream, inner, head);
      const retryAfter = `Retry-After: ${Math.ceil(waitMs / 1000)}\r\n`;
      this.#refuse(
        inner,
        'too-often',
        '429 Too Many Requests',
        'Too many ways were opened: come again later.',
        retryAfter,
      );
    }
  }

  /** How long this address has to wait; 0: the way is counted. */
  #opened(key: string): number {
    const nowMs = performance.now();
    const waitMs = this.#ways.waitMs(key, nowMs);
    if (waitMs === 0) this.#ways.spend(key, nowMs);
    return waitMs;
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
      this.#join(upstream, inner, outer, head);
    });
  }

  #join(upstream: Place, inner: Socket, outer: Socket, head: Buffer): void {
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
    this.#tunnels.set(tunnel, placeText(upstream));
    // It was taken away while it was being reached.
    if (!this.#upstreams.has(placeText(upstream))) tunnel.cut();
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
    const name = placeText(upstream);
    if (this.#faults.get(name) !== fault) this.#options.onUpstream?.(upstream, fault);
    this.#faults.set(name, fault);
  }

  #refuse(socket: Socket, why: Refusal, status: string, words: string, more = ''): void {
    this.counts.refused[why]++;
    const head = `${more}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${words.length}`;
    socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${words}`);
    // What it still says is of no interest, and its end is seen.
    socket.resume();
    socket.setTimeout(this.#openingMs, () => socket.destroy());
  }
}

function rateOf({ mebibyteBurstPerAddress, kibibytesPerSecondPerAddress }: RelayConfig['limits']): BudgetRate {
  return { burst: mebibyteBurstPerAddress * 1024, refillSeconds: 1 / kibibytesPerSecondPerAddress };
}

function waysOf({ tunnelBurstPerAddress, tunnelsPerMinutePerAddress }: RelayConfig['limits']): BudgetRate {
  return { burst: tunnelBurstPerAddress, refillSeconds: 60 / tunnelsPerMinutePerAddress };
}
