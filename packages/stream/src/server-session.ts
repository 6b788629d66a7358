// The gatekeeper's side of a session once stanzas flow, the same for both encodings: acknowledgements by stream
// management or by pings, and what must be sent again after a resumption. Outlives the stream that carries it.
// Knows nothing of sockets, routing, accounts or storage; time is an argument.
// Source: XEP-0198 sections 3-5, XEP-0199; docs/protocol/04-streams.md section 4.2.
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_PING, NS_REPORT, NS_SM, NS_STANZAS } from '@drawbridge/wire/namespaces';
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';
import { parseCount } from './handled-count.ts';
import { maxManagementFailures } from './server-negotiation.ts';
import { StreamManagement } from './stream-management.ts';

/** A client's `<r/>` is answered with the count so far when not all before it is resolved within this time. */
export const acknowledgeAtLatestMs = 5_000;
/**
 * Streams without stream management are asked by a ping, at most once in this time: one answer covers many stanzas.
 * Managed ones are asked again no sooner than this when nothing new was sent.
 */
export const askIntervalMs = 15;
/** Clients' `<r/>` that wait for an answer. More than this and the stream is closed: nobody needs them. */
export const maxWaitingRequests = 1_000;

/** An outbound stanza that the client has not acknowledged, and the owner's note about it. */
export type Outbound<T> = { readonly element: Element; readonly note: T | undefined };

/** What `receive` made of an element: a stanza with its sequence, nothing left to do, or a broken peer. */
export type Received =
  | { readonly kind: 'stanza'; readonly sequence: number }
  | { readonly kind: 'consumed' }
  /** `stamps`: the client takes stamps on commitments (chapter 10.4). */
  | { readonly kind: 'enable'; readonly resume: boolean; readonly stamps: boolean }
  /** With `application`, an element of the error, the session is over too: counts that disagree can't be mended. */
  | { readonly kind: 'close'; readonly condition: StreamErrorCondition; readonly application?: Element };

/** Shared: sessions are many, and most are idle. */
const none = Object.freeze([]) as unknown as never[];
const consumed: Received = { kind: 'consumed' };
const request = element('r', NS_SM);
const stampsElement = element('stamps', NS_REPORT);
const pingPrefix = 'db-ping-';

/**
 * Elements to send gather in `outgoing` and acknowledged notes in `delivered`; the shell takes both after each call.
 */
export class ServerSession<T> {
  readonly #domain: string;
  readonly #jid: string;
  #management = new StreamManagement<Outbound<T>>();
  #enabled: { readonly id: string; readonly resumable: boolean } | undefined;
  /**
   * Added to the management's count to give the sequences of `receive`. Grows when counts start again or go back, so that
   * no sequence is ever given twice and what was given before resolves nothing of what came since.
   */
  #sequenceBase = 0;
  /** Sent before stream management was on and not acknowledged: the first count of the client covers it too. */
  #earlier: readonly Outbound<T>[] = none;
  /** Outbound stanzas covered by the ack request or ping under way, or -1 when none is. */
  #askedAt = -1;
  /** Outbound stanzas that the last ack request covered. */
  #lastAskedAt = 0;
  #sentCount = 0;
  #pingNumber = 0;
  #justEnabled = false;
  /** Stanzas that wait until some time after `<enabled/>`. */
  #held: Element[] | undefined;
  #managementFailures = 0;
  /** Undefined, as the time below, until it matters: a number with a fraction is an object of its own. */
  #quietUntilMs: number | undefined;
  /** Stanzas acknowledged by pings so far. */
  #pinged = 0;
  #askedAtMs: number | undefined;
  /** `<r/>` not yet answered: how much was received before each, and when it came. */
  #requests: { sequence: number; sinceMs: number }[] = none;
  outgoing: Element[] = none;
  delivered: T[] = none;

  constructor(domain: string, fullJid: string) {
    this.#domain = domain;
    this.#jid = fullJid;
  }

  /** What is to be written now. */
  takeOutgoing(): readonly Element[] {
    const { outgoing } = this;
    this.outgoing = none;
    return outgoing;
  }

  /** The notes of what was acknowledged since the last call. */
  takeDelivered(): readonly T[] {
    const { delivered } = this;
    this.delivered = none;
    return delivered;
  }

  get resumptionId(): string | undefined {
    return this.#enabled?.resumable === true ? this.#enabled.id : undefined;
  }

  get handled(): number {
    return this.#management.handled;
  }

  get unacknowledgedCount(): number {
    return this.#earlier.length + this.#management.unacknowledgedCount;
  }

  /** What was sent and not acknowledged, oldest first. */
  get unacknowledged(): readonly Outbound<T>[] {
    return [...this.#earlier, ...this.#management.unacknowledged];
  }

  /** Takes one element of the peer. Stanzas get a sequence; other elements are in no count (RFC 6120 section 4.9.3.24). */
  receive(el: Element, nowMs: number): Received {
    if (el.ns === NS_SM) return this.#managementElement(el, nowMs);
    const isStanza = el.name === 'message' || el.name === 'iq' || el.name === 'presence';
    if (el.ns !== NS_CLIENT || !isStanza) return { kind: 'close', condition: 'unsupported-stanza-type' };
    const sequence = this.#sequenceBase + this.#management.receive();
    if (el.name === 'iq' && this.#isPong(el)) {
      this.resolve(sequence);
      return consumed;
    }
    return { kind: 'stanza', sequence };
  }

  /**
   * Turns stream management on: counts start again, `<enabled/>` is sent. Stanzas that were sent before are in no count; a
   * ping after them, which is in it, gets them acknowledged. With `holdBack`, stanzas wait until `ask` finds that some
   * time has passed: some clients start their count a moment after they have read `<enabled/>`, and miss what was in the
   * same read (xmpp.js 0.14). `stamps` tells the client that it gets them.
   */
  enable(id: string, resumable: boolean, maxSeconds: number, holdBack = false, stamps = false): void {
    this.#sequenceBase += this.#management.received;
    this.#earlier = [...this.#management.unacknowledged];
    this.#management = new StreamManagement<Outbound<T>>();
    this.#askedAt = -1;
    this.#lastAskedAt = 0;
    this.#sentCount = 0;
    this.#enabled = { id, resumable };
    this.#justEnabled = true;
    const resume = resumable ? { resume: 'true', max: String(maxSeconds) } : {};
    this.#put(element('enabled', NS_SM, { id, ...resume }, stamps ? [stampsElement] : []));
    if (holdBack) this.#held = [];
    if (this.#earlier.length > 0) this.send(this.#ping(), undefined);
  }

  get managed(): boolean {
    return this.#enabled !== undefined;
  }

  /** The inbound stanza with this sequence needs nothing more; answers the `<r/>` that waited for it. */
  resolve(sequence: number): void {
    this.#management.resolve(sequence - this.#sequenceBase);
    while (this.#requests.length > 0 && this.#requests[0]!.sequence <= this.#management.handledSequence) {
      this.#requests.shift();
      this.#acknowledge();
    }
  }

  /** Sends a stanza. `note` comes back in `delivered` when the peer has acknowledged it. */
  send(el: Element, note: T | undefined): void {
    if (this.#held !== undefined) this.#held.push(el);
    else this.#put(el);
    this.#management.sent({ element: el, note });
    this.#sentCount++;
  }

  /**
   * Asks the peer what it has, when there is anything to ask for; call it once per batch, before writing.
   * Gives the time at which to call again when it is too early to ask now, or undefined.
   */
  ask(nowMs: number): number | undefined {
    if (this.#justEnabled) {
      // A request in the same read would be answered with the earlier count.
      this.#justEnabled = false;
      this.#quietUntilMs = nowMs + askIntervalMs;
    }
    if (this.#held !== undefined) {
      if (this.#isQuiet(nowMs)) return this.#quietUntilMs;
      for (const el of this.#held) this.#put(el);
      this.#held = undefined;
    }
    if (this.#isQuiet(nowMs) && this.#management.unacknowledgedCount > 0) return this.#quietUntilMs;
    if (this.#askedAt >= 0 || this.#management.unacknowledgedCount === 0) return undefined;
    const hasNews = this.#enabled !== undefined && this.#sentCount > this.#lastAskedAt;
    if (!hasNews && this.#askedAtMs !== undefined && nowMs < this.#askedAtMs + askIntervalMs) {
      return this.#askedAtMs + askIntervalMs;
    }
    this.#put(this.#enabled === undefined ? this.#ping() : request);
    this.#askedAt = this.#sentCount;
    this.#lastAskedAt = this.#sentCount;
    this.#askedAtMs = nowMs;
    return undefined;
  }

  /** Answers `<r/>` that have waited too long. Gives the time of the next one to answer, or undefined. */
  answerLate(nowMs: number): number | undefined {
    while (this.#requests.length > 0 && this.#requests[0]!.sinceMs + acknowledgeAtLatestMs <= nowMs) {
      this.#requests.shift();
      this.#acknowledge();
    }
    return this.#requests.length > 0 ? this.#requests[0]!.sinceMs + acknowledgeAtLatestMs : undefined;
  }

  /** Shows what was sent and is not acknowledged, oldest first. */
  eachOutstanding(show: (el: Element) => void): void {
    for (const { element: el } of this.#earlier) show(el);
    for (const { element: el } of this.#management.unacknowledged) show(el);
  }

  /** Since when the peer owes an answer to our ack request or ping, or undefined. */
  get askedSinceMs(): number | undefined {
    return this.#askedAt < 0 ? undefined : this.#askedAtMs;
  }

  /** Since when the oldest `<r/>` of the client waits, or undefined. */
  get oldestRequestMs(): number | undefined {
    return this.#requests[0]?.sinceMs;
  }

  /**
   * Takes the session up on a new stream: the client has handled `handled` stanzas. What it lacks is sent again, after
   * `<resumed/>`, which the negotiation sends. In turn the client sends again what was not resolved until now, which
   * hence counts again. A count of 0 says nothing of what was sent before there were counts: that is sent again too, and
   * counted. False: the count is impossible; the session can't be resumed.
   */
  resume(handled: number): boolean {
    const delivered = this.#management.acknowledge(handled);
    if (delivered === 'handled-count-ahead') return false;
    this.#noteDelivered(delivered);
    this.#management.sentBefore(this.#earlier);
    this.#sentCount += this.#earlier.length;
    this.#earlier = none;
    this.#held = undefined;
    this.#sequenceBase += this.#management.received - this.#management.handledSequence;
    this.#management.rewind();
    this.#askedAt = -1;
    this.#requests = none;
    this.outgoing = this.#management.unacknowledged.map(outbound => outbound.element);
    return true;
  }

  #managementElement(el: Element, nowMs: number): Received {
    switch (el.name) {
      case 'r':
        if (this.#enabled === undefined) return { kind: 'close', condition: 'policy-violation' };
        if (this.#management.handledSequence === this.#management.received) this.#acknowledge();
        else {
          if (this.#requests.length >= maxWaitingRequests) return { kind: 'close', condition: 'policy-violation' };
          if (this.#requests.length === 0) this.#requests = [];
          this.#requests.push({ sequence: this.#management.received, sinceMs: nowMs });
        }
        return consumed;
      case 'a': {
        const handled = parseCount(attribute(el, 'h'));
        if (handled === undefined || this.#enabled === undefined) return { kind: 'close', condition: 'bad-format' };
        const delivered = this.#management.acknowledge(handled);
        if (delivered === 'handled-count-ahead') return this.#tooHigh(handled);
        this.#noteDelivered(delivered);
        this.#askedAt = -1;
        return consumed;
      }
      case 'enable': {
        if (this.#enabled !== undefined) return this.#managementFailure();
        const resume = attribute(el, 'resume');
        const stamps = childElement(el, 'stamps', NS_REPORT) !== undefined;
        return { kind: 'enable', resume: resume === 'true' || resume === '1', stamps };
      }
      case 'resume':
        // Too late: a resource is bound.
        return this.#managementFailure();
      default:
        return { kind: 'close', condition: 'unsupported-stanza-type' };
    }
  }

  /** The stream stays as it is (XEP-0198 section 3); who does not learn is closed. */
  #managementFailure(): Received {
    if (++this.#managementFailures >= maxManagementFailures) return { kind: 'close', condition: 'policy-violation' };
    this.#put(element('failed', NS_SM, {}, [element('unexpected-request', NS_STANZAS)]));
    return consumed;
  }

  /** XEP-0198 section 4. */
  #tooHigh(handled: number): Received {
    const counts = { h: String(handled), 'send-count': String(this.#management.sentTotal % 0x1_0000_0000) };
    const application = element('handled-count-too-high', NS_SM, counts);
    return { kind: 'close', condition: 'undefined-condition', application };
  }

  #isPong(el: Element): boolean {
    const type = attribute(el, 'type');
    const id = attribute(el, 'id');
    if ((type !== 'result' && type !== 'error') || id === undefined || !id.startsWith(pingPrefix)) return false;
    if (this.#enabled === undefined && this.#askedAt >= 0 && id === pingPrefix + String(this.#pingNumber)) {
      const covered = this.#management.unacknowledgedCount - (this.#sentCount - this.#askedAt);
      this.#askedAt = -1;
      if (covered > 0) {
        this.#pinged += covered;
        const delivered = this.#management.acknowledge(this.#pinged % 0x1_0000_0000);
        if (delivered !== 'handled-count-ahead') this.#noteDelivered(delivered);
      }
    }
    return true;
  }

  #ping(): Element {
    const id = pingPrefix + String(++this.#pingNumber);
    const attrs = { from: this.#domain, to: this.#jid, id, type: 'get' };
    return element('iq', NS_CLIENT, attrs, [element('ping', NS_PING)]);
  }

  #acknowledge(): void {
    this.#put(element('a', NS_SM, { h: String(this.#management.handled) }));
  }

  #noteDelivered(delivered: readonly Outbound<T>[]): void {
    if (delivered.length === 0) return;
    // Streams keep order: who has the first counted stanza has all that went before it.
    for (const { note } of this.#earlier) if (note !== undefined) this.#putDelivered(note);
    this.#earlier = none;
    for (const { note } of delivered) if (note !== undefined) this.#putDelivered(note);
  }

  #isQuiet(nowMs: number): boolean {
    return this.#quietUntilMs !== undefined && nowMs < this.#quietUntilMs;
  }

  #put(el: Element): void {
    if (this.outgoing === none) this.outgoing = [el];
    else this.outgoing.push(el);
  }

  #putDelivered(note: T): void {
    if (this.delivered === none) this.delivered = [note];
    else this.delivered.push(note);
  }
}
