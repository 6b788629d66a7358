// Reads restricted XML: bytes in any pieces to stream headers, elements and one error. Knows nothing of sockets,
// stanzas or what a stream is for.
//
// How it works: every byte is one character of a Latin-1 string, so that positions are bytes, and ASCII, which is nearly
// all of a stream, needs no decoding. The input is cut into tokens: a tag, a run of text, a CDATA section, the XML
// declaration. A token is judged when its end has arrived, never before; what comes out hence does not depend on how the
// bytes were cut. Only the bytes of one unfinished token are held back, and each is looked at once while it waits. UTF-8
// is checked and decoded token by token, where bytes above 0x7f occur.
//
// This file has chunks and tokens. The rooms in `xml/`: where a token ends (token-end), what a tag says (start-tag) and
// a text (text), what they make (element-tree, open-elements), the loops over bytes (scan), why it is refused (refusal).
//
// Source: RFC 6120 sections 4.8 and 11, XML 1.0 (fifth edition), Namespaces in XML 1.0 (third edition),
// docs/protocol/04-streams.md section 4.1.

import { canonicalBase64At } from './canonical-base64.ts';
import { type Element, OversizedElement } from './element.ts';
import type { XmlLimits } from './limits.ts';
import { NS_FRAMING } from './namespaces.ts';
import { ElementTree } from './xml/element-tree.ts';
import { type StreamHeader, streamHeaderOf, type XmlError, type XmlEvent } from './xml/events.ts';
import { failed, incomplete, Refusal } from './xml/refusal.ts';
import { exclamation, isSpace, lessThan, question, scanned, scanText, slash } from './xml/scan.ts';
import { StartTag } from './xml/start-tag.ts';
import { decodeText, judgeDeclaration } from './xml/text.ts';
import { cdataStart, TokenEnd } from './xml/token-end.ts';

export type { StreamHeader, XmlError, XmlEvent } from './xml/events.ts';

const noBytes = Buffer.alloc(0);
const tag = new StartTag();

/**
 * Reads a stream (RFC 6120 section 4) or, with `root` = 'document', one element that stands alone (RFC 7395).
 *
 * Give it bytes in any pieces; it gives back what they complete. White space between top-level elements is dropped. After
 * an error or the stream's end it gives nothing any more and keeps nothing. It never throws. It holds at most one
 * unfinished top-level element within the limits. The strings it gives may share memory with the chunk they came in.
 */
export class XmlStreamDecoder {
  private readonly tree: ElementTree;
  private readonly tokenEnd = new TokenEnd();
  private readonly refusal = new Refusal();
  /** Nothing has been read: an XML declaration may come. */
  private atStart = true;
  private stopped = false;
  private held: Buffer = noBytes;
  private heldBytes = 0;
  /** Where the top-level element began, counted from the current chunk's first byte (negative: in an earlier chunk). */
  private start = 0;

  constructor(limits: XmlLimits, root: 'stream' | 'document' = 'stream') {
    this.tree = new ElementTree(limits, root === 'stream' ? 1 : 0, this.refusal);
  }

  /** Above it nothing is read. */
  private get mostBytes(): number {
    const { limits } = this.tree;
    return limits.readableBytes ?? limits.elementBytes;
  }

  /** From the next `push` on, other limits. */
  setLimits(limits: XmlLimits): void {
    this.tree.limits = limits;
  }

  /** Forgets everything, also an error: a new stream header is expected (after STARTTLS and SASL). */
  reset(): void {
    this.stopped = false;
    this.atStart = true;
    this.forget();
  }

  /** Bytes of the top-level element (or header) that is not complete yet; 0 between elements. */
  get pendingBytes(): number {
    return this.isBetweenElements ? 0 : -this.start;
  }

  private get isBetweenElements(): boolean {
    return !this.tokenEnd.isAwaited && this.tree.isOutside;
  }

  push(chunk: Uint8Array): XmlEvent[] {
    if (this.stopped || chunk.length === 0) return [];
    const events: XmlEvent[] = [];
    const bytes = chunk instanceof Buffer ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const text = bytes.toString('latin1');
    const from = this.tokenEnd.isAwaited ? this.readHeld(text, bytes, events) : 0;
    if (from >= 0 && !this.stopped && !this.refusal.isSet) this.scan(text, from, bytes, events);
    if (this.refusal.isSet) {
      events.push({ kind: 'error', condition: this.refusal.condition, detail: this.refusal.detail });
      this.stopped = true;
    }
    if (this.stopped) this.forget();
    return events;
  }

  /** Reads the token that an earlier chunk began: the index behind it, or `incomplete` when this chunk doesn't end it. */
  private readHeld(text: string, bytes: Buffer, events: XmlEvent[]): number {
    const { isText } = this.tokenEnd;
    const end = this.tokenEnd.find(text, 0, this.atStart);
    if (end === incomplete) {
      this.hold(bytes, 0);
      this.leaveChunk(text.length);
      return incomplete;
    }
    const token = this.held.toString('latin1', 0, this.heldBytes) + text.slice(0, end);
    this.tokenEnd.forget();
    this.held = noBytes;
    this.heldBytes = 0;
    // A text's end is known by the `<` behind it.
    if ((isText ? end + 1 : end) - this.start > this.mostBytes) this.refusal.tooLarge();
    else if ((isText ? this.readText(token, 0, token.length) : this.readMarkup(token, 0)) !== failed) {
      this.emit(end, events);
    }
    return end;
  }

  /** Reads tokens until the text ends or something fails. */
  private scan(text: string, from: number, bytes: Buffer, events: XmlEvent[]): void {
    const { tree } = this;
    let i = from;
    const length = text.length;
    while (i < length) {
      let c = text.charCodeAt(i);
      if (tree.isOutside) {
        while (isSpace(c)) {
          this.atStart = false;
          c = text.charCodeAt(++i);
        }
        if (i >= length) break;
        if (tree.depth === tree.base || c === lessThan) this.start = i;
        if (c !== lessThan) {
          this.refusal.refuse(tree.depth === 0 ? 'not-well-formed' : 'bad-format', 'text outside an element');
          return;
        }
      }
      const next = c === lessThan ? this.readMarkup(text, i) : this.readText(text, i, -1);
      if (next < 0) {
        const end = next === incomplete ? incomplete : this.judgedAt(text, i);
        if (end === incomplete) {
          this.refusal.forget();
          this.tokenEnd.begin(c !== lessThan);
          this.tokenEnd.find(text, i + 1, this.atStart);
          this.hold(bytes, i);
          break;
        }
        if (end - this.start > this.mostBytes) this.refusal.tooLarge();
        return;
      }
      i = next;
      if (i - this.start > this.mostBytes) {
        this.refusal.tooLarge();
        return;
      }
      this.emit(i, events);
      if (this.stopped) return;
    }
    this.leaveChunk(length);
  }

  /** What ended at `end` is complete. */
  private emit(end: number, events: XmlEvent[]): void {
    const { completed, limits } = this.tree;
    if (completed === undefined) return;
    this.tree.completed = undefined;
    const isOversized = completed.kind === 'element' && end - this.start > limits.elementBytes;
    events.push(isOversized ? { kind: 'element', element: new OversizedElement(completed.element) } : completed);
    if (completed.kind === 'end') this.stopped = true;
  }

  /** Where the token that began at `from` was judged: behind its last byte, or `incomplete`. */
  private judgedAt(text: string, from: number): number {
    if (text.charCodeAt(from) === lessThan) return this.markupEnd(text, from);
    const end = text.indexOf('<', from);
    return end === -1 ? incomplete : end + 1;
  }

  /** Where the markup that begins at `from` ends, within this text. */
  private markupEnd(text: string, from: number): number {
    this.tokenEnd.begin(false);
    const end = this.tokenEnd.find(text, from + 1, this.atStart);
    this.tokenEnd.forget();
    return end;
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
    if (this.isBetweenElements) return;
    this.start -= length;
    if (-this.start > this.mostBytes) this.refusal.tooLarge();
  }

  private forget(): void {
    this.tree.forget();
    this.tokenEnd.forget();
    this.refusal.forget();
    this.held = noBytes;
    this.heldBytes = 0;
    this.start = 0;
  }

  /** One token that begins with `<`: the index behind it, `incomplete` or `failed`. */
  private readMarkup(text: string, from: number): number {
    const { refusal, tree } = this;
    const c = text.charCodeAt(from + 1);
    if (c === slash) return tree.close(text, from);
    if (c !== exclamation && c !== question) return this.readStartTag(text, from);
    const end = this.markupEnd(text, from);
    if (end === incomplete) return incomplete;
    const token = text.slice(from, end);
    if (c === question) {
      if (!judgeDeclaration(token, this.atStart, refusal)) return failed;
      this.atStart = false;
      return end;
    }
    if (!token.startsWith(cdataStart)) {
      return refusal.refuse('restricted-xml', 'comments and document type declarations are not allowed');
    }
    if (tree.isOutside) return refusal.refuse('bad-format', 'text outside an element');
    const content = decodeText(token.slice(cdataStart.length, -3), false, false, refusal);
    if (content === undefined) return failed;
    return tree.addText(content) === failed ? failed : end;
  }

  private readStartTag(text: string, from: number): number {
    const { refusal, tree } = this;
    let end = tag.read(text, from, tree.limits, tree.inForce, refusal);
    if (end >= 0) {
      if (tree.open(tag) === failed) end = failed;
      this.atStart = false;
    }
    tag.forget();
    return end;
  }

  /** A run of text up to `to`, or, with -1, up to the next `<`: the index behind it, `incomplete` or `failed`. */
  private readText(text: string, from: number, to: number): number {
    const base64 = canonicalBase64At(text, from);
    if (base64 !== undefined) return this.tree.addText(base64) === failed ? failed : from + base64.length;
    const i = scanText(text, from);
    const plain = scanned === 0;
    if (i === text.length) {
      if (i !== to) return incomplete;
    } else if (text.charCodeAt(i) !== lessThan) return this.refusal.malformed('a character that XML does not allow');
    const raw = text.slice(from, i);
    const content = plain ? raw : decodeText(raw, false, true, this.refusal);
    if (content === undefined) return failed;
    return this.tree.addText(content) === failed ? failed : i;
  }
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
  return { kind: 'open', header: streamHeaderOf(el) };
}
