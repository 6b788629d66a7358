// TCP for standard XMPP: STARTTLS on one port, direct TLS on another. Moves bytes; knows nothing of what they mean.
// Source: RFC 6120 sections 3 and 5, RFC 7590, XEP-0368.
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { ConnectionPlace, ListenerHost } from './admission.ts';
import { XmppStream, type XmppLink } from './xmpp-stream.ts';

export type TlsMaterial = { readonly cert: string | Buffer; readonly key: string | Buffer };

/** RFC 7590, RFC 9325: nothing below TLS 1.2. */
export const minTlsVersion = 'TLSv1.2';

/** Time for our end of stream to leave when the peer has sent its own. */
const doneMs = 50;

/** ALPN of direct TLS (XEP-0368 section 4). */
const alpnXmpp = 'xmpp-client';

/** `starttls`: TLS after a word in the clear; `direct`: TLS from the first byte; `plaintext`: none, for measurements on loopback. */
export type TcpMode = 'starttls' | 'direct' | 'plaintext';

/** Without a certificate only `plaintext` works; the configuration's check has seen to that. */
export function createTcpListener(host: ListenerHost, tls: TlsMaterial | undefined, mode: TcpMode): Server {
  const secureContext = createSecureContext({ ...tls, minVersion: minTlsVersion });
  return createServer({ noDelay: true }, tcp => {
    const place = host.gate.enter(tcp.remoteAddress ?? '');
    if (place === undefined) {
      host.log('connection-refused');
      tcp.destroy();
      return;
    }
    tcp.setKeepAlive(true, host.limits.tcpKeepAliveMs);
    tcp.on('error', () => tcp.destroy());
    tcp.once('close', () => place.leave());
    if (mode === 'direct')
      secure(host, tcp, secureContext, socket => carry(host, tcp, socket, place, 'secured', secureContext));
    else carry(host, tcp, tcp, place, mode === 'starttls' ? 'starttls' : 'secured', secureContext);
  });
}

/** Runs the server's side of a TLS handshake within the deadline. */
function secure(
  host: ListenerHost,
  tcp: Socket,
  secureContext: SecureContext,
  done: (socket: TLSSocket) => void,
): void {
  const socket = new TLSSocket(tcp, { isServer: true, secureContext, ALPNProtocols: [alpnXmpp] });
  const deadline = setTimeout(() => tcp.destroy(), host.limits.tlsHandshakeMs);
  socket.once('secure', () => {
    clearTimeout(deadline);
    done(socket);
  });
  socket.on('error', () => {
    host.log('tls-failed');
    tcp.destroy();
  });
  socket.once('close', () => {
    clearTimeout(deadline);
    tcp.destroy();
  });
}

function carry(
  host: ListenerHost,
  tcp: Socket,
  first: Socket,
  place: ConnectionPlace,
  carrier: 'starttls' | 'secured',
  secureContext: SecureContext,
): void {
  const link = new TcpLink(host, tcp, first, secureContext);
  const stream = new XmppStream(host, link, { framing: 'stream', carrier, place });
  link.carries(stream);
}

/** A class, not closures: one stands in every connection. */
class TcpLink implements XmppLink {
  readonly #host: ListenerHost;
  readonly #tcp: Socket;
  readonly #secureContext: SecureContext;
  #socket: Socket;
  #stream: XmppStream | undefined;
  #upgrading = false;
  #ended = false;

  constructor(host: ListenerHost, tcp: Socket, first: Socket, secureContext: SecureContext) {
    this.#host = host;
    this.#tcp = tcp;
    this.#socket = first;
    this.#secureContext = secureContext;
  }

  carries(stream: XmppStream): void {
    this.#stream = stream;
    this.#tcp.once('close', () => stream.linkLost());
    this.#listen(this.#socket);
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
    this.#upgrading = true;
    this.#tcp.removeAllListeners('data');
    secure(this.#host, this.#tcp, this.#secureContext, secured => {
      this.#upgrading = false;
      this.#socket = secured;
      this.#listen(secured);
      this.#stream?.secured();
    });
  }

  #listen(from: Socket): void {
    const stream = this.#stream!;
    from.on('data', (chunk: Buffer) => stream.bytes(chunk));
    from.on('drain', () => stream.drained());
    from.on('end', () => {
      if (!this.#upgrading) from.end();
    });
  }
}
