// One XMPP connection without TLS, as close to the wire as a test needs: login by proof, stream management, counts both
// ways. The caller decides when anything is acknowledged, and whether the socket is read at all.
// Knows nothing of what messages mean. Source: RFC 6120, RFC 7628, XEP-0198, XEP-0199.
import { connect, type Socket } from 'node:net';
import { attribute, childElement, type Element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_PING, NS_SASL, NS_SM } from '@drawbridge/wire/namespaces';
import { XmlStreamDecoder } from '@drawbridge/wire/xml-decoder';

export type RawStreamOptions = {
  readonly port: number;
  readonly domain: string;
  readonly proof: string;
  /** Loopback address to come from; the gatekeeper is asked on the same family. */
  readonly localAddress?: string;
  /** With stream management; without it the answers to pings acknowledge. */
  readonly managed: boolean;
  /** A message or anything else that is counted, in order. `received` counts it already. */
  readonly onStanza: (stanza: Element, stream: RawStream) => void;
  /** The gatekeeper's `<a h>`. */
  readonly onAcknowledged: (handled: number, stream: RawStream) => void;
  /** The gatekeeper's `<r/>`, or its ping on a stream without stream management; answers when left out. */
  readonly onAsked?: (answer: () => void, stream: RawStream) => void;
  /** Once, with the first reason, when the connection is gone. */
  readonly onClosed?: (reason: string, stream: RawStream) => void;
};

/** Login, in all. */
const loginWithinMs = 20_000;

export class RawStream {
  /** Stanzas received since `<enabled/>`, or since login. */
  received = 0;
  /** Stanzas sent since `<enable/>`, or since login. */
  sent = 0;
  /** When the answer to bind came, `performance.now`. */
  boundAtMs = 0;
  readonly #options: RawStreamOptions;
  readonly #socket: Socket;
  readonly #decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
  readonly #opened = Promise.withResolvers<RawStream>();
  readonly #gone = Promise.withResolvers<void>();
  #step: 'header' | 'sasl' | 'bind' | 'enable' | 'open' | 'closed' = 'header';
  #reason = '';
  #endSeen = false;
  #out: string[] = [];

  private constructor(options: RawStreamOptions) {
    this.#options = options;
    const { port, localAddress } = options;
    const host = localAddress?.includes(':') === true ? '::1' : '127.0.0.1';
    const from = localAddress === undefined ? {} : { localAddress };
    this.#socket = connect({ host, port, noDelay: true, ...from }, () => this.#sendHeader());
    const deadline = setTimeout(() => this.#fail('login took too long'), loginWithinMs);
    void this.#opened.promise.finally(() => clearTimeout(deadline)).catch(() => {});
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', error => (this.#reason ||= error.message));
    this.#socket.on('close', () => {
      const reason = this.#reason || 'closed';
      const wasOpen = this.#step === 'open' || this.#step === 'closed';
      this.#step = 'closed';
      this.#gone.resolve();
      this.#opened.reject(new Error(`no login: ${reason}`));
      if (wasOpen) options.onClosed?.(reason, this);
    });
  }

  /** Resolves when the stream is bound, and stream management on if wanted. Rejects with the reason. */
  static open(options: RawStreamOptions): Promise<RawStream> {
    return new RawStream(options).#opened.promise;
  }

  get isOpen(): boolean {
    return this.#step === 'open';
  }

  /** Bytes that the gatekeeper has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** Resolves when the connection is gone. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Sends one stanza at the end of this turn, and counts it. */
  send(stanza: string): void {
    this.sent++;
    this.#write(stanza);
  }

  /** Asks for the gatekeeper's count. */
  ask(): void {
    this.#write(`<r xmlns='urn:xmpp:sm:3'/>`);
  }

  /** Acknowledges everything received; only with stream management. */
  acknowledge(): void {
    this.#write(`<a xmlns='urn:xmpp:sm:3' h='${this.received}'/>`);
  }

  /** No longer reads the socket. */
  stall(): void {
    this.#socket.pause();
  }

  readOn(): void {
    this.#socket.resume();
  }

  /** Says goodbye. True when the gatekeeper has answered it, and hence read all that went before. */
  async end(): Promise<boolean> {
    if (this.#step === 'closed') return this.#endSeen;
    this.#socket.resume();
    this.#write('</stream:stream>');
    const cut = setTimeout(() => this.#fail('no goodbye'), 5_000);
    await this.#gone.promise;
    clearTimeout(cut);
    return this.#endSeen;
  }

  /** The connection breaks: what is under way may be gone. */
  cut(): void {
    this.#fail('cut');
  }

  #write(text: string): void {
    if (this.#socket.destroyed) return;
    this.#out.push(text);
    if (this.#out.length > 1) return;
    setImmediate(() => {
      const all = this.#out.join('');
      this.#out = [];
      if (!this.#socket.destroyed && this.#socket.writable) this.#socket.write(all);
    });
  }

  #fail(reason: string): void {
    this.#reason ||= reason;
    this.#socket.destroy();
  }

  #sendHeader(): void {
    this.#write(
      `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='${this.#options.domain}' version='1.0'>`,
    );
  }

  #read(chunk: Buffer): void {
    for (const event of this.#decoder.push(chunk)) {
      if (event.kind === 'element') this.#element(event.element);
      else if (event.kind === 'end') {
        this.#endSeen = true;
        this.#socket.end();
      } else if (event.kind === 'error') this.#fail(`unreadable: ${event.condition}`);
    }
  }

  #element(el: Element): void {
    if (el.name === 'error' && el.ns === 'http://etherx.jabber.org/streams') {
      this.#reason ||= `stream error: ${(el.children[0] as Element | undefined)?.name}`;
      return;
    }
    switch (this.#step) {
      case 'header': {
        this.#step = 'sasl';
        const response = Buffer.from(`n,,\u0001auth=Bearer ${this.#options.proof}\u0001\u0001`).toString('base64');
        this.#write(`<auth xmlns='${NS_SASL}' mechanism='OAUTHBEARER'>${response}</auth>`);
        return;
      }
      case 'sasl':
        if (el.name === 'success') {
          this.#decoder.reset();
          this.#step = 'bind';
          this.#sendHeader();
        } else if (el.name === 'challenge') this.#write(`<response xmlns='${NS_SASL}'>AQ==</response>`);
        else {
          this.#opened.reject(new Error(`login refused: ${(el.children[0] as Element | undefined)?.name}`));
          this.#fail('login refused');
        }
        return;
      case 'bind':
        if (el.name === 'features') {
          this.#write(`<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`);
        } else if (attribute(el, 'type') === 'result') {
          this.boundAtMs = performance.now();
          if (this.#options.managed) {
            this.#step = 'enable';
            this.sent = 0;
            this.#write(`<enable xmlns='${NS_SM}'/>`);
          } else {
            this.sent = 0;
            this.#open();
            this.send('<presence/>');
          }
        } else this.#fail(`bind refused`);
        return;
      case 'enable':
        if (el.ns !== NS_SM) {
          // Delivery began before `<enable/>` was read. No count covers it; a ping that is counted comes after it.
          this.#live(el);
          return;
        }
        if (el.name === 'enabled') this.#open();
        else this.#fail('stream management refused');
        return;
      default:
        this.#live(el);
    }
  }

  #open(): void {
    this.#step = 'open';
    this.received = 0;
    this.#opened.resolve(this);
  }

  #live(el: Element): void {
    const { onStanza, onAcknowledged, onAsked } = this.#options;
    if (el.ns === NS_SM) {
      if (el.name === 'a') onAcknowledged(Number(attribute(el, 'h')), this);
      else if (el.name === 'r') {
        const answer = (): void => this.acknowledge();
        if (onAsked === undefined) answer();
        else onAsked(answer, this);
      }
      return;
    }
    this.received++;
    if (el.name === 'iq' && attribute(el, 'type') === 'get' && childElement(el, 'ping', NS_PING) !== undefined) {
      const id = attribute(el, 'id') ?? '';
      const answer = (): void => this.send(`<iq type='result' id='${id}' to='${this.#options.domain}'/>`);
      if (onAsked === undefined) answer();
      else onAsked(answer, this);
      return;
    }
    onStanza(el, this);
  }
}
