// The client's side of a stream: login (STARTTLS, SASL OAUTHBEARER, binding or resumption), and then the session of
// client-session.ts, whose stanzas are acknowledged both ways.
// Knows nothing of sockets, encodings, tokens' meaning, messages or stores; time is an argument of every input.
// Source: RFC 6120 sections 4-7, RFC 7395, RFC 7628, XEP-0198; docs/protocol/04-streams.md.
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { parseJid } from '@drawbridge/wire/jid';
import {
  NS_BIND,
  NS_CLIENT,
  NS_REPORT,
  NS_SASL,
  NS_SM,
  NS_STANZAS,
  NS_STREAM,
  NS_TLS,
} from '@drawbridge/wire/namespaces';
import { type ClientStreamFailure, clientStreamFailures, readSaslFailure, readStreamError } from './client-failures.ts';
import { ClientSession } from './client-session.ts';
import {
  type ClientStreamEffect,
  type ClientStreamInput,
  type ClientStreamLimits,
  type ClientStreamSettings,
  clientStreamLimits,
  type Resumption,
} from './client-stream-types.ts';
import { encodeOauthBearer, isBearerToken, oauthBearerFailureAnswer } from './oauthbearer.ts';

export { maxFruitlessResumptions } from './client-session.ts';
export {
  type ClientStreamEffect,
  type ClientStreamInput,
  type ClientStreamLimits,
  type ClientStreamSettings,
  clientStreamLimits,
  type Resumption,
  type Ticket,
} from './client-stream-types.ts';

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

const bindId = 'bind';

/** One connection's stream. Feed it inputs in order; carry out the effects in order. Never throws for a peer's fault. */
export class ClientStream<T> {
  readonly #domain: string;
  readonly #carrier: ClientStreamSettings['carrier'];
  readonly #asksForStamps: boolean;
  readonly #limits: ClientStreamLimits;
  readonly #session: ClientSession<T>;
  #state: State = { kind: 'connecting' };
  #effects: ClientStreamEffect<T>[] = [];
  /** Login, then close. */
  #deadlineMs: number;

  constructor(settings: ClientStreamSettings, nowMs: number, resumption?: Resumption<T>) {
    this.#domain = settings.domain;
    this.#carrier = settings.carrier;
    this.#asksForStamps = settings.stamps === true;
    this.#limits = settings.limits ?? clientStreamLimits;
    this.#deadlineMs = nowMs + this.#limits.loginMs;
    const emit = (effect: ClientStreamEffect<T>): void => void this.#effects.push(effect);
    this.#session = new ClientSession(this.#limits, emit, nowMs, resumption);
  }

  get state(): State['kind'] {
    return this.#state.kind;
  }

  /** Inbound stanzas that the application has not resolved; the owner stops reading when they are too many. */
  get unresolvedCount(): number {
    return this.#session.management.unresolvedCount;
  }

  get unacknowledgedCount(): number {
    return this.#session.management.unacknowledgedCount;
  }

  /** Whose stanza is the first that the peer has not acknowledged, where it has an owner. */
  get firstUnacknowledged(): T | undefined {
    return this.#session.management.firstUnacknowledged?.handle;
  }

  /** What the next stream may resume; undefined when there was no session, it can't be resumed, or it was closed in order. */
  get resumption(): Resumption<T> | undefined {
    return this.#session.resumption;
  }

  /** When a `time` input is due, in the clock of `nowMs`; undefined when never. */
  get deadlineMs(): number | undefined {
    if (this.#state.kind === 'closed') return undefined;
    return this.#state.kind === 'established' ? this.#session.deadlineMs : this.#deadlineMs;
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
    if (input.kind === 'send') return this.#session.send(input.stanza, input.handle, nowMs);
    if (input.kind === 'resolved') return this.#session.resolved(input.ticket, nowMs);
    if (state.kind === 'closed') return;
    switch (input.kind) {
      case 'connected':
        if (state.kind !== 'connecting') return this.#fail({ code: 'protocol-error' });
        if (this.#carrier === 'authenticated') return this.#openSession();
        return this.#openStream(this.#carrier === 'starttls' ? 'plain' : 'secure');
      case 'header':
        this.#session.heard(nowMs);
        return this.#header(input.from, input.version);
      case 'element':
        this.#session.heard(nowMs);
        return this.#element(input.element, nowMs);
      case 'secured':
        if (state.kind !== 'tls-starting') return this.#fail({ code: 'protocol-error' });
        return this.#openStream('secure');
      case 'proof':
        return this.#proof(input.token);
      case 'flushed':
        if (state.kind === 'established') this.#session.flush(nowMs);
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
        return this.#failIf(this.#session.element(el, nowMs));
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
        return this.#session.closingElement(el);
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
    if (this.#session.askToResume()) this.#state = { kind: 'resuming' };
    else this.#bind();
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
    const answer = this.#session.resumed(el, nowMs);
    if (answer === 'gone') return this.#bind();
    if ('code' in answer) return this.#fail(answer);
    this.#establish(answer.jid, true);
    this.#session.flush(nowMs);
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
      // Sent before the peer read `<enable/>`: in no count, without a stamp, and delivered again if we don't keep it.
      if (el.name === 'message')
        this.#effects.push({ kind: 'stanza', element: el, ticket: this.#session.uncounted(), isEarly: true });
      return;
    }
    if (el.ns !== NS_SM) return this.#fail({ code: 'protocol-error' });
    if (el.name !== 'enabled') return this.#fail({ code: 'management-refused' });
    const resume = attribute(el, 'resume');
    const id = resume === 'true' || resume === '1' ? attribute(el, 'id') : undefined;
    this.#session.begin(jid, id === '' ? undefined : id);
    this.#establish(jid, false, childElement(el, 'stamps', NS_REPORT) !== undefined);
  }

  #establish(jid: string, resumed: boolean, stamps = false): void {
    this.#state = { kind: 'established', jid };
    this.#effects.push({ kind: 'established', jid, resumed, ...(stamps ? { stamps } : {}) });
  }

  #time(nowMs: number): void {
    if (this.#state.kind === 'established') return this.#failIf(this.#session.time(nowMs));
    if (nowMs < this.#deadlineMs) return;
    if (this.#state.kind === 'closing') return this.#closed();
    this.#fail({ code: 'login-timeout' });
  }

  #close(nowMs: number): void {
    const state = this.#state.kind;
    if (state === 'closing') return;
    this.#session.close();
    if (state === 'connecting' || state === 'tls-starting') return this.#closed();
    this.#state = { kind: 'closing' };
    this.#deadlineMs = nowMs + this.#limits.closeMs;
    this.#effects.push({ kind: 'send-end' });
  }

  #closed(): void {
    this.#state = { kind: 'closed' };
    this.#session.end();
    this.#effects.push({ kind: 'close' });
  }

  #failIf(failure: ClientStreamFailure | undefined): void {
    if (failure !== undefined) this.#fail(failure);
  }

  #fail(failure: ClientStreamFailure): void {
    const state = this.#state.kind;
    if (!clientStreamFailures[failure.code].resumable) this.#session.forget();
    this.#effects.push({ kind: 'failed', failure });
    if (failure.code !== 'disconnected' && state !== 'connecting' && state !== 'tls-starting') {
      this.#effects.push({ kind: 'send-end' });
    }
    this.#closed();
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
