// The gatekeeper's side of a standard XMPP stream up to the moment when stanzas flow: header, STARTTLS, SASL
// OAUTHBEARER, resource binding or resumption. Knows nothing of sockets, tokens' meaning, accounts or time: the shell
// carries out the effects and feeds their outcome back.
// Source: RFC 6120 sections 4-7, RFC 7395, RFC 7628, XEP-0198 section 5, XEP-0368.
import { attribute, childElement, type Element, element } from '@drawbridge/wire/element';
import {
  NS_BIND,
  NS_CLIENT,
  NS_SASL,
  NS_SESSION,
  NS_SM,
  NS_STANZAS,
  NS_STREAM,
  NS_TLS,
} from '@drawbridge/wire/namespaces';
import type { StreamErrorCondition } from '@drawbridge/wire/stream-error';
import { parseCount } from './handled-count.ts';
import { parseOauthBearer } from './oauthbearer.ts';

/** SASL attempts that one stream may make before it is closed. */
export const maxSaslAttempts = 3;
/** Refused requests for stream management before binding: more are nobody's mistake. */
export const maxManagementFailures = 3;

export type NegotiationConfig = {
  /** The gatekeeper's domain: `to` of the client's header must name it. */
  readonly domain: string;
  /**
   * `starttls` begins in the clear and requires STARTTLS; `secured` is direct TLS or a WebSocket over TLS (or, for
   * measurements on loopback, nothing); `authenticated` is a transport whose own handshake carries the proof, without
   * stream headers (compact): it begins with `admitted` and then binding or resumption.
   */
  readonly carrier: 'starttls' | 'secured' | 'authenticated';
};

export type NegotiationInput =
  | {
      readonly kind: 'header';
      readonly to: string | undefined;
      readonly version: string | undefined;
      readonly streamId: string;
    }
  | { readonly kind: 'element'; readonly element: Element }
  | { readonly kind: 'secured' }
  /** The proof was admitted: who the stream belongs to. */
  | { readonly kind: 'admitted'; readonly bareJid: string; readonly identifier: string; readonly deviceId: number }
  | { readonly kind: 'refused' }
  /** The proof could not be judged for a reason of our own, such as storage that fails: the client may try again. */
  | { readonly kind: 'not-judged' }
  | { readonly kind: 'resumed'; readonly previousId: string; readonly handled: number }
  | { readonly kind: 'resume-refused' }
  | { readonly kind: 'deadline' };

export type NegotiationEffect =
  | { readonly kind: 'send-header'; readonly streamId: string }
  | { readonly kind: 'send'; readonly element: Element }
  | { readonly kind: 'start-tls' }
  | { readonly kind: 'verify-proof'; readonly token: string }
  /** Ask for the detached session with this id, of which the client has handled `handled` stanzas. */
  | { readonly kind: 'resume'; readonly previousId: string; readonly handled: number }
  /** Login is complete; from here every element belongs to the session. `resumed`: the answer has been sent already. */
  | { readonly kind: 'established'; readonly resumed: boolean }
  /** The XML decoder expects a new stream header. */
  | { readonly kind: 'restart' }
  | { readonly kind: 'close'; readonly condition: StreamErrorCondition };

type State =
  | { readonly kind: 'awaiting-header' }
  | { readonly kind: 'starttls-offered' }
  | { readonly kind: 'securing' }
  | { readonly kind: 'sasl-offered' }
  | { readonly kind: 'verifying'; readonly authorizationId: string | undefined }
  | { readonly kind: 'failure-challenged' }
  | { readonly kind: 'awaiting-header-again' }
  | { readonly kind: 'bind-offered' }
  | { readonly kind: 'resuming' }
  | { readonly kind: 'done' };

/** RFC 7628 section 3.2.2: the one thing that a refused peer learns. */
const failureChallenge = Buffer.from('{"status":"invalid_token"}').toString('base64');

type Identity = { readonly bareJid: string; readonly identifier: string; readonly deviceId: number };

export class ServerNegotiation {
  readonly #config: NegotiationConfig;
  #state: State = { kind: 'awaiting-header' };
  #secure: boolean;
  #attempts = 0;
  #managementFailures = 0;
  #identity: Identity | undefined;

  constructor(config: NegotiationConfig) {
    this.#config = config;
    this.#secure = config.carrier !== 'starttls';
  }

  /** Gives the effects of one input, in order. After a `close` effect every further input gives none. */
  receive(input: NegotiationInput): NegotiationEffect[] {
    if (this.#state.kind === 'done') return [];
    switch (input.kind) {
      case 'header':
        return this.#header(input);
      case 'element':
        return this.#element(input.element);
      case 'secured':
        if (this.#state.kind !== 'securing') return this.#close('internal-server-error');
        this.#secure = true;
        this.#state = { kind: 'awaiting-header' };
        return [{ kind: 'restart' }];
      case 'admitted':
        return this.#admitted(input);
      case 'refused':
        return this.#state.kind === 'verifying' ? this.#refuse() : [];
      case 'not-judged':
        if (this.#state.kind !== 'verifying') return [];
        this.#state = { kind: 'sasl-offered' };
        return this.#failure('temporary-auth-failure');
      case 'resumed':
        if (this.#state.kind !== 'resuming') return [];
        this.#state = { kind: 'done' };
        return [
          { kind: 'send', element: element('resumed', NS_SM, { previd: input.previousId, h: String(input.handled) }) },
          { kind: 'established', resumed: true },
        ];
      case 'resume-refused': {
        if (this.#state.kind !== 'resuming') return [];
        this.#state = { kind: 'bind-offered' };
        return this.#managementFailure('item-not-found');
      }
      case 'deadline':
        return this.#close('connection-timeout');
    }
  }

  /** The peer must wait for our answer before it says anything, white space included (RFC 6120 sections 5.3.3, 6.3.5). */
  get mustBeSilent(): boolean {
    const { kind } = this.#state;
    return kind === 'verifying' || kind === 'securing' || kind === 'resuming';
  }

  #header(input: { to: string | undefined; version: string | undefined; streamId: string }): NegotiationEffect[] {
    const state = this.#state.kind;
    if (state !== 'awaiting-header' && state !== 'awaiting-header-again') return this.#close('invalid-xml');
    const answer: NegotiationEffect = { kind: 'send-header', streamId: input.streamId };
    const refuse = (condition: StreamErrorCondition): NegotiationEffect[] => [answer, ...this.#close(condition)];
    if (input.to === undefined) return refuse('improper-addressing');
    // A final dot is removed, as from every address (RFC 7622 section 3.2).
    if (input.to.toLowerCase().replace(/\.$/, '') !== this.#config.domain) return refuse('host-unknown');
    if (input.version === undefined || !/^[1-9][0-9]{0,2}\.[0-9]{1,3}$/.test(input.version))
      return refuse('unsupported-version');
    const features: Element[] = [];
    if (state === 'awaiting-header-again') {
      this.#state = { kind: 'bind-offered' };
      features.push(element('bind', NS_BIND), element('session', NS_SESSION, {}, [element('optional', NS_SESSION)]));
      features.push(element('sm', NS_SM));
    } else if (this.#secure) {
      this.#state = { kind: 'sasl-offered' };
      features.push(element('mechanisms', NS_SASL, {}, [element('mechanism', NS_SASL, {}, ['OAUTHBEARER'])]));
    } else {
      this.#state = { kind: 'starttls-offered' };
      features.push(element('starttls', NS_TLS, {}, [element('required', NS_TLS)]));
    }
    return [answer, { kind: 'send', element: element('features', NS_STREAM, {}, features) }];
  }

  #element(el: Element): NegotiationEffect[] {
    switch (this.#state.kind) {
      case 'starttls-offered':
        if (el.name !== 'starttls' || el.ns !== NS_TLS) return this.#close('policy-violation');
        this.#state = { kind: 'securing' };
        return [{ kind: 'send', element: element('proceed', NS_TLS) }, { kind: 'start-tls' }];
      case 'sasl-offered':
        return this.#sasl(el);
      case 'failure-challenged': {
        // Whatever the client answers (an empty response, %x01, the token again) ends this attempt: RFC 7628 section 3.2.3.
        if (el.ns !== NS_SASL || (el.name !== 'response' && el.name !== 'abort')) return this.#close('not-authorized');
        this.#state = { kind: 'sasl-offered' };
        return this.#failure(el.name === 'abort' ? 'aborted' : 'not-authorized');
      }
      case 'bind-offered':
        return this.#bind(el);
      case 'verifying':
      case 'resuming':
      case 'securing':
        // The peer must wait for our answer before it sends more (RFC 6120 sections 5.4.2, 6.4).
        return this.#close('policy-violation');
      default:
        return this.#close('not-authorized');
    }
  }

  #sasl(el: Element): NegotiationEffect[] {
    if (el.ns !== NS_SASL) return this.#close('not-authorized');
    if (el.name === 'abort') return this.#failure('aborted');
    if (el.name !== 'auth') return this.#failure('malformed-request');
    if (attribute(el, 'mechanism') !== 'OAUTHBEARER') return this.#failure('invalid-mechanism');
    const initial = el.children.length === 1 ? el.children[0] : undefined;
    if (typeof initial !== 'string') return this.#failure('malformed-request');
    const bytes = Buffer.from(initial, 'base64');
    if (bytes.toString('base64') !== initial) return this.#failure('incorrect-encoding');
    const message = parseOauthBearer(bytes);
    if (message === undefined) return this.#failure('malformed-request');
    this.#state = { kind: 'verifying', authorizationId: message.authorizationId };
    return [{ kind: 'verify-proof', token: message.token }];
  }

  #admitted(identity: Identity): NegotiationEffect[] {
    if (this.#config.carrier === 'authenticated' && this.#state.kind === 'awaiting-header') {
      this.#identity = identity;
      this.#state = { kind: 'bind-offered' };
      return [];
    }
    if (this.#state.kind !== 'verifying') return [];
    const wanted = this.#state.authorizationId;
    const domain = this.#config.domain;
    const mayBe = [identity.bareJid, identity.identifier, `${identity.identifier}@${domain}`];
    if (wanted !== undefined && !mayBe.includes(wanted)) return this.#refuse();
    this.#identity = identity;
    this.#state = { kind: 'awaiting-header-again' };
    return [{ kind: 'send', element: element('success', NS_SASL) }, { kind: 'restart' }];
  }

  #refuse(): NegotiationEffect[] {
    this.#state = { kind: 'failure-challenged' };
    return [{ kind: 'send', element: element('challenge', NS_SASL, {}, [failureChallenge]) }];
  }

  #failure(condition: string): NegotiationEffect[] {
    const failure: NegotiationEffect = {
      kind: 'send',
      element: element('failure', NS_SASL, {}, [element(condition, NS_SASL)]),
    };
    if (++this.#attempts >= maxSaslAttempts) return [failure, ...this.#close('policy-violation')];
    return [failure];
  }

  #bind(el: Element): NegotiationEffect[] {
    if (el.ns === NS_SM && el.name === 'resume') {
      const previousId = attribute(el, 'previd');
      const handled = parseCount(attribute(el, 'h'));
      if (previousId === undefined || handled === undefined) return this.#managementFailure('bad-request');
      this.#state = { kind: 'resuming' };
      return [{ kind: 'resume', previousId, handled }];
    }
    if (el.ns === NS_SM && el.name === 'enable') return this.#managementFailure('unexpected-request');
    const id = attribute(el, 'id');
    if (el.ns !== NS_CLIENT || el.name !== 'iq' || attribute(el, 'type') !== 'set' || id === undefined) {
      return this.#close('not-authorized');
    }
    if (childElement(el, 'bind', NS_BIND) === undefined) return this.#close('not-authorized');
    const identity = this.#identity!;
    const jid = element('jid', NS_BIND, {}, [`${identity.bareJid}/${identity.deviceId}`]);
    const result = element('iq', NS_CLIENT, { type: 'result', id }, [element('bind', NS_BIND, {}, [jid])]);
    this.#state = { kind: 'done' };
    return [
      { kind: 'send', element: result },
      { kind: 'established', resumed: false },
    ];
  }

  #managementFailure(condition: string): NegotiationEffect[] {
    const failed = element('failed', NS_SM, {}, [element(condition, NS_STANZAS)]);
    const failure: NegotiationEffect = { kind: 'send', element: failed };
    return ++this.#managementFailures < maxManagementFailures
      ? [failure]
      : [failure, ...this.#close('policy-violation')];
  }

  #close(condition: StreamErrorCondition): NegotiationEffect[] {
    this.#state = { kind: 'done' };
    return [{ kind: 'close', condition }];
  }
}
