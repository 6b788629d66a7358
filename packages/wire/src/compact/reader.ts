// A place in compact bytes, with what holds for the stanza being read: numbers, characters, and the count of what the
// stanza is at least in XML. Knows nothing of elements and values.
// Source: docs/protocol/07-compact-codec.md.

import type { XmlLimits } from '../limits.ts';
import { isXmlText } from '../xml-chars.ts';
import { type CompactContext, anyClass, charClass, classOf } from '../compact-value.ts';
import type { CompactErrorCode } from './errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const maxVarintBytes = 3;

/** Methods, and functions that read from it, give undefined (or -1) when they refuse, and `code` says why. */
export class CompactReader {
  code: CompactErrorCode = 'truncated';
  offset: number;
  readonly bytes: Buffer;
  readonly context: CompactContext;
  readonly limits: XmlLimits;
  /** The least bytes of XML that could hold what was read so far. */
  size = 0;
  /** Bytes of the name that was just read. */
  spelled = 0;
  /** Namespaces written out in this stanza, in order. */
  namespaces: Map<string, number> | undefined;
  namespaceList: string[] = [];
  /** The different namespaces of attributes of the element being read and those around it. */
  attributeNamespaces: string[] = [];

  constructor(bytes: Uint8Array, offset: number, context: CompactContext, limits: XmlLimits) {
    this.bytes = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.offset = offset;
    this.context = context;
    this.limits = limits;
  }

  /** What was read last is above `elementBytes`: it was read to its end, to be answered. */
  get isOversized(): boolean {
    return this.size > this.limits.elementBytes;
  }

  /** Above it nothing is read. */
  get mostBytes(): number {
    return this.limits.readableBytes ?? this.limits.elementBytes;
  }

  /** Forgets what belongs to one stanza. */
  begin(): void {
    this.size = 0;
    if (this.namespaces !== undefined) {
      this.namespaces = undefined;
      this.namespaceList = [];
    }
  }

  fail(code: CompactErrorCode): undefined {
    this.code = code;
    return undefined;
  }

  /** A number 0..2^21-1 in its shortest form, or -1. */
  varint(): number {
    let value = 0;
    for (let i = 0; i < maxVarintBytes; i++) {
      const byte = this.bytes[this.offset++];
      if (byte === undefined) {
        this.fail('truncated');
        return -1;
      }
      value |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        if (byte !== 0 || i === 0) return value;
        this.fail('not-canonical');
        return -1;
      }
    }
    this.fail('too-large');
    return -1;
  }

  account(bytes: number): boolean {
    this.size += bytes;
    if (this.size <= this.mostBytes) return true;
    this.fail('too-large');
    return false;
  }

  known(value: string): string | undefined {
    return this.account(value.length) ? value : undefined;
  }

  /** A length and that many bytes of UTF-8, at most `maxBytes`. */
  utf8(maxBytes: number): string | undefined {
    const length = this.varint();
    if (length < 0) return undefined;
    if (length > maxBytes) return this.fail('too-long');
    this.spelled = length;
    return this.characters(length);
  }

  /** The next bytes as UTF-8 of characters that XML allows. */
  characters(length: number): string | undefined {
    const bytes = this.bytes;
    const start = this.offset;
    const end = start + length;
    if (end > bytes.length) return this.fail('truncated');
    let classes = anyClass;
    for (let i = start; i < end; i++) classes &= classOf[bytes[i]!]!;
    this.offset = end;
    if ((classes & charClass.ascii) !== 0) return bytes.toString('latin1', start, end);
    if ((classes & charClass.legal) === 0) return this.fail('bad-character');
    let text: string;
    try {
      text = utf8.decode(bytes.subarray(start, end));
    } catch {
      return this.fail('bad-utf8');
    }
    return isXmlText(text) ? text : this.fail('bad-character');
  }
}
