// Tries the XML decoder's and encoder's laws on pseudo-random documents, the same for the same seed. Knows nothing of
// time: whoever calls it decides how long.
//
// Documents are built from pieces of real streams and then damaged, as bytes and as pieces, so that most of them are
// refused late and not at the first character.

import type { Element } from '../element.ts';
import { type XmlLimits, xmlLimitsBeforeLogin } from '../limits.ts';
import { NS_CLIENT } from '../namespaces.ts';
import { type XmlEvent, XmlStreamDecoder, parseXmlDocument } from '../xml-decoder.ts';
import { encodeElement, encodeStreamHeader } from '../xml-encoder.ts';

/** Small enough that generated documents meet every limit. */
const tightLimits: XmlLimits = {
  elementBytes: 1200,
  depth: 5,
  attributes: 5,
  children: 8,
  namespaces: 6,
  nameBytes: 24,
  attributeBytes: 120,
};
/** For what was accepted once: written again it may be longer and declare more. */
const wideLimits: XmlLimits = { ...xmlLimitsBeforeLogin, elementBytes: 1 << 20, namespaces: 4096 };

/** Pieces that documents are made and damaged with. */
const pieces = [
  '<',
  '>',
  '/>',
  '</',
  '/',
  "'",
  '"',
  '=',
  ' ',
  '\t',
  '\r\n',
  '\r',
  '\n',
  '&',
  '&amp;',
  '&lt;',
  '&#60;',
  '&#x0;',
  '&#xD800;',
  '&#13;',
  '&#x1F600;',
  '&bogus;',
  '&#99999999999;',
  '<!--x-->',
  '<?pi x?>',
  "<?xml version='1.0'?>",
  '<!DOCTYPE a>',
  '<![CDATA[',
  '<![CDATA[a]]b<&]]>',
  '<![CDATA[]]>',
  ']]>',
  ']',
  'text',
  'Grüße',
  '早上好',
  '𝄞',
  '\u0000',
  '\u0001',
  '\u007f',
  '\u0085',
  '\ufeff',
  '\uffff',
  '\ufffe',
  '<a>',
  '</a>',
  '<a/>',
  "<b xmlns='urn:b'>",
  '</b>',
  "<p:c xmlns:p='urn:p'>",
  '</p:c>',
  '<p:c/>',
  '<é/>',
  " x='1'",
  " x='2'",
  ' y="<"',
  " p:x='1'",
  " xmlns=''",
  " xmlns:p='urn:p'",
  " xmlns:q='urn:p' q:x='3'",
  " xmlns:xml='urn:x'",
  " xmlns:xmlns='urn:x'",
  " xmlns:p=''",
  " xml:lang='en'",
  " xml:space='preserve'",
  "<message to='a@b' id='1'>",
  '</message>',
  "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
  '</stream:stream>',
  "<envelope xmlns='urn:drawbridge:e2ee:1'><ciphertext device='1'>QUJD</ciphertext></envelope>",
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
];

const wholeStanzas = [
  "<message to='1-a@b.example' id='m1' type='chat'><envelope xmlns='urn:drawbridge:e2ee:1' suite='signal-1' from-device='1'><ciphertext device='1' kind='session'>QUJDREVGR0g=</ciphertext></envelope></message>",
  "<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>",
  '<presence xml:lang="de"><status>Grüße &amp; Küsse &#x1F600;</status></presence>',
  "<a xmlns:p='urn:p' p:x='1' x='2'><p:b><![CDATA[<&>]]>y</p:b>\r\n</a>",
  "<r xmlns='urn:xmpp:sm:3'/>",
  ' \n',
];

class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number 0..below-1 (xorshift). */
  below(below: number): number {
    let s = this.state === 0 ? 0x9e3779b9 : this.state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.state = s >>> 0;
    return this.state % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

/** Bytes that no piece of text can hold: what UTF-8 forbids, and its borders. */
const brokenUtf8 = [
  [0x80],
  [0xc0, 0x80],
  [0xc1, 0xbf],
  [0xe0, 0x80, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf0, 0x80, 0x80, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xff],
  [0xfe],
  [0xc3],
  [0xe2, 0x82],
  [0xf0, 0x9d, 0x84],
  [0xf4, 0x8f, 0xbf, 0xbf],
  [0xef, 0xbf, 0xbf],
  [0x00],
];

function randomDocument(random: Random): Uint8Array {
  let text = random.below(3) === 0 ? '' : encodeStreamHeader({ to: 'b.example', version: '1.0' });
  for (let n = random.below(6); n > 0; n--) text += random.pick(wholeStanzas);
  for (let n = random.below(random.below(3) === 0 ? 30 : 3); n > 0; n--) {
    const at = random.below(4) === 0 ? random.below(text.length + 1) : text.length;
    text = text.slice(0, at) + random.pick(pieces).repeat(random.below(12) === 0 ? 40 : 1) + text.slice(at);
  }
  for (let n = random.below(3); n > 0; n--) text += random.pick(wholeStanzas);
  let bytes = [...Buffer.from(text, 'utf8')];
  for (let n = random.below(4) === 0 ? 1 + random.below(3) : 0; n > 0; n--) {
    const at = random.below(bytes.length + 1);
    switch (random.below(4)) {
      case 0:
        bytes.splice(at, 0, ...random.pick(brokenUtf8));
        break;
      case 1:
        bytes.splice(at, 1 + random.below(8));
        break;
      case 2:
        bytes[at] = random.below(256);
        break;
      default:
        bytes = bytes.slice(0, at);
    }
  }
  return Uint8Array.from(bytes, byte => byte ?? 0);
}

function broken(law: string, bytes: Uint8Array): Error {
  return new Error(`${law}: ${Buffer.from(bytes).toString('hex')}`);
}

function decodeInPieces(bytes: Uint8Array, limits: XmlLimits, nextSize: () => number): XmlEvent[] {
  const decoder = new XmlStreamDecoder(limits);
  const events: XmlEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = nextSize();
    events.push(...decoder.push(bytes.subarray(at, at + size)));
    if (decoder.pendingBytes > limits.elementBytes) throw broken('more bytes wait than the limit allows', bytes);
    at += size;
  }
  const last = events.at(-1);
  if (last?.kind === 'error' || last?.kind === 'end') {
    const after = decoder.push(Buffer.from("<a/></stream:stream><?xml version='1.0'?>"));
    if (after.length > 0 || decoder.pendingBytes > 0) throw broken('something comes after the end', bytes);
  }
  return events;
}

/** Trees as read from XML hold strings alone, so that their JSON says all. */
function sameTree(a: Element, b: Element): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Throws when a law does not hold for one of `iterations` documents grown from `seed`:
 * any bytes give events and at most one error, the last; the same in all pieces; nothing after it; every element that is
 * read is written and read back as the same element, under the same header and alone.
 */
export function fuzzXml(seed: number, iterations: number): void {
  const random = new Random(seed);
  for (let n = 0; n < iterations; n++) {
    const bytes = randomDocument(random);
    const limits = random.below(2) === 0 ? tightLimits : xmlLimitsBeforeLogin;
    const whole = decodeInPieces(bytes, limits, () => bytes.length);
    const expected = JSON.stringify(whole);
    const sizes = [1, 2 + random.below(7), 64];
    for (const size of sizes) {
      if (JSON.stringify(decodeInPieces(bytes, limits, () => size)) !== expected) {
        throw broken(`pieces of ${size} bytes give something else`, bytes);
      }
    }
    if (JSON.stringify(decodeInPieces(bytes, limits, () => 1 + random.below(40))) !== expected) {
      throw broken('pieces of any size give something else', bytes);
    }
    for (const [at, event] of whole.entries()) {
      if (event.kind !== 'element') {
        if ((event.kind === 'error' || event.kind === 'end') && at !== whole.length - 1) {
          throw broken('something comes after the end', bytes);
        }
        continue;
      }
      checkRoundTrip(event.element, bytes);
    }
  }
}

function checkRoundTrip(el: Element, bytes: Uint8Array): void {
  const alone = parseXmlDocument(encodeElement(el, ''), wideLimits);
  if ('kind' in alone || !sameTree(alone, el)) throw broken('what was read is not read back alone', bytes);
  const decoder = new XmlStreamDecoder(wideLimits);
  const text = encodeStreamHeader({}) + encodeElement(el, NS_CLIENT);
  const events = decoder.push(Buffer.from(text, 'utf8'));
  const read = events[1];
  if (events.length !== 2 || read?.kind !== 'element' || !sameTree(read.element, el)) {
    throw broken('what was read is not read back in a stream', bytes);
  }
}
