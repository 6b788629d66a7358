// Stanza errors: the closed list of conditions, building, answering, reading. Knows nothing of why something failed.
// Source: RFC 6120 section 8.3.

import { type Child, type Element, attribute, childElement, element, isElement, textOf } from './element.ts';
import { NS_CLIENT, NS_STANZAS } from './namespaces.ts';

export type StanzaErrorType = 'auth' | 'cancel' | 'continue' | 'modify' | 'wait';

const defaultTypes = {
  'bad-request': 'modify',
  conflict: 'cancel',
  'feature-not-implemented': 'cancel',
  forbidden: 'auth',
  gone: 'cancel',
  'internal-server-error': 'cancel',
  'item-not-found': 'cancel',
  'jid-malformed': 'modify',
  'not-acceptable': 'modify',
  'not-allowed': 'cancel',
  'not-authorized': 'auth',
  'policy-violation': 'modify',
  'recipient-unavailable': 'wait',
  redirect: 'modify',
  'registration-required': 'auth',
  'remote-server-not-found': 'cancel',
  'remote-server-timeout': 'wait',
  'resource-constraint': 'wait',
  'service-unavailable': 'cancel',
  'subscription-required': 'auth',
  'undefined-condition': 'cancel',
  'unexpected-request': 'wait',
} as const satisfies Record<string, StanzaErrorType>;

/** The conditions of RFC 6120 section 8.3.3. */
export type StanzaErrorCondition = keyof typeof defaultTypes;

/** The error type that RFC 6120 section 8.3.3 names first for each condition. */
export const stanzaErrorTypes: Readonly<Record<StanzaErrorCondition, StanzaErrorType>> = defaultTypes;

/** An error as read: `application` is the element of another namespace beside the condition, if there is one. */
export type StanzaError = {
  readonly condition: StanzaErrorCondition;
  readonly type: StanzaErrorType;
  readonly text: string | undefined;
  readonly application: Element | undefined;
};

export function isStanzaErrorCondition(name: string): name is StanzaErrorCondition {
  return Object.hasOwn(defaultTypes, name);
}

/** Builds `<error/>` in the namespace of the stanza (`jabber:client` unless named). `type` defaults to the condition's own type. */
export function stanzaErrorElement(
  condition: StanzaErrorCondition,
  options: {
    readonly type?: StanzaErrorType;
    readonly text?: string;
    readonly application?: Element;
    readonly ns?: string;
  } = {},
): Element {
  const children: Child[] = [element(condition, NS_STANZAS)];
  if (options.text !== undefined) children.push(element('text', NS_STANZAS, { 'xml:lang': 'en' }, [options.text]));
  if (options.application !== undefined) children.push(options.application);
  return element('error', options.ns ?? NS_CLIENT, { type: options.type ?? defaultTypes[condition] }, children);
}

/**
 * The stanza that answers `stanza` with an error: its name and id, `to` what was its `from`, and no payload.
 *
 * `from` is who refuses; undefined means whoever was addressed. Gives undefined for stanzas that nobody may answer with
 * an error: those of type `error` and IQ results (RFC 6120 section 8.3.1).
 */
export function errorReply(stanza: Element, from: string | undefined, error: Element): Element | undefined {
  const type = attribute(stanza, 'type');
  if (type === 'error' || (type === 'result' && stanza.name === 'iq')) return undefined;
  return element(
    stanza.name,
    stanza.ns,
    {
      type: 'error',
      from: from ?? attribute(stanza, 'to'),
      to: attribute(stanza, 'from'),
      id: attribute(stanza, 'id'),
    },
    [error],
  );
}

/**
 * Reads the error out of a stanza of type `error`.
 *
 * A peer's error that names no known condition is `undefined-condition`, one without a known type has the condition's
 * own: an error must never become a reason to fail. Gives undefined when the stanza holds no `<error/>`.
 */
export function parseStanzaError(stanza: Element): StanzaError | undefined {
  const error = childElement(stanza, 'error', stanza.ns);
  if (error === undefined) return undefined;
  let condition: StanzaErrorCondition = 'undefined-condition';
  let text: string | undefined;
  let application: Element | undefined;
  for (const child of error.children) {
    if (!isElement(child)) continue;
    if (child.ns !== NS_STANZAS) application ??= child;
    else if (child.name === 'text') text ??= textOf(child);
    else if (isStanzaErrorCondition(child.name)) condition = child.name;
  }
  const type = attribute(error, 'type');
  return { condition, type: isStanzaErrorType(type) ? type : defaultTypes[condition], text, application };
}

function isStanzaErrorType(type: string | undefined): type is StanzaErrorType {
  return type === 'auth' || type === 'cancel' || type === 'continue' || type === 'modify' || type === 'wait';
}
