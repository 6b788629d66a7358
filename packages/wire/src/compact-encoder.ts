// Writes elements in the compact form, one encoding per element. Knows nothing of frames, keys or streams.
// Source: docs/protocol/07-compact-codec.md.

import { type Child, type CompactStrokes, type Element, SelfWritten } from './element.ts';
import { packedInteropId, rememberInteropId } from './interop-id-table.ts';
import { NS_XML, NS_XMLNS } from './namespaces.ts';
import { isNcName, toXmlText } from './xml-chars.ts';
import { attributeTokens, elementTokens, longestValue, namespaceTokens } from './compact-dictionary.ts';
import {
  type CompactContext,
  charClass,
  classOf,
  digitNibble,
  form,
  formOf,
  hexNibble,
  maxShortLiteral,
  minRawBytes,
  nibbleFiller,
  numberOf,
  parsed,
} from './compact-value.ts';
import type { InteropId } from './jid.ts';

/** First byte of a child. */
export const head = { text: 0x00, literalElement: 0x01 } as const;
/** First byte of an attribute. */
export const attributeHead = { literal: 0x00, namespaced: 0x01 } as const;
/** A namespace is a number: this one for a new one that follows, a token, or from `firstRepeated` one written before. */
export const namespaceHead = { literal: 0, firstRepeated: 64 } as const;

/** The lower three bits of an element's second byte: how many children follow. */
export const content = { none: 0, text: 1, firstCount: 2, lastCount: 6, counted: 7 } as const;
/** The most children without a count of their own. */
export const maxShortCount = content.lastCount - content.firstCount + 1;
/** Attributes from which a second count follows. */
export const manyAttributes = 31;

/** An element's second byte, for few attributes and few children that are elements. */
export function shape(attributes: number, children: number): number {
  return (attributes << 3) | (children === 0 ? content.none : children + content.firstCount - 1);
}

/** The same of an element that holds one text. */
export function textShape(attributes: number): number {
  return (attributes << 3) | content.text;
}

/** Bytes of a whole JID without an explicit domain, and of every other value of fixed size, at most. */
const fixedValueBytes = 24;

/**
 * Writes elements, one after the other, into a buffer of its own that grows and is used again: one writer serves a
 * whole process, a stream needs none.
 */
export class CompactWriter implements CompactStrokes {
  private bytes: Buffer;
  private end = 0;
  /** The namespaces written out in this stanza, with their places. */
  private readonly writtenNamespaces = new Map<string, number>();

  constructor(initialBytes = 4096) {
    this.bytes = Buffer.allocUnsafeSlow(Math.max(initialBytes, 64));
  }

  /** Bytes written since the last `reset`. */
  get length(): number {
    return this.end;
  }

  /** Forgets what was written; the buffer stays. */
  reset(): void {
    this.end = 0;
  }

  /** What was written since the last `reset`, without a copy: good until the next `write` or `reset`. */
  view(): Uint8Array {
    return new Uint8Array(this.bytes.buffer, this.bytes.byteOffset, this.end);
  }

  /** A copy of what was written since the last `reset`. */
  copy(): Uint8Array {
    return this.view().slice();
  }

  /**
   * Appends one element. Adjoining texts and bytes are one text, and empty ones none, as in XML.
   *
   * Every element that a codec has read is written without fail. Characters that XML can't carry become U+FFFD: one bad
   * character must not end the reader's whole stream. Throws a TypeError, as the XML encoder does, when a name or a
   * namespace can't be written: no decoder lets such through.
   */
  write(el: Element, context: CompactContext): void {
    if (this.writtenNamespaces.size !== 0) this.writtenNamespaces.clear();
    const start = this.end;
    try {
      if (el instanceof SelfWritten) el.writeCompact(this, context);
      else this.element(el, context);
    } catch (error) {
      // Half a stanza must not stay among whole ones.
      this.end = start;
      throw error;
    }
  }

  /** A token, a shape or a number; elements that write themselves use this and what follows. */
  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.end++] = value;
  }

  /** The value `<interopId>@<domain>`, with a device other than 0 `<interopId>@<domain>/<device>`. */
  interopAddress(interopId: InteropId, domain: string, device: number, context: CompactContext): void {
    this.reserve(fixedValueBytes);
    let packed = domain === context.defaultDomain ? packedInteropId(interopId) : undefined;
    if (packed === undefined) {
      const text = device === 0 ? `${interopId}@${domain}` : `${interopId}@${domain}/${device}`;
      const chosen = formOf(text, false, context);
      if (chosen !== form.fullJid && chosen !== form.bareJid) {
        this.value(text, false, context);
        return;
      }
      packed = rememberInteropId(parsed.providerNumber, parsed.random).packed;
    }
    const bytes = this.bytes;
    let end = this.end;
    bytes[end++] = device === 0 ? form.bareJid : form.fullJid;
    for (let i = 0; i < packed.length; i++) bytes[end++] = packed[i]!;
    if (device !== 0) bytes[end++] = device;
    this.end = end;
  }

  /** An element of this token without attributes or children. */
  emptyElement(token: number): void {
    this.byte(token);
    this.byte(shape(0, 0));
  }

  /** Text that is canonical base64 for sure, alone in its element. */
  base64Text(text: string, context: CompactContext): void {
    // A short one may have a shorter form.
    if (text.length <= longestValue) {
      this.textChild(text, true, context);
      return;
    }
    const size = (text.length >>> 2) * 3;
    this.reserve(size + fixedValueBytes);
    this.bytes[this.end++] = form.base64;
    this.varint(size - paddingOf(text));
    this.end += this.bytes.write(text, this.end, 'base64');
  }

  private reserve(size: number): void {
    const wanted = this.end + size;
    if (wanted <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.end);
    this.bytes = grown;
  }

  private element(el: Element, context: CompactContext): void {
    this.reserve(fixedValueBytes);
    const token = elementTokens.get(el.ns)?.get(el.name);
    if (token !== undefined) this.bytes[this.end++] = token;
    else {
      this.bytes[this.end++] = head.literalElement;
      this.namespace(el.ns);
      this.utf8(checkedName(el.name));
    }
    const attrs = el.attrs;
    const attributeCount = attrs.length >>> 1;
    const children = el.children;
    const childCount = countChildren(children);
    const isText =
      childCount === 1 && (children.length === 1 ? !isElementChild(children[0]!) : !children.some(isElementChild));
    const few = countCode(childCount);
    this.reserve(fixedValueBytes);
    this.bytes[this.end++] = (Math.min(attributeCount, manyAttributes) << 3) | (isText ? content.text : few);
    if (attributeCount >= manyAttributes) this.varint(attributeCount - manyAttributes);
    if (few === content.counted) this.varint(childCount);
    for (let i = 0; i < attrs.length; i += 2) this.attribute(attrs[i]!, attrs[i + 1]!, context);
    if (children.length === childCount) {
      // The usual case: every child stands alone and is something.
      for (const child of children) {
        if (isElementChild(child)) this.element(child, context);
        else this.textChild(child, isText, context);
      }
    } else this.mergedChildren(children, isText, context);
  }

  /** Children among which texts adjoin or are empty. */
  private mergedChildren(children: readonly Child[], isText: boolean, context: CompactContext): void {
    let text = '';
    for (const child of children) {
      if (!isElementChild(child)) {
        text += typeof child === 'string' ? child : base64Of(child);
        continue;
      }
      if (text !== '') this.textChild(text, isText, context);
      text = '';
      this.element(child, context);
    }
    if (text !== '') this.textChild(text, isText, context);
  }

  /** A text or bytes; `isOnly`: its element holds nothing else. */
  textChild(text: string | Uint8Array, isOnly: boolean, context: CompactContext): void {
    this.reserve(fixedValueBytes);
    if (!isOnly) this.bytes[this.end++] = head.text;
    if (typeof text === 'string') this.value(text, true, context);
    else if (text.length < minRawBytes) this.value(base64Of(text), true, context);
    else this.raw(text, text.length);
  }

  attribute(name: string, value: string, context: CompactContext): void {
    this.reserve(fixedValueBytes);
    const known = attributeTokens.get(name);
    if (known !== undefined) {
      if (known.whole !== undefined) {
        const whole = known.whole.get(value);
        if (whole !== undefined) {
          this.bytes[this.end++] = whole;
          return;
        }
      }
      this.bytes[this.end++] = known.token;
    } else if (name.charCodeAt(0) === 0x7b) {
      const split = name.lastIndexOf('}');
      this.bytes[this.end++] = attributeHead.namespaced;
      const ns = name.slice(1, split);
      const local = checkedName(name.slice(split + 1));
      if (ns === '') throw new TypeError('an attribute in braces has no namespace');
      if (ns === NS_XML && local === 'lang') throw new TypeError('xml:lang stands in braces');
      this.namespace(ns);
      this.utf8(local);
    } else {
      if (name === 'xmlns') throw new TypeError('a namespace declaration stands among attributes');
      this.bytes[this.end++] = attributeHead.literal;
      this.utf8(checkedName(name));
    }
    this.value(value, false, context);
  }

  private namespace(ns: string): void {
    const token = namespaceTokens.get(ns);
    if (token !== undefined) {
      this.bytes[this.end++] = token;
      return;
    }
    const repeated = this.writtenNamespaces.get(ns);
    if (repeated !== undefined) {
      this.varint(namespaceHead.firstRepeated + repeated);
      return;
    }
    if (ns === NS_XMLNS) throw new TypeError('the namespace of namespace declarations is not a namespace of elements');
    this.writtenNamespaces.set(ns, this.writtenNamespaces.size);
    this.bytes[this.end++] = namespaceHead.literal;
    this.utf8(toXmlText(ns));
  }

  /** A length in bytes and that many bytes of UTF-8. */
  private utf8(text: string): void {
    const size = Buffer.byteLength(text);
    this.reserve(size + fixedValueBytes);
    this.varint(size);
    this.end += this.bytes.write(text, this.end);
  }

  private value(text: string, isText: boolean, context: CompactContext): void {
    this.reserve(fixedValueBytes);
    const chosen = formOf(text, isText, context);
    if (chosen === form.literal) {
      this.literal(text);
      return;
    }
    const bytes = this.bytes;
    if (chosen === form.base64) {
      this.raw(parsed.base64, parsed.base64Length);
      return;
    }
    bytes[this.end++] = chosen;
    if (chosen < form.uint8 || (chosen > form.defaultDomain && chosen < form.literal)) return;
    switch (chosen) {
      case form.uint8:
      case form.uint16:
      case form.uint24:
      case form.uint32: {
        const size = chosen - form.uint8 + 1;
        this.end = bytes.writeUIntBE(numberOf(text), this.end, size);
        return;
      }
      case form.fullJid:
      case form.bareJid:
      case form.fullJidElsewhere:
      case form.bareJidElsewhere: {
        this.varint(parsed.providerNumber);
        const random = parsed.random;
        let end = this.end;
        for (let i = 0; i < 16; i++) bytes[end++] = random[i]!;
        if (chosen === form.fullJid || chosen === form.fullJidElsewhere) bytes[end++] = parsed.device;
        this.end = end;
        if (chosen >= form.fullJidElsewhere) this.utf8(text.slice(parsed.domainStart, parsed.domainEnd));
        return;
      }
      case form.digits: {
        const size = (text.length + 1) >>> 1;
        this.reserve(size + fixedValueBytes);
        this.varint(size);
        this.nibbles(text, digitNibble);
        return;
      }
      case form.hex: {
        const size = text.length >>> 1;
        this.reserve(size + fixedValueBytes);
        this.varint(size);
        this.nibbles(text, hexNibble);
        return;
      }
      case form.uuid:
        this.nibbles(text.replaceAll('-', ''), hexNibble);
        return;
      default:
        return;
    }
  }

  /** Two characters a byte, the first in the upper half; the filler ends an odd number. */
  private nibbles(text: string, table: Uint8Array): void {
    const bytes = this.bytes;
    let end = this.end;
    const pairs = text.length & ~1;
    for (let i = 0; i < pairs; i += 2) {
      bytes[end++] = (table[text.charCodeAt(i)]! << 4) | table[text.charCodeAt(i + 1)]!;
    }
    if (pairs !== text.length) bytes[end++] = (table[text.charCodeAt(pairs)]! << 4) | nibbleFiller;
    this.end = end;
  }

  private literal(text: string): void {
    const length = text.length;
    if (length <= maxShortLiteral) {
      // A loop beats a call for the short strings that most values are.
      this.reserve(length + fixedValueBytes);
      const bytes = this.bytes;
      const start = this.end + 1;
      let i = 0;
      for (; i < length; i++) {
        const c = text.charCodeAt(i);
        if ((classOf[c]! & charClass.ascii) === 0) break;
        bytes[start + i] = c;
      }
      if (i === length) {
        bytes[this.end] = form.literal + length;
        this.end = start + length;
        return;
      }
    }
    const legal = toXmlText(text);
    const size = Buffer.byteLength(legal);
    this.reserve(size + fixedValueBytes);
    if (size <= maxShortLiteral) this.bytes[this.end++] = form.literal + size;
    else {
      this.bytes[this.end++] = form.longLiteral;
      this.varint(size);
    }
    this.end += this.bytes.write(legal, this.end);
  }

  private raw(source: Uint8Array, size: number): void {
    this.reserve(size + fixedValueBytes);
    this.bytes[this.end++] = form.base64;
    this.varint(size);
    const bytes = this.bytes;
    if (source.length === size) bytes.set(source, this.end);
    else bytes.set(source.subarray(0, size), this.end);
    this.end += size;
  }

  /** Seven bits a byte, the lowest first, the top bit set on all but the last (LEB128); room was made before. */
  private varint(value: number): void {
    const bytes = this.bytes;
    let rest = value;
    while (rest >= 0x80) {
      bytes[this.end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.end++] = rest;
  }
}

const writer = new CompactWriter();

/** One element alone, in bytes of its own. See `CompactWriter.write`. */
export function encodeCompact(el: Element, context: CompactContext): Uint8Array {
  writer.reset();
  writer.write(el, context);
  return writer.copy();
}

/** Names outside the dictionary come from decoders that checked them and from our own code; a wrong one is a defect. */
function checkedName(name: string): string {
  if (!isNcName(name)) throw new TypeError('a name in an element tree is no XML name');
  return name;
}

function isElementChild(child: Child): child is Element {
  return typeof child === 'object' && !(child instanceof Uint8Array);
}

/** The text that bytes among an element's children stand for. */
function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

/** Children as they will be read: elements, and one for each run of texts that is not empty. */
function countChildren(children: readonly Child[]): number {
  let count = 0;
  let inText = false;
  for (const child of children) {
    if (isElementChild(child)) {
      count++;
      inText = false;
    } else if (child.length !== 0 && !inText) {
      count++;
      inText = true;
    }
  }
  return count;
}

/** Characters that pad base64 at its end. */
function paddingOf(base64: string): number {
  if (base64.endsWith('==')) return 2;
  return base64.endsWith('=') ? 1 : 0;
}

function countCode(children: number): number {
  if (children === 0) return content.none;
  return children <= maxShortCount ? children + 1 : content.counted;
}
