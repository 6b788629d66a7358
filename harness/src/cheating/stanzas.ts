// Changes elements as a cheat does. Knows nothing of what they mean.
import { attribute, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import { NS_CLIENT, NS_E2EE, NS_STANZAS } from '@drawbridge/wire/namespaces';

/** The text in an element; empty when there is none. */
export function textOf(el: Element | undefined): string {
  const child = el?.children[0];
  return typeof child === 'string' ? child : '';
}

export function bytesOf(el: Element | undefined): Uint8Array {
  return Buffer.from(textOf(el), 'base64');
}

export function withAttributes(el: Element, changed: Record<string, string>): Element {
  const attrs: Record<string, string> = {};
  for (let i = 0; i < el.attrs.length; i += 2) attrs[el.attrs[i]!] = el.attrs[i + 1]!;
  return element(el.name, el.ns, { ...attrs, ...changed }, el.children);
}

/** The answer to an IQ, with another payload. */
export function withPayload(answer: Element, payload: Element): Element {
  return { ...withAttributes(answer, { type: 'result' }), children: [payload] };
}

/** The answer to an IQ: nobody is there. */
export function notFound(answer: Element): Element {
  const error = element('error', NS_CLIENT, { type: 'cancel' }, [element('item-not-found', NS_STANZAS)]);
  return { ...withAttributes(answer, { type: 'error' }), children: [error] };
}

/** A message comes back: nobody is there. */
export function returned(message: Element, from: string, to: string): Element {
  const error = element('error', NS_CLIENT, { type: 'cancel' }, [element('service-unavailable', NS_STANZAS)]);
  return element('message', NS_CLIENT, { type: 'error', id: attribute(message, 'id') ?? '', from, to }, [error]);
}

/** What makes a message reportable: what its author has committed to, and the gatekeeper's stamp on that. */
export type Marks = { readonly commitment?: Element | undefined; readonly stamp?: Element | undefined };

export function marksOf(message: Element): Marks {
  const envelope = childElement(message, 'envelope', NS_E2EE) ?? message;
  const mark = (name: string): Element | undefined => childElement(envelope, name, NS_E2EE);
  return { commitment: mark('commitment'), stamp: mark('stamp') };
}

/** The message with these marks and no others. */
export function withMarks(message: Element, { commitment, stamp }: Marks): Element {
  const envelope = childElement(message, 'envelope', NS_E2EE);
  if (envelope === undefined) return message;
  const ciphertexts = childElements(envelope).filter(({ name }) => name === 'ciphertext');
  const marks = [commitment, stamp].filter(each => each !== undefined);
  const changed = { ...envelope, children: [...marks, ...ciphertexts] };
  return { ...message, children: message.children.map(each => (each === envelope ? changed : each)) };
}

/** The last byte of every base64 text in it is another. */
export function flipped(el: Element): Element {
  const children = el.children.map(child => {
    if (typeof child === 'string') {
      const bytes = Buffer.from(child, 'base64');
      bytes[bytes.length - 1]! ^= 1;
      return bytes.toString('base64');
    }
    return 'name' in child ? flipped(child) : child;
  });
  return { ...el, children };
}
