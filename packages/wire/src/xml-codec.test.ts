import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Child, type Element, element, OversizedElement } from './element.ts';
import { type XmlLimits, xmlLimitsAfterLogin, xmlLimitsBeforeLogin } from './limits.ts';
import { NS_CLIENT, NS_FRAMING, NS_SASL, NS_STREAM, NS_XML, NS_XMLNS } from './namespaces.ts';
import type { StreamErrorCondition } from './stream-error.ts';
import { isXmlText } from './xml-chars.ts';
import { type XmlEvent, XmlStreamDecoder, parseFraming, parseXmlDocument } from './xml-decoder.ts';
import {
  encodeElement,
  encodeFramingClose,
  encodeFramingOpen,
  encodeStreamEnd,
  encodeStreamHeader,
} from './xml-encoder.ts';

const header =
  "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='b.example' version='1.0'>";

function decode(text: string | Uint8Array, size?: number, limits: XmlLimits = xmlLimitsBeforeLogin): XmlEvent[] {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  const decoder = new XmlStreamDecoder(limits);
  const step = size ?? Math.max(1, bytes.length);
  const events: XmlEvent[] = [];
  for (let i = 0; i < bytes.length; i += step) events.push(...decoder.push(bytes.subarray(i, i + step)));
  return events;
}

/** What a stream gives behind its header; the same in pieces of every size. */
function afterHeader(text: string | Uint8Array, limits?: XmlLimits): XmlEvent[] {
  const bytes = Buffer.concat([Buffer.from(header), typeof text === 'string' ? Buffer.from(text, 'utf8') : text]);
  const whole = decode(bytes, undefined, limits);
  for (const size of [1, 2, 3, 7, 64]) assert.deepEqual(decode(bytes, size, limits), whole, `in pieces of ${size}`);
  assert.equal(whole[0]?.kind, 'header');
  return whole.slice(1);
}

function conditionOf(events: XmlEvent[]): StreamErrorCondition | undefined {
  const last = events.at(-1);
  return last?.kind === 'error' ? last.condition : undefined;
}

test('a conversation: header, stanzas with white space between them, end', () => {
  const text = `<?xml version='1.0' encoding='utf-8'?>\n${header}\n<iq id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq> \n<r xmlns='urn:xmpp:sm:3'/></stream:stream>`;
  const expected: XmlEvent[] = [
    { kind: 'header', header: { to: 'b.example', from: undefined, id: undefined, version: '1.0', lang: undefined } },
    {
      kind: 'element',
      element: element('iq', NS_CLIENT, { id: '1', type: 'get' }, [element('ping', 'urn:xmpp:ping')]),
    },
    { kind: 'element', element: element('r', 'urn:xmpp:sm:3') },
    { kind: 'end' },
  ];
  for (let size = 1; size <= text.length; size++) assert.deepEqual(decode(text, size), expected);
});

test('nothing comes after the end or an error, and nothing is held', () => {
  for (const last of ['</stream:stream>', '<!-- -->', 'x']) {
    const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
    decoder.push(Buffer.from(header + last));
    assert.deepEqual(decoder.push(Buffer.from('<a/></stream:stream><')), []);
    assert.equal(decoder.pendingBytes, 0);
  }
});

test('after a reset a new stream begins', () => {
  const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
  decoder.push(Buffer.from(`${header}<unfinished attr='`));
  assert.equal(decoder.pendingBytes, 18);
  decoder.reset();
  assert.equal(decoder.pendingBytes, 0);
  const events = decoder.push(Buffer.from(`<?xml version='1.0'?>${header}<a/>`));
  assert.deepEqual(
    events.map(event => event.kind),
    ['header', 'element'],
  );
});

test('streams that are read in turns know their own prefixes and open elements alone', () => {
  const roots = ['', " xmlns:x='urn:example:x'", " xmlns:x='urn:example:other'"];
  const stanzas = [
    "<iq id='1'><a xmlns='urn:example:a' xmlns:p='urn:example:p'><p:b/><c/></a></iq>",
    '<message><x:body>text<x:deep/></x:body></message>',
    "<r xmlns='urn:xmpp:sm:3' xmlns:q='urn:example:q'/>",
    '<message><body>text</message>',
    '<message><p:body/></message>',
  ];
  const openings = roots.map(declared => header.replace(" to='", `${declared} to='`));
  const spaces = [1, 2, 0, 1].map(root => decode(`${openings[root]}<x:a/>`).at(-1));
  assert.deepEqual(
    spaces.map(event => (event?.kind === 'element' ? event.element.ns : event?.kind)),
    ['urn:example:x', 'urn:example:other', 'error', 'urn:example:x'],
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(2), fc.array(fc.nat(stanzas.length - 1), { maxLength: 4 })), { maxLength: 6 }),
      fc.integer({ min: 1, max: 80 }),
      (streams, size) => {
        const texts = streams.map(([root, said]) => openings[root]! + said.map(each => stanzas[each]).join(''));
        const expected = texts.map(text => decode(text, size));
        const decoders = texts.map(() => new XmlStreamDecoder(xmlLimitsBeforeLogin));
        const events: XmlEvent[][] = texts.map(() => []);
        for (let at = 0; texts.some(text => at < text.length); at += size) {
          for (const [i, text] of texts.entries()) {
            events[i]!.push(...decoders[i]!.push(Buffer.from(text.slice(at, at + size))));
          }
        }
        assert.deepEqual(events, expected);
      },
    ),
  );
});

test('keep-alive white space gives nothing and holds nothing', () => {
  const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
  decoder.push(Buffer.from(header));
  for (let i = 0; i < 100; i++) {
    assert.deepEqual(decoder.push(Buffer.from(' \n\t\r')), []);
    assert.equal(decoder.pendingBytes, 0);
  }
});

test('headers: what is refused and why', () => {
  const cases: [string, StreamErrorCondition][] = [
    ['GET / HTTP/1.1\r\n', 'not-well-formed'],
    ['\u0016\u0003\u0001', 'not-well-formed'],
    ['\ufeff<a/>', 'not-well-formed'],
    ["<stream:stream xmlns='jabber:client' to='b'>", 'bad-namespace-prefix'],
    ["<stream:stream xmlns='jabber:client' xmlns:stream='urn:x'>", 'invalid-namespace'],
    ["<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>", 'invalid-namespace'],
    ["<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", 'invalid-namespace'],
    ["<stream:s xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", 'bad-format'],
    ["<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'/>", 'bad-format'],
    ["<message to='a'/>", 'invalid-namespace'],
    ['</stream:stream>', 'not-well-formed'],
    ["<?xml version='1.0' encoding='UTF-16'?>", 'unsupported-encoding'],
    ["<?xml version='1.0' encoding='iso-8859-1'?>", 'unsupported-encoding'],
    ["<?xml version='1.1'?>", 'bad-format'],
    ["<?xml encoding='UTF-8'?>", 'not-well-formed'],
    [" <?xml version='1.0'?>", 'restricted-xml'],
    ["<?xml version='1.0'?><?xml version='1.0'?>", 'restricted-xml'],
    ["<?xml-stylesheet href='x'?>", 'restricted-xml'],
    ['<!DOCTYPE a>', 'restricted-xml'],
    ['<!--', 'restricted-xml'],
    [`<![CDATA[x]]>${header}`, 'bad-format'],
  ];
  for (const [text, condition] of cases) {
    for (const size of [1, 5, 1000]) assert.equal(conditionOf(decode(text, size)), condition, text);
  }
});

test('stanzas: what is refused and why', () => {
  const cases: [string, StreamErrorCondition][] = [
    ['x', 'bad-format'],
    ['&amp;', 'bad-format'],
    [header, 'bad-format'],
    ['<![CDATA[x]]>', 'bad-format'],
    ['<!-- x -->', 'restricted-xml'],
    ['<a><!-', 'restricted-xml'],
    ['<a><?', 'restricted-xml'],
    ["<?xml version='1.0'?>", 'restricted-xml'],
    ['<!DOCTYPE x [<!ENTITY y "z">]>', 'restricted-xml'],
    ['<a>&y;</a>', 'not-well-formed'],
    ['<a>&#xD800;</a>', 'not-well-formed'],
    ['<a>&#0;</a>', 'not-well-formed'],
    ['<a>&#xFFFE;</a>', 'not-well-formed'],
    ['<a>&#x110000;</a>', 'not-well-formed'],
    ['<a>&#65</a>', 'not-well-formed'],
    ['<a>&#;</a>', 'not-well-formed'],
    ['<a>&amp</a>', 'not-well-formed'],
    ['<a>]]></a>', 'not-well-formed'],
    ['<a>\u0000</a>', 'not-well-formed'],
    ['<a>\u001f</a>', 'not-well-formed'],
    ['<a>\uffff</a>', 'not-well-formed'],
    ['<a b="\u0001"/>', 'not-well-formed'],
    ['<a b="\ufffe"/>', 'not-well-formed'],
    ['<a b="<"/>', 'not-well-formed'],
    ['<a b=c/>', 'not-well-formed'],
    ['<a b/>', 'not-well-formed'],
    ["<a b='1'c='2'/>", 'not-well-formed'],
    ["<a b='1' b='2'/>", 'not-well-formed'],
    ["<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='1' q:b='2'/>", 'not-well-formed'],
    ["<a xmlns='urn:x' xmlns='urn:x'/>", 'not-well-formed'],
    ["<a p:b='1'/>", 'bad-namespace-prefix'],
    ['<p:a/>', 'bad-namespace-prefix'],
    ["<a><p:b xmlns:p='urn:x'/><p:c/></a>", 'bad-namespace-prefix'],
    ['<xmlns:a/>', 'bad-namespace-prefix'],
    ["<a xmlns:p=''/>", 'not-well-formed'],
    ["<a xmlns:xml='urn:x'/>", 'not-well-formed'],
    [`<a xmlns:x='${NS_XML}'/>`, 'not-well-formed'],
    [`<a xmlns='${NS_XML}'/>`, 'not-well-formed'],
    [`<a xmlns='${NS_XMLNS}'/>`, 'not-well-formed'],
    ["<a xmlns:xmlns='urn:x'/>", 'not-well-formed'],
    ['<a:b:c/>', 'not-well-formed'],
    ['<:a/>', 'not-well-formed'],
    ['<a:/>', 'not-well-formed'],
    ['<1a/>', 'not-well-formed'],
    ['<-a/>', 'not-well-formed'],
    ['<\u00d7/>', 'not-well-formed'],
    ['< a/>', 'not-well-formed'],
    ['<a / >', 'not-well-formed'],
    ['<a></b>', 'not-well-formed'],
    ['<a></a b>', 'not-well-formed'],
    ['<a></ab>', 'not-well-formed'],
    ['<a></p:a>', 'not-well-formed'],
    ['</a>', 'not-well-formed'],
    ['<>', 'not-well-formed'],
  ];
  for (const [text, condition] of cases) assert.equal(conditionOf(afterHeader(text)), condition, text);
});

test('UTF-8 is checked: overlong forms, surrogates, what is above U+10FFFF, cut sequences', () => {
  const broken = [
    '80',
    'c080',
    'c1bf',
    'c3',
    'c328',
    'e08080',
    'e282',
    'eda080',
    'edbfbf',
    'f0808080',
    'f09d84',
    'f4908080',
    'f8888080',
    'ff',
  ];
  for (const hex of broken) {
    const bytes = Buffer.from(hex, 'hex');
    for (const [before, after] of [
      ['<a>', '</a>'],
      ["<a b='", "'/>"],
      ['<a', '/>'],
      ['<a ', "='1'/>"],
      ['<a><![CDATA[', ']]></a>'],
    ]) {
      const text = Buffer.concat([Buffer.from(before!), bytes, Buffer.from(after!)]);
      assert.equal(conditionOf(afterHeader(text)), 'not-well-formed', `${before}${hex}`);
    }
  }
  for (const text of ['é', '\u0800', '\ud7ff', '\ue000', '\ufffd', '\u{10000}', '\u{10ffff}', '\ufeff']) {
    assert.deepEqual(afterHeader(`<a b='${text}'>${text}</a>`), [
      { kind: 'element', element: element('a', NS_CLIENT, { b: text }, [text]) },
    ]);
  }
});

test('text: references, CDATA and line ends', () => {
  const cases: [string, readonly Child[]][] = [
    ['&lt;&gt;&amp;&apos;&quot;&#65;&#x1F600;&#x9;&#13;', ['<>&\'"A😀\t\r']],
    ['a\r\nb\rc\nd', ['a\nb\nc\nd']],
    ['<![CDATA[<&]]>]]&gt;<![CDATA[]]>x', ['<&]]>x']],
    ['<![CDATA[]]]]><![CDATA[>]]>', [']]>']],
    ['<![CDATA[\r\n&amp;]]>', ['\n&amp;']],
    ['x<b/>y<![CDATA[z]]>', ['x', element('b', NS_CLIENT), 'yz']],
    ['<![CDATA[]]>', []],
  ];
  for (const [text, children] of cases) {
    assert.deepEqual(afterHeader(`<a>${text}</a>`), [
      { kind: 'element', element: element('a', NS_CLIENT, {}, children) },
    ]);
  }
});

test('attributes: values are normalised, names resolved', () => {
  const [event] = afterHeader(
    "<a xmlns:p='urn:p' b='1\r\n2\t3\n4&#10;5&#9;6&lt;' p:b=\"it's\" xml:lang='de' xml:space='preserve'><p:c/><d xmlns=''/></a>",
  );
  assert.deepEqual(event, {
    kind: 'element',
    element: {
      name: 'a',
      ns: NS_CLIENT,
      attrs: ['b', '1 2 3 4\n5\t6<', '{urn:p}b', "it's", 'xml:lang', 'de', `{${NS_XML}}space`, 'preserve'],
      children: [element('c', 'urn:p'), element('d', '')],
    },
  });
});

test('an element above its limit that may be read is given without what it holds, and the stream goes on', () => {
  const limits: XmlLimits = { ...xmlLimitsBeforeLogin, elementBytes: 100, readableBytes: 200 };
  const given = (text: string, size: number): XmlEvent[] => {
    const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
    decoder.push(Buffer.from(header));
    decoder.setLimits(limits);
    const bytes = Buffer.from(text);
    const events: XmlEvent[] = [];
    for (let i = 0; i < bytes.length; i += size) {
      events.push(...decoder.push(bytes.subarray(i, i + size)));
      assert.ok(decoder.pendingBytes <= 200);
    }
    return events;
  };
  const of = (bytes: number): string => `<a id='1'>${'x'.repeat(bytes - 14)}</a>`;
  for (const size of [1, 7, 1_000]) {
    const events = given(`${of(100)}${of(101)}${of(200)}<b/>${of(201)}<b/>`, size);
    const [whole, above, most, next, error, ...rest] = events.map(event =>
      event.kind === 'element' ? event.element : event.kind,
    );
    assert.deepEqual(whole, element('a', NS_CLIENT, { id: '1' }, ['x'.repeat(86)]));
    for (const each of [above, most]) {
      assert.ok(each instanceof OversizedElement);
      assert.deepEqual([each.name, each.ns, each.attrs, each.children], ['a', NS_CLIENT, ['id', '1'], []]);
    }
    assert.deepEqual(next, element('b', NS_CLIENT));
    assert.deepEqual([error, rest], ['error', []]);
  }
  const document = parseXmlDocument(`<a xmlns='u' id='1'>${'x'.repeat(150)}</a>`, limits);
  assert.ok(document instanceof OversizedElement);
});

test('every limit is met exactly and refused one above', () => {
  const limits: XmlLimits = {
    elementBytes: 200,
    depth: 3,
    attributes: 2,
    children: 3,
    namespaces: 4,
    nameBytes: 8,
    attributeBytes: 10,
  };
  // The header has names and values of its own: it is read under wider limits.
  const under = (text: string): XmlEvent[] => {
    const results = [text.length, 1, 3].map(size => {
      const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
      decoder.push(Buffer.from(header));
      decoder.setLimits(limits);
      const events: XmlEvent[] = [];
      const bytes = Buffer.from(text);
      for (let i = 0; i < bytes.length; i += size) {
        events.push(...decoder.push(bytes.subarray(i, i + size)));
        assert.ok(decoder.pendingBytes <= limits.elementBytes);
      }
      return events;
    });
    assert.deepEqual(results[1], results[0]);
    assert.deepEqual(results[2], results[0]);
    return results[0]!;
  };
  const pairs: [string, string][] = [
    [`<a>${'x'.repeat(193)}</a>`, `<a>${'x'.repeat(194)}</a>`],
    [`<a>${'x'.repeat(193)}</a><a/>`, `<a>${'x'.repeat(198)}`],
    [`<a>${'<b/>'.repeat(3)}</a>`, `<a>${'<b/>'.repeat(4)}</a>`],
    ['<a>x<b/>y</a>', '<a>x<b/>y<b/></a>'],
    ['<a><b><c/></b></a>', '<a><b><c><d/></c></b></a>'],
    ["<a b='1' c='2'/>", "<a b='1' c='2' d='3'/>"],
    ["<a xmlns='u:1' xmlns:p='u:2'/>", "<a xmlns='u:1' xmlns:p='u:2' xmlns:q='u:3'/>"],
    ["<a xmlns='u:1'><b xmlns='u:2'/><c xmlns='u:3'/></a>", "<a xmlns='u:1'><b xmlns='u:2'><c xmlns='u:3'/></b></a>"],
    ['<abcdefgh/>', '<abcdefghi/>'],
    ["<a abcdefgh=''/>", "<a abcdefghi=''/>"],
    ["<a xmlns='urn:abcd'/>", "<a xmlns='urn:abcde'/>"],
    ["<a xmlns='€€ab'/>", "<a xmlns='€€€'/>"],
    ["<a b='0123456789'/>", "<a b='0123456789x'/>"],
    ["<a b='&amp;123456789'/>", "<a b='&amp;123456789x'/>"],
    ["<a b='éééé12'/>", "<a b='éééé123'/>"],
  ];
  for (const [fits, exceeds] of pairs) {
    assert.equal(conditionOf(under(fits)), undefined, fits);
    assert.equal(conditionOf(under(exceeds)), 'policy-violation', exceeds);
  }
});

test('a document stands alone', () => {
  const limits = xmlLimitsBeforeLogin;
  const open = element('open', NS_FRAMING, { to: 'b.example', version: '1.0' });
  const text = `<open xmlns='${NS_FRAMING}' to='b.example' version='1.0'/>`;
  assert.deepEqual(parseXmlDocument(text, limits), open);
  assert.deepEqual(parseXmlDocument(`<?xml version='1.0'?>\n${text} \n`, limits), open);
  assert.deepEqual(parseXmlDocument(Buffer.from(text), limits), open);
  for (const bad of [
    '',
    ' ',
    '<a>',
    '<a/><b/>',
    '<a/>x',
    '<a/><',
    "<a/><b x='",
    '<a/></a>',
    'x<a/>',
    '<a/>\u0000',
    '<a>\ud800</a>',
  ]) {
    const result = parseXmlDocument(bad, limits);
    assert.ok('kind' in result && result.kind === 'error', bad);
  }
  const big = parseXmlDocument(`<a>${'x'.repeat(20_000)}</a>`, limits);
  assert.equal('kind' in big && big.condition, 'policy-violation');
});

test('stream headers and framing are read as they are written', () => {
  const fields = { to: "b'<.example", from: 'a&.example', id: 'x\ty', version: '1.0', lang: 'en' };
  assert.deepEqual(decode(encodeStreamHeader(fields) + encodeStreamEnd()), [
    { kind: 'header', header: fields },
    { kind: 'end' },
  ]);
  const read = (text: string): unknown => {
    const el = parseXmlDocument(text, xmlLimitsBeforeLogin);
    return 'kind' in el ? el : parseFraming(el);
  };
  assert.deepEqual(read(encodeFramingOpen(fields)), { kind: 'open', header: fields });
  assert.deepEqual(read(encodeFramingClose()), { kind: 'close' });
  assert.deepEqual(read(encodeFramingClose("wss://x.example/?a='&b")), { kind: 'close' });
  assert.equal(read("<open xmlns='urn:x'/>"), undefined);
});

test('elements are written in one form', () => {
  const cases: [Element, string, string][] = [
    [element('a', NS_CLIENT), NS_CLIENT, '<a/>'],
    [element('a', NS_CLIENT), '', "<a xmlns='jabber:client'/>"],
    [
      element('a', NS_CLIENT, { t: '\'"<>&\t\r\n' }, ['\'"<>&\r]]>']),
      NS_CLIENT,
      "<a t='&apos;\"&lt;&gt;&amp;&#9;&#13;&#10;'>'\"&lt;&gt;&amp;&#13;]]&gt;</a>",
    ],
    [
      element('a', 'urn:x', {}, [element('b', 'urn:x'), element('c', '')]),
      '',
      "<a xmlns='urn:x'><b/><c xmlns=''/></a>",
    ],
    [element('a', 'urn:x', {}, [Buffer.from([0, 255, 62]), Uint8Array.of(1)]), 'urn:x', '<a>AP8+AQ==</a>'],
    [
      element('features', NS_STREAM, {}, [element('mechanisms', NS_SASL), element('x', NS_STREAM)]),
      NS_CLIENT,
      `<stream:features xmlns:stream='${NS_STREAM}'><mechanisms xmlns='${NS_SASL}'/><stream:x/></stream:features>`,
    ],
    [
      { name: 'a', ns: '', attrs: ['{urn:p}x', '1', '{urn:p}y', '2', 'xml:lang', 'en'], children: [] },
      '',
      "<a xmlns:a0='urn:p' a0:x='1' xmlns:a1='urn:p' a1:y='2' xml:lang='en'/>",
    ],
    [element('a', '', {}, ['\u0000\ud800\uffff']), '', '<a>\ufffd\ufffd\ufffd</a>'],
  ];
  for (const [el, parentNs, text] of cases) assert.equal(encodeElement(el, parentNs), text);
});

test('what would be markup in a name is never written', () => {
  const bad: Element[] = [
    element('a><b', ''),
    element('a b', ''),
    element('', ''),
    element('p:a', ''),
    element('a', NS_XMLNS),
    element('a', '', { "x='1' y": '' }),
    element('a', '', { xmlns: 'urn:x' }),
    element('a', '', { '{}x': '' }),
    element('a', '', { '{urn:x}a b': '' }),
    element('a', '', { [`{${NS_XMLNS}}x`]: '' }),
  ];
  for (const el of bad) assert.throws(() => encodeElement(el, ''), TypeError);
});

const name = fc
  .oneof(
    fc.constantFrom('message', 'envelope', 'a', 'é', '\u{10000}x', 'a-b.c'),
    fc.stringMatching(/^[A-Za-z_][A-Za-z0-9._-]{0,5}$/),
  )
  .filter(text => text !== 'xmlns');
const namespace = fc.constantFrom('', NS_CLIENT, NS_STREAM, NS_XML, 'urn:a', 'urn:b', 'urn:\'<&>"\t');
const text = fc.string({ unit: 'binary' }).filter(isXmlText);
const attributeName = fc.oneof(
  name,
  fc.constant('xml:lang'),
  fc.tuple(fc.constantFrom('urn:a', 'urn:}', NS_CLIENT), name).map(([ns, local]) => `{${ns}}${local}`),
);
const { tree } = fc.letrec<{ tree: Element }>(tie => ({
  tree: fc
    .tuple(
      name,
      namespace,
      fc.uniqueArray(fc.tuple(attributeName, text), { maxLength: 4, selector: ([key]) => key }),
      fc.array(fc.oneof({ maxDepth: 4 }, text, tie('tree')), { maxLength: 4 }),
    )
    .map(([name, ns, attrs, children]) => ({ name, ns, attrs: attrs.flat(), children: joined(children) })),
}));

/** Text as a reader sees it: adjoining pieces are one, empty ones none. */
function joined(children: readonly (Element | string)[]): Child[] {
  const out: (Element | string)[] = [];
  for (const child of children) {
    const last = out.at(-1);
    if (child === '') continue;
    if (typeof child === 'string' && typeof last === 'string') out[out.length - 1] = last + child;
    else out.push(child);
  }
  return out;
}

test('what is written is read back, in whatever pieces', () => {
  fc.assert(
    fc.property(
      fc.array(tree, { maxLength: 4 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 50 })),
      (trees, sizes) => {
        const bytes = Buffer.from(
          encodeStreamHeader({}) + trees.map(el => encodeElement(el, NS_CLIENT)).join('\n') + encodeStreamEnd(),
        );
        const decoder = new XmlStreamDecoder(xmlLimitsAfterLogin);
        const events: XmlEvent[] = [];
        for (let i = 0; i < bytes.length; ) {
          const size = sizes.next().value as number;
          events.push(...decoder.push(bytes.subarray(i, i + size)));
          i += size;
        }
        assert.deepEqual(events.slice(1), [...trees.map(el => ({ kind: 'element', element: el })), { kind: 'end' }]);
        for (const el of trees) assert.deepEqual(parseXmlDocument(encodeElement(el, ''), xmlLimitsAfterLogin), el);
      },
    ),
    { numRuns: 400, seed: 6120 },
  );
});

test('any bytes give events or one error, never an exception', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), fc.boolean(), (chunks, withHeader) => {
      const decoder = new XmlStreamDecoder(xmlLimitsBeforeLogin);
      const events = withHeader ? decoder.push(Buffer.from(header)) : [];
      for (const chunk of chunks) events.push(...decoder.push(chunk));
      const ends = events.findIndex(event => event.kind === 'error' || event.kind === 'end');
      assert.ok(ends === -1 || ends === events.length - 1);
    }),
    { numRuns: 3000, seed: 6120 },
  );
});
