// Tries the compact codec's laws on pseudo-random trees and bytes, the same for the same seed. Knows nothing of time:
// whoever calls it decides how long. Source: docs/protocol/07-compact-codec.md section 7.9.

import type { Child, Element } from '../element.ts';
import { decodeCompact, decodeCompactFrame } from '../compact-decoder.ts';
import {
  compactDictionaryVersion,
  dictionaryAttributes,
  dictionaryElements,
  dictionaryNamespaces,
  dictionaryValues,
  dictionaryWholeAttributes,
} from '../compact-dictionary.ts';
import { encodeCompact } from '../compact-encoder.ts';
import { type CompactContext, compactContext } from '../compact-value.ts';
import { type XmlLimits, xmlLimitsAfterLogin } from '../limits.ts';
import { NS_XML } from '../namespaces.ts';

/** Generous, so that what the generator makes is never too large. */
const limits: XmlLimits = { ...xmlLimitsAfterLogin, elementBytes: 1024 * 1024 };

const contexts: readonly CompactContext[] = [
  compactContext('citadel.example'),
  compactContext(undefined),
  compactContext('192.0.2.1'),
  compactContext('cafe'),
];

const words = [
  '',
  'a',
  'hello',
  'Grüße',
  '早上好',
  '𝄞',
  'tab\there',
  'line\r\n',
  ' ',
  '&<>"\'',
  '\u007f\u0080',
  '\ufeffx',
];
const namesOutside = ['x', 'foreign', 'É', 'a.b-c', 'envelope', 'message', 'to', 'lang'];
const namespacesOutside = ['urn:example:a', 'urn:example:b', '', 'jabber:client:x', NS_XML, 'urn:ü'];

class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number 0..below-1 (mulberry32, public domain). */
  below(below: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  characters(alphabet: string, length: number): string {
    let text = '';
    for (let i = 0; i < length; i++) text += alphabet[this.below(alphabet.length)];
    return text;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/**
 * Runs `iterations` rounds, each on one tree and one string of bytes. Throws an `Error` that holds seed, round and bytes
 * as soon as a law is broken:
 * a tree comes back as the same XML, alone and in a frame; no beginning of a stanza is a stanza; bytes that are read are exactly what would be
 * written; nothing is ever thrown.
 */
export function fuzzCompact(seed: number, iterations: number): void {
  const random = new Random(seed);
  for (let round = 0; round < iterations; round++) {
    const context = random.pick(contexts);
    const tree = random.below(4) === 0 ? randomMessage(random) : randomElement(random, 1 + random.below(5));
    const bytes = encodeCompact(tree, context);
    const broken = (law: string, at: Uint8Array): Error =>
      new Error(
        `dictionary ${compactDictionaryVersion}, seed ${seed}, round ${round}, domain ${context.defaultDomain}: ${law}: ` +
          Buffer.from(at).toString('hex'),
      );

    const back = decodeCompact(bytes, 0, context, limits);
    if ('code' in back) throw broken(`a tree is refused, ${back.code} at ${back.offset}`, bytes);
    if (back.nextOffset !== bytes.length) throw broken('a stanza does not end where its encoding ends', bytes);
    if (canonicalText(back.element) !== canonicalText(tree)) throw broken('a tree comes back changed', bytes);
    if (!isSame(encodeCompact(back.element, context), bytes)) throw broken('a second encoding differs', bytes);

    const part = bytes.subarray(0, random.below(bytes.length));
    const cut = decodeCompact(part, 0, context, limits);
    if (!('code' in cut) || cut.code !== 'truncated') throw broken('a part of a stanza is not truncated', part);

    const wild = random.below(4) === 0 ? random.bytes(random.below(40)) : mutated(random, bytes);
    const frame = decodeCompactFrame(wild, context, xmlLimitsAfterLogin);
    if ('code' in frame) {
      if (frame.offset < 0 || frame.offset > wild.length + 1) throw broken('an error outside the bytes', wild);
      continue;
    }
    let offset = 0;
    for (const el of frame) {
      const alone = decodeCompact(wild, offset, context, xmlLimitsAfterLogin);
      if ('code' in alone) throw broken('a frame holds a stanza that is refused alone', wild);
      if (canonicalText(alone.element) !== canonicalText(el)) throw broken('a stanza differs in a frame', wild);
      offset = alone.nextOffset;
    }
    const again = Buffer.concat(frame.map(el => encodeCompact(el, context)));
    if (!isSame(again, wild)) throw broken('bytes are read that are not the encoding of what they mean', wild);
  }
}

function mutated(random: Random, bytes: Uint8Array): Uint8Array {
  let out = Uint8Array.from(bytes);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(out.length + 1);
    switch (random.below(5)) {
      case 0:
        if (at < out.length) out[at] = random.below(256);
        break;
      case 1:
        if (at < out.length) out[at]! ^= 1 << random.below(8);
        break;
      case 2:
        out = Uint8Array.from([...out.subarray(0, at), ...random.bytes(1 + random.below(3)), ...out.subarray(at)]);
        break;
      case 3:
        out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at + 1 + random.below(3))]);
        break;
      default: {
        const from = random.below(out.length + 1);
        out = Uint8Array.from([
          ...out.subarray(0, at),
          ...out.subarray(from, from + random.below(20)),
          ...out.subarray(at),
        ]);
      }
    }
  }
  return out;
}

function randomElement(random: Random, depth: number): Element {
  let name: string;
  let ns: string;
  if (random.below(4) === 0) {
    name = random.pick(namesOutside);
    ns = random.pick(random.below(2) === 0 ? namespacesOutside : dictionaryNamespaces);
  } else {
    const [known, names] = random.pick(dictionaryElements);
    ns = known;
    name = random.pick(names);
  }
  const attrs: string[] = [];
  const attributeCount = random.below(20) === 0 ? random.below(33) : random.below(5);
  for (let i = 0; i < attributeCount; i++) {
    const [attribute, value] = randomAttribute(random);
    if (attrs.every((text, place) => place % 2 === 1 || text !== attribute)) attrs.push(attribute, value);
  }
  const children: Child[] = [];
  const childCount = random.below(20) === 0 ? random.below(12) : random.below(4);
  for (let i = 0; i < childCount; i++) {
    if (depth > 0 && random.below(3) !== 0) children.push(randomElement(random, depth - 1));
    else if (random.below(3) === 0) children.push(random.bytes(random.below(60)));
    else children.push(randomValue(random));
  }
  return { name, ns, attrs, children };
}

/** What clients send most, and what is nearly that. */
function randomMessage(random: Random): Element {
  const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
  const domain = random.pick(['citadel.example', 'citadel.example', '192.0.2.1', 'skylark.example']);
  const to = `${random.pick(['0', '7', '128', '65535'])}-${random.characters(base32, 25)}a@${domain}`;
  const attrs = ['to', `${to}${random.pick(['', '', '/3'])}`, 'id', random.pick(['m1', randomValue(random)])];
  if (random.below(4) !== 0) attrs.push('type', random.pick(['chat', 'normal', 'error']));
  const device = (): string => String(random.below(12));
  const ciphertexts = Array.from({ length: 1 + random.below(9) }, (): Element => {
    const registration = random.below(2) === 0 ? [] : ['registration', String(random.below(20_000))];
    const kind = random.pick(['prekey', 'session', 'plaintext-retry', 'other']);
    const payload = random.below(8) === 0 ? randomValue(random) : random.bytes(10 + random.below(60));
    const attributes = ['device', device(), ...registration, 'kind', kind];
    return { name: 'ciphertext', ns: 'urn:drawbridge:e2ee:1', attrs: attributes, children: [payload] };
  });
  const suite = random.pick(['signal-1', 'signal-1', 'other-2']);
  const envelope = ['suite', suite, 'from-device', device()];
  const hints: readonly Element[] = [
    { name: 'no-store', ns: 'urn:xmpp:hints', attrs: [], children: [] },
    { name: 'silent', ns: 'urn:drawbridge:delivery:1', attrs: [], children: [] },
  ];
  const children = [
    { name: 'envelope', ns: 'urn:drawbridge:e2ee:1', attrs: envelope, children: ciphertexts },
    ...hints.slice(random.below(3)),
    ...hints.slice(random.pick([1, 2, 2])),
  ];
  return { name: 'message', ns: 'jabber:client', attrs, children };
}

function randomAttribute(random: Random): readonly [string, string] {
  switch (random.below(6)) {
    case 0:
      return random.pick(dictionaryWholeAttributes);
    case 1:
      return [random.pick(namesOutside), randomValue(random)];
    case 2: {
      const ns = random.pick([...dictionaryNamespaces, 'urn:example:a', 'urn:ü']);
      return [`{${ns}}${random.pick(namesOutside)}`, randomValue(random)];
    }
    default:
      return [random.pick(dictionaryAttributes), randomValue(random)];
  }
}

/** Values of every form, and their near neighbours that must not be taken for them. */
function randomValue(random: Random): string {
  const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
  switch (random.below(13)) {
    case 0:
      return String(random.below(2 ** random.pick([7, 8, 9, 16, 17, 24, 25, 31])));
    case 1:
      return random.pick([
        '00',
        '01',
        '127',
        '128',
        '255',
        '256',
        '65535',
        '65536',
        '4294967295',
        '4294967296',
        '-1',
        '1.0',
      ]);
    case 2:
      return random.pick(dictionaryValues);
    case 3:
      return random.characters('0123456789-:.TZ', random.below(30));
    case 4:
      return random.characters('0123456789abcdef', random.below(40));
    case 5:
      return random.pick(['3f8a1c2b-9d4e-4f60-8a7b-1c2d3e4f5a6b', '00000000-0000-0000-0000-000000000000']);
    case 6:
      return random.characters('0123456789abcdef-', 36);
    case 7:
      return Buffer.from(random.bytes(random.below(50))).toString('base64');
    case 8:
      return random.characters('ABCDwxyz0189+/=', 4 * random.below(12));
    case 9:
    case 10: {
      const number = random.pick(['0', '7', '127', '128', '65535', '65536', '01', '99999', '']);
      const last = random.characters(random.below(4) === 0 ? base32 : 'aeimquy4', 1);
      const domain = random.pick(['citadel.example', 'skylark.example', '192.0.2.1', 'cafe', 'Upper', 'a@b', 'ü', '']);
      const device = random.pick(['', '', '/1', '/127', '/128', '/0', '/01', '/', '/a', '/1/2']);
      return `${number}-${random.characters(base32, 25)}${last}@${domain}${device}`;
    }
    case 11:
      return random.pick(['citadel.example', '192.0.2.1', 'cafe', 'skylark.example']);
    default: {
      let text = '';
      for (let n = random.below(6); n >= 0; n--) text += random.pick(words);
      return random.below(10) === 0 ? text.repeat(20) : text;
    }
  }
}

/** A text that two trees share exactly when they are the same XML. */
function canonicalText(el: Element): string {
  const parts: unknown[] = [el.ns, el.name, el.attrs];
  let text = '';
  for (const child of el.children) {
    if (typeof child === 'string') text += child;
    else if (child instanceof Uint8Array) text += Buffer.from(child).toString('base64');
    else {
      if (text !== '') parts.push(text);
      text = '';
      parts.push([canonicalText(child)]);
    }
  }
  if (text !== '') parts.push(text);
  return JSON.stringify(parts);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
