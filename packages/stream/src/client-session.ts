// What is counted between a client and its gatekeeper once the login is over: stanzas sent and kept, acknowledgements asked
// for and owed, and until when each is due. Goes from one stream to the next by a resumption.
// Knows nothing of logins, encodings and what stanzas hold but answers; time is an argument.
// Source: XEP-0198, XEP-0199, RFC 6120 section 8; docs/protocol/04-streams.md.
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_PING, NS_SM, NS_STANZAS } from '@drawbridge/wire/namespaces';
import type { ClientStreamFailure } from './client-failures.ts';
import type {
  ClientStreamEffect,
  ClientStreamLimits,
  Fruitless,
  Outbound,
  Resumption,
  Ticket,
} from './client-stream-types.ts';
import { parseCount } from './handled-count.ts';
import { StreamManagement } from './stream-management.ts';

/** After this number of streams in a row that asked for a resumption and brought nothing, the next one binds. */
export const maxFruitlessResumptions = 2;

type Live<T> = { readonly id: string | undefined; readonly management: StreamManagement<Outbound<T>> };

const noneFruitless: Fruitless = { out: 0, in: 0 };
const ask = element('r', NS_SM);

/** Methods that give a failure leave it to the stream to end. */
export class ClientSession<T> {
  readonly #limits: ClientStreamLimits;
  readonly #emit: (effect: ClientStreamEffect<T>) => void;
  /** The session to take up; gone once that has been answered. */
  #resumption: Resumption<T> | undefined;
  #live: Live<T> = { id: undefined, management: new StreamManagement() };
  /** Stanzas may be sent on this stream. */
  #isEstablished = false;
  #jid = '';

  #heardMs: number;
  /** When the answer to our `<r/>` must be there; undefined when none is out. */
  #answerByMs: number | undefined;
  #askAtMs: number | undefined;
  #sentSinceAsked = 0;
  /** The peer's `<r/>` that is not answered yet, and until when it may wait. */
  #owed: { readonly sequence: number; readonly byMs: number } | undefined;
  /** Until when a stanza must be acknowledged, or kept, while any is open. */
  #acknowledgeByMs: number | undefined;
  #keepByMs: number | undefined;
  /** As in `Resumption`, with this stream counted until it brings progress. */
  #fruitless: Fruitless;
  /** The count that the peer was told last. */
  #told = 0;

  constructor(
    limits: ClientStreamLimits,
    emit: (effect: ClientStreamEffect<T>) => void,
    nowMs: number,
    resumption: Resumption<T> | undefined,
  ) {
    this.#limits = limits;
    this.#emit = emit;
    this.#heardMs = nowMs;
    this.#resumption = resumption;
    this.#fruitless = resumption?.fruitless ?? noneFruitless;
  }

  get management(): StreamManagement<Outbound<T>> {
    return this.#live.management;
  }

  /** What the next stream may resume; undefined when there was no session, it can't be resumed, or it was closed in order. */
  get resumption(): Resumption<T> | undefined {
    const { id, management } = this.#live;
    const fruitless = this.#fruitless;
    // They would be repeated, and counted then: what was counted behind them would get other numbers.
    if (management.hasUncounted) return undefined;
    if (Math.max(fruitless.out, fruitless.in) >= maxFruitlessResumptions) return undefined;
    if (id !== undefined) return { id, jid: this.#jid, management, fruitless };
    return this.#resumption === undefined ? undefined : { ...this.#resumption, fruitless };
  }

  /** When `time` is due while the session is established. */
  get deadlineMs(): number {
    const peer = this.#answerByMs ?? Math.min(this.#heardMs + this.#limits.idleMs, this.#askAtMs ?? Infinity);
    const progress = Math.min(this.#acknowledgeByMs ?? Infinity, this.#keepByMs ?? Infinity);
    return Math.min(peer, progress, this.#owed?.byMs ?? Infinity);
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  /** Asks to take up the earlier session, when there is one. */
  askToResume(): boolean {
    const resumption = this.#resumption;
    if (resumption === undefined) return false;
    // Taken back as soon as the session goes on.
    this.#fruitless = { out: this.#fruitless.out + 1, in: this.#fruitless.in + 1 };
    this.#told = resumption.management.askToResume();
    this.#put(element('resume', NS_SM, { previd: resumption.id, h: String(this.#told) }));
    return true;
  }

  /** The answer to `askToResume`: where the session goes on, that it is gone, or a failure. */
  resumed(el: Element, nowMs: number): { readonly jid: string } | 'gone' | ClientStreamFailure {
    const resumption = this.#resumption!;
    if (el.ns !== NS_SM) return { code: 'protocol-error' };
    const handled = parseCount(attribute(el, 'h'));
    if (el.name === 'failed') {
      // The session is gone; a count says what of it had arrived (XEP-0198 section 5).
      if (handled !== undefined) this.#delivered(resumption.management.acknowledge(handled));
      this.#resumption = undefined;
      this.#fruitless = noneFruitless;
      return 'gone';
    }
    if (el.name !== 'resumed' || handled === undefined || attribute(el, 'previd') !== resumption.id) {
      return { code: 'protocol-error' };
    }
    const { management } = resumption;
    const delivered = management.acknowledge(handled);
    if (delivered === 'handled-count-ahead') return { code: 'handled-count-ahead' };
    this.#resumption = undefined;
    this.#live = { id: resumption.id, management };
    management.repeat();
    this.#delivered(delivered);
    // Before `established`: what the owner sends then comes behind what it had sent before.
    for (const outbound of management.unacknowledged) {
      this.#put(outbound.stanza);
      this.#sentSinceAsked++;
    }
    if (delivered.length > 0 || management.unacknowledgedCount === 0) this.#moved('out');
    if (management.unresolvedCount === 0) this.#moved('in');
    if (management.unacknowledgedCount > 0) this.#acknowledgeByMs = nowMs + this.#limits.progressMs;
    if (management.unresolvedCount > 0) this.#keepByMs = nowMs + this.#limits.progressMs;
    this.#establish(resumption.jid);
    return { jid: resumption.jid };
  }

  /** A message that the peer sent before it began to count. What it counts first says that these have come, too. */
  uncounted(): Ticket {
    const { management } = this.#live;
    return { session: management, sequence: management.receiveUncounted() };
  }

  /** A new session, which can be resumed under `id`. */
  begin(jid: string, id: string | undefined): void {
    this.#live = { id, management: this.#live.management };
    this.#told = 0;
    this.#establish(jid);
  }

  #establish(jid: string): void {
    this.#isEstablished = true;
    this.#jid = jid;
  }

  /** Something of the peer's while the session is established. */
  element(el: Element, nowMs: number): ClientStreamFailure | undefined {
    if (el.ns === NS_SM) return this.#managementElement(el, nowMs);
    if (el.ns !== NS_CLIENT || (el.name !== 'message' && el.name !== 'presence' && el.name !== 'iq')) {
      return { code: 'protocol-error', condition: 'unsupported-stanza-type' };
    }
    const { management } = this.#live;
    const ticket = { session: management, sequence: management.receive() };
    // The peer repeats what was kept after we had told it our count.
    if (management.isResolved(ticket.sequence)) return undefined;
    this.#keepByMs ??= nowMs + this.#limits.progressMs;
    if (el.name === 'message') {
      this.#emit({ kind: 'stanza', element: el, ticket });
      return undefined;
    }
    if (el.name === 'iq') this.#iq(el, nowMs);
    this.resolved(ticket, nowMs);
    return undefined;
  }

  #iq(el: Element, nowMs: number): void {
    const id = attribute(el, 'id');
    const type = attribute(el, 'type');
    if (id === undefined) return;
    if (type === 'result' || type === 'error') {
      this.#emit({ kind: 'answer', id, element: el });
      return;
    }
    if (type !== 'get' && type !== 'set') return;
    const to = attribute(el, 'from');
    if (type === 'get' && childElement(el, 'ping', NS_PING) !== undefined) {
      return this.send(element('iq', NS_CLIENT, { type: 'result', id, to }), undefined, nowMs);
    }
    const reason = element('service-unavailable', NS_STANZAS);
    const error = element('error', NS_CLIENT, { type: 'cancel' }, [reason]);
    this.send(element('iq', NS_CLIENT, { type: 'error', id, to }, [error]), undefined, nowMs);
  }

  #managementElement(el: Element, nowMs: number): ClientStreamFailure | undefined {
    if (el.name === 'r') {
      this.#asked(nowMs);
      return undefined;
    }
    const handled = el.name === 'a' ? parseCount(attribute(el, 'h')) : undefined;
    if (handled === undefined) return { code: 'protocol-error' };
    const { management } = this.#live;
    const delivered = management.acknowledge(handled);
    if (delivered === 'handled-count-ahead') return { code: 'handled-count-ahead' };
    this.#answerByMs = undefined;
    if (delivered.length > 0) {
      this.#moved('out');
      this.#acknowledgeByMs = management.unacknowledgedCount > 0 ? nowMs + this.#limits.progressMs : undefined;
    }
    this.#delivered(delivered);
    if (this.#sentSinceAsked > 0) this.#ask(nowMs);
    else this.#askAtMs = management.unacknowledgedCount > 0 ? nowMs + this.#limits.askAgainMs : undefined;
    return undefined;
  }

  /** While closing, acknowledgements still count: what the gatekeeper took over need not be sent again. */
  closingElement(el: Element): void {
    const handled = el.ns === NS_SM && el.name === 'a' ? parseCount(attribute(el, 'h')) : undefined;
    if (handled !== undefined) this.#delivered(this.#live.management.acknowledge(handled));
  }

  #delivered(delivered: readonly Outbound<T>[] | 'handled-count-ahead'): void {
    if (delivered === 'handled-count-ahead') return;
    const handles = delivered.flatMap(outbound => (outbound.handle === undefined ? [] : [outbound.handle]));
    if (handles.length > 0) this.#emit({ kind: 'delivered', handles });
  }

  /** The peer's `<r/>`: answered when all before it is kept, else as soon as it is, at the latest after `keepMs`. */
  #asked(nowMs: number): void {
    const { management } = this.#live;
    if (management.handledSequence >= management.received) return this.#tell();
    this.#owed ??= { sequence: management.received, byMs: nowMs + this.#limits.keepMs };
  }

  #tell(): void {
    const { management } = this.#live;
    this.#owed = undefined;
    this.#told = management.handled;
    this.#put(element('a', NS_SM, { h: String(management.handled) }));
  }

  resolved(ticket: Ticket, nowMs: number): void {
    const { management } = this.#live;
    if (ticket.session !== management) {
      // Between a dropped stream and its resumption the count goes on in what will be resumed.
      if (ticket.session === this.#resumption?.management) this.#resumption.management.resolve(ticket.sequence);
      return;
    }
    const before = management.handledSequence;
    management.resolve(ticket.sequence);
    if (!this.#isEstablished) return;
    if (management.handledSequence > before) {
      this.#moved('in');
      this.#keepByMs = management.unresolvedCount > 0 ? nowMs + this.#limits.progressMs : undefined;
    }
    if (this.#owed !== undefined && this.#owed.sequence <= management.handledSequence) this.#tell();
  }

  send(stanza: Element, handle: T | undefined, nowMs: number): void {
    if (!this.#isEstablished) {
      this.#emit({ kind: 'not-sent', handle, code: 'not-established' });
      return;
    }
    const { management } = this.#live;
    if (management.unacknowledgedCount >= this.#limits.maxUnacknowledged) {
      this.#emit({ kind: 'not-sent', handle, code: 'queue-full' });
      return;
    }
    management.sent({ stanza, handle });
    this.#acknowledgeByMs ??= nowMs + this.#limits.progressMs;
    this.#put(stanza);
    if (++this.#sentSinceAsked >= this.#limits.askEvery) this.#ask(nowMs);
  }

  /** Asks for an acknowledgement of what was sent since the last question. */
  flush(nowMs: number): void {
    if (this.#sentSinceAsked > 0) this.#ask(nowMs);
  }

  /** Sends `<r/>` unless one is out already; its answer leads to the next. */
  #ask(nowMs: number): void {
    if (this.#answerByMs !== undefined) return;
    this.#sentSinceAsked = 0;
    this.#askAtMs = undefined;
    this.#answerByMs = nowMs + this.#limits.answerMs;
    this.#put(ask);
  }

  time(nowMs: number): ClientStreamFailure | undefined {
    if (this.#answerByMs !== undefined && nowMs >= this.#answerByMs) return { code: 'peer-silent' };
    if (this.#acknowledgeByMs !== undefined && nowMs >= this.#acknowledgeByMs) return { code: 'not-acknowledged' };
    if (this.#keepByMs !== undefined && nowMs >= this.#keepByMs) return { code: 'not-kept' };
    if (this.#owed !== undefined && nowMs >= this.#owed.byMs) this.#tell();
    if (nowMs >= this.#heardMs + this.#limits.idleMs || (this.#askAtMs !== undefined && nowMs >= this.#askAtMs)) {
      this.#ask(nowMs);
    }
    return undefined;
  }

  /** The stream ends in order, or for ever: the last word about what was kept, and nothing to resume. */
  close(): void {
    // Without it the gatekeeper would deliver it again.
    if (this.#isEstablished && this.#live.management.handled !== this.#told) this.#tell();
    this.forget();
  }

  /** Nothing is sent on this stream any more. */
  end(): void {
    this.#isEstablished = false;
  }

  /** There is nothing to resume. */
  forget(): void {
    this.end();
    this.#live = { id: undefined, management: this.#live.management };
    this.#resumption = undefined;
  }

  #moved(way: keyof Fruitless): void {
    this.#fruitless = { ...this.#fruitless, [way]: 0 };
  }

  #put(el: Element): void {
    this.#emit({ kind: 'send', element: el });
  }
}
