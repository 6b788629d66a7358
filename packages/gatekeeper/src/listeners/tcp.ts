// TCP for standard XMPP: STARTTLS on one port, direct TLS on another. Moves bytes; knows nothing of what they mean.
// Source: RFC 6120 sections 3 and 5, RFC 7590, XEP-0368.
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { streamErrorElement } from '@drawbridge/wire/stream-error';
import { encodeElement, encodeStreamEnd, encodeStreamHeader } from '@drawbridge/wire/xml-encoder';
import { type ConnectionPlace, countStreamError, type ListenerHost } from './admission.ts';
import { minTlsVersion } from '../tls/certificate.ts';
import { peerAddress } from './peer-address.ts';
import { XmppStream, type XmppLink } from './xmpp-stream.ts';

/** Time for our end of stream to leave when the peer has sent its own. */
const doneMs = 50;

/** ALPN of direct TLS (XEP-0368 section 4), as it stands on the wire: a list of one name with its length. */
const alpnXmpp = Buffer.from('\x0bxmpp-client', 'latin1');

/** `starttls`: TLS after a word in the clear; `direct`: TLS from the first byte; `plaintext`: none, for measurements on loopback. */
export type TcpMode = 'starttls' | 'direct' | 'plaintext';

/**
 * `secureContext` is asked for each connection: certificates change while the gatekeeper runs. Without one only
 * `plaintext` works; the configuration's check has seen to that.
 */
export function createTcpListener(
  host: ListenerHost,
  secureContext: () => SecureContext | undefined,
  mode: TcpMode,
): Server {
  const { tcpKeepAliveMs } = host.limits;
  return createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs }, tcp => {
    const place = host.gate.enter(host.keyOf(peerAddress(tcp)));
    if (place === undefined) {
      host.log('connection-refused');
      // Before a TLS handshake nothing can be said.
      host.gate.refuse(tcp, mode === 'direct' ? '' : refusal(host));
      return;
    }
    const carrier: Carrier = mode === 'starttls' ? 'starttls' : 'secured';
    const link = new TcpLink(host, tcp, place, secureContext);
    host.gate.sockets.add(tcp);
    (tcp as CarryingSocket).link = link;
    tcp.on('error', onError);
    tcp.on('close', onClose);
    if (mode === 'direct') link.secureFirst(carrier);
    else link.carry(carrier);
  });
}

/** To come again later: what a client knows as `wait` (RFC 6120 section 4.9.3.17). */
function refusal(host: ListenerHost): string {
  countStreamError(host, 'resource-constraint');
  const header = encodeStreamHeader({ from: host.domain, id: host.sessions.newId(), version: '1.0', lang: 'en' });
  return header + encodeElement(streamErrorElement('resource-constraint'), NS_CLIENT) + encodeStreamEnd();
}

type Carrier = 'starttls' | 'secured';

/**
 * Sockets find their link here. Listeners are shared: connections are many, and most are idle. When the peer has ended its
 * half, Node ends ours (`allowHalfOpen`).
 */
type CarryingSocket = Socket & { link: TcpLink };

function onError(this: Socket): void {
  this.destroy();
}
function onClose(this: Socket): void {
  (this as CarryingSocket).link.closed();
}
function onData(this: Socket, chunk: Buffer): void {
  (this as CarryingSocket).link.bytes(chunk);
}
function onDrain(this: Socket): void {
  (this as CarryingSocket).link.drained();
}

/** A class, not closures: one stands in every connection. */
class TcpLink implements XmppLink {
  readonly #host: ListenerHost;
  readonly #tcp: Socket;
  readonly #place: ConnectionPlace;
  readonly #secureContext: () => SecureContext | undefined;
  /** What speaks XMPP: the TCP socket, or TLS over it. */
  #socket: Socket;
  #stream: XmppStream | undefined;
  /** Of the TLS handshake, with the wait for its first bytes. */
  #deadline: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(host: ListenerHost, tcp: Socket, place: ConnectionPlace, secureContext: () => SecureContext | undefined) {
    this.#host = host;
    this.#tcp = tcp;
    this.#socket = tcp;
    this.#place = place;
    this.#secureContext = secureContext;
  }

  carry(carrier: Carrier): void {
    this.#stream = new XmppStream(this.#host, this, { framing: 'stream', carrier, place: this.#place });
    this.#listen(this.#socket);
  }

  /** Direct TLS: XMPP begins behind the handshake. */
  secureFirst(carrier: Carrier): void {
    this.#secure(() => this.carry(carrier));
  }

  get congested(): boolean {
    return this.#socket.writableLength > this.#host.limits.congestedBytes;
  }

  send(text: string): void {
    if (this.#socket.writable) this.#socket.write(text);
  }

  end(peerIsDone: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.end();
    // What the peer still says is of no interest: read it away, so that its end of stream is seen, and cut soon.
    this.#socket.resume();
    setTimeout(() => this.#tcp.destroy(), peerIsDone ? doneMs : this.#host.limits.closeMs).unref();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#ended) this.#socket.resume();
  }

  startTls(): void {
    this.#tcp.removeListener('data', onData);
    this.#secure(() => {
      this.#listen(this.#socket);
      this.#stream?.secured();
    });
  }

  bytes(chunk: Buffer): void {
    this.#stream?.bytes(chunk);
  }

  drained(): void {
    this.#stream?.drained();
  }

  closed(): void {
    this.#host.gate.sockets.delete(this.#tcp);
    clearTimeout(this.#deadline);
    this.#place.leave();
    this.#stream?.linkLost();
  }

  #listen(socket: Socket): void {
    (socket as CarryingSocket).link = this;
    socket.on('data', onData);
    socket.on('drain', onDrain);
  }

  /**
   * The server's side of a TLS handshake. It costs more than all the rest of a login: it waits for its turn once the
   * first bytes are there; whoever sends none is cut.
   */
  #secure(done: () => void): void {
    const tcp = this.#tcp;
    const { tlsHandshakeMs, loginMs } = this.#host.limits;
    this.#deadline = setTimeout(() => tcp.destroy(), tlsHandshakeMs);
    tcp.once('data', hello => {
      tcp.pause();
      clearTimeout(this.#deadline);
      this.#deadline = setTimeout(() => tcp.destroy(), loginMs);
      this.#place.turn(() => {
        clearTimeout(this.#deadline);
        if (tcp.destroyed) return;
        tcp.unshift(hello);
        this.#handshake(done);
      });
    });
    tcp.resume();
  }

  #handshake(done: () => void): void {
    const tcp = this.#tcp;
    const secureContext = this.#secureContext() ?? createSecureContext({ minVersion: minTlsVersion });
    const socket = new TLSSocket(tcp, { isServer: true, secureContext, ALPNProtocols: alpnXmpp });
    this.#deadline = setTimeout(() => tcp.destroy(), this.#host.limits.tlsHandshakeMs);
    socket.once('secure', () => {
      clearTimeout(this.#deadline);
      this.#socket = socket;
      done();
    });
    socket.on('error', () => {
      this.#host.log('tls-failed');
      tcp.destroy();
    });
    socket.once('close', () => tcp.destroy());
  }
}
