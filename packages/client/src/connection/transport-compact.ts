// The compact transport: binary stanzas over Noise, on TCP or on a WebSocket's binary messages. The login's proof and the
// first stanzas travel in the handshake. Knows nothing of what stanzas mean or where keys are kept.
// Source: docs/protocol/05-compact.md.
import type { KeyObject } from 'node:crypto';
import { isStaticKeyCertified } from '@drawbridge/identity/static-key-certificate';
import type { CipherName, KeyPair } from '@drawbridge/noise/crypto';
import { platformCrypto } from '@drawbridge/noise/platform-crypto';
import { CompactClient, type CompactClientEvent, type CompactClientFailure } from '@drawbridge/stream/compact-client';
import { maxWebSocketMessageBytes } from '@drawbridge/stream/compact-frames';
import { CompactKeyRecorder } from '@drawbridge/stream/compact-key-log';
import { goodbye, preferredCipher, type StaticKeyCertificate } from '@drawbridge/stream/compact-login';
import type { Element } from '@drawbridge/wire/element';
import { WebSocket } from 'ws';
import { type Clock, systemClock } from '../clock.ts';
import { ClientError } from '../errors.ts';
import type { Place } from './connect-socket.ts';
import { type HttpTrust, networkError } from './http.ts';
import type { ConnectTransport, Transport, TransportContext } from './transport.ts';
import { agentFor, openWay, type Way } from './way.ts';

/** The gatekeeper's static key as certified last; with it the login needs one round trip less. */
export type KnownStaticKey = {
  readonly publicKey: Uint8Array;
  readonly notAfter: number;
  /** The cipher to use with it, by its certificate; undefined when version 0.1.0 kept it: then it is certified again. */
  readonly cipher?: CipherName | undefined;
};

export type CompactOptions = HttpTrust & {
  readonly target: Place | { readonly url: string };
  /** The device key: the proof is bound to it. */
  readonly deviceKeyPair: KeyPair;
  /** The gatekeeper's long-term key, as it is pinned now. */
  readonly pinnedKey: () => KeyObject | undefined;
  /** By the reference offer; undefined from a gatekeeper of version 0.1.0. */
  readonly offeredCiphers?: readonly string[] | undefined;
  readonly knownStaticKey: () => KnownStaticKey | undefined;
  /** Keeps a newly certified key, or forgets the known one. */
  readonly keepStaticKey: (key: KnownStaticKey | undefined) => void;
  readonly nowMs: () => number;
  /** The system's timers when left out. */
  readonly after?: Clock['after'];
  /** Development: takes a line with each session's keys, for `drawbridge inspect`. */
  readonly keyLog?: ((line: string) => void) | undefined;
};

/** Until the TCP connection, or the WebSocket, is there; then until the handshake is answered. */
const connectTimeoutMs = 5_000;
const answerTimeoutMs = 10_000;
const lingerMs = 2_000;

/**
 * A transport whose handshake carries proof and first stanzas. When it ends with a `failure` of code `unreachable` or
 * `timed-out`, nothing that speaks the protocol has answered: another transport may get through. After
 * `gatekeeper-not-certified` a transport under TLS may, with a warning. All other failures are the gatekeeper's word, or that
 * of somebody who pretends to be it.
 */
export function compactTransport(options: CompactOptions): ConnectTransport {
  // A certificate knows better than the offer, which may have been fetched long ago.
  const choice: CipherChoice = { cipher: preferredCipher(options.offeredCiphers) };
  return context => new CompactTransport(options, choice, context);
}

/** The cipher of the next connection. */
type CipherChoice = { cipher: CipherName };

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
  readonly #choice: CipherChoice;
  readonly #context: TransportContext;
  readonly #carrier: Carrier;
  #client: CompactClient | undefined;
  /** Stanzas that wait for the end of this turn, or for the handshake. */
  #outgoing: Element[] = [];
  #flushing = false;
  #recorder: CompactKeyRecorder | undefined;
  /** Calls off what is waited for. */
  #callOff: (() => void) | undefined;
  #open = false;
  #done = false;

  constructor(options: CompactOptions, choice: CipherChoice, context: TransportContext) {
    this.#options = options;
    this.#choice = choice;
    this.#context = context;
    const events: CarrierEvents = {
      connected: () => void this.#logIn(),
      bytes: chunk => this.#handle(this.#client?.receive(chunk) ?? []),
      failed: error => {
        if (!this.#open) this.failure ??= networkError(error);
      },
      closed: () => this.#disconnected(),
    };
    this.#expect(connectTimeoutMs, 'no connection');
    const { target } = options;
    this.#carrier = 'url' in target ? overWebsocket(target.url, options, events) : overTcp(target, options, events);
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
    // Says goodbye, so that the gatekeeper keeps nothing to be resumed; the end of the connection follows.
    if (this.#open) this.#outgoing.push(goodbye);
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
    if (!this.#open) return this.#carrier.destroy();
    this.#carrier.end();
    this.#after(lingerMs, () => this.#carrier.destroy());
  }

  /** What the stream says first (bind or resume) goes with the proof. */
  async #logIn(): Promise<void> {
    this.#callOff?.();
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
    if (this.#done) return;
    const known = knownStaticKey();
    if (this.#options.keyLog !== undefined) this.#recorder = new CompactKeyRecorder();
    const { cipher } = this.#choice;
    const suite = platformCrypto.suite(cipher, 'SHA256');
    // Where offer and certificate differ, XX brings a new certificate, and that decides.
    const isUsable = known !== undefined && known.notAfter * 1_000 > nowMs() && known.cipher === cipher;
    this.#client = new CompactClient({
      domain: this.#context.domain,
      suite: this.#recorder?.watch(suite) ?? suite,
      deviceKeyPair,
      knownStaticKey: isUsable ? known.publicKey : undefined,
      isCertified: certificate => this.#isCertified(certificate),
      proof,
      stanzas: this.#outgoing,
    });
    this.#outgoing = [];
    this.#expect(answerTimeoutMs, 'no answer to the handshake');
    this.#handle(this.#client.start());
  }

  #expect(withinMs: number, what: string): void {
    this.#callOff = this.#after(withinMs, () => {
      this.failure ??= new ClientError('timed-out', { detail: what });
      this.#carrier.destroy();
    });
  }

  #after(ms: number, run: () => void): () => void {
    const { after } = this.#options;
    return after === undefined ? systemClock.after(ms, run) : after(ms, run);
  }

  #isCertified(certificate: StaticKeyCertificate): boolean {
    const { pinnedKey, nowMs } = this.#options;
    const key = pinnedKey();
    return key !== undefined && isStaticKeyCertified(certificate, this.#context.domain, key, nowMs());
  }

  #handle(events: readonly CompactClientEvent[]): void {
    for (const event of events) {
      if (this.#done) return;
      switch (event.kind) {
        case 'send':
          this.#recorder?.clientSent(event.bytes);
          this.#carrier.write(event.bytes);
          break;
        case 'established': {
          this.#callOff?.();
          this.#open = true;
          if (this.#recorder !== undefined) {
            this.#options.keyLog?.(this.#recorder.line(this.#context.domain, event.pattern === 'XXfallback'));
          }
          const { certificate, staticKey } = event;
          if (certificate !== undefined) {
            const { notAfter, ciphers } = certificate;
            this.#choice.cipher = preferredCipher(ciphers);
            const { cipher } = this.#choice;
            this.#options.keepStaticKey({ publicKey: Uint8Array.from(staticKey), notAfter, cipher });
          }
          this.#flush();
          break;
        }
        case 'elements':
          for (const element of event.elements) {
            this.#context.emit({ kind: 'element', element });
            if (this.#done) return;
          }
          break;
        case 'failed':
          this.#failed(event.code);
          return;
      }
    }
  }

  #failed(code: CompactClientFailure): void {
    if (code === 'refused') this.failure ??= new ClientError('proof-refused', { detail: code });
    else if (code === 'temporary-auth-failure') this.failure ??= new ClientError('not-judged', { detail: code });
    else if (code === 'gatekeeper-not-certified') this.failure ??= new ClientError('gatekeeper-not-certified');
    else if (code === 'frame-too-long' && !this.#open)
      // Whatever answers there, a proxy for example, it does not speak the protocol.
      this.failure ??= new ClientError('unreachable', { detail: code });
    else this.failure ??= new ClientError('protocol-error', { detail: code });
    // The next connection uses the better cipher; another transport would be what somebody in between may want.
    if (code === 'cipher-downgraded') this.#choice.cipher = 'ChaChaPoly';
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
    this.#callOff?.();
    if (!this.#open) this.failure ??= new ClientError('unreachable', { detail: 'closed without an answer' });
    this.#done = true;
    this.#outgoing = [];
    this.#client?.close();
    this.#context.emit({ kind: 'disconnected' });
  }
}

function overTcp(target: Place, way: Way, events: CarrierEvents): Carrier {
  const opened = (): void => {
    socket.on('data', events.bytes);
    events.connected();
  };
  const socket = openWay(way, target, opened);
  socket.on('error', events.failed);
  socket.on('close', events.closed);
  return {
    write: bytes => {
      if (socket.writable) socket.write(bytes);
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => {
      // What the peer still sends must be read, or its end is never seen.
      socket.resume();
      socket.end();
    },
    destroy: () => void socket.destroy(),
  };
}

function overWebsocket(url: string, trust: HttpTrust, events: CarrierEvents): Carrier {
  const socket = new WebSocket(url, 'drawbridge-compact', {
    ...(trust.ca === undefined ? {} : { ca: trust.ca }),
    minVersion: 'TLSv1.2',
    perMessageDeflate: false,
    maxPayload: maxWebSocketMessageBytes,
    handshakeTimeout: connectTimeoutMs,
    followRedirects: false,
    agent: agentFor(trust, url) || undefined,
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
      if (socket.readyState !== WebSocket.OPEN) return;
      for (let at = 0; at < bytes.length; at += maxWebSocketMessageBytes) {
        socket.send(bytes.subarray(at, at + maxWebSocketMessageBytes));
      }
    },
    pause: () => {
      if (socket.readyState === WebSocket.OPEN) socket.pause();
    },
    resume: () => socket.resume(),
    end: () => {
      socket.resume();
      socket.close();
    },
    destroy: () => socket.terminate(),
  };
}
