// The stanza tree: what both codecs read and write. Knows nothing of bytes on the wire, streams or accounts.
// Source: RFC 6120 section 8, RFC 6120 section 11 (restricted XML), Namespaces in XML 1.0.

import type { CompactContext } from './compact-value.ts';
import type { InteropId } from './jid.ts';

/**
 * One XML element with its namespace resolved.
 *
 * `attrs` is flat: name, value, name, value. Unprefixed names stand alone (`to`), `xml:lang` keeps its prefix, and an
 * attribute of any other namespace is written `{namespace}local`. Namespace declarations are never attributes.
 */
export type Element = {
  readonly name: string;
  readonly ns: string;
  readonly attrs: readonly string[];
  readonly children: readonly Child[];
};

/**
 * What an element may hold: elements, text, or bytes. Bytes mean exactly the text that is their canonical base64
 * (RFC 4648 section 4, padded); the XML codec reads them as text, the compact codec moves them raw.
 */
export type Child = Element | string | Uint8Array;

/** The strokes of the compact encoder that an element which writes itself needs (compact-encoder.ts has them all). */
export interface CompactStrokes {
  /** A token, a shape or a number. */
  byte(value: number): void;
  /** The value `<interopId>@<domain>`, with a device other than 0 `<interopId>@<domain>/<device>`. */
  interopAddress(interopId: InteropId, domain: string, device: number, context: CompactContext): void;
  attribute(name: string, value: string, context: CompactContext): void;
  /** An element of this token without attributes or children. */
  emptyElement(token: number): void;
  /** Text that is canonical base64 for sure, alone in its element. */
  base64Text(text: string, context: CompactContext): void;
  /** A text or bytes; `isOnly`: its element holds nothing else. */
  textChild(text: string | Uint8Array, isOnly: boolean, context: CompactContext): void;
}

/**
 * An element that writes itself in both encodings, for the stanza that a server writes most. It is an element like any
 * other for everybody else; `attrs` and `children` may be made when they are asked for.
 */
export abstract class SelfWritten implements Element {
  abstract readonly name: string;
  abstract readonly ns: string;
  abstract readonly attrs: readonly string[];
  abstract readonly children: readonly Child[];
  /** Exactly what the XML encoder would write of it where its own namespace is the default one. */
  abstract toXml(): string;
  /** Appends exactly what the compact encoder would write of it. */
  abstract writeCompact(writer: CompactStrokes, context: CompactContext): void;
}

const noAttrs: readonly string[] = [];
const noChildren: readonly Child[] = [];

/** What is left of an element that was larger than allowed: enough to answer it. */
export class OversizedElement implements Element {
  readonly name: string;
  readonly ns: string;
  readonly attrs: readonly string[];
  readonly children: readonly Child[] = noChildren;

  constructor({ name, ns, attrs }: Element) {
    this.name = name;
    this.ns = ns;
    this.attrs = attrs;
  }
}

/** Builds an element; `undefined` attribute values are left out. */
export function element(
  name: string,
  ns: string,
  attrs?: Readonly<Record<string, string | undefined>>,
  children?: readonly Child[],
): Element {
  if (attrs === undefined) return { name, ns, attrs: noAttrs, children: children ?? noChildren };
  const flat: string[] = [];
  for (const key of Object.keys(attrs)) {
    const value = attrs[key];
    if (value !== undefined) flat.push(key, value);
  }
  return { name, ns, attrs: flat, children: children ?? noChildren };
}

export function isElement(child: Child): child is Element {
  return typeof child === 'object' && !(child instanceof Uint8Array);
}

/** V8 copies shorter parts of a text; a longer one is a view, and keeps the whole text alive. */
const leastViewLength = 13;

/** The same text in memory of its own: what was read from a stream may be a part of all that came with it. */
export function ownText<T extends string>(text: T): T {
  // The same characters: whatever was checked of the text holds for its copy.
  return text.length < leastViewLength ? text : (Buffer.from(text, 'utf8').toString('utf8') as T);
}

/** The same element in memory of its own, for whoever keeps it longer than a moment. */
export function ownElement(el: Element): Element {
  const children = el.children.map(child => {
    if (typeof child === 'string') return ownText(child);
    if (isElement(child)) return ownElement(child);
    return child.buffer.byteLength > child.length ? Uint8Array.from(child) : child;
  });
  return { name: ownText(el.name), ns: ownText(el.ns), attrs: el.attrs.map(text => ownText(text)), children };
}

/** The value of an attribute, or undefined. */
export function attribute(el: Element, name: string): string | undefined {
  const attrs = el.attrs;
  for (let i = 0; i < attrs.length; i += 2) if (attrs[i] === name) return attrs[i + 1];
  return undefined;
}

/** The same element with one attribute set (replaced in place, or appended) or, with `undefined`, removed. */
export function withAttribute(el: Element, name: string, value: string | undefined): Element {
  const attrs: string[] = [];
  let found = false;
  for (let i = 0; i < el.attrs.length; i += 2) {
    if (el.attrs[i] === name) {
      found = true;
      if (value !== undefined) attrs.push(name, value);
    } else attrs.push(el.attrs[i]!, el.attrs[i + 1]!);
  }
  if (!found && value !== undefined) attrs.push(name, value);
  return { name: el.name, ns: el.ns, attrs, children: el.children };
}

/** The first child element of that name and namespace, or undefined. */
export function childElement(el: Element, name: string, ns: string): Element | undefined {
  for (const child of el.children) {
    if (typeof child === 'object' && !(child instanceof Uint8Array) && child.name === name && child.ns === ns)
      return child;
  }
  return undefined;
}

/** The child elements, without text. */
export function childElements(el: Element): Element[] {
  return el.children.filter(isElement);
}

/** The text directly inside an element; bytes are the base64 that they stand for. */
export function textOf(el: Element): string {
  let text = '';
  for (const child of el.children) {
    if (typeof child === 'string') text += child;
    else if (child instanceof Uint8Array) text += Buffer.from(child).toString('base64');
  }
  return text;
}
