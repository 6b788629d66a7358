// One standard XMPP connection: bytes or WebSocket documents in, XML out; login by the negotiation machine, then a
// session. Knows nothing of accounts or routing, and nothing of how its link moves text.
// Source: RFC 6120, RFC 7395; docs/protocol/04-streams.md.
import { ServerNegotiation, type NegotiationEffect } from '@drawbridge/stream/server-negotiation';
import type { Element } from '@drawbridge/wire/element';
import { xmlLimitsBeforeLogin, xmlLimitsOfSession } from '@drawbridge/wire/limits';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { type StreamErrorCondition, streamErrorElement } from '@drawbridge/wire/stream-error';
import { parseFraming, parseXmlDocument, XmlStreamDecoder } from '@drawbridge/wire/xml-decoder';
import {
  encodeElement,
  encodeFramingClose,
  encodeFramingOpen,
  encodeStreamEnd,
  encodeStreamHeader,
} from '@drawbridge/wire/xml-encoder';
import type { Carrier } from '../routing/carrier.ts';
import type { DeviceSession } from '../routing/device-session.ts';
import {
  type Admitted,
  beginSession,
  type ConnectionPlace,
  countStreamError,
  isNotJudged,
  type ListenerHost,
} from './admission.ts';
import { type BreakableStream, endForDefect, guarded } from './connection-defect.ts';
import { PacedInput, type PacedStream, pieceBytes } from './paced-input.ts';

/** What carries the text: a TCP or TLS socket, or a WebSocket. */
export interface XmppLink {
  send(text: string): void;
  /** Sends what waits, then closes; cuts after a while, at once when the peer has nothing more to say. */
  end(peerIsDone: boolean): void;
  pause(): void;
  resume(): void;
  readonly congested: boolean;
  /** Upgrades to TLS and reports with `XmppStream.secured`. Bytes that came before are dropped with the connection. */
  startTls(): void;
}

/** All that a peer may say before login, several times what three attempts need. */
export const maxLoginBytes = 96 * 1024;
const closingBracket = 0x3e;

/** Pieces of input that may wait for one turn; a paused link gives few more after the first. */
const maxWaitingInputs = 8;

export class XmppStream implements Carrier, BreakableStream, PacedStream<Uint8Array> {
  readonly host: ListenerHost;
  readonly #link: XmppLink;
  readonly #framing: 'stream' | 'websocket';
  readonly #place: ConnectionPlace;
  readonly #decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
  /** Until login is done; with the proof's owner it is let go of then: connections are many, and most are idle. */
  #negotiation: ServerNegotiation | undefined;
  #admitted: Admitted | undefined;
  #session: DeviceSession | undefined;
  #deadline: NodeJS.Timeout | undefined;
  /** What came before login and waits for its turn. */
  #waiting: Uint8Array[] | undefined;
  /** Taken before login, of `maxLoginBytes`. */
  #loginBytes = 0;
  /** Whether the input being read says something after its last element: white space at least. */
  #trailing = false;
  #headerSent = false;
  /** What one input is answered with, in the stream framing: header and features leave in one write. */
  #unsent = '';
  #peerIsDone = false;
  #closed = false;
  #paused = false;
  /** Once there was more than one piece at a time: most streams say little. */
  #paced: PacedInput<Uint8Array> | undefined;

  constructor(
    host: ListenerHost,
    link: XmppLink,
    options: { framing: 'stream' | 'websocket'; carrier: 'starttls' | 'secured'; place: ConnectionPlace },
  ) {
    this.host = host;
    this.#link = link;
    this.#framing = options.framing;
    this.#place = options.place;
    this.#negotiation = new ServerNegotiation({ domain: host.domain, carrier: options.carrier });
    this.#deadline = setTimeout(() => guarded(this, () => this.#negotiate({ kind: 'deadline' })), host.limits.loginMs);
  }

  get session(): DeviceSession | undefined {
    return this.#session;
  }

  /** Of one read: other people's clients have been seen to miss stanzas that come with `<enabled/>`. */
  readonly countsLate = true;

  get network(): string {
    return this.#place.network;
  }

  get congested(): boolean {
    return this.#link.congested;
  }

  /** Bytes of the stream framing. Before login they wait for their turn. */
  bytes(chunk: Uint8Array): void {
    try {
      if (this.#negotiation === undefined) this.#takeInput(chunk);
      else this.#wait(chunk);
    } catch (error) {
      endForDefect(this, error);
    }
  }

  /** One WebSocket message (RFC 7395 section 3.1). */
  document(message: Uint8Array): void {
    try {
      if (this.#negotiation === undefined) this.#takeInput(message);
      else this.#wait(message);
    } catch (error) {
      endForDefect(this, error);
    }
  }

  /** More than an element that is allowed before login need not wait: it is refused, and that costs nothing. */
  #wait(input: Uint8Array): void {
    if (this.#closed) return;
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      waiting.push(input);
      if (waiting.length > maxWaitingInputs || input.length > xmlLimitsBeforeLogin.elementBytes) this.#takeTurn();
      return;
    }
    this.#waiting = [input];
    if (input.length > xmlLimitsBeforeLogin.elementBytes) {
      this.#takeTurn();
      return;
    }
    this.#link.pause();
    this.#place.turn(() => guarded(this, () => this.#takeTurn()));
  }

  #takeTurn(): void {
    const inputs = this.#waiting;
    this.#waiting = undefined;
    if (inputs === undefined || this.#closed) return;
    this.#link.resume();
    for (const input of inputs) {
      if (this.#framing === 'websocket') this.#readDocument(input);
      else this.#read(input);
    }
  }

  #read(chunk: Uint8Array): void {
    if (this.#closed) return;
    this.host.tap?.(chunk);
    if (this.#negotiation !== undefined && this.#isTooMuch(chunk.length)) return;
    this.#session?.receivedBytes(chunk.length);
    this.#trailing = chunk[chunk.length - 1] !== closingBracket;
    for (const event of this.#decoder.push(chunk)) {
      if (event.kind === 'element') this.#element(event.element);
      else if (event.kind === 'header') {
        const { to, version } = event.header;
        this.#negotiate({ kind: 'header', to, version, streamId: this.host.sessions.newId() });
      } else if (event.kind === 'end') this.#endedByPeer();
      else this.#fail(event.condition);
      if (this.#closed) return;
    }
    this.#session?.afterInput();
  }

  #readDocument(message: Uint8Array): void {
    if (this.#closed) return;
    this.host.tap?.(message);
    if (this.#negotiation !== undefined && this.#isTooMuch(message.length)) return;
    this.#session?.receivedBytes(message.length);
    const limits = this.#session === undefined ? xmlLimitsBeforeLogin : xmlLimitsOfSession;
    const el = parseXmlDocument(message, limits);
    if ('condition' in el) {
      this.#fail(el.condition);
      return;
    }
    const framing = parseFraming(el);
    if (framing?.kind === 'open') {
      const { to, version } = framing.header;
      this.#negotiate({ kind: 'header', to, version, streamId: this.host.sessions.newId() });
      return;
    }
    if (framing?.kind === 'close') {
      this.#endedByPeer();
      return;
    }
    this.#element(el);
    if (!this.#closed) this.#session?.afterInput();
  }

  /** Before login only so much is taken, white space included, and nothing while we owe an answer. */
  #isTooMuch(bytes: number): boolean {
    this.#loginBytes += bytes;
    if (this.#loginBytes <= maxLoginBytes && this.#negotiation?.mustBeSilent !== true) return false;
    this.#fail('policy-violation');
    return true;
  }

  /** TLS is established. */
  secured(): void {
    guarded(this, () => this.#negotiate({ kind: 'secured' }));
  }

  /** The link is gone. */
  linkLost(): void {
    clearTimeout(this.#deadline);
    this.#place.leave();
    if (this.#closed) return;
    this.#closed = true;
    this.#paced?.drop();
    guarded(this, () => this.#session?.carrierLost(this));
  }

  drained(): void {
    guarded(this, () => this.#session?.drained());
  }

  write(elements: readonly Element[]): void {
    if (this.#closed) return;
    if (this.#framing === 'websocket') {
      for (const el of elements) this.#link.send(this.#encode(el));
      return;
    }
    let text = '';
    for (const el of elements) text += encodeElement(el, NS_CLIENT);
    this.#link.send(text);
  }

  pause(): void {
    this.#paused = true;
    this.#link.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#paced?.resume() !== true) this.#link.resume();
  }

  #takeInput(input: Uint8Array): void {
    if (this.#paced === undefined && input.length <= pieceBytes && !this.#paused) this.readPiece(input);
    else (this.#paced ??= new PacedInput(this)).take(input);
  }

  /** A WebSocket's message is one element: it is taken whole. */
  readPiece(input: Uint8Array): Uint8Array | undefined {
    if (this.#framing === 'websocket') {
      this.#readDocument(input);
      return undefined;
    }
    const isWhole = input.length <= pieceBytes;
    this.#read(isWhole ? input : input.subarray(0, pieceBytes));
    return isWhole ? undefined : input.subarray(pieceBytes);
  }

  heldBytes(input: Uint8Array): number {
    return input.buffer.byteLength;
  }

  get mayRead(): boolean {
    return !this.#paused && !this.#closed;
  }

  resumeLink(): void {
    this.#link.resume();
  }

  readSoon(): void {
    setImmediate(() => guarded(this, () => this.#paced?.readOn()));
  }

  inputWaits(bytes: number): boolean {
    return this.#session?.inputWaits(bytes) !== false;
  }

  close(condition: StreamErrorCondition | undefined, application?: Element): void {
    if (this.#closed) return;
    clearTimeout(this.#deadline);
    if (!this.#headerSent) this.#sendHeader(this.host.sessions.newId());
    if (condition !== undefined) {
      countStreamError(this.host, condition);
      const words = application === undefined ? {} : { application };
      this.#send(this.#encode(streamErrorElement(condition, words)));
    }
    this.#send(this.#framing === 'websocket' ? encodeFramingClose() : encodeStreamEnd());
    this.#sendUnsent();
    this.#closed = true;
    this.#paced?.drop();
    this.#link.end(this.#peerIsDone);
  }

  #element(el: Element): void {
    if (this.#session === undefined) {
      this.#negotiate({ kind: 'element', element: el });
      return;
    }
    const broken = this.#session.receive(el);
    if (broken !== undefined) this.#fail(broken);
  }

  /** The peer said goodbye: the session is over, not resumable. */
  #endedByPeer(): void {
    this.#peerIsDone = true;
    if (this.#session === undefined) this.close(undefined);
    else this.#session.end();
  }

  /** The link refuses what came, before it could be read. */
  refuse(condition: StreamErrorCondition): void {
    if (!this.#closed) this.#fail(condition);
  }

  /** After a defect. */
  abandon(): void {
    this.#closed = true;
    this.#paced?.drop();
    this.#link.end(true);
  }

  #fail(condition: StreamErrorCondition): void {
    this.host.log('stream-closed', { condition });
    const session = this.#session;
    this.close(condition);
    // The rules were broken on this stream; the session behind it may be resumed on a better one.
    session?.carrierLost(this);
  }

  #negotiate(input: Parameters<ServerNegotiation['receive']>[0]): void {
    for (const effect of this.#negotiation?.receive(input) ?? []) {
      this.#perform(effect);
      if (this.#closed) return;
    }
    this.#sendUnsent();
  }

  #perform(effect: NegotiationEffect): void {
    switch (effect.kind) {
      case 'send-header':
        this.#sendHeader(effect.streamId);
        return;
      case 'send':
        this.#send(this.#encode(effect.element));
        return;
      case 'start-tls':
        // Bytes after <starttls/> would be taken for protected ones (CVE-2011-0411): no peer may send them.
        if (this.#decoder.pendingBytes > 0 || this.#trailing) this.#fail('policy-violation');
        else {
          this.#sendUnsent();
          this.#link.startTls();
        }
        return;
      case 'restart':
        this.#decoder.reset();
        this.#headerSent = false;
        return;
      case 'verify-proof':
        if (this.#trailing && this.#framing === 'stream') this.#fail('policy-violation');
        else this.#verify(effect.token).catch((error: unknown) => endForDefect(this, error));
        return;
      case 'resume':
        this.#resume(effect.previousId, effect.handled);
        return;
      case 'established':
        this.#established(effect.resumed);
        return;
      case 'close':
        this.#fail(effect.condition);
    }
  }

  async #verify(token: string): Promise<void> {
    const admission = await this.host.authenticate(token, 'xmpp');
    if (this.#closed) return;
    if (admission.kind === 'refused' || !this.host.stillAdmitted(admission)) {
      const notJudged = admission.kind === 'refused' && isNotJudged(admission.code);
      this.#negotiate({ kind: notJudged ? 'not-judged' : 'refused' });
      return;
    }
    this.#admitted = admission;
    this.#negotiate({
      kind: 'admitted',
      bareJid: `${admission.account.interopId}@${this.host.domain}`,
      identifier: admission.account.identifier,
      deviceId: admission.device.id,
    });
  }

  #resume(previousId: string, handled: number): void {
    const admitted = this.#admitted!;
    if (!this.host.stillAdmitted(admitted)) {
      this.#fail('not-authorized');
      return;
    }
    const session = this.host.sessions.resume(admitted, previousId, handled, this);
    if (session === undefined) {
      this.#negotiate({ kind: 'resume-refused' });
      return;
    }
    this.#session = session;
    this.#negotiate({ kind: 'resumed', previousId, handled: session.core.handled });
  }

  #established(resumed: boolean): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
    this.#negotiation = undefined;
    this.#place.admitted();
    this.#decoder.setLimits(xmlLimitsOfSession);
    const admitted = this.#admitted!;
    this.#admitted = undefined;
    if (resumed) return;
    if (!this.host.stillAdmitted(admitted)) {
      this.#fail('not-authorized');
      return;
    }
    this.#session = beginSession(this.host, admitted, this);
  }

  #sendHeader(streamId: string): void {
    this.#headerSent = true;
    const fields = { from: this.host.domain, id: streamId, version: '1.0', lang: 'en' };
    this.#send(this.#framing === 'websocket' ? encodeFramingOpen(fields) : encodeStreamHeader(fields));
  }

  /** WebSocket: each text is a document of its own. */
  #send(text: string): void {
    if (this.#framing === 'websocket') this.#link.send(text);
    else this.#unsent += text;
  }

  #sendUnsent(): void {
    if (this.#unsent === '') return;
    const text = this.#unsent;
    this.#unsent = '';
    this.#link.send(text);
  }

  #encode(el: Element): string {
    return encodeElement(el, this.#framing === 'stream' ? NS_CLIENT : '');
  }
}
