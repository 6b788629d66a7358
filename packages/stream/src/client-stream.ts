// The client's side of a stream: login (STARTTLS, SASL OAUTHBEARER, binding or resumption) and then stanzas, each
// acknowledged by the gatekeeper and, once the application has kept it, to the gatekeeper.
// Knows nothing of sockets, encodings, tokens' meaning, messages or stores; time is an argument of every input.
// Source: RFC 6120 sections 4-7, RFC 7395, RFC 7628, XEP-0198, XEP-0199; docs/protocol/04-streams.md.
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { parseJid } from '@drawbridge/wire/jid';
import {
  NS_BIND,
  NS_CLIENT,
  NS_PING,
  NS_REPORT,
  NS_SASL,
  NS_SM,
  NS_STANZAS,
  NS_STREAM,
  NS_TLS,
} from '@drawbridge/wire/namespaces';
import { type ClientStreamFailure, clientStreamFailures, readSaslFailure, readStreamError } from './client-failures.ts';
import { parseCount } from './handled-count.ts';
import { encodeOauthBearer, isBearerToken, oauthBearerFailureAnswer } from './oauthbearer.ts';
import { StreamManagement } from './stream-management.ts';

export type ClientStreamLimits = {
  /** From the transport's connection to the established stream. */
  readonly loginMs: number;
  /** Quiet time after which the peer is asked whether it is there. */
  readonly idleMs: number;
  /** How long an answer to `<r/>` may take; more than the gatekeeper's own 5 s. */
  readonly answerMs: number;
  /** After an acknowledgement that left something open: when to ask again. */
  readonly askAgainMs: number;
  /** Stanzas sent before the gatekeeper is asked, at the latest. */
  readonly askEvery: number;
  /** How long the peer's `<r/>` may wait for the application to keep what came before it. */
  readonly keepMs: number;
  /** Stanzas that may wait for the gatekeeper's acknowledgement. */
  readonly maxUnacknowledged: number;
  /** Waiting for the peer's end of stream after ours. */
  readonly closeMs: number;
  /**
   * While stanzas are open, in either direction, one of them must be acknowledged or kept within this time; else the
   * session is given up for a new one. Longer than a store that fails is tried, and than a gatekeeper needs to resolve.
   */
  readonly progressMs: number;
};

export const clientStreamLimits: ClientStreamLimits = {
  loginMs: 30_000,
  idleMs: 60_000,
  answerMs: 20_000,
  askAgainMs: 1_000,
  askEvery: 16,
  keepMs: 2_000,
  maxUnacknowledged: 1_024,
  closeMs: 3_000,
  progressMs: 60_000,
};

/** After this number of streams in a row that asked for a resumption and brought nothing, the next one binds. */
export const maxFruitlessResumptions = 2;

export type ClientStreamSettings = {
  /** The gatekeeper's domain, which its header must name. */
  readonly domain: string;
  /**
   * `starttls`: bytes go in the clear until TLS is started, which is required. `secured`: the transport is TLS from the
   * first byte (direct TLS, WebSocket). `authenticated`: the transport's own handshake carried the proof and there are no
   * stream headers (compact): login begins with resumption, or with binding and stream management at once.
   */
  readonly carrier: 'starttls' | 'secured' | 'authenticated';
  /** Ask for stamps on commitments (chapter 10.4); a gatekeeper that knows none passes it over. */
  readonly stamps?: boolean;
  readonly limits?: ClientStreamLimits;
};

/** An outbound stanza and what its owner wants back when it is delivered; iq and pings have no handle. */
type Outbound<T> = { readonly stanza: Element; readonly handle: T | undefined };

/** Names one inbound stanza to `resolved`. Stays valid over a resumption, and is ignored by later streams. */
export type Ticket = { readonly session: object; readonly sequence: number };

/** `out`: nothing of ours was acknowledged; `in`: nothing that came was kept. */
type Fruitless = { readonly out: number; readonly in: number };

/** What a dropped stream leaves behind for the next one to take up. */
export type Resumption<T> = {
  readonly id: string;
  readonly jid: string;
  readonly management: StreamManagement<Outbound<T>>;
  /**
   * Streams in a row that asked for this resumption and ended without progress of what is open: each way by itself, so that
   * what moves one way does not hide that the other stands still.
   */
  readonly fruitless: Fruitless;
};

export type ClientStreamInput<T> =
  /** The transport is connected (TCP, TLS or WebSocket, by carrier). */
  | { readonly kind: 'connected' }
  /** The peer's stream header (or `<open/>`). */
  | { readonly kind: 'header'; readonly from: string | undefined; readonly version: string | undefined }
  | { readonly kind: 'element'; readonly element: Element }
  /** The peer ended its stream (`</stream:stream>` or `<close/>`). */
  | { readonly kind: 'ended' }
  /** TLS, which `start-tls` asked for, is up and the certificate is the domain's. */
  | { readonly kind: 'secured' }
  | { readonly kind: 'proof'; readonly token: string }
  | { readonly kind: 'disconnected' }
  /** The peer sent what no decoder takes. */
  | { readonly kind: 'undecodable' }
  | { readonly kind: 'send'; readonly stanza: Element; readonly handle?: T }
  /** The owner has nothing more to send for now: ask for acknowledgements. */
  | { readonly kind: 'flushed' }
  /** The application has kept the stanza with this ticket, or needs nothing of it. */
  | { readonly kind: 'resolved'; readonly ticket: Ticket }
  | { readonly kind: 'time' }
  | { readonly kind: 'close' };

export type ClientStreamEffect<T> =
  | { readonly kind: 'send-header'; readonly to: string }
  | { readonly kind: 'send'; readonly element: Element }
  | { readonly kind: 'send-end' }
  | { readonly kind: 'start-tls' }
  /** Answer with a `proof` input: a fresh ownership proof of this device. */
  | { readonly kind: 'need-proof' }
  /** `resumed` false: whatever was sent on an earlier stream and not `delivered` must be sent again by its owner. */
  | {
      readonly kind: 'established';
      readonly jid: string;
      readonly resumed: boolean;
      /** The gatekeeper stamps commitments; never there on a resumption, which goes on as the session began. */
      readonly stamps?: true;
    }
  /** A message, to be kept and then `resolved`. */
  | { readonly kind: 'stanza'; readonly element: Element; readonly ticket: Ticket }
  /** An iq result or error; needs no `resolved`. */
  | { readonly kind: 'answer'; readonly id: string; readonly element: Element }
  /** The gatekeeper has taken over these stanzas, oldest first. */
  | { readonly kind: 'delivered'; readonly handles: readonly T[] }
  | { readonly kind: 'not-sent'; readonly handle: T | undefined; readonly code: 'not-established' | 'queue-full' }
  /** The end, for this reason; a `close` follows. */
  | { readonly kind: 'failed'; readonly failure: ClientStreamFailure }
  /** Close the transport. `failed` did not come before: the owner had asked for it. */
  | { readonly kind: 'close' };

/** How far the login is: before TLS, before SASL, after it. */
type Step = 'plain' | 'secure' | 'authenticated';

type State =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'awaiting-header'; readonly step: Step }
  | { readonly kind: 'awaiting-features'; readonly step: Step }
  | { readonly kind: 'tls-asked' }
  | { readonly kind: 'tls-starting' }
  | { readonly kind: 'awaiting-proof' }
  | { readonly kind: 'proof-sent'; readonly challenged: boolean }
  | { readonly kind: 'resuming' }
  | { readonly kind: 'binding' }
  | { readonly kind: 'enabling'; readonly jid: string }
  | { readonly kind: 'established'; readonly jid: string }
  | { readonly kind: 'closing' }
  | { readonly kind: 'closed' };

type Live<T> = { readonly id: string | undefined; readonly management: StreamManagement<Outbound<T>> };

const bindId = 'bind';
const noneFruitless: Fruitless = { out: 0, in: 0 };
const uncounted: Ticket = { session: {}, sequence: 0 };
const ask = element('r', NS_SM);

/** One connection's stream. Feed it inputs in order; carry out the effects in order. Never throws for a peer's fault. */
export class ClientStream<T> {
  readonly #domain: string;
  readonly #carrier: ClientStreamSettings['carrier'];
  readonly #asksForStamps: boolean;
  readonly #limits: ClientStreamLimits;
  /** The session to take up; gone once that has been answered. */
  #resumption: Resumption<T> | undefined;
  #state: State = { kind: 'connecting' };
  #live: Live<T> = { id: undefined, management: new StreamManagement() };
  #effects: ClientStreamEffect<T>[] = [];
  #jid = '';

  /** Login, then close. */
  #deadlineMs: number;
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
  #fruitless: Fruitless = noneFruitless;
  /** The count that the peer was told last. */
  #told = 0;

  constructor(settings: ClientStreamSettings, nowMs: number, resumption?: Resumption<T>) {
    this.#domain = settings.domain;
    this.#carrier = settings.carrier;
    this.#asksForStamps = settings.stamps === true;
    this.#limits = settings.limits ?? clientStreamLimits;
    this.#resumption = resumption;
    this.#fruitless = resumption?.fruitless ?? noneFruitless;
    this.#deadlineMs = nowMs + this.#limits.loginMs;
    this.#heardMs = nowMs;
  }

  get state(): State['kind'] {
    return this.#state.kind;
  }

  /** Inbound stanzas that the application has not resolved; the owner stops reading when they are too many. */
  get unresolvedCount(): number {
    return this.#live.management.unresolvedCount;
  }

  get unacknowledgedCount(): number {
    return this.#live.management.unacknowledgedCount;
  }

  /** Whose stanza is the first that the peer has not acknowledged, where it has an owner. */
  get firstUnacknowledged(): T | undefined {
    return this.#live.management.firstUnacknowledged?.handle;
  }

  /** What the next stream may resume; undefined when there was no session, it can't be resumed, or it was closed in order. */
  get resumption(): Resumption<T> | undefined {
    const { id, management } = this.#live;
    const fruitless = this.#fruitless;
    if (Math.max(fruitless.out, fruitless.in) >= maxFruitlessResumptions) return undefined;
    if (id !== undefined) return { id, jid: this.#jid, management, fruitless };
    return this.#resumption === undefined ? undefined : { ...this.#resumption, fruitless };
  }

  /** When a `time` input is due, in the clock of `nowMs`; undefined when never. */
  get deadlineMs(): number | undefined {
    switch (this.#state.kind) {
      case 'closed':
        return undefined;
      case 'established': {
        const peer = this.#answerByMs ?? Math.min(this.#heardMs + this.#limits.idleMs, this.#askAtMs ?? Infinity);
        const progress = Math.min(this.#acknowledgeByMs ?? Infinity, this.#keepByMs ?? Infinity);
        return Math.min(peer, progress, this.#owed?.byMs ?? Infinity);
      }
      default:
        return this.#deadlineMs;
    }
  }

  /** Gives the effects of one input, in order. After `close` every input gives none, except that `send` is refused. */
  handle(input: ClientStreamInput<T>, nowMs: number): readonly ClientStreamEffect<T>[] {
    this.#input(input, nowMs);
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #input(input: ClientStreamInput<T>, nowMs: number): void {
    const state = this.#state;
    if (input.kind === 'send') return this.#send(input.stanza, input.handle, nowMs);
    if (input.kind === 'resolved') return this.#resolved(input.ticket, nowMs);
    if (state.kind === 'closed') return;
    switch (input.kind) {
      case 'connected':
        if (state.kind !== 'connecting') return this.#fail({ code: 'protocol-error' });
        if (this.#carrier === 'authenticated') return this.#openSession();
        return this.#openStream(this.#carrier === 'starttls' ? 'plain' : 'secure');
      case 'header':
        this.#heardMs = nowMs;
        return this.#header(input.from, input.version);
      case 'element':
        this.#heardMs = nowMs;
        return this.#element(input.element, nowMs);
      case 'secured':
        if (state.kind !== 'tls-starting') return this.#fail({ code: 'protocol-error' });
        return this.#openStream('secure');
      case 'proof':
        return this.#proof(input.token);
      case 'flushed':
        if (state.kind === 'established' && this.#sentSinceAsked > 0) this.#ask(nowMs);
        return;
      case 'time':
        return this.#time(nowMs);
      case 'ended':
        if (state.kind === 'closing') return this.#closed();
        return this.#fail({ code: 'ended-by-peer' });
      case 'disconnected':
        if (state.kind === 'closing') return this.#closed();
        return this.#fail({ code: 'disconnected' });
      case 'undecodable':
        return this.#fail({ code: 'protocol-error' });
      case 'close':
        return this.#close(nowMs);
    }
  }

  #openStream(step: Step): void {
    this.#state = { kind: 'awaiting-header', step };
    this.#effects.push({ kind: 'send-header', to: this.#domain });
  }

  #header(from: string | undefined, version: string | undefined): void {
    const state = this.#state;
    if (state.kind === 'closing') return;
    if (state.kind !== 'awaiting-header') return this.#fail({ code: 'protocol-error' });
    // RFC 6120 section 4.7.1: `from` is there; a stream error may come before the peer knows its name, so absence is forgiven.
    if (from !== undefined && from !== this.#domain)
      return this.#fail({ code: 'protocol-error', condition: 'host-unknown' });
    if (version === undefined || !version.startsWith('1.')) {
      return this.#fail({ code: 'protocol-error', condition: 'unsupported-version' });
    }
    this.#state = { kind: 'awaiting-features', step: state.step };
  }

  #element(el: Element, nowMs: number): void {
    if (el.ns === NS_STREAM && el.name === 'error') {
      return this.#state.kind === 'closing' ? undefined : this.#fail(readStreamError(el));
    }
    const state = this.#state;
    switch (state.kind) {
      case 'established':
        return this.#session(el, nowMs);
      case 'awaiting-features':
        if (el.ns !== NS_STREAM || el.name !== 'features') return this.#fail({ code: 'protocol-error' });
        return this.#features(el, state.step);
      case 'tls-asked':
        if (el.ns !== NS_TLS) return this.#fail({ code: 'protocol-error' });
        if (el.name !== 'proceed') return this.#fail({ code: 'tls-refused' });
        this.#state = { kind: 'tls-starting' };
        this.#effects.push({ kind: 'start-tls' });
        return;
      case 'proof-sent':
        return this.#sasl(el, state.challenged);
      case 'resuming':
        return this.#resumed(el, nowMs);
      case 'binding':
        return this.#bound(el);
      case 'enabling':
        return this.#enabled(el, state.jid);
      case 'closing':
        return this.#closingElement(el);
      default:
        // Nothing may come while we wait for a header, for TLS or for our own proof.
        return this.#fail({ code: 'protocol-error' });
    }
  }

  #features(features: Element, step: Step): void {
    if (step === 'plain') {
      if (childElement(features, 'starttls', NS_TLS) === undefined) return this.#fail({ code: 'tls-not-offered' });
      this.#state = { kind: 'tls-asked' };
      return this.#put(element('starttls', NS_TLS));
    }
    if (step === 'secure') {
      const mechanisms = childElement(features, 'mechanisms', NS_SASL);
      const offered = mechanisms !== undefined && childElements(mechanisms).some(m => textOf(m) === 'OAUTHBEARER');
      if (!offered) return this.#fail({ code: 'mechanism-not-offered' });
      this.#state = { kind: 'awaiting-proof' };
      this.#effects.push({ kind: 'need-proof' });
      return;
    }
    if (childElement(features, 'sm', NS_SM) === undefined) return this.#fail({ code: 'management-refused' });
    this.#openSession();
  }

  #proof(token: string): void {
    if (this.#state.kind !== 'awaiting-proof') return;
    if (!isBearerToken(token)) return this.#fail({ code: 'proof-unusable' });
    this.#state = { kind: 'proof-sent', challenged: false };
    this.#put(element('auth', NS_SASL, { mechanism: 'OAUTHBEARER' }, [encodeOauthBearer({ token })]));
  }

  #sasl(el: Element, challenged: boolean): void {
    if (el.ns !== NS_SASL) return this.#fail({ code: 'protocol-error' });
    if (el.name === 'failure') return this.#fail(readSaslFailure(el));
    if (el.name === 'success' && !challenged) return this.#openStream('authenticated');
    if (el.name !== 'challenge' || challenged) return this.#fail({ code: 'protocol-error' });
    this.#state = { kind: 'proof-sent', challenged: true };
    this.#put(element('response', NS_SASL, undefined, [oauthBearerFailureAnswer]));
  }

  #openSession(): void {
    const resumption = this.#resumption;
    if (resumption === undefined) return this.#bind();
    this.#state = { kind: 'resuming' };
    // Taken back as soon as the session goes on.
    this.#fruitless = { out: this.#fruitless.out + 1, in: this.#fruitless.in + 1 };
    this.#told = resumption.management.askToResume();
    this.#put(element('resume', NS_SM, { previd: resumption.id, h: String(this.#told) }));
  }

  #bind(): void {
    this.#state = { kind: 'binding' };
    this.#put(element('iq', NS_CLIENT, { type: 'set', id: bindId }, [element('bind', NS_BIND)]));
    // Both travel with the login: no round trip is spent on them.
    if (this.#carrier === 'authenticated') this.#enable();
  }

  #enable(): void {
    this.#put(element('enable', NS_SM, { resume: 'true' }, this.#asksForStamps ? [element('stamps', NS_REPORT)] : []));
  }

  #resumed(el: Element, nowMs: number): void {
    const resumption = this.#resumption!;
    if (el.ns !== NS_SM) return this.#fail({ code: 'protocol-error' });
    const handled = parseCount(attribute(el, 'h'));
    if (el.name === 'failed') {
      // The session is gone; a count says what of it had arrived (XEP-0198 section 5).
      if (handled !== undefined) this.#delivered(resumption.management.acknowledge(handled));
      this.#resumption = undefined;
      this.#fruitless = noneFruitless;
      return this.#bind();
    }
    if (el.name !== 'resumed' || handled === undefined || attribute(el, 'previd') !== resumption.id) {
      return this.#fail({ code: 'protocol-error' });
    }
    const { management } = resumption;
    const delivered = management.acknowledge(handled);
    if (delivered === 'handled-count-ahead') return this.#fail({ code: 'handled-count-ahead' });
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
    this.#establish(resumption.jid, true);
    if (this.#sentSinceAsked > 0) this.#ask(nowMs);
  }

  #moved(way: keyof Fruitless): void {
    this.#fruitless = { ...this.#fruitless, [way]: 0 };
  }

  #bound(el: Element): void {
    if (el.ns !== NS_CLIENT || el.name !== 'iq' || attribute(el, 'id') !== bindId)
      return this.#fail({ code: 'protocol-error' });
    if (attribute(el, 'type') === 'error') {
      const condition = stanzaErrorCondition(el);
      return this.#fail(condition === undefined ? { code: 'bind-refused' } : { code: 'bind-refused', condition });
    }
    const bind = childElement(el, 'bind', NS_BIND);
    const text = bind === undefined ? undefined : childElement(bind, 'jid', NS_BIND);
    const jid = text === undefined ? '' : textOf(text);
    const parsed = parseJid(jid);
    if (attribute(el, 'type') !== 'result' || parsed === undefined || parsed.local === '' || parsed.resource === '') {
      return this.#fail({ code: 'protocol-error' });
    }
    this.#state = { kind: 'enabling', jid };
    if (this.#carrier !== 'authenticated') this.#enable();
  }

  #enabled(el: Element, jid: string): void {
    if (el.ns === NS_CLIENT) {
      // Sent before the peer read `<enable/>`: not counted by either side, and delivered again if we don't keep it.
      if (el.name === 'message') this.#effects.push({ kind: 'stanza', element: el, ticket: uncounted });
      return;
    }
    if (el.ns !== NS_SM) return this.#fail({ code: 'protocol-error' });
    if (el.name !== 'enabled') return this.#fail({ code: 'management-refused' });
    const resume = attribute(el, 'resume');
    const id = resume === 'true' || resume === '1' ? attribute(el, 'id') : undefined;
    this.#live = { id: id === '' ? undefined : id, management: new StreamManagement() };
    this.#told = 0;
    this.#establish(jid, false, childElement(el, 'stamps', NS_REPORT) !== undefined);
  }

  #establish(jid: string, resumed: boolean, stamps = false): void {
    this.#jid = jid;
    this.#state = { kind: 'established', jid };
    this.#effects.push({ kind: 'established', jid, resumed, ...(stamps ? { stamps } : {}) });
  }

  #session(el: Element, nowMs: number): void {
    if (el.ns === NS_SM) return this.#managementElement(el, nowMs);
    if (el.ns !== NS_CLIENT || (el.name !== 'message' && el.name !== 'presence' && el.name !== 'iq')) {
      return this.#fail({ code: 'protocol-error', condition: 'unsupported-stanza-type' });
    }
    const { management } = this.#live;
    const ticket = { session: management, sequence: management.receive() };
    // The peer repeats what was kept after we had told it our count.
    if (management.isResolved(ticket.sequence)) return;
    this.#keepByMs ??= nowMs + this.#limits.progressMs;
    if (el.name === 'message') {
      this.#effects.push({ kind: 'stanza', element: el, ticket });
      return;
    }
    if (el.name === 'iq') this.#iq(el, nowMs);
    this.#resolved(ticket, nowMs);
  }

  #iq(el: Element, nowMs: number): void {
    const id = attribute(el, 'id');
    const type = attribute(el, 'type');
    if (id === undefined) return;
    if (type === 'result' || type === 'error') {
      this.#effects.push({ kind: 'answer', id, element: el });
      return;
    }
    if (type !== 'get' && type !== 'set') return;
    const to = attribute(el, 'from');
    if (type === 'get' && childElement(el, 'ping', NS_PING) !== undefined) {
      return this.#send(element('iq', NS_CLIENT, { type: 'result', id, to }), undefined, nowMs);
    }
    const reason = element('service-unavailable', NS_STANZAS);
    const error = element('error', NS_CLIENT, { type: 'cancel' }, [reason]);
    this.#send(element('iq', NS_CLIENT, { type: 'error', id, to }, [error]), undefined, nowMs);
  }

  #managementElement(el: Element, nowMs: number): void {
    if (el.name === 'r') return this.#asked(nowMs);
    if (el.name !== 'a') return this.#fail({ code: 'protocol-error' });
    const handled = parseCount(attribute(el, 'h'));
    if (handled === undefined) return this.#fail({ code: 'protocol-error' });
    const { management } = this.#live;
    const delivered = management.acknowledge(handled);
    if (delivered === 'handled-count-ahead') return this.#fail({ code: 'handled-count-ahead' });
    this.#answerByMs = undefined;
    if (delivered.length > 0) {
      this.#moved('out');
      this.#acknowledgeByMs = management.unacknowledgedCount > 0 ? nowMs + this.#limits.progressMs : undefined;
    }
    this.#delivered(delivered);
    if (this.#sentSinceAsked > 0) this.#ask(nowMs);
    else this.#askAtMs = management.unacknowledgedCount > 0 ? nowMs + this.#limits.askAgainMs : undefined;
  }

  #delivered(delivered: readonly Outbound<T>[] | 'handled-count-ahead'): void {
    if (delivered === 'handled-count-ahead') return;
    const handles = delivered.flatMap(outbound => (outbound.handle === undefined ? [] : [outbound.handle]));
    if (handles.length > 0) this.#effects.push({ kind: 'delivered', handles });
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

  #resolved(ticket: Ticket, nowMs: number): void {
    const { management } = this.#live;
    if (ticket.session !== management) {
      // Between a dropped stream and its resumption the count goes on in what will be resumed.
      if (ticket.session === this.#resumption?.management) this.#resumption.management.resolve(ticket.sequence);
      return;
    }
    const before = management.handledSequence;
    management.resolve(ticket.sequence);
    if (this.#state.kind !== 'established') return;
    if (management.handledSequence > before) {
      this.#moved('in');
      this.#keepByMs = management.unresolvedCount > 0 ? nowMs + this.#limits.progressMs : undefined;
    }
    if (this.#owed !== undefined && this.#owed.sequence <= management.handledSequence) this.#tell();
  }

  #send(stanza: Element, handle: T | undefined, nowMs: number): void {
    if (this.#state.kind !== 'established') {
      this.#effects.push({ kind: 'not-sent', handle, code: 'not-established' });
      return;
    }
    const { management } = this.#live;
    if (management.unacknowledgedCount >= this.#limits.maxUnacknowledged) {
      this.#effects.push({ kind: 'not-sent', handle, code: 'queue-full' });
      return;
    }
    management.sent({ stanza, handle });
    this.#acknowledgeByMs ??= nowMs + this.#limits.progressMs;
    this.#put(stanza);
    if (++this.#sentSinceAsked >= this.#limits.askEvery) this.#ask(nowMs);
  }

  /** Sends `<r/>` unless one is out already; its answer leads to the next. */
  #ask(nowMs: number): void {
    if (this.#answerByMs !== undefined) return;
    this.#sentSinceAsked = 0;
    this.#askAtMs = undefined;
    this.#answerByMs = nowMs + this.#limits.answerMs;
    this.#put(ask);
  }

  #time(nowMs: number): void {
    if (this.#state.kind === 'closing') {
      if (nowMs >= this.#deadlineMs) this.#closed();
      return;
    }
    if (this.#state.kind !== 'established') {
      if (nowMs >= this.#deadlineMs) this.#fail({ code: 'login-timeout' });
      return;
    }
    if (this.#answerByMs !== undefined && nowMs >= this.#answerByMs) return this.#fail({ code: 'peer-silent' });
    if (this.#acknowledgeByMs !== undefined && nowMs >= this.#acknowledgeByMs)
      return this.#fail({ code: 'not-acknowledged' });
    if (this.#keepByMs !== undefined && nowMs >= this.#keepByMs) return this.#fail({ code: 'not-kept' });
    if (this.#owed !== undefined && nowMs >= this.#owed.byMs) this.#tell();
    if (nowMs >= this.#heardMs + this.#limits.idleMs || (this.#askAtMs !== undefined && nowMs >= this.#askAtMs))
      this.#ask(nowMs);
  }

  #close(nowMs: number): void {
    const state = this.#state.kind;
    if (state === 'closing') return;
    if (state === 'connecting' || state === 'tls-starting') {
      this.#forgetSession();
      return this.#closed();
    }
    // The last word about what was kept: without it the gatekeeper would deliver it again.
    if (state === 'established' && this.#live.management.handled !== this.#told) this.#tell();
    this.#state = { kind: 'closing' };
    this.#forgetSession();
    this.#deadlineMs = nowMs + this.#limits.closeMs;
    this.#effects.push({ kind: 'send-end' });
  }

  /** While closing, acknowledgements still count: what the gatekeeper took over need not be sent again. */
  #closingElement(el: Element): void {
    const handled = el.ns === NS_SM && el.name === 'a' ? parseCount(attribute(el, 'h')) : undefined;
    if (handled !== undefined) this.#delivered(this.#live.management.acknowledge(handled));
  }

  #closed(): void {
    this.#state = { kind: 'closed' };
    this.#effects.push({ kind: 'close' });
  }

  #fail(failure: ClientStreamFailure): void {
    const state = this.#state.kind;
    if (!clientStreamFailures[failure.code].resumable) this.#forgetSession();
    this.#effects.push({ kind: 'failed', failure });
    if (failure.code !== 'disconnected' && state !== 'connecting' && state !== 'tls-starting') {
      this.#effects.push({ kind: 'send-end' });
    }
    this.#closed();
  }

  #forgetSession(): void {
    this.#live = { id: undefined, management: this.#live.management };
    this.#resumption = undefined;
  }

  #put(el: Element): void {
    this.#effects.push({ kind: 'send', element: el });
  }
}

/** The condition of an `<error/>` in a stanza of type error; undefined when there is none. */
export function stanzaErrorCondition(stanza: Element): string | undefined {
  const error = childElement(stanza, 'error', NS_CLIENT);
  if (error === undefined) return undefined;
  return childElements(error).find(child => child.ns === NS_STANZAS && child.name !== 'text')?.name;
}

function textOf(el: Element): string {
  return el.children.filter(child => typeof child === 'string').join('');
}
