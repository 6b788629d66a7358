// IQs of a device: to whom they are, their handler, and the answer, now or later. Knows nothing of what they ask.
// Source: docs/protocol/06-stanzas.md; RFC 6120 section 8.2.3 and 10.
import { attribute, type Element, ownElement } from '@drawbridge/wire/element';
import { NS_CLIENT } from '@drawbridge/wire/namespaces';
import { iqResult, parseIq, stanzaRefusalElement } from '@drawbridge/wire/stanza';
import { isStanzaErrorCondition, stanzaErrorElement } from '@drawbridge/wire/stanza-error';
import type { Account, Accounts } from '../enlistment/account.ts';
import { StoreError } from '../storage/store-error.ts';
import { builtInAnswer } from './built-in-iqs.ts';
import type { DeviceSession } from './device-session.ts';
import { sizeOfElement } from './held-memory.ts';
import { type IqAnswer, type IqHandlers, iqKey } from './iq.ts';
import { addressed, answerError, busy, unavailable } from './stanza-answers.ts';

export type IqRouterDeps = {
  readonly domain: string;
  readonly accounts: Pick<Accounts, 'peek'>;
  readonly iqHandlers: IqHandlers;
  readonly nowMs: () => number;
  readonly defect: (error: unknown) => void;
  readonly counters: { dropped: number };
};

/** The sender as it was read; undefined: not read yet. */
type Sender = { readonly from: Account | undefined } | undefined;

export class IqRouter {
  readonly #deps: IqRouterDeps;

  constructor(deps: IqRouterDeps) {
    this.#deps = deps;
  }

  /** False: the account has to be read first, and nothing was done. */
  route(session: DeviceSession, el: Element, sequence: number, sender: Sender): boolean {
    const iq = parseIq(el);
    if (iq.kind === 'refused') {
      answerError(session, el, stanzaRefusalElement(iq.code), this.#deps.domain);
      session.resolve(sequence);
      return true;
    }
    if (iq.kind !== 'request') {
      this.#deps.counters.dropped++;
      session.resolve(sequence);
      return true;
    }
    const to = iq.to;
    const local = to?.local ?? '';
    const ownResource = to === undefined || to.resource === '' || to.resource === String(session.device.id);
    const forUs =
      to === undefined ||
      (to.domain === this.#deps.domain && (local === '' || (local === session.interopId && ownResource)));
    if (!forUs) {
      answerError(session, el, unavailable, this.#deps.domain);
      session.resolve(sequence);
      return true;
    }
    if (session.owesTooMuch) {
      answerError(session, el, busy, this.#deps.domain);
      session.resolve(sequence);
      return true;
    }
    // It may wait long for its answer, and must not keep alive what it came with.
    const answer = this.#answerIq(session, iq.type, ownElement(iq.payload), sender);
    if (answer === 'accounts-unread') return false;
    if (!(answer instanceof Promise)) {
      this.#sendIqAnswer(session, el, answer);
      session.resolve(sequence);
      return true;
    }
    const sizeBytes = sizeOfElement(el);
    session.requestWaits(sizeBytes);
    const question = ownElement({ ...el, children: [] });
    void answer
      .catch((error: unknown) => this.#failedIq(error))
      .then(done => {
        session.requestAnswered(sizeBytes);
        this.#sendIqAnswer(session, question, done);
        session.resolve(sequence);
      })
      .catch((error: unknown) => {
        this.#deps.defect(error);
        session.end('internal-server-error');
      });
    return true;
  }

  #answerIq(
    session: DeviceSession,
    type: 'get' | 'set',
    payload: Element,
    sender: Sender,
  ): IqAnswer | Promise<IqAnswer> | 'accounts-unread' {
    const handler = this.#deps.iqHandlers.get(iqKey(type, payload.ns, payload.name));
    if (handler !== undefined) {
      const account = sender === undefined ? this.#deps.accounts.peek(session.interopId) : sender.from;
      if (account === undefined && sender === undefined) return 'accounts-unread';
      if (account === undefined) return { kind: 'error', condition: 'forbidden' };
      try {
        return handler({ type, payload, account, device: session.device, nowMs: this.#deps.nowMs() });
      } catch (error) {
        return this.#failedIq(error);
      }
    }
    return builtInAnswer(type, payload);
  }

  /** Storage that fails says so by itself; anything else is a defect of ours. The client may ask again either way. */
  #failedIq(error: unknown): IqAnswer {
    if (!(error instanceof StoreError)) this.#deps.defect(error);
    return { kind: 'error', condition: 'internal-server-error', type: 'wait' };
  }

  #sendIqAnswer(session: DeviceSession, request: Element, answer: IqAnswer): void {
    if (answer.kind === 'result') {
      // An answer to an IQ without `to` comes from the account itself (RFC 6120 section 8.1.2.1).
      const from = attribute(request, 'to') ?? session.bareJid;
      const { attrs, children } = iqResult(request, answer.payload);
      session.send({ name: 'iq', ns: NS_CLIENT, attrs: addressed(attrs, from, session.fullJid), children });
      return;
    }
    const condition = isStanzaErrorCondition(answer.condition) ? answer.condition : 'undefined-condition';
    answerError(
      session,
      request,
      stanzaErrorElement(condition, {
        ...(answer.type === undefined ? {} : { type: answer.type }),
        ...(answer.text === undefined ? {} : { text: answer.text }),
        ...(answer.application === undefined ? {} : { application: answer.application }),
      }),
      this.#deps.domain,
    );
  }
}
