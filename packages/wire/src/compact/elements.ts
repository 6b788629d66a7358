// Elements in the compact form: tokens or names, attributes, children; every byte that the encoder would not have written
// is refused. Knows nothing of frames and what the elements mean.
// Source: docs/protocol/07-compact-codec.md.

import {
  attributeTokens,
  dictionaryAttributes,
  dictionaryNamespaces,
  dictionaryWholeAttributes,
  elementNameOf,
  elementNamespaceOf,
  elementTokens,
  firstAttributeToken,
  firstNamespaceToken,
  firstWholeAttributeToken,
  namespaceTokens,
} from '../compact-dictionary.ts';
import { attributeHead, content, head, manyAttributes, maxShortCount, namespaceHead } from '../compact-encoder.ts';
import type { Child, Element } from '../element.ts';
import { NS_XML, NS_XMLNS } from '../namespaces.ts';
import { isNcName } from '../xml-chars.ts';
import type { CompactReader } from './reader.ts';
import { readValue } from './values.ts';

const noAttributes: readonly string[] = [];
const noChildren: readonly Child[] = [];

export function readElement(reader: CompactReader, depth: number): Element | undefined {
  if (depth > reader.limits.depth) return reader.fail('too-deep');
  const token = reader.bytes[reader.offset++];
  if (token === undefined) return reader.fail('truncated');
  let name: string | undefined;
  let ns: string | undefined;
  if (token > head.literalElement) {
    name = elementNameOf[token];
    ns = elementNamespaceOf[token];
    if (name === undefined || ns === undefined) return reader.fail('unknown-token');
    reader.spelled = name.length;
  } else {
    if (token === head.text) return reader.fail('unexpected-text');
    ns = readNamespace(reader);
    if (ns === undefined) return undefined;
    name = readName(reader);
    if (name === undefined) return undefined;
    if (elementTokens.get(ns)?.has(name) === true) return reader.fail('not-canonical');
  }
  const nameBytes = reader.spelled;
  const shape = reader.bytes[reader.offset++];
  if (shape === undefined) return reader.fail('truncated');
  let attributeCount = shape >>> 3;
  if (attributeCount === manyAttributes) {
    const more = reader.varint();
    if (more < 0) return undefined;
    attributeCount += more;
  }
  if (attributeCount > reader.limits.attributes) return reader.fail('too-many-attributes');
  const kind = shape & 7;
  let childCount = kind - content.firstCount + 1;
  if (kind <= content.text) childCount = kind;
  else if (kind === content.counted) {
    childCount = reader.varint();
    if (childCount < 0) return undefined;
    if (childCount <= maxShortCount) return reader.fail('not-canonical');
    if (childCount > reader.limits.children) return reader.fail('too-many-children');
  }
  if (!reader.account(childCount === 0 ? nameBytes + 3 : 2 * nameBytes + 5)) return undefined;

  const outerNamespaces = reader.attributeNamespaces.length;
  const attrs = attributeCount === 0 ? noAttributes : readAttributes(reader, attributeCount);
  if (attrs === undefined) return undefined;
  let children: readonly Child[] | undefined;
  if (childCount === 0) children = noChildren;
  else if (kind === content.text) {
    const text = readValue(reader, true);
    if (text === undefined) return undefined;
    if (text.length === 0) return reader.fail('not-canonical');
    children = [text];
  } else children = readChildren(reader, childCount, depth);
  if (children === undefined) return undefined;
  if (reader.attributeNamespaces.length !== outerNamespaces) reader.attributeNamespaces.length = outerNamespaces;
  return { name, ns, attrs, children };
}

function readChildren(reader: CompactReader, count: number, depth: number): Child[] | undefined {
  const children: Child[] = [];
  let afterText = false;
  for (let i = 0; i < count; i++) {
    if (reader.bytes[reader.offset] === head.text) {
      // Two texts side by side are one, and a text alone has its own shape.
      if (afterText || count === 1) return reader.fail('not-canonical');
      afterText = true;
      reader.offset++;
      const text = readValue(reader, true);
      if (text === undefined) return undefined;
      if (text.length === 0) return reader.fail('not-canonical');
      children.push(text);
    } else {
      afterText = false;
      const child = readElement(reader, depth + 1);
      if (child === undefined) return undefined;
      children.push(child);
    }
  }
  return children;
}

function readAttributes(reader: CompactReader, count: number): string[] | undefined {
  const attrs: string[] = [];
  for (let i = 0; i < count; i++) {
    const token = reader.bytes[reader.offset++];
    if (token === undefined) return reader.fail('truncated');
    let name: string | undefined;
    let value: string | undefined;
    if (token >= firstWholeAttributeToken) {
      const whole = dictionaryWholeAttributes[token - firstWholeAttributeToken];
      if (whole === undefined) return reader.fail('unknown-token');
      name = whole[0];
      value = whole[1];
      if (!reader.account(name.length + value.length + 4)) return undefined;
    } else {
      if (token >= firstAttributeToken) {
        name = dictionaryAttributes[token - firstAttributeToken];
        if (name === undefined) return reader.fail('unknown-token');
        reader.spelled = name.length;
      } else {
        name = token === attributeHead.namespaced ? namespacedName(reader) : attributeName(reader);
        if (name === undefined) return undefined;
      }
      if (!reader.account(reader.spelled + 4)) return undefined;
      const read = readValue(reader, false);
      if (read === undefined) return undefined;
      value = read as string;
      if (token >= firstAttributeToken && attributeTokens.get(name)?.whole?.has(value) === true) {
        return reader.fail('not-canonical');
      }
    }
    for (let j = 0; j < attrs.length; j += 2) if (attrs[j] === name) return reader.fail('duplicate-attribute');
    attrs.push(name, value);
  }
  return attrs;
}

function attributeName(reader: CompactReader): string | undefined {
  const text = reader.utf8(reader.limits.nameBytes);
  if (text === undefined) return undefined;
  if (attributeTokens.has(text)) return reader.fail('not-canonical');
  return text !== 'xmlns' && isNcName(text) ? text : reader.fail('bad-name');
}

function namespacedName(reader: CompactReader): string | undefined {
  const ns = readNamespace(reader);
  if (ns === undefined) return undefined;
  if (ns === '') return reader.fail('bad-namespace');
  const local = readName(reader);
  if (local === undefined) return undefined;
  // That one is written `xml:lang` and has a token.
  if (ns === NS_XML && local === 'lang') return reader.fail('not-canonical');
  if (!reader.attributeNamespaces.includes(ns)) {
    if (reader.attributeNamespaces.length === reader.limits.namespaces) return reader.fail('too-many-namespaces');
    reader.attributeNamespaces.push(ns);
  }
  // XML needs a prefix of one character and a colon.
  reader.spelled += 2;
  return `{${ns}}${local}`;
}

function readNamespace(reader: CompactReader): string | undefined {
  const number = reader.varint();
  if (number < 0) return undefined;
  if (number >= namespaceHead.firstRepeated) {
    const repeated = reader.namespaceList[number - namespaceHead.firstRepeated];
    return repeated ?? reader.fail('unknown-token');
  }
  if (number >= firstNamespaceToken) {
    const known = dictionaryNamespaces[number - firstNamespaceToken];
    return known ?? reader.fail('unknown-token');
  }
  // No longer than a name: a few bytes of a later attribute repeat it in that attribute's name.
  const ns = reader.utf8(reader.limits.nameBytes);
  if (ns === undefined) return undefined;
  if (ns === NS_XMLNS) return reader.fail('bad-namespace');
  reader.namespaces ??= new Map();
  if (namespaceTokens.has(ns) || reader.namespaces.has(ns)) return reader.fail('not-canonical');
  reader.namespaces.set(ns, reader.namespaceList.length);
  reader.namespaceList.push(ns);
  return ns;
}

function readName(reader: CompactReader): string | undefined {
  const name = reader.utf8(reader.limits.nameBytes);
  if (name === undefined) return undefined;
  return isNcName(name) ? name : reader.fail('bad-name');
}
