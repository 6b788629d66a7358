// Values of the compact codec: the one form in which a string is written, decided here for encoder and decoder alike.
// Knows nothing of elements, attributes or buffers that go out. Source: docs/protocol/07-compact-codec.md section 7.5.

import { valueToken } from './compact-dictionary.ts';
import { parseJid } from './jid.ts';

/**
 * What both sides of a connection know before the first stanza. Stateless: one context encodes every stanza alike.
 * Made by `compactContext`.
 */
export type CompactContext = {
  /** The domain that costs one byte, or undefined. */
  readonly defaultDomain: string | undefined;
  /** Its ASCII bytes, ready to be copied; empty without one. */
  readonly defaultDomainBytes: Uint8Array;
  /** Whether it is a domain as addresses have it (RFC 7622 section 3.2), so that what is built on it needs no look. */
  readonly isAddress: boolean;
};

/** First byte of a value; below `uint8` stands the number itself, from `firstValueToken` a token. */
export const form = {
  uint8: 0x80,
  uint16: 0x81,
  uint24: 0x82,
  uint32: 0x83,
  digits: 0x84,
  hex: 0x85,
  uuid: 0x86,
  base64: 0x87,
  fullJid: 0x88,
  bareJid: 0x89,
  fullJidElsewhere: 0x8a,
  bareJidElsewhere: 0x8b,
  defaultDomain: 0x8c,
  literal: 0xc0,
  longLiteral: 0xff,
} as const;

/** Bytes that a literal with its length in the first byte can hold, at most. */
export const maxShortLiteral = form.longLiteral - form.literal - 1;
/** Characters of a string that is packed as digits or hex, at least. */
export const minPacked = 4;
/** Bytes that are moved raw instead of as base64, at least; and the characters of their base64. */
export const minRawBytes = 16;
const minBase64 = 24;

const maxUint32 = 0xffff_ffff;
const uuidLength = 36;
export const maxDomainLength = 253;
const randomLength = 26;
/** `0-`, 26 characters, `@`, one character of domain. */
const minJid = 2 + randomLength + 2;

/** Classes of ASCII characters, as bits. */
export const charClass = { legal: 1, ascii: 2, digits: 4, hex: 8, uuid: 16, base64: 32, domain: 64 } as const;
export const anyClass = 0x7f;

/**
 * The classes of each byte: of ASCII characters, and `legal` alone for the bytes of longer UTF-8 sequences. A control
 * character that XML 1.0 forbids (section 2.2) has none.
 */
export const classOf = new Uint8Array(256).fill(charClass.legal, 0x80);

/** The 15 characters of dates, times and numbers; 15 in a nibble is the filler. */
export const digitAlphabet = '0123456789-:.TZ';
export const nibbleFiller = 15;
/** Character code → nibble, for characters of the class. */
export const digitNibble = new Uint8Array(128);
export const hexNibble = new Uint8Array(128);
const base32Alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
const base32Value = new Uint8Array(128).fill(0xff);
/** Character code of each base32 value. */
export const base32Code = new Uint8Array(32);

for (let c = 0x20; c < 0x80; c++) classOf[c] = charClass.legal | charClass.ascii;
for (const c of [0x09, 0x0a, 0x0d]) classOf[c] = charClass.legal | charClass.ascii;
addClass(digitAlphabet, charClass.digits);
addClass('0123456789abcdef', charClass.hex | charClass.uuid);
addClass('-', charClass.uuid);
addClass('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=', charClass.base64);
addClass('abcdefghijklmnopqrstuvwxyz0123456789.-', charClass.domain);
for (let i = 0; i < 15; i++) digitNibble[digitAlphabet.charCodeAt(i)] = i;
for (let i = 0; i < 16; i++) hexNibble['0123456789abcdef'.charCodeAt(i)] = i;
for (let i = 0; i < 32; i++) {
  base32Code[i] = base32Alphabet.charCodeAt(i);
  base32Value[base32Alphabet.charCodeAt(i)] = i;
}

function addClass(characters: string, bit: number): void {
  for (let i = 0; i < characters.length; i++) classOf[characters.charCodeAt(i)]! |= bit;
}

/** The classes that all characters of a string have; 0 as soon as none is left or a character is not ASCII. */
function classesOf(text: string): number {
  let classes = anyClass;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x80) return 0;
    classes &= classOf[c]!;
  }
  return classes;
}

/**
 * Makes a context. A domain of other than 1..253 characters `[a-z0-9.-]`, or one that has a shorter form already (a
 * number, a value of the dictionary), counts as none: the same on both sides, so they agree without a word.
 */
export function compactContext(defaultDomain: string | undefined): CompactContext {
  // One gatekeeper has one domain: its connections, which are many, share what is made of it.
  if (lastContext.defaultDomain !== defaultDomain) lastContext = makeContext(defaultDomain);
  return lastContext;
}

const none: CompactContext = { defaultDomain: undefined, defaultDomainBytes: new Uint8Array(0), isAddress: false };
let lastContext = none;

function makeContext(defaultDomain: string | undefined): CompactContext {
  if (defaultDomain === undefined || defaultDomain.length < 1 || defaultDomain.length > maxDomainLength) return none;
  if ((classesOf(defaultDomain) & charClass.domain) === 0) return none;
  const alone = formOf(defaultDomain, true, none);
  if (alone !== form.literal && alone !== form.digits && alone !== form.hex && alone !== form.uuid) return none;
  const defaultDomainBytes = new Uint8Array(Buffer.from(defaultDomain, 'latin1'));
  return { defaultDomain, defaultDomainBytes, isAddress: parseJid(defaultDomain)?.domain === defaultDomain };
}

/** The number 0..2^32-1 that a string is the decimal spelling of, without leading zeros; otherwise -1. */
export function numberOf(text: string): number {
  const length = text.length;
  if (length === 0 || length > 10) return -1;
  let value = text.charCodeAt(0) - 0x30;
  if (value < 0 || value > 9 || (value === 0 && length > 1)) return -1;
  for (let i = 1; i < length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value > maxUint32 ? -1 : value;
}

/** The JID that `formOf` has just recognised, and the bytes of the base64. Overwritten by the next call. */
export const parsed = {
  providerNumber: 0,
  random: new Uint8Array(16),
  /** Where the domain stands in the string. */
  domainStart: 0,
  domainEnd: 0,
  device: 0,
  base64: Buffer.alloc(1024),
  base64Length: 0,
};

/**
 * The form in which a value is written, as its first byte; `literal` stands for both literals. The forms are tried in
 * the order of section 7.5, so each string has exactly one. `isText`: the value is an element's text, no attribute's.
 */
export function formOf(text: string, isText: boolean, context: CompactContext): number {
  const length = text.length;
  if (length <= 10) {
    const value = numberOf(text);
    if (value >= 0) return formOfNumber(value);
  }
  const token = valueToken(text);
  if (token !== undefined) return token;
  if (isText && isBase64(text)) return form.base64;
  if (text === context.defaultDomain) return form.defaultDomain;
  if (length >= minJid) {
    const jid = jidForm(text, context);
    if (jid !== 0) return jid;
  }
  if (length < minPacked) return form.literal;
  const classes = classesOf(text);
  if (classes <= (charClass.legal | charClass.ascii)) return form.literal;
  if ((classes & charClass.uuid) !== 0 && isUuid(text)) return form.uuid;
  if ((classes & charClass.digits) !== 0) return form.digits;
  if ((classes & charClass.hex) !== 0 && (length & 1) === 0) return form.hex;
  if (!isText && (classes & charClass.base64) !== 0 && isBase64(text)) return form.base64;
  return form.literal;
}

export function formOfNumber(value: number): number {
  if (value < 0x80) return value;
  if (value < 0x100) return form.uint8;
  if (value < 0x1_0000) return form.uint16;
  return value < 0x100_0000 ? form.uint24 : form.uint32;
}

/** Whether the text is the canonical, padded base64 of 16 bytes or more; they are in `parsed.base64` then. */
function isBase64(text: string): boolean {
  const length = text.length;
  if (length < minBase64 || (length & 3) !== 0) return false;
  // Prose is told apart by its beginning, without work for its length.
  for (let i = 0; i < minBase64 - 2; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x80 || (classOf[c]! & charClass.base64) === 0) return false;
  }
  const size = (length >>> 2) * 3;
  if (parsed.base64.length < size) parsed.base64 = Buffer.alloc(size * 2);
  // The decoder forgives what is not canonical; what comes back the same is.
  parsed.base64Length = parsed.base64.write(text, 0, 'base64');
  return parsed.base64.toString('base64', 0, parsed.base64Length) === text;
}

function isUuid(text: string): boolean {
  if (text.length !== uuidLength) return false;
  for (let i = 0; i < uuidLength; i++) {
    const isHyphen = text.charCodeAt(i) === 0x2d;
    if (isHyphen !== (i === 8 || i === 13 || i === 18 || i === 23)) return false;
  }
  return true;
}

/** The form of a JID whose local part is an InteropId of 128 bits, its parts in `parsed`; 0 when it is none. */
function jidForm(text: string, context: CompactContext): number {
  let at = 0;
  let providerNumber = 0;
  for (;;) {
    const c = text.charCodeAt(at);
    if (c === 0x2d) break;
    const digit = c - 0x30;
    if (digit < 0 || digit > 9 || at === 5 || (at === 1 && providerNumber === 0)) return 0;
    providerNumber = providerNumber * 10 + digit;
    at++;
  }
  if (at === 0 || providerNumber > 0xffff) return 0;
  at++;
  if (text.charCodeAt(at + randomLength) !== 0x40) return 0;
  const random = parsed.random;
  let held = 0;
  let bits = 0;
  let filled = 0;
  for (const end = at + randomLength; at < end; at++) {
    const c = text.charCodeAt(at);
    const value = c < 0x80 ? base32Value[c]! : 0xff;
    if (value === 0xff) return 0;
    held = (held << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      random[filled++] = held >>> bits;
      held &= (1 << bits) - 1;
    }
  }
  // 26 characters hold 130 bits; the last two must be zero, or two spellings would be one address.
  if (held !== 0) return 0;
  const domainStart = at + 1;
  let end = text.length;
  let device = 0;
  const slash = text.indexOf('/', domainStart);
  if (slash >= 0) {
    device = deviceAt(text, slash + 1);
    if (device === 0) return 0;
    end = slash;
  }
  parsed.providerNumber = providerNumber;
  parsed.domainStart = domainStart;
  parsed.domainEnd = end;
  parsed.device = device;
  const domain = context.defaultDomain;
  if (domain !== undefined && end - domainStart === domain.length && text.startsWith(domain, domainStart)) {
    return slash >= 0 ? form.fullJid : form.bareJid;
  }
  if (end === domainStart || end - domainStart > maxDomainLength) return 0;
  for (let i = domainStart; i < end; i++) {
    const c = text.charCodeAt(i);
    if (c >= 0x80 || (classOf[c]! & charClass.domain) === 0) return 0;
  }
  return slash >= 0 ? form.fullJidElsewhere : form.bareJidElsewhere;
}

/** A device id 1..127 that runs from `start` to the end of the text, or 0. */
function deviceAt(text: string, start: number): number {
  const length = text.length - start;
  if (length < 1 || length > 3) return 0;
  let value = 0;
  for (let i = start; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9 || (digit === 0 && value === 0)) return 0;
    value = value * 10 + digit;
  }
  return value > 127 ? 0 : value;
}
