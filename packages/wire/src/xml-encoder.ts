// Writes elements, stream headers and WebSocket framing as XML. Knows nothing of sockets or of what is written.
//
// One tree has one form: single quotes, declarations where a namespace changes, empty elements closed in place. What a
// tree says is what the decoder reads back.
// Source: RFC 6120 sections 4.7, 4.8 and 11; RFC 7395 section 3; Namespaces in XML 1.0.

import { type Element, SelfWritten } from './element.ts';
import { NS_CLIENT, NS_FRAMING, NS_STREAM, NS_XML, NS_XMLNS } from './namespaces.ts';
import { isNcName, toXmlText } from './xml-chars.ts';

// Characters that can't stand as they are. Bytes and ASCII without them are the rule: one test each, no copying.
// oxlint-disable-next-line no-control-regex
const specialInText = /[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]/;
// oxlint-disable-next-line no-control-regex
const specialInValue = /[&<>'\r\x00-\x1f\ud800-\udfff\ufffe\uffff]/;
function escapeText(text: string): string {
  if (!specialInText.test(text)) return text;
  return toXmlText(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('\r', '&#13;');
}

/** A value between single quotes. */
export function escapeValue(text: string): string {
  if (!specialInValue.test(text)) return text;
  return toXmlText(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('\t', '&#9;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\r', '&#13;');
}

// Names come from our own constants and from decoders that checked them. One that is not a name would let its author write
// markup into somebody's stream, so that it is checked here once more; a name seen before is known to be good.
const knownNames = new Set<string>();
const maxKnownNames = 1024;

function checkedName(name: string): string {
  if (knownNames.has(name)) return name;
  if (!isNcName(name)) throw new TypeError('a name in an element tree is no XML name');
  if (knownNames.size < maxKnownNames) knownNames.add(name);
  return name;
}

function checkedNamespace(ns: string): string {
  if (ns === NS_XMLNS) throw new TypeError('the namespace of namespace declarations is not a namespace of elements');
  return escapeValue(ns);
}

/**
 * Writes an element.
 *
 * `parentNs` is the default namespace where it will stand: `jabber:client` on a TCP stream, the empty string in a
 * WebSocket message (RFC 7395 section 3.3.3). Elements of the stream namespace are written with the prefix `stream`,
 * which existing clients expect, and declare it. Bytes become canonical base64. Characters that XML can't carry become
 * U+FFFD: one bad character must not end the reader's whole stream. Throws a TypeError when a name or namespace
 * can't be written (names that are none, declarations among attributes): no decoder lets such through.
 */
export function encodeElement(el: Element, parentNs: string): string {
  if (el instanceof SelfWritten && el.ns === parentNs) return el.toXml();
  return encode(el, parentNs, false);
}

function encode(el: Element, parentNs: string, streamPrefix: boolean): string {
  const name = checkedName(el.name);
  let tag = name;
  let ns = el.ns;
  let declared = streamPrefix;
  let out: string;
  if (ns === parentNs) out = `<${tag}`;
  else if (ns === NS_STREAM) {
    tag = `stream:${name}`;
    out = declared ? `<${tag}` : `<${tag} xmlns:stream='${NS_STREAM}'`;
    declared = true;
    ns = parentNs;
  } else if (ns === NS_XML) {
    tag = `xml:${name}`;
    out = `<${tag}`;
    ns = parentNs;
  } else out = `<${tag} xmlns='${checkedNamespace(ns)}'`;

  const attrs = el.attrs;
  if (attrs.length > 0) out += encodeAttributes(attrs);

  const children = el.children;
  if (children.length === 0) return `${out}/>`;
  out += '>';
  for (let i = 0; i < children.length; i++) {
    const child = children[i]!;
    if (typeof child === 'string') out += escapeText(child);
    else if (child instanceof Uint8Array) out += base64(child);
    else out += encode(child, ns, declared);
  }
  return `${out}</${tag}>`;
}

function encodeAttributes(attrs: readonly string[]): string {
  let out = '';
  let prefixes = 0;
  for (let i = 0; i < attrs.length; i += 2) {
    const name = attrs[i]!;
    const value = escapeValue(attrs[i + 1]!);
    if (name === 'xml:lang') out += ` xml:lang='${value}'`;
    else if (name.charCodeAt(0) === 0x7b) {
      const split = name.lastIndexOf('}');
      const ns = name.slice(1, split);
      if (ns === '') throw new TypeError('an attribute in braces has no namespace');
      const local = checkedName(name.slice(split + 1));
      if (ns === NS_XML) out += ` xml:${local}='${value}'`;
      else {
        const prefix = `a${prefixes++}`;
        out += ` xmlns:${prefix}='${checkedNamespace(ns)}' ${prefix}:${local}='${value}'`;
      }
    } else if (name === 'xmlns') throw new TypeError('a namespace declaration stands among attributes');
    else out += ` ${checkedName(name)}='${value}'`;
  }
  return out;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** What a stream header says; what is undefined is left out. */
export type StreamHeaderFields = {
  readonly to?: string | undefined;
  readonly from?: string | undefined;
  readonly id?: string | undefined;
  readonly version?: string | undefined;
  readonly lang?: string | undefined;
};

function headerAttributes(fields: StreamHeaderFields): string {
  let out = '';
  if (fields.from !== undefined) out += ` from='${escapeValue(fields.from)}'`;
  if (fields.to !== undefined) out += ` to='${escapeValue(fields.to)}'`;
  if (fields.id !== undefined) out += ` id='${escapeValue(fields.id)}'`;
  if (fields.version !== undefined) out += ` version='${escapeValue(fields.version)}'`;
  if (fields.lang !== undefined) out += ` xml:lang='${escapeValue(fields.lang)}'`;
  return out;
}

/** The XML declaration and the stream's start tag on TCP (RFC 6120 section 4.7). */
export function encodeStreamHeader(fields: StreamHeaderFields): string {
  return `<?xml version='1.0'?><stream:stream xmlns='${NS_CLIENT}' xmlns:stream='${NS_STREAM}'${headerAttributes(fields)}>`;
}

/** The stream's end tag on TCP. */
export function encodeStreamEnd(): string {
  return '</stream:stream>';
}

/** The stream's opening in a WebSocket message (RFC 7395 section 3.4). */
export function encodeFramingOpen(fields: StreamHeaderFields): string {
  return `<open xmlns='${NS_FRAMING}'${headerAttributes(fields)}/>`;
}

/** The stream's end in a WebSocket message (RFC 7395 section 3.6); `seeOtherUri` sends the client elsewhere. */
export function encodeFramingClose(seeOtherUri?: string): string {
  const attrs = seeOtherUri === undefined ? '' : ` see-other-uri='${escapeValue(seeOtherUri)}'`;
  return `<close xmlns='${NS_FRAMING}'${attrs}/>`;
}
