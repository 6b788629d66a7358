// The one way out: every request that a gatekeeper or provider sends to somebody else's address goes through here, so
// that no name, spelling, redirect or DNS answer can lead it into the internal network.
// Knows nothing of what the requests mean.
// Source: docs/protocol/02 section 2.1; threats 4 and 5 of the threat model.

import assert from 'node:assert/strict';
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { readBuffer } from './body-buffers.ts';
import { type EgressAllowance, type ResolveName, Targets } from './egress-targets.ts';
import { createNameResolver } from './resolve-name.ts';

/** Why a request was not made or not finished. Only the first four can be caused by the URL alone. */
export type EgressErrorCode =
  | 'url-refused'
  | 'port-refused'
  | 'address-refused'
  | 'name-not-found'
  | 'request-refused'
  | 'connect-failed'
  | 'tls-failed'
  | 'timed-out'
  | 'redirect-refused'
  | 'encoding-refused'
  | 'headers-too-large'
  | 'body-too-large'
  | 'response-broken'
  | 'busy'
  | 'closed';

/** For each code: does a later try help, and the sentence for the operator. None of them names an address. */
export const egressErrors: Readonly<Record<EgressErrorCode, { readonly retry: boolean; readonly text: string }>> = {
  'url-refused': {
    retry: false,
    text: 'Not an https URL without credentials (or a plain-http origin that is allowed by name).',
  },
  'port-refused': { retry: false, text: 'The port is neither 443 nor registered.' },
  'address-refused': { retry: false, text: 'The name leads to an address that is not public.' },
  'name-not-found': { retry: true, text: 'The name has no address, or the resolver did not answer.' },
  'request-refused': { retry: false, text: 'Method, headers or body cannot be sent.' },
  'connect-failed': { retry: true, text: 'No connection could be made.' },
  'tls-failed': { retry: true, text: "The server's certificate is not valid for its name." },
  'timed-out': { retry: true, text: 'Connecting, waiting or the whole request took too long.' },
  'redirect-refused': { retry: false, text: 'The server answered with a redirect; redirects are never followed.' },
  'encoding-refused': { retry: false, text: 'The server compressed the body although it was asked not to.' },
  'headers-too-large': { retry: false, text: 'The response headers are larger than allowed.' },
  'body-too-large': { retry: false, text: 'The response body is larger than allowed.' },
  'response-broken': { retry: true, text: 'The response was not HTTP, or ended early.' },
  busy: { retry: true, text: 'Too many requests are under way.' },
  closed: { retry: false, text: 'The client is shutting down.' },
};

/** Named limits; each may be lowered or raised when the client is made. */
export type EgressLimits = {
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly totalTimeoutMs: number;
  /** From the request's start until its headers have come, however they drip. */
  readonly headersTimeoutMs: number;
  /** A body that its reader waits for comes at this rate at least, over `rateWindowMs`. */
  readonly minBytesPerSecond: number;
  readonly rateWindowMs: number;
  readonly maxHeaderBytes: number;
  readonly maxBodyBytes: number;
  readonly maxConcurrent: number;
  readonly maxAddressesPerName: number;
};

export const defaultEgressLimits: EgressLimits = {
  connectTimeoutMs: 3_000,
  idleTimeoutMs: 5_000,
  totalTimeoutMs: 10_000,
  headersTimeoutMs: 30_000,
  minBytesPerSecond: 1_024,
  rateWindowMs: 20_000,
  maxHeaderBytes: 16_384,
  maxBodyBytes: 262_144,
  maxConcurrent: 2_048,
  maxAddressesPerName: 16,
};

export type EgressOptions = {
  readonly allow?: EgressAllowance;
  readonly limits?: Partial<EgressLimits>;
  /** DNS servers, `address` or `address:port`; the system's when left out. */
  readonly nameServers?: readonly string[];
  /** In place of DNS. */
  readonly resolve?: ResolveName;
};

export type EgressRequest = {
  readonly method?: 'GET' | 'POST' | 'HEAD' | 'PUT' | 'DELETE';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Never more than the client's own limit. */
  readonly maxBodyBytes?: number;
  /** Whole request with name resolution; never more than the client's own limit. */
  readonly timeoutMs?: number;
  /** Registered ports that this request alone may use besides 443. */
  readonly ports?: readonly number[];
};

export type EgressResponse =
  | {
      readonly kind: 'response';
      readonly status: number;
      /** Lower-case names; repeated ones joined as HTTP says. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Uint8Array;
    }
  | { readonly kind: 'failed'; readonly code: EgressErrorCode };

/** A response whose body is still to be read; `destroy` it when it isn't read to the end. */
export type EgressStream =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly stream: IncomingMessage;
    }
  | { readonly kind: 'failed'; readonly code: EgressErrorCode };

export type EgressFetch = (url: string, request?: EgressRequest) => Promise<EgressResponse>;

export type Egress = {
  /**
   * Makes one request and reads the whole answer. Any status but a redirect is a response.
   *
   * Before a socket is opened, the URL, the port and every address of the name are checked; the connection is then made
   * to those very addresses, so a second DNS answer changes nothing. One forbidden address refuses the whole name.
   * Never rejects.
   */
  readonly fetch: EgressFetch;
  /** The same checks, but the body is streamed and has no size limit: the caller counts. Idle and total time hold. */
  readonly open: (url: string, request?: EgressRequest) => Promise<EgressStream>;
  /** Ends everything under way; later requests fail with `closed`. */
  readonly close: () => void;
};

const redirects: readonly number[] = [300, 301, 302, 303, 305, 307, 308];

/** Makes a client with its own connections. Throws when an allowance is malformed: that is a defect of the caller. */
export function createEgress(options: EgressOptions = {}): Egress {
  return new EgressClient(options, { ...defaultEgressLimits, ...options.limits });
}

function resolverOf({ resolve, nameServers }: EgressOptions): ResolveName {
  return resolve ?? createNameResolver(nameServers === undefined ? {} : { servers: nameServers });
}

class EgressClient implements Egress {
  readonly #limits: EgressLimits;
  readonly #targets: Targets;
  readonly #httpAgent: HttpAgent;
  readonly #httpsAgent: HttpsAgent;
  /** Ends each request that is under way. */
  readonly #active = new Set<(code: EgressErrorCode) => void>();
  #closed = false;

  constructor(options: EgressOptions, limits: EgressLimits) {
    this.#limits = limits;
    this.#targets = new Targets(limits.maxAddressesPerName, resolverOf(options), options.allow);
    // Kept connections stay on the address that was checked when they were made. 4 s: less than what servers wait.
    const pool = { keepAlive: true, keepAliveMsecs: 1_000, timeout: 4_000, maxFreeSockets: 32 };
    const ca = options.allow?.ca;
    this.#httpAgent = new HttpAgent(pool);
    this.#httpsAgent = new HttpsAgent({
      ...pool,
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca: typeof ca === 'string' ? ca : [...ca] }),
    });
  }

  /** Runs one request up to its headers. `settle` is called once; `signal` outlives it, for the body. */
  readonly open = (text: string, request: EgressRequest = {}): Promise<EgressStream> => {
    const { promise, resolve: settle } = Promise.withResolvers<EgressStream>();
    const refuse = (code: EgressErrorCode): Promise<EgressStream> => Promise.resolve({ kind: 'failed', code });
    if (this.#closed) return refuse('closed');
    if (this.#active.size >= this.#limits.maxConcurrent) return refuse('busy');
    const url = this.#targets.checkUrl(text, request.ports);
    if (typeof url === 'string') return refuse(url);

    let sent: ClientRequest | undefined;
    let received: IncomingMessage | undefined;
    const finish = (): void => {
      clearTimeout(totalTimer);
      clearTimeout(headersTimer);
      clearInterval(rateTimer);
      clearTimeout(connectTimer);
      this.#active.delete(fail);
    };
    const fail = (code: EgressErrorCode): void => {
      finish();
      settle({ kind: 'failed', code });
      const error = new EgressFailure(code);
      received?.destroy(error);
      sent?.destroy(error);
    };
    this.#active.add(fail);
    const totalTimeoutMs = Math.min(request.timeoutMs ?? this.#limits.totalTimeoutMs, this.#limits.totalTimeoutMs);
    const totalTimer = setTimeout(fail, totalTimeoutMs, 'timed-out');
    const headersTimer = setTimeout(fail, Math.min(totalTimeoutMs, this.#limits.headersTimeoutMs), 'timed-out');
    let rateTimer: NodeJS.Timeout | undefined;
    let connectTimer: NodeJS.Timeout | undefined;

    void this.#targets.checkAddresses(url).then(addresses => {
      if (!this.#active.has(fail)) return;
      if (typeof addresses === 'string') return fail(addresses);
      try {
        sent = this.#send(url, request, addresses);
      } catch {
        return fail('request-refused');
      }
      connectTimer = setTimeout(fail, this.#limits.connectTimeoutMs, 'timed-out');
      sent.on('socket', socket => {
        if (!socket.connecting) return clearTimeout(connectTimer);
        socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => clearTimeout(connectTimer));
      });
      sent.on('timeout', () => fail('timed-out'));
      // A switch of protocols that nobody asked for ends here, without error or response.
      sent.on('close', () => {
        if (received === undefined) fail('response-broken');
      });
      sent.on('error', error => fail(received === undefined ? codeOf(error) : 'response-broken'));
      sent.on('response', response => {
        received = response;
        clearTimeout(headersTimer);
        rateTimer = watchRate(response, this.#limits, () => fail('timed-out'));
        response.on('error', () => fail('response-broken'));
        response.on('close', finish);
        const status = response.statusCode ?? 0;
        if (redirects.includes(status)) return fail('redirect-refused');
        const encoding = response.headers['content-encoding'];
        if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return fail('encoding-refused');
        settle({ kind: 'response', status, headers: flatHeaders(response), stream: response });
      });
    });
    return promise;
  };

  #send(url: URL, request: EgressRequest, addresses: readonly string[]): ClientRequest {
    const plain = url.protocol === 'http:';
    const sent = (plain ? httpRequest : httpsRequest)(url, {
      agent: plain ? this.#httpAgent : this.#httpsAgent,
      method: request.method ?? 'GET',
      headers: { 'user-agent': 'drawbridge', ...request.headers, 'accept-encoding': 'identity' },
      maxHeaderSize: this.#limits.maxHeaderBytes,
      timeout: this.#limits.idleTimeoutMs,
      ...readBuffer(),
      lookup: pinnedLookup(addresses),
    });
    sent.end(request.body);
    return sent;
  }

  readonly fetch = async (text: string, request: EgressRequest = {}): Promise<EgressResponse> => {
    const maxBytes = Math.min(request.maxBodyBytes ?? this.#limits.maxBodyBytes, this.#limits.maxBodyBytes);
    const opened = await this.open(text, request);
    if (opened.kind === 'failed') return opened;
    const { status, headers, stream } = opened;
    if (Number(headers['content-length'] ?? 0) > maxBytes && request.method !== 'HEAD') {
      stream.destroy();
      return { kind: 'failed', code: 'body-too-large' };
    }
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        sizeBytes += chunk.length;
        if (sizeBytes > maxBytes) return { kind: 'failed', code: 'body-too-large' };
        chunks.push(chunk);
      }
    } catch (error) {
      return { kind: 'failed', code: error instanceof EgressFailure ? error.code : 'response-broken' };
    }
    return { kind: 'response', status, headers, body: Buffer.concat(chunks, sizeBytes) };
  };

  readonly close = (): void => {
    this.#closed = true;
    for (const fail of this.#active) fail('closed');
    this.#httpAgent.destroy();
    this.#httpsAgent.destroy();
  };
}

/** Carries the code through streams that can only be ended with an error. Never leaves this file but in a stream. */
class EgressFailure extends Error {
  readonly code: EgressErrorCode;
  constructor(code: EgressErrorCode) {
    super(egressErrors[code].text);
    this.code = code;
  }
}

/** Answers the socket's name look-up with what was checked, whatever it asks for. */
function pinnedLookup(addresses: readonly string[]): LookupFunction {
  const pinned = addresses.map(address => ({ address, family: isIP(address) }));
  return (_name, options, callback) => {
    const [first] = pinned;
    assert(first !== undefined, 'a checked name has an address');
    if (options.all === true) callback(null, pinned);
    else callback(null, first.address, first.family);
  };
}

/**
 * Tells of a body that drips: its reader waits, and what comes is below the least rate. A reader that holds the body
 * back, or that has not begun, is not the server's fault.
 */
function watchRate(response: IncomingMessage, limits: EgressLimits, tooSlow: () => void): NodeJS.Timeout {
  const { socket } = response;
  const leastBytes = (limits.minBytesPerSecond * limits.rateWindowMs) / 1_000;
  let readBefore = socket.bytesRead;
  let heldBack = false;
  const look = (): void => {
    const waits = response.readableFlowing === true && response.readableLength === 0;
    const came = socket.bytesRead - readBefore;
    readBefore = socket.bytesRead;
    if (waits && !heldBack && came < leastBytes) tooSlow();
    heldBack = !waits;
  };
  return setInterval(look, limits.rateWindowMs).unref();
}

function codeOf(error: Error): EgressErrorCode {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'HPE_HEADER_OVERFLOW') return 'headers-too-large';
  if (code.startsWith('HPE_')) return 'response-broken';
  if (code === 'ETIMEDOUT') return 'timed-out';
  if (code === 'EPROTO') return 'tls-failed';
  if (
    code.startsWith('ERR_TLS_') ||
    code.startsWith('ERR_SSL_') ||
    code.includes('CERT') ||
    code.includes('SIGNATURE')
  ) {
    return 'tls-failed';
  }
  return 'connect-failed';
}

function flatHeaders(response: IncomingMessage): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) flat[name] = typeof value === 'string' ? value : value.join(', ');
  }
  return flat;
}
