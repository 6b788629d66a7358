// XMPP over WebSocket with TLS: one element in one text message. Knows nothing of logins or stanzas.
// Source: RFC 7395; docs/protocol/04-streams.md section 4.1.
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { parseFraming, parseXmlDocument } from '@drawbridge/wire/xml-decoder';
import { encodeElement, encodeFramingClose, encodeFramingOpen } from '@drawbridge/wire/xml-encoder';
import { type RawData, WebSocket } from 'ws';
import type { ClientError } from '../errors.ts';
import { type HttpTrust, networkError } from './http.ts';
import type { ConnectTransport, Transport, TransportContext } from './transport.ts';
import { agentFor } from './way.ts';

export type WebsocketOptions = HttpTrust & {
  /** `wss:` URL from the reference offer; the certificate must be valid for its host. */
  readonly url: string;
};

const handshakeTimeoutMs = 10_000;
const lingerMs = 2_000;

export function websocketTransport(options: WebsocketOptions): ConnectTransport {
  return context => new WebsocketTransport(options, context);
}

class WebsocketTransport implements Transport {
  readonly carrier = 'secured';
  failure: ClientError | undefined;
  readonly #context: TransportContext;
  readonly #socket: WebSocket;
  #done = false;

  constructor(options: WebsocketOptions, context: TransportContext) {
    this.#context = context;
    this.#socket = new WebSocket(options.url, 'xmpp', {
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      minVersion: 'TLSv1.2',
      perMessageDeflate: false,
      maxPayload: xmlLimitsAfterLogin.elementBytes,
      handshakeTimeout: handshakeTimeoutMs,
      followRedirects: false,
      agent: agentFor(options, options.url) || undefined,
    });
    // ws refuses by itself an answer without the subprotocol (RFC 7395 section 3.1).
    this.#socket.on('open', () => context.emit({ kind: 'connected' }));
    this.#socket.on('message', (data, isBinary) => this.#read(data, isBinary));
    this.#socket.on('error', error => {
      this.failure ??= networkError(error);
    });
    this.#socket.on('close', () => this.#disconnected());
  }

  sendHeader(to: string): void {
    this.#write(encodeFramingOpen({ to, version: '1.0', lang: 'en' }));
  }

  send(element: Element): void {
    this.#write(encodeElement(element, ''));
  }

  sendEnd(): void {
    this.#write(encodeFramingClose());
  }

  startTls(): void {
    // Never asked for: the carrier is secured from the first byte.
    this.#socket.terminate();
  }

  pause(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.resume();
    this.#socket.close();
    const socket = this.#socket;
    setTimeout(() => socket.terminate(), lingerMs).unref();
  }

  #read(data: RawData, isBinary: boolean): void {
    const element = isBinary || !Buffer.isBuffer(data) ? undefined : parseXmlDocument(data, xmlLimitsAfterLogin);
    if (element === undefined || 'kind' in element) {
      this.#context.emit({ kind: 'undecodable' });
      this.#socket.terminate();
      return;
    }
    const framing = parseFraming(element);
    if (framing === undefined) return this.#context.emit({ kind: 'element', element });
    // `see-other-uri` of a close is not followed.
    if (framing.kind === 'close') return this.#context.emit({ kind: 'ended' });
    this.#context.emit({ kind: 'header', from: framing.header.from, version: framing.header.version });
  }

  #write(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  #disconnected(): void {
    if (this.#done) return;
    this.#done = true;
    this.#context.emit({ kind: 'disconnected' });
  }
}
