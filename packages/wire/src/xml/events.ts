// What the XML decoder gives: stream headers, elements, the stream's end, one error. Types alone, and what a header is
// made of. Knows nothing of bytes.
// Source: RFC 6120 section 4.7, RFC 7395 section 3.4.

import { attribute, type Element } from '../element.ts';
import type { StreamErrorCondition } from '../stream-error.ts';

/** The root of a stream (RFC 6120 section 4.7); its namespaces are checked already. */
export type StreamHeader = {
  readonly to: string | undefined;
  readonly from: string | undefined;
  readonly id: string | undefined;
  readonly version: string | undefined;
  readonly lang: string | undefined;
};

/** Why input is refused. `detail` is one of a few fixed sentences and holds nothing of the input. */
export type XmlError = {
  readonly kind: 'error';
  readonly condition: StreamErrorCondition;
  readonly detail: string;
};

export type XmlEvent =
  | { readonly kind: 'header'; readonly header: StreamHeader }
  | { readonly kind: 'element'; readonly element: Element }
  | { readonly kind: 'end' }
  | XmlError;

/** The header that an element's attributes are, whether the element is a stream's root or a WebSocket's opening. */
export function streamHeaderOf(el: Element): StreamHeader {
  return {
    to: attribute(el, 'to'),
    from: attribute(el, 'from'),
    id: attribute(el, 'id'),
    version: attribute(el, 'version'),
    lang: attribute(el, 'xml:lang'),
  };
}
