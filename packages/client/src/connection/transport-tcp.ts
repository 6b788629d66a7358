// XMPP over TCP: STARTTLS or direct TLS, XML in both directions. Knows nothing of logins or stanzas.
// Source: RFC 6120 sections 3-5 and 13.7, RFC 7590, XEP-0368; docs/protocol/04-streams.md section 4.1.
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { XmlStreamDecoder } from '@drawbridge/wire/xml-decoder';
import { encodeElement, encodeStreamEnd, encodeStreamHeader } from '@drawbridge/wire/xml-encoder';
import type { ClientError } from '../errors.ts';
import { type HttpTrust, networkError } from './http.ts';
import type { ConnectTransport, Transport, TransportContext } from './transport.ts';
import { openWay } from './way.ts';

export type TcpOptions = HttpTrust & {
  readonly host: string;
  readonly port: number;
  readonly security: 'starttls' | 'direct-tls';
};

/** How long written bytes may take to leave after `close`. */
const lingerMs = 2_000;

/** How many TLS session tickets are kept: a gatekeeper gives two with each full handshake (RFC 8446 section 4.6.1). */
const maxTickets = 2;

/**
 * TLS session tickets of this gatekeeper: a client that shows one spares both sides the certificate and its signature.
 * They are in memory alone, and each is shown once (RFC 8446 appendix C.4): a ticket that is shown twice tells an observer that
 * both connections are one client's.
 */
type Tickets = Buffer[];

/** A transport over TCP. The certificate must be valid for the gatekeeper's domain (RFC 7590 section 3.4). */
export function tcpTransport(options: TcpOptions): ConnectTransport {
  const tickets: Tickets = [];
  return context => new TcpTransport(options, tickets, context);
}

class TcpTransport implements Transport {
  readonly carrier: Transport['carrier'];
  failure: ClientError | undefined;
  readonly #options: TcpOptions;
  readonly #tickets: Tickets;
  readonly #context: TransportContext;
  readonly #decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
  #socket: Duplex;
  #outgoing: string[] = [];
  #done = false;

  constructor(options: TcpOptions, tickets: Tickets, context: TransportContext) {
    this.#options = options;
    this.#tickets = tickets;
    this.#context = context;
    this.carrier = options.security === 'starttls' ? 'starttls' : 'secured';
    const { host, port } = options;
    this.#socket = openWay(options, { host, port }, () => this.#opened());
    this.#watch(this.#socket);
  }

  /** The way to the gatekeeper is there. */
  #opened(): void {
    const socket = this.#socket;
    if (this.carrier === 'starttls') {
      this.#listen(socket);
      this.#context.emit({ kind: 'connected' });
      return;
    }
    this.#secure(socket, () => this.#context.emit({ kind: 'connected' }));
  }

  sendHeader(to: string): void {
    this.#decoder.reset();
    this.#write(encodeStreamHeader({ to, version: '1.0', lang: 'en' }));
  }

  send(element: Element): void {
    this.#write(encodeElement(element, NS_CLIENT));
  }

  sendEnd(): void {
    this.#write(encodeStreamEnd());
  }

  startTls(): void {
    this.#flush();
    const plain = this.#socket;
    plain.removeAllListeners('data');
    // As in #read: nothing may follow <proceed/> in the clear, not even half an element.
    if (this.#decoder.pendingBytes > 0) return this.#refuse();
    this.#secure(plain, () => this.#context.emit({ kind: 'secured' }));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#flush();
    this.#socket.end();
    const socket = this.#socket;
    setTimeout(() => socket.destroy(), lingerMs).unref();
  }

  #secure(plain: Duplex, done: () => void): void {
    const { ca } = this.#options;
    const ticket = this.#tickets.pop();
    const socket = connectTls({
      ...(ticket === undefined ? {} : { session: ticket }),
      socket: plain,
      servername: this.#context.domain,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['xmpp-client'],
      ...(ca === undefined ? {} : { ca }),
    });
    // Node holds tickets back until the certificate has been found good.
    socket.on('session', (session: Buffer) => {
      if (this.#tickets.push(session) > maxTickets) this.#tickets.shift();
    });
    socket.once('secureConnect', done);
    this.#socket = socket;
    this.#listen(socket);
    this.#watch(socket);
  }

  #listen(socket: Duplex): void {
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  #watch(socket: Duplex): void {
    socket.on('error', error => {
      this.failure ??= networkError(error);
    });
    socket.on('close', () => this.#disconnected());
  }

  #read(chunk: Buffer): void {
    const socket = this.#socket;
    const events = this.#decoder.push(chunk);
    for (const [index, event] of events.entries()) {
      if (this.#done) return;
      switch (event.kind) {
        case 'header':
          this.#context.emit({ kind: 'header', from: event.header.from, version: event.header.version });
          break;
        case 'element':
          this.#context.emit(event);
          if (this.#socket === socket) break;
          // TLS began inside `emit`. Bytes in the clear behind <proceed/> are not from the peer of the handshake.
          if (index + 1 < events.length) this.#refuse();
          return;
        case 'end':
          this.#context.emit({ kind: 'ended' });
          break;
        case 'error':
          return this.#refuse();
      }
    }
  }

  #refuse(): void {
    this.#context.emit({ kind: 'undecodable' });
    this.#socket.destroy();
  }

  #write(text: string): void {
    if (this.#done) return;
    if (this.#outgoing.push(text) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    if (this.#outgoing.length === 0 || this.#done) return;
    this.#socket.write(this.#outgoing.join(''));
    this.#outgoing = [];
  }

  #disconnected(): void {
    if (this.#done) return;
    this.#done = true;
    this.#outgoing = [];
    this.#context.emit({ kind: 'disconnected' });
  }
}
