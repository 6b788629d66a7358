// The stored form of a stanza: its compact encoding. Knows no store.
import { childElement, type Element, element } from '@drawbridge/wire/element';
import { decodeCompact } from '@drawbridge/wire/compact-decoder';
import { encodeCompact } from '@drawbridge/wire/compact-encoder';
import { compactContext } from '@drawbridge/wire/compact-value';
import { xmlLimitsAfterLogin } from '@drawbridge/wire/limits';
import { NS_DELAY } from '@drawbridge/wire/namespaces';

/** Marks the stored form of entries drained later, so that they carry when they came (XEP-0203). */
export type Codec = {
  encode(element: Element): Uint8Array;
  /** Undefined when the bytes are damaged. `storedAtMs` undefined: it was not kept. */
  decode(bytes: Uint8Array, storedAtMs: number | undefined): Element | undefined;
};

/** Entries leave the disk with the time at which they came (XEP-0203). */
export function createStanzaCodec(domain: string): Codec {
  const context = compactContext(domain);
  return {
    encode: el => encodeCompact(el, context),
    decode: (bytes, storedAtMs) => {
      const decoded = decodeCompact(bytes, 0, context, xmlLimitsAfterLogin);
      if ('code' in decoded || decoded.nextOffset !== bytes.length) return undefined;
      return storedAtMs === undefined ? decoded.element : withDelay(decoded.element, domain, storedAtMs);
    },
  };
}

function withDelay(el: Element, domain: string, storedAtMs: number): Element {
  if (childElement(el, 'delay', NS_DELAY) !== undefined) return el;
  const delay = element('delay', NS_DELAY, { from: domain, stamp: new Date(storedAtMs).toISOString() });
  return { name: el.name, ns: el.ns, attrs: el.attrs, children: [...el.children, delay] };
}
