// Stream errors: the closed list of conditions, building, reading. A stream error always ends the stream.
// Knows nothing of sockets or of why. Source: RFC 6120 section 4.9.

import { type Child, type Element, element, isElement, textOf } from './element.ts';
import { NS_STREAM, NS_STREAMS } from './namespaces.ts';

const conditions = [
  'bad-format',
  'bad-namespace-prefix',
  'conflict',
  'connection-timeout',
  'host-gone',
  'host-unknown',
  'improper-addressing',
  'internal-server-error',
  'invalid-from',
  'invalid-namespace',
  'invalid-xml',
  'not-authorized',
  'not-well-formed',
  'policy-violation',
  'remote-connection-failed',
  'reset',
  'resource-constraint',
  'restricted-xml',
  'see-other-host',
  'system-shutdown',
  'undefined-condition',
  'unsupported-encoding',
  'unsupported-feature',
  'unsupported-stanza-type',
  'unsupported-version',
] as const;

/** The conditions of RFC 6120 section 4.9.3. */
export type StreamErrorCondition = (typeof conditions)[number];

export const streamErrorConditions: readonly StreamErrorCondition[] = conditions;

export type StreamError = {
  readonly condition: StreamErrorCondition;
  readonly text: string | undefined;
  readonly application: Element | undefined;
};

/** Builds `<error/>` of the stream's namespace. */
export function streamErrorElement(
  condition: StreamErrorCondition,
  options: { readonly text?: string; readonly application?: Element } = {},
): Element {
  const children: Child[] = [element(condition, NS_STREAMS)];
  if (options.text !== undefined) children.push(element('text', NS_STREAMS, { 'xml:lang': 'en' }, [options.text]));
  if (options.application !== undefined) children.push(options.application);
  return element('error', NS_STREAM, undefined, children);
}

/** Reads a stream error; an unknown condition is `undefined-condition`. Undefined when the element is none. */
export function parseStreamError(el: Element): StreamError | undefined {
  if (el.name !== 'error' || el.ns !== NS_STREAM) return undefined;
  let condition: StreamErrorCondition = 'undefined-condition';
  let text: string | undefined;
  let application: Element | undefined;
  for (const child of el.children) {
    if (!isElement(child)) continue;
    if (child.ns !== NS_STREAMS) application ??= child;
    else if (child.name === 'text') text ??= textOf(child);
    else condition = conditions.find(known => known === child.name) ?? condition;
  }
  return { condition, text, application };
}
