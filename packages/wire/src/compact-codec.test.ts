import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { maxFrameStanzas, decodeCompact, decodeCompactFrame } from './compact-decoder.ts';
import {
  dictionaryAttributes,
  dictionaryElements,
  dictionaryNamespaces,
  dictionaryValues,
  dictionaryWholeAttributes,
  firstAttributeToken,
  firstElementToken,
  firstNamespaceToken,
  firstValueToken,
  firstWholeAttributeToken,
  lastValueToken,
} from './compact-dictionary.ts';
import { CompactWriter, encodeCompact } from './compact-encoder.ts';
import { fuzzCompact } from './testing/compact-fuzz.ts';
import { compactContext, formOf } from './compact-value.ts';
import { type CompactVectors, compactVectorsText } from './testing/compact-vectors.ts';
import { type Child, type Element, element, isElement } from './element.ts';
import { xmlLimitsAfterLogin } from './limits.ts';
import { toXmlText } from './xml-chars.ts';
import { parseXmlDocument } from './xml-decoder.ts';
import { encodeElement } from './xml-encoder.ts';

const limits = xmlLimitsAfterLogin;
const context = compactContext('citadel.example');
const vectorsFile = new URL('../../../vectors/compact-v1.json', import.meta.url);
const pageFile = new URL('../../../docs/protocol/07-compact-codec.md', import.meta.url);

function decoded(bytes: Uint8Array, within = limits): Element {
  const result = decodeCompact(bytes, 0, context, within);
  assert.ok('element' in result, 'code' in result ? `${result.code} at ${result.offset}` : '');
  assert.equal(result.nextOffset, bytes.length);
  return result.element;
}

function codeOf(bytes: Uint8Array, within = limits): string {
  const result = decodeCompact(bytes, 0, context, within);
  return 'code' in result ? result.code : 'none';
}

function xml(text: string): Element {
  const result = parseXmlDocument(text, limits);
  assert.ok(!('kind' in result), 'kind' in result ? result.detail : '');
  return result;
}

/** The tree with bytes as the base64 that they stand for, adjoining texts as one. */
function asXml(el: Element): Element {
  const children: Child[] = [];
  let text = '';
  for (const child of el.children) {
    if (isElement(child)) {
      if (text !== '') children.push(text);
      text = '';
      children.push(asXml(child));
    } else text += typeof child === 'string' ? child : Buffer.from(child).toString('base64');
  }
  if (text !== '') children.push(text);
  return { name: el.name, ns: el.ns, attrs: [...el.attrs], children };
}

function text(...children: Child[]): Element {
  return element('body', 'jabber:client', undefined, children);
}

describe('compact codec: vectors', () => {
  const stored = readFileSync(vectorsFile, 'utf8');
  const vectors = JSON.parse(stored) as CompactVectors;

  it('are what the committed script makes', () => assert.equal(stored, compactVectorsText()));

  for (const vector of vectors.stanzas) {
    it(vector.name, () => {
      const own = vector.defaultDomain === undefined ? vectors.defaultDomain : (vector.defaultDomain ?? undefined);
      const bytes = Buffer.from(vector.compactHex, 'hex');
      const tree = xml(vector.xml);
      assert.equal(Buffer.from(encodeCompact(tree, compactContext(own))).toString('hex'), vector.compactHex);
      const back = decodeCompact(bytes, 0, compactContext(own), limits);
      assert.ok('element' in back, 'code' in back ? back.code : '');
      assert.equal(back.nextOffset, bytes.length);
      assert.deepEqual(asXml(back.element), asXml(tree));
      assert.equal(Buffer.from(encodeCompact(back.element, compactContext(own))).toString('hex'), vector.compactHex);
    });
  }

  for (const vector of vectors.refused) {
    it(`refuses ${vector.name}`, () => {
      const result = decodeCompactFrame(Buffer.from(vector.hex, 'hex'), compactContext(vectors.defaultDomain), limits);
      assert.equal('code' in result ? result.code : 'none', vector.code);
    });
  }
});

describe('compact codec: dictionary', () => {
  const elements = dictionaryElements.flatMap(([ns, names]) => names.map(name => ({ ns, name })));

  it('fits the bytes it has and repeats nothing', () => {
    assert.ok(firstElementToken + elements.length <= 256);
    assert.ok(firstNamespaceToken + dictionaryNamespaces.length <= 64);
    assert.ok(firstAttributeToken + dictionaryAttributes.length <= firstWholeAttributeToken);
    assert.ok(firstWholeAttributeToken + dictionaryWholeAttributes.length <= 256);
    assert.ok(firstValueToken + dictionaryValues.length - 1 <= lastValueToken);
    const rows = [
      dictionaryNamespaces,
      dictionaryElements.map(([ns]) => ns),
      elements.map(e => `${e.ns} ${e.name}`),
      dictionaryAttributes,
      dictionaryWholeAttributes.map(pair => pair.join('=')),
      dictionaryValues,
    ];
    for (const list of rows) assert.equal(new Set<string>(list).size, list.length);
    for (const [ns] of dictionaryElements) assert.ok(dictionaryNamespaces.includes(ns), ns);
    for (const [name] of dictionaryWholeAttributes) assert.ok(dictionaryAttributes.includes(name), name);
  });

  it('has no value that a number, a JID or bytes would have been', () => {
    dictionaryValues.forEach((value, i) => {
      assert.equal(formOf(value, true, context), firstValueToken + i);
      assert.equal(formOf(value, false, context), firstValueToken + i);
    });
  });

  it('writes each element in two bytes', () => {
    elements.forEach(({ ns, name }, i) => {
      const bytes = encodeCompact(element(name, ns), context);
      assert.deepEqual([...bytes], [firstElementToken + i, 0]);
      assert.deepEqual(decoded(bytes), element(name, ns));
    });
  });

  it('writes each whole attribute in one byte, each name and value in one byte', () => {
    dictionaryWholeAttributes.forEach(([name, value], i) => {
      const bytes = encodeCompact(element('r', 'urn:xmpp:sm:3', { [name]: value }), context);
      assert.deepEqual([...bytes.subarray(2)], [firstWholeAttributeToken + i]);
    });
    dictionaryAttributes.forEach((name, i) => {
      const bytes = encodeCompact(element('r', 'urn:xmpp:sm:3', { [name]: 'udp' }), context);
      assert.deepEqual(
        [...bytes.subarray(2)],
        [firstAttributeToken + i, firstValueToken + dictionaryValues.indexOf('udp')],
      );
    });
  });

  it('is what the page prints', () => {
    const page = readFileSync(pageFile, 'utf8');
    const hex = (token: number): string => token.toString(16).padStart(2, '0');
    const row = (first: number, items: readonly string[]): string[] =>
      items.map((item, i) => `\`${hex(first + i)}\` ${item}`);
    const expected = [
      ...row(firstNamespaceToken, dictionaryNamespaces),
      ...row(
        firstElementToken,
        elements.map(e => e.name),
      ),
      ...row(firstAttributeToken, dictionaryAttributes),
      ...row(
        firstWholeAttributeToken,
        dictionaryWholeAttributes.map(pair => pair.join('=')),
      ),
      ...row(firstValueToken, dictionaryValues),
    ];
    for (const entry of expected)
      assert.ok(new RegExp(`${entry.replaceAll('.', '\\.')}(?:,|;|\\n|\\|| )`).test(page), entry);
  });
});

describe('compact codec: text and bytes', () => {
  it('gives bytes of 16 or more back as bytes that share the input', () => {
    const bytes = encodeCompact(text(new Uint8Array(16).fill(9)), context);
    const child = decoded(bytes).children[0];
    assert.ok(child instanceof Uint8Array);
    assert.deepEqual([...child], Array(16).fill(9));
    assert.equal(child.buffer, bytes.buffer);
  });

  it('writes bytes and their base64 alike, whatever their number', () => {
    for (let length = 0; length < 70; length++) {
      for (const fill of [0x00, 0x69, 0xd7, 0xff]) {
        const raw = new Uint8Array(length).fill(fill);
        const base64 = Buffer.from(raw).toString('base64');
        const fromBytes = encodeCompact(text(raw), context);
        assert.deepEqual(fromBytes, encodeCompact(text(base64), context));
        assert.deepEqual(asXml(decoded(fromBytes)), asXml(text(base64)));
      }
    }
  });

  it('makes one text of adjoining texts and bytes, none of empty ones', () => {
    const one = encodeCompact(text('ab', new Uint8Array(3), '', 'c'), context);
    assert.deepEqual(one, encodeCompact(text('abAAAAc'), context));
    assert.deepEqual(encodeCompact(text('', new Uint8Array(0)), context), encodeCompact(text(), context));
    const ping = element('ping', 'urn:xmpp:ping');
    assert.deepEqual(encodeCompact(text('', ping, ''), context), encodeCompact(text(ping), context));
    assert.deepEqual(
      encodeCompact(text('a', 'b', ping, 'c', ''), context),
      encodeCompact(text('ab', ping, 'c'), context),
    );
  });
});

describe('compact codec: limits', () => {
  const nested = (depth: number): Element =>
    depth === 1 ? text() : element('body', 'jabber:client', undefined, [nested(depth - 1)]);
  const attributes = (count: number): Element =>
    element('body', 'jabber:client', Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, ''])));
  const children = (count: number): Element =>
    text(...Array.from({ length: count }, () => element('thread', 'jabber:client')));
  const valued = (bytes: number): Element => element('body', 'jabber:client', { node: 'é'.repeat(bytes / 2) });
  const named = (bytes: number): Element => element('n'.repeat(bytes), 'urn:x');

  for (const [name, make, most, code] of [
    ['depth', nested, limits.depth, 'too-deep'],
    ['attributes', attributes, limits.attributes, 'too-many-attributes'],
    ['children', children, limits.children, 'too-many-children'],
    ['attribute bytes', valued, limits.attributeBytes, 'too-long'],
    ['name bytes', named, limits.nameBytes, 'too-long'],
  ] as const) {
    it(`${name}: ${most} and no more`, () => {
      assert.deepEqual(decoded(encodeCompact(make(most), context)), make(most));
      assert.equal(codeOf(encodeCompact(make(most + 2), context)), code);
    });
  }

  it('attribute bytes hold for packed values too', () => {
    for (const value of ['07'.repeat(8193), 'ab'.repeat(8193), 'AbCd'.repeat(4097)]) {
      assert.equal(codeOf(encodeCompact(element('body', 'jabber:client', { node: value }), context)), 'too-long');
      const fits = element('body', 'jabber:client', { node: value.slice(0, limits.attributeBytes) });
      assert.deepEqual(decoded(encodeCompact(fits, context)), fits);
    }
  });

  it('refuses what no XML within the limit could hold, and nothing else', () => {
    // <body>…</body> is 13 bytes.
    const most = limits.elementBytes - 13;
    for (const [filler, unit] of [
      ['!', 1],
      ['é', 2],
      ['0123', 4],
      ['abcdef012345', 12],
    ] as const) {
      const full = filler.repeat(Math.floor(most / unit));
      assert.deepEqual(asXml(decoded(encodeCompact(text(full), context))), text(full));
      assert.equal(codeOf(encodeCompact(text(filler.repeat(Math.floor(most / unit) + 1)), context)), 'too-large');
    }
    const raw = Math.floor(most / 4) * 3;
    decoded(encodeCompact(text(new Uint8Array(raw)), context));
    assert.equal(codeOf(encodeCompact(text(new Uint8Array(raw + 3)), context)), 'too-large');
  });

  it('counts the least XML to the byte', () => {
    const counted: readonly (readonly [Element, string])[] = [
      [element('r', 'urn:xmpp:sm:3'), `<r/>`],
      [element('a', 'urn:xmpp:sm:3', { h: '70000' }), `<a h='70000'/>`],
      [element('é', 'urn:a', { é: 'ü', '{urn:b}to': '', type: 'get' }), `<é é='ü' p:to='' type='get'/>`],
      [text('ä', element('thread', 'jabber:client'), '0042'), `<body>ä<thread/>0042</body>`],
      [text(new Uint8Array(16)), `<body>AAAAAAAAAAAAAAAAAAAAAA==</body>`],
      [
        element('body', 'jabber:client', {
          to: 'citadel.example',
          from: '7-k5xeq4zvvkh2dzrmqmz4yfq2ia@citadel.example/1',
          id: '3f8a1c2b-9d4e-4f60-8a7b-1c2d3e4f5a6b',
          by: 'AAECAwQFBgcICQoLDA0ODw==',
          node: 'deadbeef',
          stamp: '2026-11-23T09:05:17.5Z',
          name: 'true',
        }),
        `<body to='citadel.example' from='7-k5xeq4zvvkh2dzrmqmz4yfq2ia@citadel.example/1' ` +
          `id='3f8a1c2b-9d4e-4f60-8a7b-1c2d3e4f5a6b' by='AAECAwQFBgcICQoLDA0ODw==' node='deadbeef' ` +
          `stamp='2026-11-23T09:05:17.5Z' name='true'/>`,
      ],
    ];
    for (const [el, least] of counted) {
      const bytes = encodeCompact(el, context);
      const elementBytes = Buffer.byteLength(least);
      decoded(bytes, { ...limits, elementBytes });
      assert.equal(codeOf(bytes, { ...limits, elementBytes: elementBytes - 1 }), 'too-large', least);
    }
  });

  it('counts namespaces of attributes along one path only', () => {
    const one = (i: number): Element => element('b', 'urn:y', { [`{urn:${i}}a`]: '' });
    const many = text(...Array.from({ length: 40 }, (_, i) => one(i)));
    assert.deepEqual(decoded(encodeCompact(many, context)), many);
  });

  it('admits whatever the XML codec admits: the smallest elements, as many as fit', () => {
    const row = '<a/>'.repeat(4000);
    const many = xml(`<a>${`<a>${row}</a>`.repeat(16)}</a>`);
    assert.deepEqual(decoded(encodeCompact(many, context)), many);
  });

  it('keeps many namespaces and their repetition short', () => {
    const long = `urn:${'x'.repeat(limits.nameBytes - 4)}`;
    const many = text(...Array.from({ length: 4000 }, (_, i) => element('b', i % 2 === 0 ? long : 'urn:y')));
    const bytes = encodeCompact(many, context);
    assert.ok(bytes.length < 30_000);
    assert.deepEqual(decoded(bytes), many);
  });

  it('a namespace repeated in the names of many attributes takes little memory', () => {
    const names = Array.from({ length: 30 }, (_, i) => [`{urn:${'x'.repeat(limits.nameBytes - 4)}}a${i}`, ''] as const);
    const row = element('b', 'urn:y', Object.fromEntries(names));
    const bytes = encodeCompact(text(...Array.from({ length: 900 }, () => row)), context);
    const result = decodeCompact(bytes, 0, context, limits);
    assert.ok('element' in result);
    const nameCharacters = 900 * names.reduce((sum, [name]) => sum + name.length, 0);
    assert.ok(nameCharacters < 50 * bytes.length);
  });

  it('claims of size cost nothing', () => {
    for (const hex of ['0607ff1f', '0601ffffff0f', '060187ffff0b', '0601 84ffff07'.replaceAll(' ', '')]) {
      assert.match(codeOf(Buffer.from(hex, 'hex')), /^(?:truncated|too-large)$/);
    }
  });

  it('a frame holds 1..1024 stanzas', () => {
    const ack = Buffer.from('0c00', 'hex');
    const full = decodeCompactFrame(Buffer.concat(Array<Buffer>(maxFrameStanzas).fill(ack)), context, limits);
    assert.ok(!('code' in full));
    assert.equal(full.length, maxFrameStanzas);
    const over = decodeCompactFrame(Buffer.concat(Array<Buffer>(maxFrameStanzas + 1).fill(ack)), context, limits);
    assert.deepEqual(over, { code: 'too-many-stanzas', offset: 2 * maxFrameStanzas });
    assert.deepEqual(decodeCompactFrame(new Uint8Array(0), context, limits), { code: 'truncated', offset: 1 });
  });

  it('the limits and namespaces of one stanza are not those of the next', () => {
    const half = encodeCompact(text('!'.repeat(200_000)), context);
    const foreign = encodeCompact(element('b', 'urn:y'), context);
    const frame = decodeCompactFrame(Buffer.concat([half, foreign, half, foreign]), context, limits);
    assert.ok(!('code' in frame));
    assert.equal(frame.length, 4);
  });

  it('an offset outside the bytes is an error', () => {
    for (const offset of [-1, 3, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.ok('code' in decodeCompact(Buffer.from('0c00', 'hex'), offset, context, limits));
    }
  });
});

describe('compact codec: writer', () => {
  it('appends stanzas, grows, and is used again', () => {
    const writer = new CompactWriter(64);
    const big = text('!'.repeat(5000));
    writer.write(element('r', 'urn:xmpp:sm:3'), context);
    writer.write(big, context);
    writer.write(element('b', 'urn:y'), context);
    writer.write(element('b', 'urn:y'), context);
    assert.equal(writer.view().length, writer.length);
    const kept = writer.copy();
    const elements = decodeCompactFrame(kept, context, limits);
    const foreign = element('b', 'urn:y');
    assert.deepEqual(elements, [element('r', 'urn:xmpp:sm:3'), big, foreign, foreign]);
    writer.reset();
    writer.write(element('a', 'urn:xmpp:sm:3', { h: '1' }), context);
    assert.deepEqual([...writer.view()], [0x0d, 0x08, 0x0c, 0x01]);
    assert.deepEqual(decodeCompactFrame(kept, context, limits), elements);
  });
});

describe('compact codec: trees that are no XML', () => {
  it('writes U+FFFD for a character that XML does not have', () => {
    const bad = ['a\u0000b', 'x\ud800', '\uffff', `${'y'.repeat(100)}\u0001`];
    for (const value of bad) {
      const el = element('body', 'jabber:client', { node: value }, [value]);
      // oxlint-disable-next-line no-control-regex
      const good = value.replace(/[\0\u0001\ud800\uffff]/, '\ufffd');
      assert.deepEqual(decoded(encodeCompact(el, context)), element('body', 'jabber:client', { node: good }, [good]));
    }
  });

  it('throws for a name or namespace that is none, and works on', () => {
    const names = ['', 'a b', 'a:b', '1', 'xmlns', '{}a', '{urn:a}b c', '{http://www.w3.org/XML/1998/namespace}lang'];
    for (const name of names) {
      assert.throws(() => encodeCompact(element('body', 'jabber:client', { [name]: '' }), context), TypeError);
      if (name !== 'xmlns') assert.throws(() => encodeCompact(element(name, 'urn:a'), context), TypeError);
    }
    assert.throws(() => encodeCompact(element('a', 'http://www.w3.org/2000/xmlns/'), context), TypeError);
    const writer = new CompactWriter();
    writer.write(element('r', 'urn:xmpp:sm:3'), context);
    assert.throws(() => writer.write(text(element('a b', 'urn:a')), context), TypeError);
    assert.deepEqual([...writer.view()], [0x0c, 0x00]);
  });
});

describe('compact codec: laws', () => {
  it('XML → compact → XML is the identity', () => {
    const text = fc.string({ unit: 'binary', maxLength: 40 }).map(toXmlText);
    const base64 = fc.uint8Array({ maxLength: 50 }).map(bytes => Buffer.from(bytes).toString('base64'));
    const value = fc.oneof(text, base64, fc.nat().map(String), fc.constantFrom(...dictionaryValues));
    const name = fc.constantFrom('a', 'é', 'message', 'envelope', 'x-1', ...dictionaryElements[3]![1]);
    const ns = fc.constantFrom('urn:a', 'urn:b', '', ...dictionaryNamespaces);
    const attributeName = fc.oneof(
      fc.constantFrom(...dictionaryAttributes),
      fc.constantFrom('z', '{urn:a}to', '{urn:b}to', '{http://www.w3.org/XML/1998/namespace}space'),
    );
    const attrs = fc
      .uniqueArray(fc.tuple(attributeName, value), { selector: pair => pair[0], maxLength: 6 })
      .map(pairs => pairs.flat());
    const { tree } = fc.letrec<{ tree: Element }>(tie => ({
      tree: fc.record({
        name,
        ns,
        attrs,
        children: fc.array(fc.oneof({ depthSize: 'small', withCrossShrink: true }, value, tie('tree')), {
          maxLength: 4,
        }),
      }),
    }));
    fc.assert(
      fc.property(tree, built => {
        const document = encodeElement(built, '');
        const read = xml(document);
        const canonical = encodeElement(read, '');
        const bytes = encodeCompact(read, context);
        assert.deepEqual(bytes, encodeCompact(built, context));
        assert.equal(encodeElement(decoded(bytes), ''), canonical);
      }),
      { numRuns: 1000, seed: 20261123 },
    );
  });

  it('hold on random trees and bytes', () => {
    for (let seed = 1; seed <= 8; seed++) fuzzCompact(seed, 1000);
  });
});
