// Questions to the gatekeeper (IQs) that wait for their answers: ids, bounds, time-outs, and the gatekeeper's errors as ours.
// Knows nothing of streams: whoever sends the stanza says when its answer comes, or can come no more.
// Source: RFC 6120 section 8.2.3; docs/protocol/06-stanzas.md.
import { attribute, type Element } from '@drawbridge/wire/element';
import { iqGet, iqSet, parseIq } from '@drawbridge/wire/stanza';
import { type StanzaError, parseStanzaError } from '@drawbridge/wire/stanza-error';
import type { Clock, Random } from '../clock.ts';
import { ClientError } from '../errors.ts';

export const requestLimits = {
  timeoutMs: 20_000,
  maxRequests: 64,
  /** A gatekeeper that asks for a longer wait is taken to ask for this. */
  maxRetryAfterSeconds: 86_400,
} as const;

/** The gatekeeper's error to an IQ. */
export class RequestRefused extends ClientError {
  readonly stanzaError: StanzaError;
  constructor(stanzaError: StanzaError) {
    const { condition, application } = stanzaError;
    const retryAfter = application?.name === 'retry-after' ? Number(attribute(application, 'seconds')) : Number.NaN;
    super(codeOf(stanzaError), {
      detail: condition,
      ...(Number.isInteger(retryAfter) && retryAfter >= 0
        ? { retryAfterSeconds: Math.min(retryAfter, requestLimits.maxRetryAfterSeconds) }
        : {}),
    });
    this.stanzaError = stanzaError;
  }
}

function codeOf(error: StanzaError): 'not-found' | 'first-contact' | 'rate-limited' | 'request-refused' {
  if (error.condition === 'item-not-found') return 'not-found';
  if (error.application?.name === 'first-contact') return 'first-contact';
  return error.type === 'wait' ? 'rate-limited' : 'request-refused';
}

type Pending = {
  readonly resolve: (payload: Element | undefined) => void;
  readonly reject: (error: ClientError) => void;
  readonly cancelTimer: () => void;
};

export type AskedRequest = {
  readonly id: string;
  readonly stanza: Element;
  /** The payload of the result; rejects with `RequestRefused`, `timed-out`, or what `reject` was told. */
  readonly answer: Promise<Element | undefined>;
};

export class Requests {
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();
  readonly #idPrefix: string;
  #nextId = 1;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#idPrefix = `q${Math.floor(random() * 0x1_0000_0000).toString(36)}-`;
  }

  /** The stanza to send; undefined when too many wait already. */
  ask(type: 'get' | 'set', payload: Element, timeoutMs: number): AskedRequest | undefined {
    if (this.#pending.size >= requestLimits.maxRequests) return undefined;
    const id = this.#idPrefix + String(this.#nextId++);
    const { promise: answer, resolve, reject } = Promise.withResolvers<Element | undefined>();
    const cancelTimer = this.#clock.after(timeoutMs, () => this.reject(id, new ClientError('timed-out')));
    this.#pending.set(id, { resolve, reject, cancelTimer });
    return { id, stanza: type === 'get' ? iqGet(id, payload) : iqSet(id, payload), answer };
  }

  /** An answer of the gatekeeper's, or what claims to be one; nothing happens when nobody asked. */
  answered(id: string, element: Element): void {
    const pending = this.#settle(id);
    if (pending === undefined) return;
    if (attribute(element, 'type') === 'error') {
      const error = parseStanzaError(element);
      pending.reject(error === undefined ? new ClientError('protocol-error') : new RequestRefused(error));
      return;
    }
    const iq = parseIq(element);
    if (iq.kind === 'result') pending.resolve(iq.payload);
    else pending.reject(new ClientError('protocol-error', { detail: 'an iq result is malformed' }));
  }

  reject(id: string, error: ClientError): void {
    this.#settle(id)?.reject(error);
  }

  rejectAll(error: ClientError): void {
    for (const id of this.#pending.keys()) this.reject(id, error);
  }

  #settle(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.cancelTimer();
    return pending;
  }
}
