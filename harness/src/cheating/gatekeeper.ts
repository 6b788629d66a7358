// A cheating gatekeeper: it stands where clients look for the real one, with its certificate, and passes everything on to it,
// but for what its lies change. XMPP over WebSocket, where one message is one element; HTTP as it comes.
// Knows nothing of what a lie is for.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, request as httpsRequest, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DevPki } from '@drawbridge/cli/dev-pki';
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_BIND, NS_CLIENT, NS_SM } from '@drawbridge/wire/namespaces';
import { parseXmlDocument } from '@drawbridge/wire/xml-decoder';
import { encodeElement } from '@drawbridge/wire/xml-encoder';
import { WebSocket, WebSocketServer } from 'ws';
import { Counts } from './counts.ts';
import { textOf } from './stanzas.ts';

/** What the gatekeeper does instead of what it should. A lie that is left out is the truth. */
export type Lies = {
  /** The answer to what a client asked, in place of the real one. `who` is the client's full JID. */
  answer?: (asked: Element, answer: Element, who: string) => Element;
  /** What a client gets in place of a message, any number of them. */
  deliver?: (message: Element, who: string) => readonly Element[];
  /** What the real gatekeeper gets in place of a client's message. */
  accept?: (message: Element, who: string) => readonly Element[];
  /** What a client is told about its session: what the gatekeeper offers in it. `who` is its full JID. */
  enabled?: (enabled: Element, who: string) => Element;
  /** The reference offer. */
  offer?: (offer: Record<string, unknown>) => Record<string, unknown>;
};

export type CheatingGatekeeper = {
  lies: Lies;
  /** Gives a client an element that nobody sent. False when the client has no stream. */
  give(who: string, element: Element): boolean;
  /** Asks the real gatekeeper in a client's name, who never hears of it. */
  ask(who: string, payload: Element, type?: 'get' | 'set'): Promise<Element>;
  /** Ends all streams without a word. */
  cut(): void;
  close(): Promise<void>;
};

export type CheatingGatekeeperOptions = {
  readonly pki: DevPki;
  /** Where the real one listens. */
  readonly realHost: string;
  readonly ports: { readonly http: number; readonly websocket: number };
};

export async function openCheatingGatekeeper(options: CheatingGatekeeperOptions): Promise<CheatingGatekeeper> {
  const { pki, realHost, ports } = options;
  const tls = { cert: readFileSync(pki.certFile, 'utf8'), key: readFileSync(pki.keyFile, 'utf8') };
  const ca = readFileSync(pki.caFile, 'utf8');
  const lines = new Set<Line>();
  const http = createServer(tls, (request, response) => {
    passOn(request, response, { host: realHost, port: ports.http, ca }, () => cheat.lies);
  });
  const websocket = createServer(tls);
  const sockets = new WebSocketServer({ server: websocket, handleProtocols: () => 'xmpp' });
  sockets.on('connection', inner => {
    const outer = new WebSocket(`wss://${realHost}:${ports.websocket}/xmpp`, 'xmpp', { ca });
    const line = new Line(inner, outer, () => cheat.lies);
    lines.add(line);
    inner.once('close', () => lines.delete(line));
  });
  const find = (who: string): Line | undefined => [...lines].reverse().find(line => line.who === who);
  const cheat: CheatingGatekeeper = {
    lies: {},
    give: (who, el) => find(who)?.give(el) ?? false,
    ask(who, payload, type = 'get') {
      const line = find(who);
      if (line === undefined) throw new Error(`${who} has no stream`);
      return line.ask(payload, type);
    },
    cut() {
      for (const line of lines) line.end();
    },
    async close() {
      this.cut();
      await Promise.all([http, websocket].map(closed));
    },
  };
  http.listen(ports.http, '127.0.0.1');
  websocket.listen(ports.websocket, '127.0.0.1');
  await Promise.all([once(http, 'listening'), once(websocket, 'listening')]);
  return cheat;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
}

function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  real: { readonly host: string; readonly port: number; readonly ca: string },
  lies: () => Lies,
): void {
  const { method, url, headers } = request;
  const outer = httpsRequest({ ...real, method, path: url, headers }, answer => {
    const { offer } = lies();
    if (offer === undefined || url !== '/.well-known/interop-gatekeeper') {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
      return;
    }
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('end', () => {
      const said = offer(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said));
    });
  });
  outer.on('error', () => response.destroy());
  request.pipe(outer);
}

const isStanza = ({ name, ns }: Element): boolean => ns === NS_CLIENT && /^(?:message|iq|presence)$/.test(name);

/** One client's stream, with the cheat in between. */
class Line {
  /** Full JID, once it is bound. */
  who = '';
  readonly #inner: WebSocket;
  readonly #outer: WebSocket;
  readonly #lies: () => Lies;
  readonly #waiting: string[] = [];
  readonly #asked = new Map<string, Element>();
  readonly #askedByCheat = new Map<string, (answer: Element) => void>();
  readonly #toClient = new Counts();
  readonly #toGatekeeper = new Counts();
  #isCountedToClient = false;
  #isCountedToGatekeeper = false;
  #asks = 0;

  constructor(inner: WebSocket, outer: WebSocket, lies: () => Lies) {
    this.#inner = inner;
    this.#outer = outer;
    this.#lies = lies;
    inner.on('message', data => this.#fromClient(messageOf(data)));
    outer.on('message', data => this.#fromGatekeeper(messageOf(data)));
    outer.on('open', () => {
      for (const text of this.#waiting.splice(0)) outer.send(text);
    });
    for (const socket of [inner, outer]) {
      socket.on('error', () => this.end());
      socket.on('close', () => this.end());
    }
  }

  end(): void {
    this.#inner.terminate();
    this.#outer.terminate();
  }

  give(el: Element): boolean {
    if (this.#inner.readyState !== WebSocket.OPEN) return false;
    this.#toClient.added(1);
    this.#inner.send(encodeElement(el, ''));
    return true;
  }

  ask(payload: Element, type: 'get' | 'set'): Promise<Element> {
    const id = `cheat-${++this.#asks}`;
    const { promise, resolve } = Promise.withResolvers<Element>();
    this.#askedByCheat.set(id, resolve);
    if (this.#isCountedToGatekeeper) this.#toGatekeeper.added(1);
    this.#send(encodeElement(element('iq', NS_CLIENT, { type, id }, [payload]), ''));
    return promise;
  }

  #send(text: string): void {
    if (this.#outer.readyState === WebSocket.OPEN) this.#outer.send(text);
    else this.#waiting.push(text);
  }

  #fromClient(text: string): void {
    const el = read(text);
    if (el === undefined) return this.#send(text);
    if (el.ns === NS_SM) {
      if (el.name === 'enable') this.#isCountedToGatekeeper = true;
      const handled = el.name === 'a' ? withCount(el, this.#toClient.handled(countOf(el))) : el;
      return this.#send(encodeElement(handled, ''));
    }
    if (!isStanza(el)) return this.#send(text);
    const passed = el.name === 'message' ? (this.#lies().accept?.(el, this.who) ?? [el]) : [el];
    const id = attribute(el, 'id');
    const payload = el.children.find(child => typeof child === 'object' && 'name' in child);
    if (el.name === 'iq' && id !== undefined && payload !== undefined) this.#asked.set(id, payload);
    if (this.#isCountedToGatekeeper) this.#toGatekeeper.passed(passed.length);
    for (const each of passed) this.#send(each === el ? text : encodeElement(each, ''));
  }

  #fromGatekeeper(text: string): void {
    const el = read(text);
    if (el === undefined) return this.#inner.send(text);
    if (el.ns === NS_SM) return this.#inner.send(encodeElement(this.#management(el), ''));
    if (!isStanza(el)) return this.#inner.send(text);
    const passed = this.#changed(el);
    if (this.#isCountedToClient) this.#toClient.passed(passed.length);
    for (const each of passed) this.#inner.send(each === el ? text : encodeElement(each, ''));
  }

  #management(el: Element): Element {
    if (el.name === 'a') return withCount(el, this.#toGatekeeper.handled(countOf(el)));
    if (el.name !== 'enabled') return el;
    this.#isCountedToClient = true;
    // Without resumption: a stream that begins again counts from nought on both sides.
    const enabled = element('enabled', NS_SM, undefined, childElements(el));
    return this.#lies().enabled?.(enabled, this.who) ?? enabled;
  }

  #changed(el: Element): readonly Element[] {
    const { answer, deliver } = this.#lies();
    if (el.name === 'message') return deliver?.(el, this.who) ?? [el];
    const id = attribute(el, 'id') ?? '';
    const resolve = this.#askedByCheat.get(id);
    if (resolve !== undefined) {
      this.#askedByCheat.delete(id);
      resolve(el);
      return [];
    }
    const jid = childElement(childElement(el, 'bind', NS_BIND) ?? el, 'jid', NS_BIND);
    if (jid !== undefined) this.who = textOf(jid);
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked === undefined || answer === undefined ? [el] : [answer(asked, el, this.who)];
  }
}

function messageOf(data: unknown): string {
  return Buffer.isBuffer(data) ? data.toString() : '';
}

function read(text: string): Element | undefined {
  const el = parseXmlDocument(text, xmlLimitsAfterLogin);
  return 'kind' in el ? undefined : el;
}

function countOf(el: Element): number {
  return Number(attribute(el, 'h'));
}

function withCount(el: Element, count: number): Element {
  return { ...el, attrs: ['h', String(count)] };
}
