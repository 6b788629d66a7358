// Reads elements in the compact form and refuses every byte that the encoder would not have written. Bounded in time,
// depth and memory for any input. Knows nothing of frames, keys or streams. Source: docs/protocol/07-compact-codec.md.

import { type Child, type Element, OversizedElement } from './element.ts';
import { type Ciphertext, type CiphertextKind, EnvelopeElement, type EnvelopeMessage } from './envelope.ts';
import { knownInteropId, randomBytesOfId, rememberInteropId } from './interop-id-table.ts';
import { isStanzaId, parseRegistrationId } from './jid.ts';
import { digestBytes, maxCiphertextBytes, maxCiphertexts, maxEnvelopeBytes, type XmlLimits } from './limits.ts';
import { NS_XML, NS_XMLNS } from './namespaces.ts';
import { isNcName, isXmlText } from './xml-chars.ts';
import {
  attributeTokens,
  commitmentOpening,
  dictionaryAttributes,
  dictionaryNamespaces,
  dictionaryValues,
  dictionaryWholeAttributes,
  elementNameOf,
  elementNamespaceOf,
  elementTokens,
  firstAttributeToken,
  firstNamespaceToken,
  firstValueToken,
  firstWholeAttributeToken,
  lastValueToken,
  messageTokens as tokens,
  namespaceTokens,
} from './compact-dictionary.ts';
import {
  attributeHead,
  content,
  head,
  manyAttributes,
  maxShortCount,
  namespaceHead,
  shape,
  textShape,
} from './compact-encoder.ts';
import {
  type CompactContext,
  anyClass,
  base32Code,
  charClass,
  classOf,
  digitAlphabet,
  form,
  formOf,
  maxDomainLength,
  maxShortLiteral,
  minRawBytes,
  nibbleFiller,
} from './compact-value.ts';

/** Why bytes are not a stanza. Only `truncated` can be mended by more bytes; a frame is whole, so there it can't either. */
export type CompactErrorCode =
  /** The bytes end inside an element. */
  | 'truncated'
  /** A byte that dictionary 1 gives no meaning. */
  | 'unknown-token'
  /** The same stanza has another, the only right spelling. */
  | 'not-canonical'
  /** Bytes that are not UTF-8 (RFC 3629). */
  | 'bad-utf8'
  /** A character that XML 1.0 does not allow (section 2.2). */
  | 'bad-character'
  /** A name that is not one (Namespaces in XML 1.0, NCName). */
  | 'bad-name'
  /** A namespace that can't stand here: `xmlns`'s own anywhere, none at all for an attribute that says it has one. */
  | 'bad-namespace'
  /** An attribute twice. */
  | 'duplicate-attribute'
  /** Text where only an element can stand. */
  | 'unexpected-text'
  | 'too-deep'
  | 'too-many-attributes'
  | 'too-many-children'
  | 'too-many-namespaces'
  | 'too-many-stanzas'
  /** A name, a namespace or an attribute's value is longer than its limit. */
  | 'too-long'
  /** The least XML that could hold this stanza is longer than the limit. */
  | 'too-large';

/** `offset`: at or just behind the byte that was refused. */
export type CompactError = { readonly code: CompactErrorCode; readonly offset: number };

/** `nextOffset`: of the byte behind the element. */
export type CompactDecoded = { readonly element: Element; readonly nextOffset: number };

/** Stanzas in one frame. */
export const maxFrameStanzas = 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const numbers: readonly string[] = Array.from({ length: 128 }, (_, i) => String(i));
const digitCodes = Uint8Array.from(digitAlphabet, c => c.charCodeAt(0));
const hexCodes = Uint8Array.from('0123456789abcdef', c => c.charCodeAt(0));
const hyphen = 0x2d;
const maxVarintBytes = 3;
const noAttributes: readonly string[] = [];
const noChildren: readonly Child[] = [];

/** Where strings are put together; long enough for a JID, grown for long digits. */
let scratch = Buffer.alloc(512);

/**
 * Reads the element that begins at `offset`.
 *
 * Bytes that stand for base64 become `Uint8Array` children that share the memory of `bytes`; everything else is strings.
 * For every input: an element whose encoding is exactly the bytes read, or an error. Never throws.
 */
export function decodeCompact(
  bytes: Uint8Array,
  offset: number,
  context: CompactContext,
  limits: XmlLimits,
): CompactDecoded | CompactError {
  if (!Number.isInteger(offset) || offset < 0 || offset > bytes.length) return { code: 'truncated', offset: 0 };
  const reader = new Reader(bytes, offset, context, limits);
  const element = reader.element(1);
  if (element === undefined) return { code: reader.code, offset: reader.offset };
  return { element, nextOffset: reader.offset };
}

/** Reads a whole frame: one stanza or more, at most `maxFrameStanzas`, to the last byte. Never throws. */
export function decodeCompactFrame(
  bytes: Uint8Array,
  context: CompactContext,
  limits: XmlLimits,
): readonly Element[] | CompactError {
  const reader = new Reader(bytes, 0, context, limits);
  const elements: Element[] = [];
  do {
    if (elements.length === maxFrameStanzas) return { code: 'too-many-stanzas', offset: reader.offset };
    reader.begin();
    const element = reader.envelope() ?? reader.element(1);
    if (element === undefined) return { code: reader.code, offset: reader.offset };
    elements.push(reader.isOversized ? new OversizedElement(element) : element);
  } while (reader.offset < bytes.length);
  return elements;
}

/** `counted` in place of a number of children. */
const manyCiphertexts = content.counted - content.firstCount + 1;
const kinds = new Map<number, CiphertextKind>([
  [tokens.kindPrekey, 'prekey'],
  [tokens.kindSession, 'session'],
  [tokens.kindPlaintextRetry, 'plaintext-retry'],
]);
/** More than a message's XML takes around its ciphertexts, and a ciphertext's around its payload. */
const maxMessageFrameBytes = 1_024;
const maxCiphertextFrameBytes = 160;
const hintNoStore = 1;
const hintSilent = 2;

/** A place in the bytes. Methods give undefined (or -1) when they refuse, and `code` says why. */
class Reader {
  code: CompactErrorCode = 'truncated';
  offset: number;
  private readonly bytes: Buffer;
  private readonly context: CompactContext;
  private readonly limits: XmlLimits;
  /** The least bytes of XML that could hold what was read so far. */
  private size = 0;
  /** Bytes of the name that was just read. */
  private spelled = 0;
  /** Namespaces written out in this stanza, in order. */
  private namespaces: Map<string, number> | undefined;
  private namespaceList: string[] = [];
  /** The different namespaces of attributes of the element being read and those around it. */
  private attributeNamespaces: string[] = [];

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
  private get mostBytes(): number {
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

  /**
   * Reads a message in the one spelling that clients give it (section 6.1), straight into its parsed form. Gives
   * undefined, with nothing read, for everything else, wrong or right: `element` reads and judges that.
   *
   * What it takes, `element` and `parseEnvelopeMessage` take too, with the same outcome.
   */
  envelope(): Element | undefined {
    const start = this.offset;
    const message = this.context.isAddress ? this.message() : undefined;
    if (message !== undefined) return new EnvelopeElement(message);
    this.offset = start;
    this.size = 0;
    return undefined;
  }

  private message(): EnvelopeMessage | undefined {
    const { bytes, context } = this;
    if (bytes[this.offset] !== tokens.message) return undefined;
    const outer = bytes[this.offset + 1]!;
    const attributes = outer >>> 3;
    const children = outer - shape(attributes, 1) + 1;
    if ((attributes !== 2 && attributes !== 3) || children < 1 || children > 3) return undefined;
    if (bytes[this.offset + 2] !== tokens.to) return undefined;
    const toForm = bytes[this.offset + 3];
    if (toForm !== form.bareJid && toForm !== form.fullJid) return undefined;
    this.offset += 4;
    const local = this.interopId();
    if (local === undefined) return undefined;
    let toDevice: number | undefined;
    if (toForm === form.fullJid) {
      toDevice = this.deviceId();
      if (toDevice === undefined) return undefined;
    }
    if (bytes[this.offset++] !== tokens.id) return undefined;
    const id = this.value(false);
    if (typeof id !== 'string' || !isStanzaId(id)) return undefined;
    let type: 'chat' | 'normal' | undefined;
    if (attributes === 3) {
      const token = bytes[this.offset++];
      if (token !== tokens.typeChat && token !== tokens.typeNormal) return undefined;
      type = token === tokens.typeChat ? 'chat' : 'normal';
    }

    if (bytes[this.offset] !== tokens.envelope) return undefined;
    const inner = bytes[this.offset + 1]!;
    if (inner >>> 3 !== 2) return undefined;
    this.offset += 2;
    let count = inner - shape(2, 1) + 1;
    if (count === manyCiphertexts) {
      count = this.varint();
      if (count <= maxShortCount) return undefined;
    }
    if (count < 1 || count > maxCiphertexts + 1) return undefined;
    if (bytes[this.offset] !== tokens.suiteSignal1 || bytes[this.offset + 1] !== tokens.fromDevice) return undefined;
    this.offset += 2;
    const fromDevice = this.deviceId();
    if (fromDevice === undefined) return undefined;
    const commitment = this.commitment();
    if (commitment !== undefined) count--;
    if (count < 1 || count > maxCiphertexts) return undefined;
    const ciphertexts: Ciphertext[] = [];
    let payloadBytes = 0;
    for (let i = 0; i < count; i++) {
      const ciphertext = this.ciphertext();
      if (ciphertext === undefined) return undefined;
      for (let j = 0; j < i; j++) if (ciphertexts[j]!.deviceId === ciphertext.deviceId) return undefined;
      payloadBytes += ciphertext.payload.length;
      ciphertexts.push(ciphertext);
    }
    if (payloadBytes > maxEnvelopeBytes) return undefined;
    // Never more than this in XML: whoever comes near the limit is counted to the byte.
    const mostBytes = maxMessageFrameBytes + count * maxCiphertextFrameBytes + Math.ceil((payloadBytes * 4) / 3);
    if (mostBytes > this.limits.elementBytes) return undefined;

    const hints = this.hints(children - 1);
    if (hints < 0) return undefined;
    return {
      kind: 'envelope-message',
      to: { local, domain: context.defaultDomain!, resource: toDevice === undefined ? '' : numbers[toDevice]! },
      toDevice,
      id,
      type,
      suite: 'signal-1',
      fromDevice,
      commitment,
      ciphertexts,
      payloadBytes,
      noStore: (hints & hintNoStore) !== 0,
      silent: (hints & hintSilent) !== 0,
    };
  }

  /** What stands behind the envelope, as bits; -1 when that is anything else. */
  private hints(count: number): number {
    const { bytes } = this;
    let hints = 0;
    for (let i = 0; i < count; i++) {
      const token = bytes[this.offset];
      if (bytes[this.offset + 1] !== shape(0, 0)) return -1;
      if (token === tokens.noStore && i === 0) hints |= hintNoStore;
      else if (token === tokens.silent && (hints & hintSilent) === 0) hints |= hintSilent;
      else return -1;
      this.offset += 2;
    }
    return hints;
  }

  /** Undefined, with nothing read, when there is none here in the one spelling that it has. */
  private commitment(): Uint8Array | undefined {
    const { bytes, offset } = this;
    const { length } = commitmentOpening;
    for (let i = 0; i < length; i++) if (bytes[offset + i] !== commitmentOpening[i]) return undefined;
    const start = offset + length + 3;
    const isDigest = bytes[start - 2] === form.base64 && bytes[start - 1] === digestBytes;
    if (bytes[start - 3] !== textShape(0) || !isDigest || start + digestBytes > bytes.length) return undefined;
    this.offset = start + digestBytes;
    return new Uint8Array(bytes.buffer, bytes.byteOffset + start, digestBytes);
  }

  private ciphertext(): (Ciphertext & { readonly payload: Uint8Array }) | undefined {
    const { bytes } = this;
    if (bytes[this.offset] !== tokens.ciphertext) return undefined;
    const attributes = bytes[this.offset + 1]! >>> 3;
    if (bytes[this.offset + 1] !== textShape(attributes) || bytes[this.offset + 2] !== tokens.device) return undefined;
    this.offset += 3;
    const deviceId = this.deviceId();
    if (deviceId === undefined) return undefined;
    let registrationId: number | undefined;
    if (attributes === 3) {
      if (bytes[this.offset++] !== tokens.registration) return undefined;
      const text = this.value(false);
      registrationId = typeof text === 'string' ? parseRegistrationId(text) : undefined;
      if (registrationId === undefined) return undefined;
    } else if (attributes !== 2) return undefined;
    const kind = kinds.get(bytes[this.offset]!);
    if (kind === undefined || bytes[this.offset + 1] !== form.base64) return undefined;
    this.offset += 2;
    const length = this.varint();
    const start = this.offset;
    if (length < minRawBytes || length > maxCiphertextBytes || start + length > bytes.length) return undefined;
    this.offset = start + length;
    const payload = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
    return { deviceId, registrationId, kind, payload };
  }

  private deviceId(): number | undefined {
    const id = this.bytes[this.offset++]!;
    return id >= 1 && id <= 127 ? id : undefined;
  }

  /** A packed InteropId. */
  private interopId(): string | undefined {
    const start = this.offset;
    const number = this.varint();
    if (number < 0 || number > 0xffff || this.offset + randomBytesOfId > this.bytes.length) return undefined;
    this.offset += randomBytesOfId;
    const known = knownInteropId(this.bytes, start, this.offset - start);
    if (known !== undefined) return known;
    return rememberInteropId(number, this.bytes.subarray(this.offset - randomBytesOfId, this.offset)).text;
  }

  private fail(code: CompactErrorCode): undefined {
    this.code = code;
    return undefined;
  }

  element(depth: number): Element | undefined {
    if (depth > this.limits.depth) return this.fail('too-deep');
    const token = this.bytes[this.offset++];
    if (token === undefined) return this.fail('truncated');
    let name: string | undefined;
    let ns: string | undefined;
    if (token > head.literalElement) {
      name = elementNameOf[token];
      ns = elementNamespaceOf[token];
      if (name === undefined || ns === undefined) return this.fail('unknown-token');
      this.spelled = name.length;
    } else {
      if (token === head.text) return this.fail('unexpected-text');
      ns = this.namespace();
      if (ns === undefined) return undefined;
      name = this.name();
      if (name === undefined) return undefined;
      if (elementTokens.get(ns)?.has(name) === true) return this.fail('not-canonical');
    }
    const nameBytes = this.spelled;
    const shape = this.bytes[this.offset++];
    if (shape === undefined) return this.fail('truncated');
    let attributeCount = shape >>> 3;
    if (attributeCount === manyAttributes) {
      const more = this.varint();
      if (more < 0) return undefined;
      attributeCount += more;
    }
    if (attributeCount > this.limits.attributes) return this.fail('too-many-attributes');
    const kind = shape & 7;
    let childCount = kind - content.firstCount + 1;
    if (kind <= content.text) childCount = kind;
    else if (kind === content.counted) {
      childCount = this.varint();
      if (childCount < 0) return undefined;
      if (childCount <= maxShortCount) return this.fail('not-canonical');
      if (childCount > this.limits.children) return this.fail('too-many-children');
    }
    if (!this.account(childCount === 0 ? nameBytes + 3 : 2 * nameBytes + 5)) return undefined;

    const outerNamespaces = this.attributeNamespaces.length;
    const attrs = attributeCount === 0 ? noAttributes : this.attributes(attributeCount);
    if (attrs === undefined) return undefined;
    let children: readonly Child[] | undefined;
    if (childCount === 0) children = noChildren;
    else if (kind === content.text) {
      const text = this.value(true);
      if (text === undefined) return undefined;
      if (text.length === 0) return this.fail('not-canonical');
      children = [text];
    } else children = this.children(childCount, depth);
    if (children === undefined) return undefined;
    if (this.attributeNamespaces.length !== outerNamespaces) this.attributeNamespaces.length = outerNamespaces;
    return { name, ns, attrs, children };
  }

  private children(count: number, depth: number): Child[] | undefined {
    const children: Child[] = [];
    let afterText = false;
    for (let i = 0; i < count; i++) {
      if (this.bytes[this.offset] === head.text) {
        // Two texts side by side are one, and a text alone has its own shape.
        if (afterText || count === 1) return this.fail('not-canonical');
        afterText = true;
        this.offset++;
        const text = this.value(true);
        if (text === undefined) return undefined;
        if (text.length === 0) return this.fail('not-canonical');
        children.push(text);
      } else {
        afterText = false;
        const child = this.element(depth + 1);
        if (child === undefined) return undefined;
        children.push(child);
      }
    }
    return children;
  }

  private attributes(count: number): string[] | undefined {
    const attrs: string[] = [];
    for (let i = 0; i < count; i++) {
      const token = this.bytes[this.offset++];
      if (token === undefined) return this.fail('truncated');
      let name: string | undefined;
      let value: string | undefined;
      if (token >= firstWholeAttributeToken) {
        const whole = dictionaryWholeAttributes[token - firstWholeAttributeToken];
        if (whole === undefined) return this.fail('unknown-token');
        name = whole[0];
        value = whole[1];
        if (!this.account(name.length + value.length + 4)) return undefined;
      } else {
        if (token >= firstAttributeToken) {
          name = dictionaryAttributes[token - firstAttributeToken];
          if (name === undefined) return this.fail('unknown-token');
          this.spelled = name.length;
        } else {
          name = token === attributeHead.namespaced ? this.namespacedName() : this.attributeName();
          if (name === undefined) return undefined;
        }
        if (!this.account(this.spelled + 4)) return undefined;
        const read = this.value(false);
        if (read === undefined) return undefined;
        value = read as string;
        if (token >= firstAttributeToken && attributeTokens.get(name)?.whole?.has(value) === true) {
          return this.fail('not-canonical');
        }
      }
      for (let j = 0; j < attrs.length; j += 2) if (attrs[j] === name) return this.fail('duplicate-attribute');
      attrs.push(name, value);
    }
    return attrs;
  }

  private attributeName(): string | undefined {
    const text = this.utf8(this.limits.nameBytes);
    if (text === undefined) return undefined;
    if (attributeTokens.has(text)) return this.fail('not-canonical');
    return text !== 'xmlns' && isNcName(text) ? text : this.fail('bad-name');
  }

  private namespacedName(): string | undefined {
    const ns = this.namespace();
    if (ns === undefined) return undefined;
    if (ns === '') return this.fail('bad-namespace');
    const local = this.name();
    if (local === undefined) return undefined;
    // That one is written `xml:lang` and has a token.
    if (ns === NS_XML && local === 'lang') return this.fail('not-canonical');
    if (!this.attributeNamespaces.includes(ns)) {
      if (this.attributeNamespaces.length === this.limits.namespaces) return this.fail('too-many-namespaces');
      this.attributeNamespaces.push(ns);
    }
    // XML needs a prefix of one character and a colon.
    this.spelled += 2;
    return `{${ns}}${local}`;
  }

  private namespace(): string | undefined {
    const number = this.varint();
    if (number < 0) return undefined;
    if (number >= namespaceHead.firstRepeated) {
      const repeated = this.namespaceList[number - namespaceHead.firstRepeated];
      return repeated ?? this.fail('unknown-token');
    }
    if (number >= firstNamespaceToken) {
      const known = dictionaryNamespaces[number - firstNamespaceToken];
      return known ?? this.fail('unknown-token');
    }
    // No longer than a name: a few bytes of a later attribute repeat it in that attribute's name.
    const ns = this.utf8(this.limits.nameBytes);
    if (ns === undefined) return undefined;
    if (ns === NS_XMLNS) return this.fail('bad-namespace');
    this.namespaces ??= new Map();
    if (namespaceTokens.has(ns) || this.namespaces.has(ns)) return this.fail('not-canonical');
    this.namespaces.set(ns, this.namespaceList.length);
    this.namespaceList.push(ns);
    return ns;
  }

  private name(): string | undefined {
    const name = this.utf8(this.limits.nameBytes);
    if (name === undefined) return undefined;
    return isNcName(name) ? name : this.fail('bad-name');
  }

  /** A length and that many bytes of UTF-8, at most `maxBytes`. */
  private utf8(maxBytes: number): string | undefined {
    const length = this.varint();
    if (length < 0) return undefined;
    if (length > maxBytes) return this.fail('too-long');
    this.spelled = length;
    return this.characters(length);
  }

  /** The next bytes as UTF-8 of characters that XML allows. */
  private characters(length: number): string | undefined {
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

  /** A value; bytes only when it is an element's text. */
  private value(isText: boolean): string | Uint8Array | undefined {
    const first = this.bytes[this.offset++];
    if (first === undefined) return this.fail('truncated');
    if (first < form.uint8) return this.known(numbers[first]!);
    if (first >= form.literal) return this.literal(first, isText);
    if (first >= firstValueToken) {
      const value = first > lastValueToken ? undefined : dictionaryValues[first - firstValueToken];
      return value === undefined ? this.fail('unknown-token') : this.known(value);
    }
    switch (first) {
      case form.uint8:
      case form.uint16:
      case form.uint24:
      case form.uint32:
        return this.integer(first);
      case form.digits:
      case form.hex:
      case form.uuid:
        return this.packed(first, isText);
      case form.base64:
        return this.base64(isText);
      case form.fullJid:
      case form.bareJid:
      case form.fullJidElsewhere:
      case form.bareJidElsewhere:
        return this.jid(first);
      case form.defaultDomain: {
        const domain = this.context.defaultDomain;
        return domain === undefined ? this.fail('unknown-token') : this.known(domain);
      }
      default:
        return this.fail('unknown-token');
    }
  }

  private known(value: string): string | undefined {
    return this.account(value.length) ? value : undefined;
  }

  private literal(first: number, isText: boolean): string | undefined {
    let length = first - form.literal;
    if (first === form.longLiteral) {
      length = this.varint();
      if (length < 0) return undefined;
      if (length <= maxShortLiteral) return this.fail('not-canonical');
      if (!isText && length > this.limits.attributeBytes) return this.fail('too-long');
    }
    if (!this.account(length)) return undefined;
    const text = this.characters(length);
    if (text === undefined) return undefined;
    return formOf(text, isText, this.context) === form.literal ? text : this.fail('not-canonical');
  }

  private integer(first: number): string | undefined {
    const bytes = this.bytes;
    const end = this.offset + (first - form.uint8 + 1);
    if (end > bytes.length) return this.fail('truncated');
    let value = 0;
    while (this.offset < end) value = value * 256 + bytes[this.offset++]!;
    // Shortest form only: what fits into a byte less stands there.
    const least = first === form.uint8 ? 0x80 : 2 ** (8 * (first - form.uint8));
    return value < least ? this.fail('not-canonical') : this.known(String(value));
  }

  /** Digits, hexadecimal digits or a UUID, two characters a byte. */
  private packed(first: number, isText: boolean): string | undefined {
    const size = first === form.uuid ? 16 : this.varint();
    if (size < 0) return undefined;
    const bytes = this.bytes;
    const end = this.offset + size;
    if (end > bytes.length) return this.fail('truncated');
    if (this.size + 2 * size - 1 > this.mostBytes) return this.fail('too-large');
    // Four hyphens more, if it is a UUID.
    if (scratch.length < 2 * size + 4) scratch = Buffer.alloc(4 * size + 4);
    const codes = first === form.digits ? digitCodes : hexCodes;
    let length = 0;
    while (this.offset < end) {
      const byte = bytes[this.offset++]!;
      const low = byte & 15;
      if (first === form.digits) {
        if (byte >>> 4 === nibbleFiller) return this.fail('not-canonical');
        scratch[length++] = codes[byte >>> 4]!;
        if (low === nibbleFiller) {
          if (this.offset !== end) return this.fail('not-canonical');
          break;
        }
      } else {
        if (first === form.uuid && (length === 8 || length === 13 || length === 18 || length === 23)) {
          scratch[length++] = hyphen;
        }
        scratch[length++] = codes[byte >>> 4]!;
      }
      scratch[length++] = codes[low]!;
    }
    if (!isText && length > this.limits.attributeBytes) return this.fail('too-long');
    if (!this.account(length)) return undefined;
    const text = scratch.toString('latin1', 0, length);
    return formOf(text, isText, this.context) === first ? text : this.fail('not-canonical');
  }

  private base64(isText: boolean): string | Uint8Array | undefined {
    const length = this.varint();
    if (length < 0) return undefined;
    if (length < minRawBytes) return this.fail('not-canonical');
    const characters = 4 * Math.ceil(length / 3);
    if (!isText && characters > this.limits.attributeBytes) return this.fail('too-long');
    if (!this.account(characters)) return undefined;
    const bytes = this.bytes;
    const start = this.offset;
    const end = start + length;
    if (end > bytes.length) return this.fail('truncated');
    this.offset = end;
    // In text no other form comes before this one; in an attribute hex and digits do.
    if (isText) return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
    const text = bytes.toString('base64', start, end);
    return formOf(text, false, this.context) === form.base64 ? text : this.fail('not-canonical');
  }

  private jid(first: number): string | undefined {
    const providerNumber = this.varint();
    if (providerNumber < 0) return undefined;
    if (providerNumber > 0xffff) return this.fail('not-canonical');
    const bytes = this.bytes;
    const isFull = first === form.fullJid || first === form.fullJidElsewhere;
    if (this.offset + 16 + (isFull ? 1 : 0) > bytes.length) return this.fail('truncated');
    let end = 0;
    const number = String(providerNumber);
    for (let i = 0; i < number.length; i++) scratch[end++] = number.charCodeAt(i);
    scratch[end++] = hyphen;
    // 15 bytes are 24 characters; the last byte and two zero bits are two more.
    for (let group = 0; group < 3; group++) {
      const at = this.offset;
      const high = (bytes[at]! << 12) | (bytes[at + 1]! << 4) | (bytes[at + 2]! >>> 4);
      const low = ((bytes[at + 2]! & 15) << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!;
      scratch[end] = base32Code[high >>> 15]!;
      scratch[end + 1] = base32Code[(high >>> 10) & 31]!;
      scratch[end + 2] = base32Code[(high >>> 5) & 31]!;
      scratch[end + 3] = base32Code[high & 31]!;
      scratch[end + 4] = base32Code[low >>> 15]!;
      scratch[end + 5] = base32Code[(low >>> 10) & 31]!;
      scratch[end + 6] = base32Code[(low >>> 5) & 31]!;
      scratch[end + 7] = base32Code[low & 31]!;
      end += 8;
      this.offset += 5;
    }
    const last = bytes[this.offset++]!;
    scratch[end++] = base32Code[last >>> 3]!;
    scratch[end++] = base32Code[(last & 7) << 2]!;
    scratch[end++] = 0x40;
    let device = '';
    if (isFull) {
      const id = bytes[this.offset++]!;
      if (id < 1 || id > 127) return this.fail('not-canonical');
      device = numbers[id]!;
    }
    if (first === form.fullJid || first === form.bareJid) {
      const domain = this.context.defaultDomainBytes;
      if (domain.length === 0) return this.fail('unknown-token');
      for (let i = 0; i < domain.length; i++) scratch[end++] = domain[i]!;
    } else {
      const length = this.varint();
      if (length < 0) return undefined;
      if (length < 1 || length > maxDomainLength) return this.fail('not-canonical');
      const start = this.offset;
      if (start + length > bytes.length) return this.fail('truncated');
      for (let i = start; i < start + length; i++) {
        if ((classOf[bytes[i]!]! & charClass.domain) === 0) return this.fail('not-canonical');
        scratch[end++] = bytes[i]!;
      }
      this.offset += length;
      if (bytes.toString('latin1', start, this.offset) === this.context.defaultDomain)
        return this.fail('not-canonical');
    }
    if (isFull) {
      scratch[end++] = 0x2f;
      for (let i = 0; i < device.length; i++) scratch[end++] = device.charCodeAt(i);
    }
    return this.account(end) ? scratch.toString('latin1', 0, end) : undefined;
  }

  /** A number 0..2^21-1 in its shortest form, or -1. */
  private varint(): number {
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

  private account(bytes: number): boolean {
    this.size += bytes;
    if (this.size <= this.mostBytes) return true;
    this.fail('too-large');
    return false;
  }
}
