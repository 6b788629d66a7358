// A scripted XMPP client for tests: writes any text, reads elements, waits for what a test names. It follows no rules but
// those that a test asks it to follow. Speaks STARTTLS, direct TLS and WebSocket.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { encodeOauthBearer } from '@drawbridge/stream/oauthbearer';
import { attribute, childElement, type Element, isElement } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_CLIENT, NS_FRAMING, NS_STREAM } from '@drawbridge/wire/namespaces';
import { parseXmlDocument, XmlStreamDecoder } from '@drawbridge/wire/xml-decoder';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { WebSocket } from 'ws';

export type RawTransport = 'starttls' | 'direct' | 'websocket';

export type RawTarget = {
  readonly domain: string;
  /** PEM. */
  readonly ca: string;
  readonly ports: { readonly xmpp: number; readonly xmpps: number; readonly websocket: number };
  /** Loopback address to come from, for STARTTLS and direct TLS. */
  readonly localAddress?: string;
};

/** How long anything is waited for. */
const patienceMs = 10_000;

/** What `expect` looks for: an element's name, or a condition. */
export type Wanted = string | ((el: Element) => boolean);

export class RawXmpp {
  readonly target: RawTarget;
  readonly transport: RawTransport;
  /** What came and nobody has expected yet, oldest first. */
  readonly inbox: Element[] = [];
  /** Stanzas received since the last `<enabled/>`: what this client would say in `<a/>`. */
  handled = 0;
  isClosed = false;
  /** The stream header or `<open/>` has come, for each beginning of the stream. */
  headers = 0;
  #socket: Socket;
  #webSocket: WebSocket | undefined;
  #decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
  #changed = Promise.withResolvers<void>();

  /** Connects; for `direct` and `websocket` also does TLS. Says nothing yet. */
  static async connect(target: RawTarget, transport: RawTransport): Promise<RawXmpp> {
    const { ca, ports, localAddress } = target;
    const from = localAddress === undefined ? {} : { localAddress };
    if (transport === 'starttls') {
      const socket = connect({ host: '127.0.0.1', port: ports.xmpp, noDelay: true, ...from });
      await once(socket, 'connect');
      return new RawXmpp(target, transport, socket, undefined);
    }
    if (transport === 'direct') {
      const socket = connectTls({
        host: '127.0.0.1',
        port: ports.xmpps,
        ...from,
        ca,
        servername: 'localhost',
        ALPNProtocols: ['xmpp-client'],
      });
      socket.setNoDelay(true);
      await once(socket, 'secureConnect');
      return new RawXmpp(target, transport, socket, undefined);
    }
    const webSocket = new WebSocket(`wss://localhost:${ports.websocket}/xmpp`, 'xmpp', { ca });
    let socket: Socket | undefined;
    webSocket.once('upgrade', response => {
      socket = response.socket;
    });
    await new Promise<void>((resolve, reject) => {
      webSocket.once('open', resolve);
      webSocket.once('error', reject);
    });
    return new RawXmpp(target, transport, socket!, webSocket);
  }

  /** Connects, logs in and binds; turns stream management on unless told not to. Gives the client and what was enabled. */
  static async login(
    target: RawTarget,
    transport: RawTransport,
    token: string,
    options: { readonly management?: boolean } = {},
  ): Promise<RawXmpp> {
    const client = await RawXmpp.connect(target, transport);
    await client.authenticate(token);
    client.send("<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    await client.expect(el => el.name === 'iq' && attribute(el, 'id') === 'bind');
    if (options.management !== false) await client.enable();
    return client;
  }

  private constructor(target: RawTarget, transport: RawTransport, socket: Socket, webSocket: WebSocket | undefined) {
    this.target = target;
    this.transport = transport;
    this.#socket = socket;
    this.#webSocket = webSocket;
    if (webSocket === undefined) this.#listen(socket);
    else {
      webSocket.on('message', (data: Buffer) => {
        const el = parseXmlDocument(data, xmlLimitsAfterLogin);
        assert(!('condition' in el), 'the gatekeeper sends well-formed XML');
        this.#take(el);
      });
      webSocket.on('close', () => this.#close());
      webSocket.on('error', () => {});
    }
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      for (const event of this.#decoder.push(chunk)) {
        assert(event.kind !== 'error', 'the gatekeeper sends well-formed XML');
        if (event.kind === 'header') this.headers++;
        if (event.kind === 'element') this.#take(event.element);
      }
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.#close());
  }

  #take(el: Element): void {
    if (el.ns === NS_FRAMING) {
      if (el.name === 'open') this.headers++;
    } else this.inbox.push(el);
    if (el.ns === NS_CLIENT) this.handled++;
    if (el.name === 'enabled') this.handled = 0;
    this.#wake();
  }

  #close(): void {
    this.isClosed = true;
    this.#wake();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Sends text as it is. On a WebSocket each call is one message. */
  send(text: string | Uint8Array): void {
    if (this.#webSocket === undefined) this.#socket.write(text);
    else this.#webSocket.send(text);
  }

  /** Sends much, no faster than the gatekeeper reads. */
  async sendAll(texts: Iterable<string>): Promise<void> {
    for (const text of texts) {
      this.send(text);
      while (this.#socket.writableLength > 256 * 1024 && !this.isClosed) await this.#tick(5);
    }
  }

  async #tick(ms: number): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, ms));
  }

  /** Begins a stream, and waits for the gatekeeper's header. */
  async header(to = this.target.domain): Promise<void> {
    const before = this.headers;
    this.send(
      this.#webSocket === undefined
        ? `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`
        : `<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='${to}' version='1.0'/>`,
    );
    await this.until('a stream header', () => this.headers > before);
  }

  /** Up to the features that offer SASL: with STARTTLS, the handshake. */
  async secure(): Promise<void> {
    await this.header();
    const features = await this.expect('features');
    if (this.transport !== 'starttls') return;
    assert(childElement(features, 'starttls', 'urn:ietf:params:xml:ns:xmpp-tls'));
    this.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    await this.expect('proceed');
    await this.startTls();
    await this.header();
    await this.expect('features');
  }

  async startTls(): Promise<void> {
    const tcp = this.#socket;
    tcp.removeAllListeners('data');
    this.#decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
    const secured = connectTls({ socket: tcp, ca: this.target.ca, servername: 'localhost' });
    await once(secured, 'secureConnect');
    this.#socket = secured;
    this.#listen(secured);
  }

  /** Up to the features that offer binding. */
  async authenticate(token: string): Promise<void> {
    await this.secure();
    this.sendAuth(token);
    await this.expect('success');
    this.#decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
    await this.header();
    const features = await this.expect('features');
    assert(childElement(features, 'bind', 'urn:ietf:params:xml:ns:xmpp-bind'));
  }

  sendAuth(token: string): void {
    const message = Buffer.from(encodeOauthBearer({ token })).toString('base64');
    this.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='OAUTHBEARER'>${message}</auth>`);
  }

  /** Gives the resumption id. */
  async enable(): Promise<string> {
    this.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    return attribute(await this.expect('enabled'), 'id')!;
  }

  request(): void {
    this.send("<r xmlns='urn:xmpp:sm:3'/>");
  }

  /** Asks and gives the answered count. */
  async acknowledged(): Promise<number> {
    this.request();
    return Number(attribute(await this.expect('a'), 'h'));
  }

  /** Says that all stanzas (or the first `handled`) have been taken. */
  acknowledge(handled = this.handled): void {
    this.send(`<a xmlns='urn:xmpp:sm:3' h='${handled}'/>`);
  }

  /** Takes the first element that fits out of the inbox, waiting for it; others stay. */
  async expect(wanted: Wanted): Promise<Element> {
    const fits = typeof wanted === 'string' ? (el: Element) => el.name === wanted : wanted;
    let at = -1;
    const what = typeof wanted === 'string' ? `<${wanted}/>` : String(wanted);
    await this.until(what, () => {
      at = this.inbox.findIndex(fits);
      return at >= 0;
    });
    return this.inbox.splice(at, 1)[0]!;
  }

  /** The next messages, in the order of their arrival. */
  async messages(count: number): Promise<Element[]> {
    await this.until(`${count} messages`, () => this.inbox.filter(el => el.name === 'message').length >= count);
    return Array.from(
      { length: count },
      () =>
        this.inbox.splice(
          this.inbox.findIndex(el => el.name === 'message'),
          1,
        )[0]!,
    );
  }

  /** The condition of the stream error that ends the stream; waits for the end of the connection too. */
  async streamError(): Promise<string> {
    const error = await this.expect(el => el.name === 'error' && el.ns === NS_STREAM);
    await this.closed();
    return error.children.find(isElement)!.name;
  }

  async closed(): Promise<void> {
    await this.until('the end of the connection', () => this.isClosed);
  }

  /** Asks the gatekeeper something that it answers at once: what came before has been dealt with. */
  async ping(id = `ping-${Math.random()}`): Promise<void> {
    this.send(`<iq xmlns='jabber:client' type='get' id='${id}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    await this.expect(el => el.name === 'iq' && attribute(el, 'id') === id);
  }

  async until(what: string, holds: () => boolean): Promise<void> {
    const giveUpAtMs = performance.now() + patienceMs;
    while (!holds()) {
      const leftMs = giveUpAtMs - performance.now();
      if (leftMs <= 0 || (this.isClosed && !what.startsWith('the end'))) {
        const came = this.inbox.slice(-20).map(el => encodeElement(el, '').slice(0, 300));
        throw new Error(
          `${what} did not come${this.isClosed ? ', the stream is closed' : ''}; inbox: ${came.join('\n')}`,
        );
      }
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([this.#changed.promise, new Promise(resolve => (timer = setTimeout(resolve, leftMs)))]);
      clearTimeout(timer);
    }
  }

  /** Reads nothing more, until `read`. */
  stopReading(): void {
    if (this.#webSocket === undefined) this.#socket.pause();
    else this.#webSocket.pause();
  }

  read(): void {
    if (this.#webSocket === undefined) this.#socket.resume();
    else this.#webSocket.resume();
  }

  /** The network is gone: no goodbye. */
  cut(): void {
    this.#socket.destroy();
  }

  /** Ends the stream in good order. */
  async end(): Promise<void> {
    this.send(
      this.#webSocket === undefined ? '</stream:stream>' : "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
    );
    await this.closed();
  }
}

async function once(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
  });
}
