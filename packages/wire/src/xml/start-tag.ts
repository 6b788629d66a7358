// The syntax of a start tag: its name, attributes and namespace declarations, each within its limit. Prefixes are not
// resolved here. Knows nothing of the elements around it.
// Source: XML 1.0 (fifth edition) section 3.1, Namespaces in XML 1.0 (third edition) sections 3 and 4.

import type { XmlLimits } from '../limits.ts';
import { NS_XML, NS_XMLNS } from '../namespaces.ts';
import { isNcName } from '../xml-chars.ts';
import {
  beginsName,
  doubleQuote,
  equalsSign,
  greaterThan,
  isSpace,
  nameColon,
  nameWide,
  scanName,
  scanned,
  scanValue,
  singleQuote,
  slash,
} from './scan.ts';
import { accepted, failed, incomplete, type Refusal } from './refusal.ts';
import { decodeText } from './text.ts';

/** Whether a prefix may be bound to a namespace (Namespaces in XML section 3, "reserved prefixes"). */
function mayDeclare(prefix: string, ns: string): boolean {
  if (prefix === 'xmlns' || ns === NS_XMLNS || ns === '') return false;
  return (prefix === 'xml') === (ns === NS_XML);
}

/** The tag that was read last. A tag is read and used in one go, so that one of these serves all streams. */
export class StartTag {
  /** As the end tag must repeat it. */
  rawName = '';
  /** The name as text, with its prefix. */
  qName = '';
  /** Name, value, name, value; prefixes stand as they were written. */
  attrs: string[] | undefined;
  /** Prefix, namespace, prefix, namespace; the default namespace has the empty prefix. */
  declared: string[] | undefined;
  /** The tag's own name has a prefix. */
  hasPrefix = false;
  /** An attribute's name has a prefix. */
  hasPrefixedAttributes = false;
  closesItself = false;

  // What the tag that is being read is held to.
  private limits!: XmlLimits;
  private refusal!: Refusal;
  private inForce = 0;

  /**
   * Reads the tag that begins at `from`: the index behind it, `incomplete` or `failed`. `inForce`: prefixes and namespaces
   * that are declared around it, both counted.
   */
  read(text: string, from: number, limits: XmlLimits, inForce: number, refusal: Refusal): number {
    this.limits = limits;
    this.refusal = refusal;
    this.inForce = inForce;
    this.hasPrefixedAttributes = false;
    this.closesItself = false;
    const nameFrom = from + 1;
    const nameTo = scanName(text, nameFrom);
    const classes = scanned;
    if (nameTo === nameFrom) return nameTo === text.length ? incomplete : refusal.malformed('a tag without a name');
    const end = this.readAttributes(text, nameTo);
    if (end < 0) return end;
    // The tag is complete and its syntax right; its name is judged now.
    if (nameTo - nameFrom > limits.nameBytes) return refusal.refuse('policy-violation', 'a name is too long');
    const qName = readName(text, nameFrom, nameTo, classes, refusal);
    if (qName === undefined) return failed;
    this.rawName = (classes & nameWide) === 0 ? qName : text.slice(nameFrom, nameTo);
    this.qName = qName;
    this.hasPrefix = (classes & nameColon) !== 0;
    return end;
  }

  /** Lets go of what holds on to the chunk it was cut from. */
  forget(): void {
    this.rawName = '';
    this.qName = '';
    this.attrs = undefined;
    this.declared = undefined;
  }

  /** The attributes and the `>`: the index behind it, `incomplete` or `failed`. */
  private readAttributes(text: string, from: number): number {
    const { limits, refusal } = this;
    let i = from;
    for (;;) {
      const gapFrom = i;
      let c = text.charCodeAt(i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      if (c === greaterThan) return i + 1;
      if (c === slash) {
        if (text.charCodeAt(i + 1) !== greaterThan) return refusal.malformed('a slash inside a tag');
        this.closesItself = true;
        return i + 2;
      }
      if (i === text.length) return incomplete;
      if (i === gapFrom) return refusal.malformed('no space before an attribute');

      const attrFrom = i;
      const attrTo = scanName(text, i);
      const classes = scanned;
      if (attrTo === attrFrom) return refusal.malformed('an attribute without a name');
      i = attrTo;
      c = text.charCodeAt(i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      if (c !== equalsSign) return refusal.malformed('an attribute without a value');
      c = text.charCodeAt(++i);
      while (isSpace(c)) c = text.charCodeAt(++i);
      const quote = c;
      if (quote !== singleQuote && quote !== doubleQuote) {
        return refusal.malformed('an attribute value without quotes');
      }
      const valueFrom = ++i;
      i = scanValue(text, valueFrom, quote);
      const plain = scanned === 0;
      if (text.charCodeAt(i) !== quote) {
        return i >= text.length ? incomplete : refusal.malformed('a character that an attribute must not hold');
      }
      const rawValue = text.slice(valueFrom, i++);
      const value = plain ? rawValue : decodeText(rawValue, true, true, refusal);
      if (value === undefined) return failed;
      if (
        value.length > limits.attributeBytes ||
        (!plain && Buffer.byteLength(value, 'utf8') > limits.attributeBytes)
      ) {
        return refusal.refuse('policy-violation', 'an attribute is too large');
      }
      if (attrTo - attrFrom > limits.nameBytes) return refusal.refuse('policy-violation', 'a name is too long');
      const name = readName(text, attrFrom, attrTo, classes, refusal);
      if (name === undefined) return failed;
      if (this.add(name, value, classes) === failed) return failed;
    }
  }

  /** An attribute or a declaration of a namespace. */
  private add(name: string, value: string, classes: number): number {
    const { limits, refusal } = this;
    if ((classes & nameColon) === 0) {
      if (name !== 'xmlns') {
        const attrs = (this.attrs ??= []);
        for (let k = 0; k < attrs.length; k += 2) {
          if (attrs[k] === name) return refusal.malformed('an attribute stands twice');
        }
        if (attrs.length >= limits.attributes * 2) return refusal.refuse('policy-violation', 'too many attributes');
        attrs.push(name, value);
        return accepted;
      }
      if (value === NS_XML || value === NS_XMLNS) return refusal.malformed('a reserved namespace is declared');
    } else if (!name.startsWith('xmlns:')) {
      const attrs = (this.attrs ??= []);
      if (attrs.length >= limits.attributes * 2) return refusal.refuse('policy-violation', 'too many attributes');
      attrs.push(name, value);
      this.hasPrefixedAttributes = true;
      return accepted;
    } else if (!mayDeclare(name.slice(6), value)) {
      return refusal.malformed('a reserved prefix or namespace is declared');
    }
    return this.addNamespace(name === 'xmlns' ? '' : name.slice(6), value);
  }

  private addNamespace(prefix: string, ns: string): number {
    const { limits, refusal } = this;
    const declared = (this.declared ??= []);
    for (let k = 0; k < declared.length; k += 2) {
      if (declared[k] === prefix) return refusal.malformed('an attribute stands twice');
    }
    declared.push(prefix, ns);
    // A long namespace under a short prefix would stand, whole, in the name of every attribute that uses it.
    // Most are so short that their bytes need no count: a character is at most three.
    if (ns.length * 3 > limits.nameBytes && Buffer.byteLength(ns, 'utf8') > limits.nameBytes) {
      return refusal.refuse('policy-violation', 'a namespace is too long');
    }
    if (this.inForce + declared.length > limits.namespaces * 2) {
      return refusal.refuse('policy-violation', 'too many namespaces');
    }
    return accepted;
  }
}

/** The name as text; undefined when it is not a QName (Namespaces in XML section 4). */
function readName(text: string, from: number, to: number, classes: number, refusal: Refusal): string | undefined {
  const raw = text.slice(from, to);
  if ((classes & (nameWide | nameColon)) === 0) {
    if (beginsName(raw.charCodeAt(0))) return raw;
    refusal.malformed('a name that XML does not allow');
    return undefined;
  }
  let name = raw;
  if ((classes & nameWide) !== 0) {
    const decoded = decodeText(raw, false, false, refusal);
    if (decoded === undefined) return undefined;
    name = decoded;
  }
  const split = name.indexOf(':');
  if (!isNcName(name.slice(split + 1)) || (split !== -1 && !isNcName(name.slice(0, split)))) {
    refusal.malformed('a name that XML does not allow');
    return undefined;
  }
  return name;
}
