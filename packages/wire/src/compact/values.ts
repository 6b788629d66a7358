// Values in the compact form: each of its forms read, and refused where another form is the right one. Knows nothing of
// elements and attributes around them.
// Source: docs/protocol/07-compact-codec.md.

import { dictionaryValues, firstValueToken, lastValueToken } from '../compact-dictionary.ts';
import {
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
} from '../compact-value.ts';
import type { CompactReader } from './reader.ts';

export const numbers: readonly string[] = Array.from({ length: 128 }, (_, i) => String(i));
const digitCodes = Uint8Array.from(digitAlphabet, c => c.charCodeAt(0));
const hexCodes = Uint8Array.from('0123456789abcdef', c => c.charCodeAt(0));
const hyphen = 0x2d;

/** Where strings are put together; long enough for a JID, grown for long digits. */
let scratch = Buffer.alloc(512);

/** A value; bytes only when it is an element's text. */
export function readValue(reader: CompactReader, isText: boolean): string | Uint8Array | undefined {
  const first = reader.bytes[reader.offset++];
  if (first === undefined) return reader.fail('truncated');
  if (first < form.uint8) return reader.known(numbers[first]!);
  if (first >= form.literal) return readLiteral(reader, first, isText);
  if (first >= firstValueToken) {
    const value = first > lastValueToken ? undefined : dictionaryValues[first - firstValueToken];
    return value === undefined ? reader.fail('unknown-token') : reader.known(value);
  }
  switch (first) {
    case form.uint8:
    case form.uint16:
    case form.uint24:
    case form.uint32:
      return readInteger(reader, first);
    case form.digits:
    case form.hex:
    case form.uuid:
      return readPacked(reader, first, isText);
    case form.base64:
      return readBase64(reader, isText);
    case form.fullJid:
    case form.bareJid:
    case form.fullJidElsewhere:
    case form.bareJidElsewhere:
      return readJid(reader, first);
    case form.defaultDomain: {
      const domain = reader.context.defaultDomain;
      return domain === undefined ? reader.fail('unknown-token') : reader.known(domain);
    }
    default:
      return reader.fail('unknown-token');
  }
}

function readLiteral(reader: CompactReader, first: number, isText: boolean): string | undefined {
  let length = first - form.literal;
  if (first === form.longLiteral) {
    length = reader.varint();
    if (length < 0) return undefined;
    if (length <= maxShortLiteral) return reader.fail('not-canonical');
    if (!isText && length > reader.limits.attributeBytes) return reader.fail('too-long');
  }
  if (!reader.account(length)) return undefined;
  const text = reader.characters(length);
  if (text === undefined) return undefined;
  return formOf(text, isText, reader.context) === form.literal ? text : reader.fail('not-canonical');
}

function readInteger(reader: CompactReader, first: number): string | undefined {
  const bytes = reader.bytes;
  const end = reader.offset + (first - form.uint8 + 1);
  if (end > bytes.length) return reader.fail('truncated');
  let value = 0;
  while (reader.offset < end) value = value * 256 + bytes[reader.offset++]!;
  // Shortest form only: what fits into a byte less stands there.
  const least = first === form.uint8 ? 0x80 : 2 ** (8 * (first - form.uint8));
  return value < least ? reader.fail('not-canonical') : reader.known(String(value));
}

/** Digits, hexadecimal digits or a UUID, two characters a byte. */
function readPacked(reader: CompactReader, first: number, isText: boolean): string | undefined {
  const size = first === form.uuid ? 16 : reader.varint();
  if (size < 0) return undefined;
  const bytes = reader.bytes;
  const end = reader.offset + size;
  if (end > bytes.length) return reader.fail('truncated');
  if (reader.size + 2 * size - 1 > reader.mostBytes) return reader.fail('too-large');
  // Four hyphens more, if it is a UUID.
  if (scratch.length < 2 * size + 4) scratch = Buffer.alloc(4 * size + 4);
  const codes = first === form.digits ? digitCodes : hexCodes;
  let length = 0;
  while (reader.offset < end) {
    const byte = bytes[reader.offset++]!;
    const low = byte & 15;
    if (first === form.digits) {
      if (byte >>> 4 === nibbleFiller) return reader.fail('not-canonical');
      scratch[length++] = codes[byte >>> 4]!;
      if (low === nibbleFiller) {
        if (reader.offset !== end) return reader.fail('not-canonical');
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
  if (!isText && length > reader.limits.attributeBytes) return reader.fail('too-long');
  if (!reader.account(length)) return undefined;
  const text = scratch.toString('latin1', 0, length);
  return formOf(text, isText, reader.context) === first ? text : reader.fail('not-canonical');
}

function readBase64(reader: CompactReader, isText: boolean): string | Uint8Array | undefined {
  const length = reader.varint();
  if (length < 0) return undefined;
  if (length < minRawBytes) return reader.fail('not-canonical');
  const characters = 4 * Math.ceil(length / 3);
  if (!isText && characters > reader.limits.attributeBytes) return reader.fail('too-long');
  if (!reader.account(characters)) return undefined;
  const bytes = reader.bytes;
  const start = reader.offset;
  const end = start + length;
  if (end > bytes.length) return reader.fail('truncated');
  reader.offset = end;
  // In text no other form comes before this one; in an attribute hex and digits do.
  if (isText) return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  const text = bytes.toString('base64', start, end);
  return formOf(text, false, reader.context) === form.base64 ? text : reader.fail('not-canonical');
}

function readJid(reader: CompactReader, first: number): string | undefined {
  const providerNumber = reader.varint();
  if (providerNumber < 0) return undefined;
  if (providerNumber > 0xffff) return reader.fail('not-canonical');
  const bytes = reader.bytes;
  const isFull = first === form.fullJid || first === form.fullJidElsewhere;
  if (reader.offset + 16 + (isFull ? 1 : 0) > bytes.length) return reader.fail('truncated');
  let end = 0;
  const number = String(providerNumber);
  for (let i = 0; i < number.length; i++) scratch[end++] = number.charCodeAt(i);
  scratch[end++] = hyphen;
  // 15 bytes are 24 characters; the last byte and two zero bits are two more.
  for (let group = 0; group < 3; group++) {
    const at = reader.offset;
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
    reader.offset += 5;
  }
  const last = bytes[reader.offset++]!;
  scratch[end++] = base32Code[last >>> 3]!;
  scratch[end++] = base32Code[(last & 7) << 2]!;
  scratch[end++] = 0x40;
  let device = '';
  if (isFull) {
    const id = bytes[reader.offset++]!;
    if (id < 1 || id > 127) return reader.fail('not-canonical');
    device = numbers[id]!;
  }
  if (first === form.fullJid || first === form.bareJid) {
    const domain = reader.context.defaultDomainBytes;
    if (domain.length === 0) return reader.fail('unknown-token');
    for (let i = 0; i < domain.length; i++) scratch[end++] = domain[i]!;
  } else {
    const length = reader.varint();
    if (length < 0) return undefined;
    if (length < 1 || length > maxDomainLength) return reader.fail('not-canonical');
    const start = reader.offset;
    if (start + length > bytes.length) return reader.fail('truncated');
    for (let i = start; i < start + length; i++) {
      if ((classOf[bytes[i]!]! & charClass.domain) === 0) return reader.fail('not-canonical');
      scratch[end++] = bytes[i]!;
    }
    reader.offset += length;
    if (bytes.toString('latin1', start, reader.offset) === reader.context.defaultDomain)
      return reader.fail('not-canonical');
  }
  if (isFull) {
    scratch[end++] = 0x2f;
    for (let i = 0; i < device.length; i++) scratch[end++] = device.charCodeAt(i);
  }
  return reader.account(end) ? scratch.toString('latin1', 0, end) : undefined;
}
