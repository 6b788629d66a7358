// Stanzas as typed views of elements: IQ, presence, the kind of a message; and builders of IQs.
// Knows nothing of what a payload means; messages with an envelope are read by envelope.ts.
// Source: RFC 6120 section 8, RFC 6121 sections 4.7 and 5.2.2.

import { type Element, attribute, element, isElement } from './element.ts';
import { type Jid, isStanzaId, parseJid } from './jid.ts';
import { NS_CLIENT } from './namespaces.ts';
import {
  type StanzaError,
  type StanzaErrorCondition,
  type StanzaErrorType,
  parseStanzaError,
  stanzaErrorElement,
} from './stanza-error.ts';

type Addressed = { readonly id: string; readonly to: Jid | undefined; readonly from: Jid | undefined };

/** A well-formed IQ (RFC 6120 section 8.2.3). Requests have exactly one payload, results at most one. */
export type Iq =
  | (Addressed & { readonly kind: 'request'; readonly type: 'get' | 'set'; readonly payload: Element })
  | (Addressed & { readonly kind: 'result'; readonly payload: Element | undefined })
  | (Addressed & { readonly kind: 'error'; readonly error: StanzaError });

export type StanzaRefusalCode =
  | 'not-an-iq'
  | 'not-presence'
  | 'id-missing'
  | 'id-refused'
  | 'type-refused'
  | 'payload-count'
  | 'jid-malformed';

/** Why a stanza is not read. */
export type StanzaRefusal = { readonly kind: 'refused'; readonly code: StanzaRefusalCode };

/** For each refusal the stanza error that its sender gets. */
export const stanzaRefusals: Readonly<
  Record<StanzaRefusalCode, { readonly condition: StanzaErrorCondition; readonly type: StanzaErrorType }>
> = {
  'not-an-iq': { condition: 'bad-request', type: 'modify' },
  'not-presence': { condition: 'bad-request', type: 'modify' },
  'id-missing': { condition: 'bad-request', type: 'modify' },
  'id-refused': { condition: 'bad-request', type: 'modify' },
  'type-refused': { condition: 'bad-request', type: 'modify' },
  'payload-count': { condition: 'bad-request', type: 'modify' },
  'jid-malformed': { condition: 'jid-malformed', type: 'modify' },
};

/** The `<error/>` for a refusal. */
export function stanzaRefusalElement(code: StanzaRefusalCode): Element {
  const { condition, type } = stanzaRefusals[code];
  return stanzaErrorElement(condition, { type });
}

function refused(code: StanzaRefusalCode): StanzaRefusal {
  return { kind: 'refused', code };
}

/** Reads an IQ by the rules of RFC 6120 section 8.2.3; white space between payloads is not a payload. */
export function parseIq(el: Element): Iq | StanzaRefusal {
  if (el.name !== 'iq' || el.ns !== NS_CLIENT) return refused('not-an-iq');
  const id = attribute(el, 'id');
  if (id === undefined) return refused('id-missing');
  if (!isStanzaId(id)) return refused('id-refused');
  const toText = attribute(el, 'to');
  const fromText = attribute(el, 'from');
  const to = toText === undefined ? undefined : parseJid(toText);
  const from = fromText === undefined ? undefined : parseJid(fromText);
  if ((toText !== undefined && to === undefined) || (fromText !== undefined && from === undefined)) {
    return refused('jid-malformed');
  }
  let payload: Element | undefined;
  let count = 0;
  for (const child of el.children) {
    if (!isElement(child)) continue;
    payload ??= child;
    count++;
  }
  const type = attribute(el, 'type');
  switch (type) {
    case 'get':
    case 'set':
      if (payload === undefined || count !== 1) return refused('payload-count');
      return { kind: 'request', type, id, to, from, payload };
    case 'result':
      if (count > 1) return refused('payload-count');
      return { kind: 'result', id, to, from, payload };
    case 'error': {
      const error = parseStanzaError(el);
      return error === undefined ? refused('payload-count') : { kind: 'error', id, to, from, error };
    }
    default:
      return refused('type-refused');
  }
}

const presenceTypes = [
  'available',
  'unavailable',
  'error',
  'probe',
  'subscribe',
  'subscribed',
  'unsubscribe',
  'unsubscribed',
] as const;
export type PresenceType = (typeof presenceTypes)[number];
export type Presence = {
  readonly kind: 'presence';
  readonly type: PresenceType;
  readonly to: Jid | undefined;
  readonly from: Jid | undefined;
};

/** Reads a presence stanza; no type means `available` (RFC 6121 section 4.7.1). Its children are not looked at. */
export function parsePresence(el: Element): Presence | StanzaRefusal {
  if (el.name !== 'presence' || el.ns !== NS_CLIENT) return refused('not-presence');
  const typeText = attribute(el, 'type');
  // `available` itself is never written: it is the absence of a type.
  const type =
    typeText === undefined ? 'available' : presenceTypes.find(known => known === typeText && known !== 'available');
  if (type === undefined) return refused('type-refused');
  const toText = attribute(el, 'to');
  const fromText = attribute(el, 'from');
  const to = toText === undefined ? undefined : parseJid(toText);
  const from = fromText === undefined ? undefined : parseJid(fromText);
  if ((toText !== undefined && to === undefined) || (fromText !== undefined && from === undefined)) {
    return refused('jid-malformed');
  }
  return { kind: 'presence', type, to, from };
}

export type MessageType = 'normal' | 'chat' | 'groupchat' | 'headline' | 'error';

/** A message's type; absent and unknown ones are `normal` (RFC 6121 section 5.2.2). */
export function messageType(el: Element): MessageType {
  const type = attribute(el, 'type');
  return type === 'chat' || type === 'groupchat' || type === 'headline' || type === 'error' ? type : 'normal';
}

/** The result of a request: its id, `to` and `from` swapped. */
export function iqResult(request: Element, payload?: Element): Element {
  return element(
    'iq',
    request.ns,
    {
      type: 'result',
      from: attribute(request, 'to'),
      to: attribute(request, 'from'),
      id: attribute(request, 'id'),
    },
    payload === undefined ? undefined : [payload],
  );
}

export function iqGet(id: string, payload: Element, to?: string): Element {
  return element('iq', NS_CLIENT, { type: 'get', to, id }, [payload]);
}

export function iqSet(id: string, payload: Element, to?: string): Element {
  return element('iq', NS_CLIENT, { type: 'set', to, id }, [payload]);
}
