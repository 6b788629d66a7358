// Reads IQ payloads strictly: exactly the attributes and children that the specification names.
// Knows nothing of what they mean. Source: docs/protocol/06.
import { type Element, element, isElement } from '@drawbridge/wire/element';
import { isInteropId, parseJid } from '@drawbridge/wire/jid';
import { NS_ERRORS } from '@drawbridge/wire/namespaces';
import type { IqAnswer } from '../routing/iq.ts';
import { decodeBase64 } from './device-keys.ts';

export const badRequest: IqAnswer = { kind: 'error', condition: 'bad-request' };
/** For the unknown and the unreachable alike. */
export const notFound: IqAnswer = { kind: 'error', condition: 'item-not-found' };
export const emptyResult: IqAnswer = { kind: 'result' };

export function waitAnswer(seconds: number): IqAnswer {
  return {
    kind: 'error',
    condition: 'resource-constraint',
    type: 'wait',
    application: element('retry-after', NS_ERRORS, { seconds: String(seconds) }),
  };
}

/** The attributes by name; undefined when one that is required is missing, or one is neither required nor optional. */
export function readAttributes(
  el: Element,
  required: readonly string[],
  optional: readonly string[] = [],
): Readonly<Record<string, string>> | undefined {
  const found: Record<string, string> = {};
  for (let i = 0; i < el.attrs.length; i += 2) {
    const name = el.attrs[i]!;
    if (!required.includes(name) && !optional.includes(name)) return undefined;
    found[name] = el.attrs[i + 1]!;
  }
  return required.every(name => Object.hasOwn(found, name)) ? found : undefined;
}

/** The child elements, all of the parent's namespace; undefined when there is text, bytes or another namespace. */
export function readChildren(el: Element): readonly Element[] | undefined {
  const children: Element[] = [];
  for (const child of el.children) {
    if (!isElement(child) || child.ns !== el.ns) return undefined;
    children.push(child);
  }
  return children;
}

/** What stands in an element that holds bytes alone, as such or as canonical base64; undefined for anything else. */
export function readBytes(el: Element): Uint8Array | undefined {
  const [child, ...more] = el.children;
  if (el.attrs.length > 0 || more.length > 0 || child === undefined) return undefined;
  if (child instanceof Uint8Array) return child;
  return typeof child === 'string' ? decodeBase64(child) : undefined;
}

/** A whole number without leading zeros, 1..16777215. */
export function readId(text: string): number | undefined {
  return /^[1-9][0-9]{0,7}$/.test(text) && Number(text) <= 16_777_215 ? Number(text) : undefined;
}

/** The InteropId in a bare JID of this domain; undefined for every other text. */
export function readPerson(jid: string, domain: string): string | undefined {
  const parsed = parseJid(jid);
  if (parsed === undefined || parsed.domain !== domain || parsed.resource !== '') return undefined;
  return isInteropId(parsed.local) ? parsed.local : undefined;
}
