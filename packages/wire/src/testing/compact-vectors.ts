// The test vectors of the compact codec, for every language: what is written, what is refused, and the dictionary.
// Run it to print vectors/compact-v1.json; the stanzas stand here as XML. Knows nothing of files.
// Source: docs/protocol/07-compact-codec.md section 7.9.

import type { CompactErrorCode } from '../compact-decoder.ts';
import {
  compactDictionaryVersion,
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
} from '../compact-dictionary.ts';
import { encodeCompact } from '../compact-encoder.ts';
import { compactContext } from '../compact-value.ts';
import { xmlLimitsAfterLogin } from '../limits.ts';
import { NS_XML, NS_XMLNS } from '../namespaces.ts';
import { parseXmlDocument } from '../xml-decoder.ts';

/** `defaultDomain`: of this vector alone, in place of the file's; null is none. */
export type CompactVector = {
  readonly name: string;
  readonly defaultDomain?: string | null;
  readonly xml: string;
  readonly compactHex: string;
};

export type RefusedCompactVector = { readonly name: string; readonly hex: string; readonly code: CompactErrorCode };

/** What vectors/compact-v1.json holds. */
export type CompactVectors = {
  readonly description: string;
  readonly dictionaryVersion: number;
  readonly defaultDomain: string;
  readonly dictionary: {
    readonly namespaces: readonly (readonly [token: number, ns: string])[];
    readonly elements: readonly (readonly [token: number, ns: string, name: string])[];
    readonly attributes: readonly (readonly [token: number, name: string])[];
    readonly wholeAttributes: readonly (readonly [token: number, name: string, value: string])[];
    readonly values: readonly (readonly [token: number, value: string])[];
  };
  readonly stanzas: readonly CompactVector[];
  readonly refused: readonly RefusedCompactVector[];
};

const domain = 'citadel.example';
const alice = `0-abcdefghijklmnopqrstuvwxya@${domain}`;
const bob = `7-k5xeq4zvvkh2dzrmqmz4yfq2ia@${domain}`;
const bytes48 = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v';
const client = `xmlns='jabber:client'`;
const e2ee = `xmlns='urn:drawbridge:e2ee:1'`;
const keys = `xmlns='urn:drawbridge:keys:1'`;

function v(name: string, text: string): readonly [string, string] {
  return [name, `<x xmlns='urn:example:v' v='${text}'/>`];
}

function t(name: string, text: string): readonly [string, string] {
  return [name, `<body ${client}>${text}</body>`];
}

const stanzas: readonly (readonly [name: string, xml: string, defaultDomain?: string | null])[] = [
  ['stream management: request', `<r xmlns='urn:xmpp:sm:3'/>`],
  ['stream management: answer', `<a xmlns='urn:xmpp:sm:3' h='7'/>`],
  ['stream management: highest count', `<a xmlns='urn:xmpp:sm:3' h='4294967295'/>`],
  [
    'stream management: enabled',
    `<enabled xmlns='urn:xmpp:sm:3' id='c0ffee00c0ffee00c0ffee00c0ffee00' resume='true' max='300'/>`,
  ],
  [
    'message to one device',
    `<message ${client} from='${bob}/1' to='${alice}/2' id='m1' type='chat'><envelope ${e2ee} suite='signal-1' from-device='1'>` +
      `<ciphertext device='2' registration='4711' kind='session'>${bytes48}</ciphertext></envelope></message>`,
  ],
  [
    'message to two devices, with hints',
    `<message ${client} to='${alice}' id='3f8a1c2b-9d4e-4f60-8a7b-1c2d3e4f5a6b'><envelope ${e2ee} suite='signal-1' from-device='1'>` +
      `<ciphertext device='1' registration='815' kind='prekey'>${bytes48}</ciphertext>` +
      `<ciphertext device='127' kind='plaintext-retry'>${bytes48}</ciphertext></envelope>` +
      `<no-store xmlns='urn:xmpp:hints'/><silent xmlns='urn:drawbridge:delivery:1'/></message>`,
  ],
  [
    'message that waited',
    `<message ${client} from='${bob}/1' to='${alice}/2' id='m2' type='normal'><envelope ${e2ee} suite='signal-1' from-device='1'>` +
      `<ciphertext device='2' kind='session'>${bytes48}</ciphertext></envelope>` +
      `<delay xmlns='urn:xmpp:delay' from='${domain}' stamp='2026-11-23T09:05:17Z'/></message>`,
  ],
  [
    'own message placed: a name that is younger than the dictionary',
    `<message ${client} from='${domain}' to='${bob}/1'><placed xmlns='urn:drawbridge:delivery:1' id='m1'/></message>`,
  ],
  [
    'device list refused',
    `<message ${client} type='error' from='${alice}' to='${bob}/1' id='m1'><error type='modify'>` +
      `<conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><device-list ${e2ee}><missing device='3'/><extra device='2'/>` +
      `<stale device='1'/></device-list></error></message>`,
  ],
  [
    'error with a text in a language',
    `<iq ${client} type='error' id='q1'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
      `<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>Later.</text>` +
      `<retry-after xmlns='urn:drawbridge:errors:1' seconds='30'/></error></iq>`,
  ],
  [
    'key bundle, more children than the shape holds',
    `<iq ${client} type='result' id='4'><bundle ${keys} jid='${alice}'><device id='2' registration='16380'>` +
      `<identity>${bytes48}</identity><signed-prekey id='2'><public>${bytes48}</public><signature>${bytes48}</signature></signed-prekey>` +
      `<prekey id='16777215'><public>${bytes48}</public></prekey><kem-prekey id='9'><public>${bytes48}</public>` +
      `<signature>${bytes48}</signature></kem-prekey></device><device id='3'/><device id='4'/><device id='5'/><device id='6'/>` +
      `<device id='7'/></bundle></iq>`,
  ],
  [
    'lookup',
    `<iq ${client} type='get' id='l'><lookup xmlns='urn:drawbridge:directory:1' provider='skylark.example' identifier='anna'/></iq>`,
  ],
  ['consent', `<provider xmlns='urn:drawbridge:consent:1' number='1' name='skylark.example' opted-in='false'/>`],
  ['ping to the domain', `<iq ${client} to='${domain}' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>`],
  [
    'stream error',
    `<error xmlns='http://etherx.jabber.org/streams'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error>`,
  ],
  ['disco feature', `<feature xmlns='http://jabber.org/protocol/disco#info' var='urn:xmpp:ping'/>`],
  v('value: empty', ''),
  v('value: 0', '0'),
  v('value: 127', '127'),
  v('value: 128', '128'),
  v('value: 255', '255'),
  v('value: 256', '256'),
  v('value: 65536', '65536'),
  v('value: 16777216', '16777216'),
  v('value: 4294967296, digits', '4294967296'),
  v('value: leading zeros, digits', '0042'),
  v('value: leading zero too short for digits, literal', '007'),
  v('value: odd number of digits', '2026-11-23T09:05:17.5Z'),
  v('value: dictionary', 'session'),
  v('value: hex', 'deadbeef'),
  v('value: hex of odd length, literal', 'deadbee'),
  v('value: hex in capitals, literal', 'DEADBEEF'),
  v('value: hex before base64 in an attribute', 'aaaaaaaaaaaaaaaaaaaaaaaa'),
  v('value: UUID', '00112233-4455-6677-8899-aabbccddeeff'),
  v('value: UUID in capitals, literal', '00112233-4455-6677-8899-AABBCCDDEEFF'),
  v('value: base64', bytes48),
  v('value: base64 with padding', 'AAECAwQFBgcICQoLDA0ODw=='),
  v('value: base64 too short, literal', 'AAECAwQFBgcICQoLDA0O'),
  v('value: base64 with bits behind its end, literal', 'AAECAwQFBgcICQoLDA0ODx=='),
  v('value: UTF-8', 'Grüße 𝄞'),
  v('value: longest short literal', 'x'.repeat(62)),
  v('value: shortest long literal', 'x'.repeat(63)),
  v('value: full JID', `${alice}/127`),
  v('value: bare JID, provider number 65535', bob.replace('7-', '65535-')),
  v('value: full JID at another domain', '7-k5xeq4zvvkh2dzrmqmz4yfq2ia@skylark.example/1'),
  v('value: bare JID at another domain', '7-k5xeq4zvvkh2dzrmqmz4yfq2ia@skylark.example'),
  v('value: InteropId with bits behind its end, literal', `7-k5xeq4zvvkh2dzrmqmz4yfq2ib@${domain}`),
  v('value: device 128, literal', `${alice}/128`),
  v('value: provider number 65536, literal', bob.replace('7-', '65536-')),
  v('value: default domain', domain),
  ['value: the same without a default domain', `<x xmlns='urn:example:v' v='${domain}'/>`, null],
  ['value: JID without a default domain', `<x xmlns='urn:example:v' v='${alice}'/>`, null],
  ['value: an IPv4 address as default domain', `<x xmlns='urn:example:v' v='192.0.2.1'/>`, '192.0.2.1'],
  ['value: a default domain that is a word of the dictionary', `<x xmlns='urn:example:v' v='error'/>`, 'error'],
  t('text: base64 before hex', 'aaaaaaaaaaaaaaaaaaaaaaaa'),
  t('text: 15 bytes stay base64', 'AAECAwQFBgcICQoLDA0O'),
  t('text: 16 bytes are moved raw', 'AAECAwQFBgcICQoLDA0ODw=='),
  t('text: number', '42'),
  t('text: line ends and tabs', 'a&#13;&#10;&#9;b'),
  t('text: byte order mark', '\ufeffx'),
  t('text: 200 bytes, two bytes of length', 'hello, world; '.repeat(15).slice(0, 200)),
  ['mixed text and elements', `<body ${client}>see <thread>1</thread> and <thread/>.</body>`],
  ['white space between elements stays', `<iq ${client} type='get' id='1'>\n <ping xmlns='urn:xmpp:ping'/>\n</iq>`],
  [
    'names and namespaces outside the dictionary',
    `<foo xmlns='urn:example:a' é='1'><bar xmlns='urn:example:b'/><foo/><message/><bar xmlns='jabber:client'/></foo>`,
  ],
  [
    'attributes in namespaces',
    `<iq ${client} type='set' id='1' xmlns:p='urn:example:p' p:to='x' p:a='y' xml:space='preserve' xmlns:sm='urn:xmpp:sm:3' sm:h='1'/>`,
  ],
  ['no namespace', `<a><b xmlns='urn:example:a'/><c/></a>`],
  ['32 attributes', `<x xmlns='urn:example:v' ${Array.from({ length: 32 }, (_, i) => `a${i}='${i}'`).join(' ')}/>`],
];

/** A text's bytes in hexadecimal. */
function x(text: string): string {
  return Buffer.from(text).toString('hex');
}

const random16 = '000102030405060708090a0b0c0d0e0f';
// `06` is `<body/>`, `0c` `<r/>`, `0d` `<a/>`; `08` one attribute, `01` one text; attribute `0c` is `h`.
const refused: readonly (readonly [name: string, hex: string, code: CompactErrorCode])[] = [
  ['no bytes', '', 'truncated'],
  ['no shape', '0c', 'truncated'],
  ['an attribute is missing', '0d 08', 'truncated'],
  ['a value is missing', '0d 08 0c', 'truncated'],
  ['a literal ends early', '06 01 c2 61', 'truncated'],
  ['a long literal ends early', '06 01 ff 3f 61', 'truncated'],
  ['a length ends early', '06 01 ff 80', 'truncated'],
  ['a number ends early', '0d 08 0c 81 ff', 'truncated'],
  ['a JID ends early', `0d 08 0c 88 00 ${random16}`, 'truncated'],
  ['a child is missing', '06 02', 'truncated'],
  ['a second stanza ends early', '0c 00 0c', 'truncated'],
  ['an element token that is none', 'ff 00', 'unknown-token'],
  ['an attribute token that is none', '0c 08 7f 00', 'unknown-token'],
  ['a whole-attribute token that is none', '0c 08 ff', 'unknown-token'],
  ['a value token that is none', '0d 08 0c bf', 'unknown-token'],
  ['a value form that is none', '0d 08 0c 8f', 'unknown-token'],
  ['a namespace token that is none', '01 3f 01 61 00', 'unknown-token'],
  ['a namespace again that was not written', '01 40 01 61 00', 'unknown-token'],
  ['text at the top', '00 c1 61', 'unexpected-text'],
  ['an element of the dictionary spelled out', `01 02 01 ${x('r')} 00`, 'not-canonical'],
  ['a namespace of the dictionary spelled out', `01 00 0d ${x('jabber:client')} 01 61 00`, 'not-canonical'],
  ['a namespace written twice', '01 00 01 75 01 61 02 01 00 01 75 01 62 00', 'not-canonical'],
  ['an attribute of the dictionary spelled out', `0d 08 00 01 ${x('h')} 07`, 'not-canonical'],
  ['a whole attribute in two parts', `03 08 05 c3 ${x('get')}`, 'not-canonical'],
  ['a whole attribute in two parts, both with a token', '0f 08 0e 90', 'not-canonical'],
  ['xml:lang as an attribute in a namespace', `0c 08 01 00 24 ${x(NS_XML)} 04 ${x('lang')} c0`, 'not-canonical'],
  ['a small number as literal', `0d 08 0c c1 ${x('7')}`, 'not-canonical'],
  ['a number as literal', `0d 08 0c c3 ${x('300')}`, 'not-canonical'],
  ['a value of the dictionary as literal', `0d 08 0c c4 ${x('true')}`, 'not-canonical'],
  ['a number below 128 in a byte of its own', '0d 08 0c 80 7f', 'not-canonical'],
  ['a number below 256 in two bytes', '0d 08 0c 81 00 ff', 'not-canonical'],
  ['a number below 2^16 in three bytes', '0d 08 0c 82 00 ff ff', 'not-canonical'],
  ['a number below 2^24 in four bytes', '0d 08 0c 83 00 ff ff ff', 'not-canonical'],
  ['a number as digits', '0d 08 0c 84 02 12 34', 'not-canonical'],
  ['digits as literal', `0d 08 0c c4 ${x('0042')}`, 'not-canonical'],
  ['three digits', '0d 08 0c 84 02 00 7f', 'not-canonical'],
  ['no digits', '0d 08 0c 84 00', 'not-canonical'],
  ['the filler in an upper half', '0d 08 0c 84 03 00 42 f3', 'not-canonical'],
  ['the filler before the end', '0d 08 0c 84 03 00 4f 23', 'not-canonical'],
  ['hex as literal', `0d 08 0c c4 ${x('beef')}`, 'not-canonical'],
  ['hex of two characters', '0d 08 0c 85 01 ab', 'not-canonical'],
  ['hex without a letter', '0d 08 0c 85 06 00 00 00 00 00 00', 'not-canonical'],
  ['a UUID as literal', `0d 08 0c e4 ${x('00112233-4455-6677-8899-aabbccddeeff')}`, 'not-canonical'],
  ['15 bytes raw', `06 01 87 0f ${'07'.repeat(15)}`, 'not-canonical'],
  ['base64 as literal text', `06 01 d8 ${x('AAECAwQFBgcICQoLDA0ODw==')}`, 'not-canonical'],
  ['base64 as literal attribute', `0d 08 0c d8 ${x('AAECAwQFBgcICQoLDA0ODw==')}`, 'not-canonical'],
  ['hex as base64 in an attribute', `0d 08 0c 87 12 ${'69a69a'.repeat(6)}`, 'not-canonical'],
  ['hex as hex in text where base64 comes first', `06 01 85 0c ${'aa'.repeat(12)}`, 'not-canonical'],
  ['a long literal of 62 bytes', `06 01 ff 3e ${'78'.repeat(62)}`, 'not-canonical'],
  ['a length in a byte too many', `06 01 ff bf 00 ${'78'.repeat(63)}`, 'not-canonical'],
  ['a JID as literal', `0d 08 0c ec ${x(alice)}`, 'not-canonical'],
  ['a JID with device 0', `0d 08 0c 88 00 ${random16} 00`, 'not-canonical'],
  ['a JID with device 128', `0d 08 0c 88 00 ${random16} 80`, 'not-canonical'],
  ['a JID with provider number 65536', `0d 08 0c 88 80 80 04 ${random16} 01`, 'not-canonical'],
  ['the default domain spelled out in a JID', `0d 08 0c 8b 00 ${random16} 0f ${x(domain)}`, 'not-canonical'],
  ['a domain in capitals in a JID', `0d 08 0c 8b 00 ${random16} 02 ${x('Ab')}`, 'not-canonical'],
  ['an empty domain in a JID', `0d 08 0c 8b 00 ${random16} 00`, 'not-canonical'],
  ['the default domain as literal', `0d 08 0c cf ${x(domain)}`, 'not-canonical'],
  ['an empty text', '06 01 c0', 'not-canonical'],
  ['an empty text between elements', '06 03 00 c0 0a 00', 'not-canonical'],
  ['two texts side by side', '06 03 00 c1 61 00 c1 62', 'not-canonical'],
  ['a text alone, marked as one child', '06 02 00 c1 61', 'not-canonical'],
  ['a count for five children', `06 07 05 ${'0a00'.repeat(5)}`, 'not-canonical'],
  ['bytes that are not UTF-8', '06 01 c2 c3 28', 'bad-utf8'],
  ['UTF-8 longer than needed', '06 01 c2 c0 af', 'bad-utf8'],
  ['a surrogate in UTF-8', '06 01 c3 ed a0 80', 'bad-utf8'],
  ['a control character', '06 01 c1 01', 'bad-character'],
  ['NUL in an attribute', '0d 08 0c c1 00', 'bad-character'],
  ['U+FFFF', '06 01 c3 ef bf bf', 'bad-character'],
  ['a name with a space', `01 00 01 75 03 ${x('a b')} 00`, 'bad-name'],
  ['a name with a colon', `01 00 01 75 03 ${x('a:b')} 00`, 'bad-name'],
  ['a name that begins with a digit', `01 00 01 75 02 ${x('1a')} 00`, 'bad-name'],
  ['an empty name', '01 00 01 75 00 00', 'bad-name'],
  ['an attribute named xmlns', `0c 08 00 05 ${x('xmlns')} c0`, 'bad-name'],
  ['an attribute with a prefix', `0c 08 00 03 ${x('a:b')} c0`, 'bad-name'],
  ['the namespace of xmlns', `01 00 1d ${x(NS_XMLNS)} 01 61 00`, 'bad-namespace'],
  ['an attribute in no namespace that says it has one', '0c 08 01 00 00 01 61 c0', 'bad-namespace'],
  ['an attribute twice', '0d 10 0c 07 0c 08', 'duplicate-attribute'],
  ['an attribute twice, once whole', `03 10 85 05 c1 ${x('x')}`, 'duplicate-attribute'],
  ['17 elements deep', `${'0602'.repeat(16)} 06 00`, 'too-deep'],
  ['33 attributes', '06 f8 02', 'too-many-attributes'],
  ['4097 children', '06 07 81 20', 'too-many-children'],
  [
    '33 namespaces of attributes',
    `06 fa 01 ${namespacedAttributes(0, 32)} 06 08 ${namespacedAttributes(32, 33)}`,
    'too-many-namespaces',
  ],
  ['a name of 257 bytes', '01 00 01 75 81 02', 'too-long'],
  ['a namespace of 257 bytes', '01 00 81 02', 'too-long'],
  ['an attribute of 16385 bytes', '0d 08 0c ff 81 80 01', 'too-long'],
  ['a text of 262144 bytes', '06 01 ff 80 80 10', 'too-large'],
  ['196608 bytes raw, 262144 of base64', '06 01 87 80 80 0c', 'too-large'],
  ['a length of four bytes', '06 01 ff 80 80 80 01', 'too-large'],
];

/** Attributes `a` in the namespaces `n` + two digits. */
function namespacedAttributes(from: number, to: number): string {
  let hex = '';
  for (let i = from; i < to; i++) hex += `01 00 03 ${x(`n${String(i).padStart(2, '0')}`)} 01 61 c0 `;
  return hex;
}

/** The vectors, made again: stanzas and dictionary by the encoder, refusals as they stand above. */
export function compactVectors(): CompactVectors {
  let token = firstElementToken;
  return {
    description:
      'Drawbridge compact codec, see docs/protocol/07-compact-codec.md. Stanzas: XML <-> compact in both directions, the XML ' +
      'compared as a tree. Refused: read as a frame with the limits of section 7.8, each gives the code.',
    dictionaryVersion: compactDictionaryVersion,
    defaultDomain: domain,
    dictionary: {
      namespaces: dictionaryNamespaces.map((ns, i) => [firstNamespaceToken + i, ns] as const),
      elements: dictionaryElements.flatMap(([ns, names]) => names.map(name => [token++, ns, name] as const)),
      attributes: dictionaryAttributes.map((name, i) => [firstAttributeToken + i, name] as const),
      wholeAttributes: dictionaryWholeAttributes.map(
        ([name, value], i) => [firstWholeAttributeToken + i, name, value] as const,
      ),
      values: dictionaryValues.map((value, i) => [firstValueToken + i, value] as const),
    },
    stanzas: stanzas.map(([name, xml, own]) => {
      const element = parseXmlDocument(xml, xmlLimitsAfterLogin);
      if ('kind' in element) throw new Error(`${name}: ${element.detail}`);
      const context = compactContext(own === undefined ? domain : (own ?? undefined));
      const compactHex = Buffer.from(encodeCompact(element, context)).toString('hex');
      return own === undefined ? { name, xml, compactHex } : { name, defaultDomain: own, xml, compactHex };
    }),
    refused: refused.map(([name, hex, code]) => ({ name, hex: hex.replaceAll(' ', ''), code })),
  };
}

/** The file's text: one line for each vector, so that a difference can be read. */
export function compactVectorsText(): string {
  const vectors = compactVectors();
  const lines = (list: readonly unknown[]): string =>
    `[\n${list.map(item => `    ${JSON.stringify(item)}`).join(',\n')}\n  ]`;
  const tables = Object.entries(vectors.dictionary).map(
    ([table, rows]) => `    "${table}": ${lines(rows).replaceAll('\n', '\n  ')}`,
  );
  return (
    `{\n  "description": ${JSON.stringify(vectors.description)},\n  "dictionaryVersion": ${vectors.dictionaryVersion},\n` +
    `  "defaultDomain": "${vectors.defaultDomain}",\n  "dictionary": {\n${tables.join(',\n')}\n  },\n` +
    `  "stanzas": ${lines(vectors.stanzas)},\n  "refused": ${lines(vectors.refused)}\n}\n`
  );
}

if (import.meta.main) console.log(compactVectorsText().trimEnd());
