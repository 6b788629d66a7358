// The compact transport: binary stanzas over Noise, on TCP or on a WebSocket's binary messages. The login's proof and the
// first stanzas travel in the handshake. Knows nothing of what stanzas mean or where keys are kept.
// Source: docs/protocol/05-compact.md.
import type { KeyObject } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { isStaticKeyCertified } from '@drawbridge/identity/static-key-certificate';
import type { KeyPair } from '@drawbridge/noise/crypto';
import { nodeSuite } from '@drawbridge/noise/node-crypto';
import { CompactClient, type CompactClientEvent, type CompactClientFailure } from '@drawbridge/stream/compact-client';
import type { StaticKeyCertificate } from '@drawbridge/stream/compact-login';
import type { Element } from '@drawbridge/wire/element';
import { WebSocket } from 'ws';
import { ClientError } from './errors.ts';
import { type HttpTrust, networkError } from './http.ts';
import type { ConnectTransport, Transport, TransportContext } from './transport.ts';

/** The gatekeeper's static key as certified last; with it the login needs one round trip less. */
export type KnownStaticKey = { readonly publicKey: Uint8Array; readonly notAfter: number };

export type CompactOptions = HttpTrust & {
  readonly target: { readonly host: string; readonly port: number } | { readonly url: string };
  /** The device key: the proof is bound to it. */
  readonly deviceKeyPair: KeyPair;
  /** The gatekeeper's long-term key, pinned at enlistment. */
  readonly pinnedKey: KeyObject;
  readonly knownStaticKey: () => KnownStaticKey | undefined;
  /** Keeps a newly certified key, or forgets the known one. */
  readonly keepStaticKey: (key: KnownStaticKey | undefined) => void;
  readonly nowMs: () => number;
};

const handshakeTimeoutMs = 10_000;
const lingerMs = 2_000;
const suite = nodeSuite('AESGCM', 'SHA256');

export function compactTransport(options: CompactOptions): ConnectTransport {
  return context => new CompactTransport(options, context);
}

/** What carries the bytes. */
type Carrier = {
  write(bytes: Uint8Array): void;
  pause(): void;
  resume(): void;
  end(): void;
  destroy(): void;
};

type CarrierEvents = {
  readonly connected: () => void;
  readonly bytes: (chunk: Uint8Array) => void;
  readonly failed: (error: unknown) => void;
  readonly closed: () => void;
};

class CompactTransport implements Transport {
  readonly carrier = 'authenticated';
  failure: ClientError | undefined;
  readonly #options: CompactOptions;
  readonly #context: TransportContext;
  readonly #carrier: Carrier;
  #client: CompactClient | undefined;
  /** Stanzas that wait for the end of this turn, or for the handshake. */
  #outgoing: Element[] = [];
  #flushing = false;
  #open = false;
  #done = false;

  constructor(options: CompactOptions, context: TransportContext) {
    this.#options = options;
    this.#context = context;
    const events: CarrierEvents = {
      connected: () => void this.#logIn(),
      bytes: chunk => this.#handle(this.#client?.receive(chunk) ?? []),
      failed: error => {
        this.failure ??= networkError(error);
      },
      closed: () => this.#disconnected(),
    };
    const { target } = options;
    this.#carrier = 'url' in target ? overWebsocket(target.url, options, events) : overTcp(target, events);
  }

  sendHeader(): void {
    // There are no stream headers: the handshake named the domain.
  }

  startTls(): void {
    // Never asked for: Noise protects from the first stanza on.
    this.#carrier.destroy();
  }

  send(element: Element): void {
    if (this.#done) return;
    this.#outgoing.push(element);
    if (!this.#open || this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  sendEnd(): void {
    // The end of the connection is the end of the stream.
    this.#flush();
    this.#carrier.end();
  }

  pause(): void {
    this.#carrier.pause();
  }

  resume(): void {
    this.#carrier.resume();
  }

  close(): void {
    this.#flush();
    this.#carrier.end();
    setTimeout(() => this.#carrier.destroy(), lingerMs).unref();
  }

  /** What the stream says first (bind or resume) goes with the proof. */
  async #logIn(): Promise<void> {
    const { deviceKeyPair, knownStaticKey, nowMs } = this.#options;
    let proof: string;
    try {
      proof = await this.#context.proof();
    } catch (error) {
      this.failure ??= error instanceof ClientError ? error : new ClientError('proof-source-failed', { cause: error });
      this.#carrier.destroy();
      return;
    }
    if (this.#done) return;
    this.#context.emit({ kind: 'connected' });
    const known = knownStaticKey();
    this.#client = new CompactClient({
      domain: this.#context.domain,
      suite,
      deviceKeyPair,
      knownStaticKey: known === undefined || known.notAfter * 1_000 <= nowMs() ? undefined : known.publicKey,
      isCertified: certificate => this.#isCertified(certificate),
      proof,
      stanzas: this.#outgoing,
    });
    this.#outgoing = [];
    this.#handle(this.#client.start());
  }

  #isCertified(certificate: StaticKeyCertificate): boolean {
    const { pinnedKey, nowMs } = this.#options;
    return isStaticKeyCertified(certificate, this.#context.domain, pinnedKey, nowMs());
  }

  #handle(events: readonly CompactClientEvent[]): void {
    for (const event of events) {
      if (this.#done) return;
      switch (event.kind) {
        case 'send':
          this.#carrier.write(event.bytes);
          break;
        case 'established': {
          this.#open = true;
          const { certificate, staticKey } = event;
          if (certificate !== undefined) {
            this.#options.keepStaticKey({ publicKey: Uint8Array.from(staticKey), notAfter: certificate.notAfter });
          }
          this.#flush();
          break;
        }
        case 'elements':
          for (const element of event.elements) this.#context.emit({ kind: 'element', element });
          break;
        case 'failed':
          this.#failed(event.code);
          return;
      }
    }
  }

  #failed(code: CompactClientFailure): void {
    if (code === 'refused') this.failure ??= new ClientError('proof-refused', { detail: code });
    else if (code === 'gatekeeper-not-certified')
      this.failure ??= new ClientError('certificate-refused', { detail: code });
    else this.failure ??= new ClientError('protocol-error', { detail: code });
    if (code === 'key-refused' || code === 'handshake-failed') this.#options.keepStaticKey(undefined);
    this.#carrier.destroy();
  }

  #flush(): void {
    const client = this.#client;
    if (this.#outgoing.length === 0 || !this.#open || client === undefined || this.#done) return;
    const elements = this.#outgoing;
    this.#outgoing = [];
    const bytes = client.send(elements);
    // The session's key is used up, or the session is over: a new connection has new keys.
    if (bytes === undefined) this.#carrier.destroy();
    else this.#carrier.write(bytes);
  }

  #disconnected(): void {
    if (this.#done) return;
    this.#done = true;
    this.#outgoing = [];
    this.#client?.close();
    this.#context.emit({ kind: 'disconnected' });
  }
}

function overTcp(target: { readonly host: string; readonly port: number }, events: CarrierEvents): Carrier {
  const socket = connectTcp({ host: target.host, port: target.port, noDelay: true, keepAlive: true });
  socket.on('connect', events.connected);
  socket.on('data', events.bytes);
  socket.on('error', events.failed);
  socket.on('close', events.closed);
  return {
    write: bytes => void socket.write(bytes),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  };
}

function overWebsocket(url: string, trust: HttpTrust, events: CarrierEvents): Carrier {
  const socket = new WebSocket(url, 'drawbridge-compact', {
    ...(trust.ca === undefined ? {} : { ca: trust.ca }),
    minVersion: 'TLSv1.2',
    perMessageDeflate: false,
    maxPayload: 1_048_576,
    handshakeTimeout: handshakeTimeoutMs,
    followRedirects: false,
  });
  socket.on('open', events.connected);
  socket.on('message', (data, isBinary) => {
    if (isBinary && Buffer.isBuffer(data)) events.bytes(data);
    else socket.terminate();
  });
  socket.on('error', events.failed);
  socket.on('close', events.closed);
  return {
    write: bytes => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    end: () => {
      socket.resume();
      socket.close();
    },
    destroy: () => socket.terminate(),
  };
}
