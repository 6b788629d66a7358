// Reads restricted XML: bytes in any pieces to stream headers, elements and one error. Knows nothing of sockets,
// stanzas or what a stream is for.
//
// How it works: every byte is one character of a Latin-1 string, so that positions are bytes, and ASCII, which is nearly
// all of a stream, needs no decoding. The input is cut into tokens: a tag, a run of text, a CDATA section, the XML
// declaration. A token is judged when its end has arrived, never before; what comes out hence does not depend on how the
// bytes were cut. Only the bytes of one unfinished token are held back, and each is looked at once while it waits. UTF-8
// is checked and decoded token by token, where bytes above 0x7f occur.
//
// Source: RFC 6120 sections 4.8 and 11, XML 1.0 (fifth edition), Namespaces in XML 1.0 (third edition),
// docs/protocol/04-streams.md section 4.1.

import { type Child, type Element, attribute, OversizedElement } from './element.ts';
import type { XmlLimits } from './limits.ts';
import { NS_CLIENT, NS_FRAMING, NS_STREAM, NS_XML, NS_XMLNS } from './namespaces.ts';
import type { StreamErrorCondition } from './stream-error.ts';
import { isNcName, isXmlCodePoint, isXmlText } from './xml-chars.ts';

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

const tab = 0x09;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;
const exclamation = 0x21;
const doubleQuote = 0x22;
const singleQuote = 0x27;
const slash = 0x2f;
const colon = 0x3a;
const lessThan = 0x3c;
const equalsSign = 0x3d;
const greaterThan = 0x3e;
const question = 0x3f;
const closingBracket = 0x5d;

// Characters of names. Bytes above 0x7f pass here and are judged once decoded.
const nameStart = 1;
const nameRest = 2;
const nameColon = 4;
const nameWide = 8;
const nameClasses = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const text = String.fromCharCode(c);
  if (c >= 0x80) nameClasses[c] = nameStart | nameRest | nameWide;
  else if (/[A-Za-z_]/.test(text)) nameClasses[c] = nameStart | nameRest;
  else if (/[0-9.-]/.test(text)) nameClasses[c] = nameRest;
  else if (c === colon) nameClasses[c] = nameColon;
}

// Characters of attribute values and text: 0 stands as it is.
const needsWork = 1;
const endsValue = 2;
const isRefused = 3;
const valueClasses = new Uint8Array(256);
const textClasses = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const control = c < 0x20 && c !== tab && c !== lineFeed && c !== carriageReturn;
  if (control) valueClasses[c] = textClasses[c] = isRefused;
  else if (c === 0x26 || c === carriageReturn || c >= 0x80) valueClasses[c] = textClasses[c] = needsWork;
  else if (c === tab || c === lineFeed) valueClasses[c] = needsWork;
  else if (c === doubleQuote || c === singleQuote) valueClasses[c] = endsValue;
  else if (c === closingBracket) textClasses[c] = needsWork;
  else if (c === lessThan) {
    valueClasses[c] = isRefused;
    textClasses[c] = endsValue;
  }
}

// Where the end of an unfinished token is looked for.
const noToken = 0;
const afterLessThan = 1;
const insideTag = 2;
const insideSingleQuotes = 3;
const insideDoubleQuotes = 4;
const afterExclamation = 5;
const insideCdata = 6;
const insideDeclaration = 7;
const insideText = 8;

const accepted = 0;
const incomplete = -1;
const failed = -2;

const cdataStart = '<![CDATA[';
const noAttrs: readonly string[] = [];
const noChildren: readonly Child[] = [];
const noElement: Element = { name: '', ns: '', attrs: noAttrs, children: noChildren };
const noEvents: XmlEvent[] = [];
const noBytes = Buffer.alloc(0);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:'1\.([0-9]+)'|"1\.([0-9]+)")(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:'([A-Za-z][A-Za-z0-9._-]*)'|"([A-Za-z][A-Za-z0-9._-]*)"))?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:'(?:yes|no)'|"(?:yes|no)"))?[ \t\r\n]*\?>$/;

/** The classes of all characters of the name scanned last. */
let scannedClasses = 0;

/** The index behind the name that begins at `from`. */
function scanName(text: string, from: number): number {
  let i = from;
  let seen = 0;
  let k = nameClasses[text.charCodeAt(i)]!;
  while (k > 0) {
    seen |= k;
    k = nameClasses[text.charCodeAt(++i)]!;
  }
  scannedClasses = seen;
  return i;
}

/** The open elements within a stream's root and what was in force outside each, by depth; of a document all of them. */
class OpenElements {
  readonly elements: Element[] = [];
  readonly rawNames: string[] = [];
  readonly outerDefaults: string[] = [];
  readonly outerBindings: number[] = [];
  /** Prefix, namespace, prefix, namespace; the default namespace is bound to the empty prefix. */
  readonly bindings: string[] = [];
}

/** A stream needs them while it is inside an element: most streams are silent, and borrow them for a moment. */
const spareOpenElements: OpenElements[] = [];
const maxSpare = 16;

/** What the root of a stream declares, in memory of its own. Streams are many, and nearly all declare the same. */
type Root = { readonly rawName: string; readonly bindings: readonly string[] };
const noRoot: Root = { rawName: '', bindings: [] };
let latestRoot = noRoot;

function rootOf(rawName: string, bindings: readonly string[]): Root {
  const { bindings: latest } = latestRoot;
  const isSame = rawName === latestRoot.rawName && bindings.length === latest.length;
  if (!isSame || !bindings.every((text, at) => text === latest[at])) {
    latestRoot = { rawName: detached(rawName), bindings: bindings.map(detached) };
  }
  return latestRoot;
}

function isSpace(c: number): boolean {
  return c === space || c === lineFeed || c === tab || c === carriageReturn;
}

/**
 * Reads a stream (RFC 6120 section 4) or, with `root` = 'document', one element that stands alone (RFC 7395).
 *
 * Give it bytes in any pieces; it gives back what they complete. White space between top-level elements is dropped. After
 * an error or the stream's end it gives nothing any more and keeps nothing. It never throws. It holds at most one
 * unfinished top-level element within the limits. The strings it gives may share memory with the chunk they came in.
 */
export class XmlStreamDecoder {
  private limits: XmlLimits;
  /** Open elements that are not the peer's stanza: 1 for the stream's root, 0 in a document. */
  private readonly base: 0 | 1;
  private depth = 0;
  private atStart = true;
  private stopped = false;

  private root = noRoot;
  /** Undefined outside of elements. */
  private opened: OpenElements | undefined;
  private defaultNs = '';

  // The start tag that is being read.
  private tagAttrs: string[] | undefined;
  private tagDeclared: string[] | undefined;
  private tagIsPrefixed = false;
  private tagCloses = false;

  private token = noToken;
  /** How much of a token's closing or opening mark has been matched. */
  private matched = 0;
  private held: Buffer = noBytes;
  private heldBytes = 0;
  /** Where the top-level element began, counted from the current chunk's first byte (negative: in an earlier chunk). */
  private start = 0;

  private events: XmlEvent[] = noEvents;
  private completed: XmlEvent | undefined;
  private condition: StreamErrorCondition = 'not-well-formed';
  private detail = '';

  constructor(limits: XmlLimits, root: 'stream' | 'document' = 'stream') {
    this.limits = limits;
    this.base = root === 'stream' ? 1 : 0;
  }

  /** Above it nothing is read. */
  private get mostBytes(): number {
    return this.limits.readableBytes ?? this.limits.elementBytes;
  }

  /** From the next `push` on, other limits. */
  setLimits(limits: XmlLimits): void {
    this.limits = limits;
  }

  /** Forgets everything, also an error: a new stream header is expected (after STARTTLS and SASL). */
  reset(): void {
    this.stopped = false;
    this.atStart = true;
    this.forget();
  }

  /** Bytes of the top-level element (or header) that is not complete yet; 0 between elements. */
  get pendingBytes(): number {
    return this.token !== noToken || this.depth > this.base ? -this.start : 0;
  }

  push(chunk: Uint8Array): XmlEvent[] {
    if (this.stopped || chunk.length === 0) return [];
    const events: XmlEvent[] = [];
    this.events = events;
    const bytes = chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const text = bytes.toString('latin1');
    let i = 0;
    if (this.token !== noToken) {
      const isText = this.token === insideText;
      const end = this.findTokenEnd(text, 0);
      if (end === incomplete) {
        this.hold(bytes, 0);
        this.leaveChunk(text.length);
        return this.finish(events);
      }
      const token = this.held.toString('latin1', 0, this.heldBytes) + text.slice(0, end);
      this.token = noToken;
      this.held = noBytes;
      this.heldBytes = 0;
      // A text's end is known by the `<` behind it.
      if ((isText ? end + 1 : end) - this.start > this.mostBytes) this.tooLarge();
      else if (isText ? this.readText(token, 0, token.length) !== failed : this.readMarkup(token, 0) !== failed) {
        this.emit(end);
      }
      i = end;
    }
    if (!this.stopped && this.detail === '') this.scan(text, i, bytes);
    return this.finish(events);
  }

  private finish(events: XmlEvent[]): XmlEvent[] {
    if (this.detail !== '') {
      events.push({ kind: 'error', condition: this.condition, detail: this.detail });
      this.stopped = true;
    }
    if (this.stopped) this.forget();
    this.events = noEvents;
    return events;
  }

  /** Reads tokens until the text ends or something fails. */
  private scan(text: string, from: number, bytes: Buffer): void {
    let i = from;
    const length = text.length;
    while (i < length) {
      let c = text.charCodeAt(i);
      if (this.depth <= this.base) {
        while (isSpace(c)) {
          this.atStart = false;
          c = text.charCodeAt(++i);
        }
        if (i >= length) break;
        if (this.depth === this.base || c === lessThan) this.start = i;
        if (c !== lessThan) {
          this.refuse(this.depth === 0 ? 'not-well-formed' : 'bad-format', 'text outside an element');
          return;
        }
      }
      const next = c === lessThan ? this.readMarkup(text, i) : this.readText(text, i, -1);
      if (next < 0) {
        const end = next === incomplete ? incomplete : this.judgedAt(text, i);
        if (end === incomplete) {
          this.condition = 'not-well-formed';
          this.detail = '';
          this.token = c === lessThan ? afterLessThan : insideText;
          this.findTokenEnd(text, i + 1);
          this.hold(bytes, i);
          break;
        }
        if (end - this.start > this.mostBytes) this.tooLarge();
        return;
      }
      i = next;
      if (i - this.start > this.mostBytes) {
        this.tooLarge();
        return;
      }
      this.emit(i);
      if (this.stopped) return;
    }
    this.leaveChunk(length);
  }

  /** What ended at `end` is complete. */
  private emit(end: number): void {
    const completed = this.completed;
    if (completed === undefined) return;
    this.completed = undefined;
    const isOversized = completed.kind === 'element' && end - this.start > this.limits.elementBytes;
    this.events.push(isOversized ? { kind: 'element', element: new OversizedElement(completed.element) } : completed);
    if (completed.kind === 'end') this.stopped = true;
  }

  /** Where the token that began at `from` was judged: behind its last byte, or `incomplete`. */
  private judgedAt(text: string, from: number): number {
    if (text.charCodeAt(from) !== lessThan) {
      const end = text.indexOf('<', from);
      return end === -1 ? incomplete : end + 1;
    }
    this.token = afterLessThan;
    const end = this.findTokenEnd(text, from + 1);
    this.token = noToken;
    return end;
  }

  /** The index behind the token's end (of text: of the `<` that ends it), or `incomplete` with the state kept. */
  private findTokenEnd(text: string, from: number): number {
    const length = text.length;
    let i = from;
    while (i < length) {
      switch (this.token) {
        case insideText: {
          const end = text.indexOf('<', i);
          return end === -1 ? incomplete : end;
        }
        case afterLessThan: {
          const c = text.charCodeAt(i);
          if (c === exclamation) {
            this.token = afterExclamation;
            this.matched = 2;
            i++;
          } else if (c === question) {
            if (!this.atStart) return i + 1;
            this.token = insideDeclaration;
            this.matched = 0;
            i++;
          } else this.token = insideTag;
          break;
        }
        case insideTag: {
          const c = text.charCodeAt(i++);
          if (c === greaterThan) return i;
          if (c === singleQuote) this.token = insideSingleQuotes;
          else if (c === doubleQuote) this.token = insideDoubleQuotes;
          break;
        }
        case insideSingleQuotes:
        case insideDoubleQuotes: {
          const end = text.indexOf(this.token === insideSingleQuotes ? "'" : '"', i);
          if (end === -1) return incomplete;
          this.token = insideTag;
          i = end + 1;
          break;
        }
        case afterExclamation:
          if (text.charCodeAt(i++) !== cdataStart.charCodeAt(this.matched)) return i;
          if (++this.matched === cdataStart.length) {
            this.token = insideCdata;
            this.matched = 0;
          }
          break;
        case insideCdata: {
          if (this.matched === 0) {
            const bracket = text.indexOf(']', i);
            if (bracket === -1) return incomplete;
            i = bracket;
          }
          const c = text.charCodeAt(i++);
          if (c === closingBracket) this.matched = Math.min(this.matched + 1, 2);
          else if (c === greaterThan && this.matched === 2) return i;
          else this.matched = 0;
          break;
        }
        default: {
          const c = text.charCodeAt(i++);
          if (c === greaterThan && this.matched === 1) return i;
          this.matched = c === question ? 1 : 0;
        }
      }
    }
    return incomplete;
  }

  /** Keeps the bytes of an unfinished token. */
  private hold(bytes: Buffer, from: number): void {
    const more = bytes.length - from;
    const needed = this.heldBytes + more;
    // What is over the limit is refused at the end of this chunk and need not be kept.
    if (bytes.length - this.start > this.mostBytes) return;
    if (needed > this.held.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(256, this.heldBytes === 0 ? needed : needed * 2));
      this.held.copy(grown, 0, 0, this.heldBytes);
      this.held = grown;
    }
    bytes.copy(this.held, this.heldBytes, from);
    this.heldBytes = needed;
  }

  private leaveChunk(length: number): void {
    if (this.token === noToken && this.depth <= this.base) return;
    this.start -= length;
    if (-this.start > this.mostBytes) this.tooLarge();
  }

  private forget(): void {
    this.depth = 0;
    this.root = noRoot;
    this.opened = undefined;
    this.defaultNs = '';
    this.token = noToken;
    this.held = noBytes;
    this.heldBytes = 0;
    this.start = 0;
    this.completed = undefined;
    this.condition = 'not-well-formed';
    this.detail = '';
  }

  private refuse(condition: StreamErrorCondition, detail: string): typeof failed {
    this.condition = condition;
    this.detail = detail;
    return failed;
  }

  private malformed(detail: string): typeof failed {
    return this.refuse('not-well-formed', detail);
  }

  private tooLarge(): typeof failed {
    return this.refuse('policy-violation', 'an element is too large');
  }

  /** One token that begins with `<`: the index behind it, `incomplete` or `failed`. */
  private readMarkup(text: string, from: number): number {
    const c = text.charCodeAt(from + 1);
    if (c === slash) return this.readEndTag(text, from);
    if (c !== exclamation && c !== question) return this.readStartTag(text, from);
    this.token = afterLessThan;
    const end = this.findTokenEnd(text, from + 1);
    this.token = noToken;
    if (end === incomplete) return incomplete;
    const token = text.slice(from, end);
    if (c === question) return this.readDeclaration(token) ? end : failed;
    if (!token.startsWith(cdataStart)) {
      return this.refuse('restricted-xml', 'comments and document type declarations are not allowed');
    }
    if (this.depth <= this.base) return this.refuse('bad-format', 'text outside an element');
    const content = this.decodeText(token.slice(cdataStart.length, -3), false, false);
    if (content === undefined) return failed;
    return this.addText(content) ? end : failed;
  }

  private readDeclaration(token: string): boolean {
    if (!this.atStart || !/^<\?xml[ \t\r\n]/.test(token)) {
      this.refuse('restricted-xml', 'processing instructions are not allowed');
      return false;
    }
    const parts = declaration.exec(token);
    if (parts === null) {
      this.malformed('the XML declaration is malformed');
      return false;
    }
    const encoding = parts[3] ?? parts[4];
    if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') {
      this.refuse('unsupported-encoding', 'the encoding is not UTF-8');
      return false;
    }
    if ((parts[1] ?? parts[2]) !== '0') {
      this.refuse('bad-format', 'the version of XML is not 1.0');
      return false;
    }
    this.atStart = false;
    return true;
  }

  /** A run of text up to `to`, or, with -1, up to the next `<`: the index behind it, `incomplete` or `failed`. */
  private readText(text: string, from: number, to: number): number {
    let i = from;
    let plain = true;
    for (;;) {
      const k = textClasses[text.charCodeAt(i)]!;
      if (k === 0) {
        i++;
        continue;
      }
      if (k === needsWork) {
        plain = false;
        i++;
        continue;
      }
      if (k === isRefused) return this.malformed('a character that XML does not allow');
      break;
    }
    if (i === text.length && i !== to) return incomplete;
    const raw = text.slice(from, i);
    const content = plain ? raw : this.decodeText(raw, false, true);
    if (content === undefined) return failed;
    return this.addText(content) ? i : failed;
  }

  /** Adds text to the innermost element, to the text before it if there is one. */
  private addText(content: string): boolean {
    if (content === '') return true;
    const children = this.opened!.elements[this.depth - 1]!.children as Child[];
    const last = children.length - 1;
    const before = children[last];
    if (typeof before === 'string') children[last] = before + content;
    else if (children.length >= this.limits.children) {
      this.refuse('policy-violation', 'an element has too many children');
      return false;
    } else children.push(content);
    return true;
  }

  /** Decodes UTF-8, line ends and references (XML 1.0 sections 2.11, 3.3.3, 4.1); undefined when something is refused. */
  private decodeText(raw: string, isAttribute: boolean, hasReferences: boolean): string | undefined {
    let text = raw;
    if (hasWide(raw)) {
      try {
        text = utf8.decode(Buffer.from(raw, 'latin1'));
      } catch {
        this.malformed('the bytes are not UTF-8');
        return undefined;
      }
    }
    if (!isXmlText(text)) {
      this.malformed('a character that XML does not allow');
      return undefined;
    }
    if (text.includes('\r')) text = text.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
    if (isAttribute) text = text.replace(/[\t\n]/g, ' ');
    else if (hasReferences && text.includes(']]>')) {
      this.malformed('`]]>` in text');
      return undefined;
    }
    return hasReferences && text.includes('&') ? this.expandReferences(text) : text;
  }

  private expandReferences(text: string): string | undefined {
    let out = '';
    let last = 0;
    for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', last)) {
      const end = text.indexOf(';', at);
      const value = end === -1 ? undefined : referenced(text, at + 1, end);
      if (value === undefined) {
        this.malformed('a reference that is neither predefined nor a character');
        return undefined;
      }
      out += text.slice(last, at) + value;
      last = end + 1;
    }
    return out + text.slice(last);
  }

  private readEndTag(text: string, from: number): number {
    if (this.depth === 0) return this.malformed('an end tag without its start');
    const isRoot = this.depth === this.base;
    const raw = isRoot ? this.root.rawName : this.opened!.rawNames[this.depth - 1]!;
    let i = from + 2;
    if (!text.startsWith(raw, i)) {
      // The rest of the name may be still to come.
      return this.malformed('an end tag that does not match');
    }
    i += raw.length;
    let c = text.charCodeAt(i);
    while (isSpace(c)) c = text.charCodeAt(++i);
    if (i >= text.length) return incomplete;
    if (c !== greaterThan) return this.malformed('an end tag that does not match');
    const depth = --this.depth;
    if (isRoot) {
      this.completed = { kind: 'end' };
      return i + 1;
    }
    const opened = this.opened!;
    const closed = opened.elements[depth]!;
    this.defaultNs = opened.outerDefaults[depth]!;
    opened.bindings.length = opened.outerBindings[depth]!;
    // Nothing of a finished element is kept here.
    opened.elements[depth] = noElement;
    opened.rawNames[depth] = '';
    opened.outerDefaults[depth] = '';
    if (depth === this.base) this.complete(closed);
    return i + 1;
  }

  /** A top-level element is complete: what it was read with is free for others. */
  private complete(el: Element): void {
    this.completed = { kind: 'element', element: el };
    if (spareOpenElements.length < maxSpare) spareOpenElements.push(this.opened!);
    this.opened = undefined;
  }

  private readStartTag(text: string, from: number): number {
    const nameFrom = from + 1;
    const nameTo = scanName(text, nameFrom);
    const classes = scannedClasses;
    if (nameTo === nameFrom) return nameTo === text.length ? incomplete : this.malformed('a tag without a name');
    let end = this.readAttributes(text, nameTo);
    // The tag is complete and its syntax right; names are resolved now.
    if (end >= 0 && this.openTag(text, nameFrom, nameTo, classes) === failed) end = failed;
    // These hold on to the chunk they were cut from.
    this.tagAttrs = undefined;
    this.tagDeclared = undefined;
    return end;
  }

  /** The attributes of a tag and its `>`: the index behind it, `incomplete` or `failed`. */
  private readAttributes(text: string, from: number): number {
    const limits = this.limits;
    this.tagIsPrefixed = false;
    this.tagCloses = false;
    let i = from;
    for (;;) {
      const gapFrom = i;
      let c = text.charCodeAt(i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      if (c === greaterThan) return i + 1;
      if (c === slash) {
        if (text.charCodeAt(i + 1) !== greaterThan) return this.malformed('a slash inside a tag');
        this.tagCloses = true;
        return i + 2;
      }
      if (i === text.length) return incomplete;
      if (i === gapFrom) return this.malformed('no space before an attribute');

      const attrFrom = i;
      i = scanName(text, i);
      const attrTo = i;
      const classes = scannedClasses;
      if (attrTo === attrFrom) return this.malformed('an attribute without a name');
      c = text.charCodeAt(i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      if (c !== equalsSign) return this.malformed('an attribute without a value');
      c = text.charCodeAt(++i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      if (c !== singleQuote && c !== doubleQuote) return this.malformed('an attribute value without quotes');
      const quote = c;
      const valueFrom = ++i;
      let plain = true;
      for (;;) {
        c = text.charCodeAt(i);
        const k = valueClasses[c]!;
        if (k === 0) {
          i++;
          continue;
        }
        if (c === quote) break;
        if (k === isRefused) return this.malformed('a character that an attribute must not hold');
        if (i >= text.length) return incomplete;
        if (k === needsWork) plain = false;
        i++;
      }
      const rawValue = text.slice(valueFrom, i);
      i++;
      const value = plain ? rawValue : this.decodeText(rawValue, true, true);
      if (value === undefined) return failed;
      if (
        value.length > limits.attributeBytes ||
        (!plain && Buffer.byteLength(value, 'utf8') > limits.attributeBytes)
      ) {
        return this.refuse('policy-violation', 'an attribute is too large');
      }
      if (attrTo - attrFrom > limits.nameBytes) return this.refuse('policy-violation', 'a name is too long');
      const name = this.readName(text, attrFrom, attrTo, classes);
      if (name === undefined) return failed;
      if (this.addAttribute(name, value, classes) === failed) return failed;
    }
  }

  /** An attribute or a declaration of a namespace, to those of the tag that is being read. */
  private addAttribute(name: string, value: string, classes: number): number {
    if ((classes & nameColon) === 0) {
      if (name !== 'xmlns') {
        const attrs = (this.tagAttrs ??= []);
        for (let k = 0; k < attrs.length; k += 2) {
          if (attrs[k] === name) return this.malformed('an attribute stands twice');
        }
        if (attrs.length >= this.limits.attributes * 2) return this.refuse('policy-violation', 'too many attributes');
        attrs.push(name, value);
        return accepted;
      }
      if (value === NS_XML || value === NS_XMLNS) return this.malformed('a reserved namespace is declared');
    } else if (!name.startsWith('xmlns:')) {
      const attrs = (this.tagAttrs ??= []);
      if (attrs.length >= this.limits.attributes * 2) return this.refuse('policy-violation', 'too many attributes');
      attrs.push(name, value);
      this.tagIsPrefixed = true;
      return accepted;
    } else if (!mayDeclare(name.slice(6), value)) return this.malformed('a reserved prefix or namespace is declared');
    const prefix = name === 'xmlns' ? '' : name.slice(6);
    const declared = (this.tagDeclared ??= []);
    for (let k = 0; k < declared.length; k += 2) {
      if (declared[k] === prefix) return this.malformed('an attribute stands twice');
    }
    declared.push(prefix, value);
    // A long namespace under a short prefix would stand, whole, in the name of every attribute that uses it.
    if (Buffer.byteLength(value, 'utf8') > this.limits.nameBytes) {
      return this.refuse('policy-violation', 'a namespace is too long');
    }
    const inForce = this.root.bindings.length + (this.opened?.bindings.length ?? 0);
    if (inForce + declared.length > this.limits.namespaces * 2) {
      return this.refuse('policy-violation', 'too many namespaces');
    }
    return accepted;
  }

  /** Opens the element whose tag was read, or is done with it; `failed` when it must not stand here. */
  private openTag(text: string, nameFrom: number, nameTo: number, classes: number): number {
    const limits = this.limits;
    const attrs = this.tagAttrs;
    const declared = this.tagDeclared;
    const selfClosing = this.tagCloses;
    if (nameTo - nameFrom > limits.nameBytes) return this.refuse('policy-violation', 'a name is too long');
    const rawName = text.slice(nameFrom, nameTo);
    const qName = this.readName(text, nameFrom, nameTo, classes);
    if (qName === undefined) return failed;
    const outerDefault = this.defaultNs;
    const opened = (this.opened ??= spareOpenElements.pop() ?? new OpenElements());
    const { bindings } = opened;
    const outerBindings = bindings.length;
    if (declared !== undefined) {
      for (let k = 0; k < declared.length; k += 2) {
        bindings.push(declared[k]!, declared[k + 1]!);
        if (declared[k] === '') this.defaultNs = declared[k + 1]!;
      }
    }
    let name = qName;
    let ns: string | undefined = this.defaultNs;
    if ((classes & nameColon) !== 0) {
      const split = qName.indexOf(':');
      ns = this.resolve(qName.slice(0, split));
      if (ns === undefined) return this.refuse('bad-namespace-prefix', 'a prefix that is not declared');
      name = qName.slice(split + 1);
    }
    if (this.tagIsPrefixed && attrs !== undefined) {
      if (!this.resolveAttributes(attrs)) return failed;
    }

    const depth = this.depth;
    if (depth < this.base) {
      this.atStart = false;
      if (!this.readHeader(name, ns, attrs ?? noAttrs)) return failed;
      if (selfClosing) {
        return this.refuse('bad-format', 'a stream that ends where it begins');
      }
      // These strings live as long as the stream: they must not hold on to the chunk they were cut from.
      this.defaultNs = NS_CLIENT;
      this.root = rootOf(rawName, bindings);
      bindings.length = 0;
      this.depth++;
      return accepted;
    }
    this.atStart = false;
    if (depth === 1 && this.base === 1 && name === 'stream' && ns === NS_STREAM) {
      // Were it an element, nothing behind it would ever be complete. The owner resets before a new header is due.
      return this.refuse('bad-format', 'a stream header inside a stream');
    }
    if (depth - this.base >= limits.depth) return this.refuse('policy-violation', 'elements are nested too deep');
    const el: Element = { name, ns, attrs: attrs ?? noAttrs, children: selfClosing ? noChildren : [] };
    if (depth > this.base) {
      const siblings = opened.elements[depth - 1]!.children as Child[];
      if (siblings.length >= limits.children) {
        return this.refuse('policy-violation', 'an element has too many children');
      }
      siblings.push(el);
    }
    if (!selfClosing) {
      this.depth++;
      opened.elements[depth] = el;
      opened.rawNames[depth] = rawName;
      opened.outerDefaults[depth] = outerDefault;
      opened.outerBindings[depth] = outerBindings;
    } else {
      this.defaultNs = outerDefault;
      bindings.length = outerBindings;
      if (depth === this.base) this.complete(el);
    }
    return accepted;
  }

  /** The name as text; undefined when it is no QName (Namespaces in XML section 4). */
  private readName(text: string, from: number, to: number, classes: number): string | undefined {
    const raw = text.slice(from, to);
    if ((classes & (nameWide | nameColon)) === 0) {
      if ((nameClasses[raw.charCodeAt(0)]! & nameStart) !== 0) return raw;
      this.malformed('a name that XML does not allow');
      return undefined;
    }
    let name = raw;
    if ((classes & nameWide) !== 0) {
      const decoded = this.decodeText(raw, false, false);
      if (decoded === undefined) return undefined;
      name = decoded;
    }
    const split = name.indexOf(':');
    if (!isNcName(name.slice(split + 1)) || (split !== -1 && !isNcName(name.slice(0, split)))) {
      this.malformed('a name that XML does not allow');
      return undefined;
    }
    return name;
  }

  /** The namespace a prefix stands for. */
  private resolve(prefix: string): string | undefined {
    if (prefix === 'xml') return NS_XML;
    return bound(this.opened!.bindings, prefix) ?? bound(this.root.bindings, prefix);
  }

  /** Gives prefixed attributes their final names and finds those that turn out the same. */
  private resolveAttributes(attrs: string[]): boolean {
    for (let k = 0; k < attrs.length; k += 2) {
      const split = attrs[k]!.indexOf(':');
      if (split === -1) continue;
      const prefix = attrs[k]!.slice(0, split);
      const ns = this.resolve(prefix);
      if (ns === undefined) {
        this.refuse('bad-namespace-prefix', 'a prefix that is not declared');
        return false;
      }
      const local = attrs[k]!.slice(split + 1);
      attrs[k] = ns === NS_XML && local === 'lang' ? 'xml:lang' : `{${ns}}${local}`;
    }
    for (let k = 2; k < attrs.length; k += 2) {
      for (let j = 0; j < k; j += 2) {
        if (attrs[j] === attrs[k]) {
          this.malformed('an attribute stands twice');
          return false;
        }
      }
    }
    return true;
  }

  /** The stream's root (RFC 6120 sections 4.7 and 4.8). */
  private readHeader(name: string, ns: string, attrs: readonly string[]): boolean {
    if (ns !== NS_STREAM) {
      this.refuse('invalid-namespace', 'the root is not of the stream namespace');
      return false;
    }
    if (name !== 'stream') {
      this.refuse('bad-format', 'the root is not a stream header');
      return false;
    }
    if (this.defaultNs !== NS_CLIENT) {
      this.refuse('invalid-namespace', 'the default namespace is not jabber:client');
      return false;
    }
    const root: Element = { name, ns, attrs, children: noChildren };
    this.completed = {
      kind: 'header',
      header: {
        to: attribute(root, 'to'),
        from: attribute(root, 'from'),
        id: attribute(root, 'id'),
        version: attribute(root, 'version'),
        lang: attribute(root, 'xml:lang'),
      },
    };
    return true;
  }
}

/** The namespace that was bound to a prefix last. */
function bound(bindings: readonly string[], prefix: string): string | undefined {
  for (let k = bindings.length - 2; k >= 0; k -= 2) if (bindings[k] === prefix) return bindings[k + 1];
  return undefined;
}

/** The same string in memory of its own. */
function detached(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}

function hasWide(raw: string): boolean {
  return /[\x80-\xff]/.test(raw);
}

/** Whether a prefix may be bound to a namespace (Namespaces in XML section 3, "reserved prefixes"). */
function mayDeclare(prefix: string, ns: string): boolean {
  if (prefix === 'xmlns' || ns === NS_XMLNS || ns === '') return false;
  return (prefix === 'xml') === (ns === NS_XML);
}

/** What the reference whose inside is `text[from, to)` stands for; undefined when it is none we know. */
function referenced(text: string, from: number, to: number): string | undefined {
  if (text.charCodeAt(from) !== 0x23) {
    switch (text.slice(from, to)) {
      case 'lt':
        return '<';
      case 'gt':
        return '>';
      case 'amp':
        return '&';
      case 'apos':
        return "'";
      case 'quot':
        return '"';
      default:
        return undefined;
    }
  }
  const hex = text.charCodeAt(from + 1) === 0x78;
  const radix = hex ? 16 : 10;
  let value = 0;
  let i = hex ? from + 2 : from + 1;
  if (i >= to) return undefined;
  for (; i < to; i++) {
    const c = text.charCodeAt(i);
    let digit = c - 0x30;
    if (digit < 0 || digit > 9) {
      // Letters of either case; the bit makes them lower case.
      digit = (c | 0x20) - 0x57;
      if (!hex || digit < 10 || digit > 15) return undefined;
    }
    value = value * radix + digit;
    if (value > 0x10ffff) return undefined;
  }
  return isXmlCodePoint(value) ? String.fromCodePoint(value) : undefined;
}

/**
 * Reads one element that stands alone, such as a WebSocket message of RFC 7395; an XML declaration may precede it.
 * Gives back the element or why it is refused; never throws.
 */
export function parseXmlDocument(document: string | Uint8Array, limits: XmlLimits): Element | XmlError {
  let bytes: Uint8Array;
  if (typeof document === 'string') {
    if (!document.isWellFormed()) return { kind: 'error', condition: 'not-well-formed', detail: 'a lone surrogate' };
    bytes = Buffer.from(document, 'utf8');
  } else bytes = document;
  const decoder = new XmlStreamDecoder(limits, 'document');
  const events = decoder.push(bytes);
  const first = events[0];
  const second = events[1];
  if (first?.kind === 'error') return first;
  if (second?.kind === 'error') return second;
  if (first?.kind !== 'element' || decoder.pendingBytes > 0) {
    return { kind: 'error', condition: 'not-well-formed', detail: 'the document is not complete' };
  }
  if (second !== undefined)
    return { kind: 'error', condition: 'not-well-formed', detail: 'more than one root element' };
  return first.element;
}

/** The stream's opening or end in a WebSocket message (RFC 7395 sections 3.4 and 3.6); undefined for all other elements. */
export function parseFraming(
  el: Element,
): { readonly kind: 'open'; readonly header: StreamHeader } | { readonly kind: 'close' } | undefined {
  if (el.ns !== NS_FRAMING) return undefined;
  if (el.name === 'close') return { kind: 'close' };
  if (el.name !== 'open') return undefined;
  return {
    kind: 'open',
    header: {
      to: attribute(el, 'to'),
      from: attribute(el, 'from'),
      id: attribute(el, 'id'),
      version: attribute(el, 'version'),
      lang: attribute(el, 'xml:lang'),
    },
  };
}
