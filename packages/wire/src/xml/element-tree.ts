// Elements from tags and text: depth, namespaces, the stream's header, and what is complete. Knows nothing of bytes and
// where they were cut.
// Source: RFC 6120 sections 4.7 and 4.8, Namespaces in XML 1.0 (third edition).

import type { Child, Element } from '../element.ts';
import type { XmlLimits } from '../limits.ts';
import { NS_CLIENT, NS_STREAM, NS_XML } from '../namespaces.ts';
import { type XmlEvent, streamHeaderOf } from './events.ts';
import { type OpenElements, borrowOpenElements, bound, noRoot, returnOpenElements, rootOf } from './open-elements.ts';
import { accepted, failed, incomplete, type Refusal } from './refusal.ts';
import { greaterThan, skipSpace } from './scan.ts';
import type { StartTag } from './start-tag.ts';

const noAttrs: readonly string[] = [];
const noChildren: readonly Child[] = [];
const noElement: Element = { name: '', ns: '', attrs: noAttrs, children: noChildren };

export class ElementTree {
  limits: XmlLimits;
  depth = 0;
  /** What the last token completed, until it is taken. */
  completed: XmlEvent | undefined;
  /** Open elements that are not the peer's stanza: 1 for the stream's root, 0 in a document. */
  readonly base: 0 | 1;
  private readonly refusal: Refusal;
  private root = noRoot;
  /** Undefined outside of elements. */
  private opened: OpenElements | undefined;
  private defaultNs = '';

  constructor(limits: XmlLimits, base: 0 | 1, refusal: Refusal) {
    this.limits = limits;
    this.base = base;
    this.refusal = refusal;
  }

  /** No stanza is open. */
  get isOutside(): boolean {
    return this.depth <= this.base;
  }

  /** Prefixes and namespaces that are declared here, both counted. */
  get inForce(): number {
    return this.root.bindings.length + (this.opened?.bindings.length ?? 0);
  }

  forget(): void {
    this.depth = 0;
    this.root = noRoot;
    this.opened = undefined;
    this.defaultNs = '';
    this.completed = undefined;
  }

  /** Opens the element whose tag was read, or is done with it; `failed` when it must not stand here. */
  open(tag: StartTag): number {
    const { attrs, declared, qName } = tag;
    const outerDefault = this.defaultNs;
    const opened = (this.opened ??= borrowOpenElements());
    const { bindings } = opened;
    const outerBindings = bindings.length;
    if (declared !== undefined) {
      for (let k = 0; k < declared.length; k += 2) {
        bindings.push(declared[k]!, declared[k + 1]!);
        if (declared[k] === '') this.defaultNs = declared[k + 1]!;
      }
    }
    let name = qName;
    let ns: string | undefined = this.defaultNs;
    if (tag.hasPrefix) {
      const split = qName.indexOf(':');
      ns = this.resolve(qName.slice(0, split));
      if (ns === undefined) return this.refusal.refuse('bad-namespace-prefix', 'a prefix that is not declared');
      name = qName.slice(split + 1);
    }
    if (tag.hasPrefixedAttributes && attrs !== undefined && !this.resolveAttributes(attrs)) return failed;
    if (this.depth < this.base) return this.openRoot(tag, name, ns);

    const depth = this.depth;
    if (depth === 1 && this.base === 1 && name === 'stream' && ns === NS_STREAM) {
      // Were it an element, nothing behind it would ever be complete. The owner resets before a new header is due.
      return this.refusal.refuse('bad-format', 'a stream header inside a stream');
    }
    if (depth - this.base >= this.limits.depth) {
      return this.refusal.refuse('policy-violation', 'elements are nested too deep');
    }
    const el: Element = { name, ns, attrs: attrs ?? noAttrs, children: tag.closesItself ? noChildren : [] };
    if (depth > this.base) {
      const siblings = opened.elements[depth - 1]!.children as Child[];
      if (siblings.length >= this.limits.children) return this.tooManyChildren();
      siblings.push(el);
    }
    if (!tag.closesItself) {
      this.depth++;
      opened.elements[depth] = el;
      opened.rawNames[depth] = tag.rawName;
      opened.outerDefaults[depth] = outerDefault;
      opened.outerBindings[depth] = outerBindings;
    } else {
      this.defaultNs = outerDefault;
      bindings.length = outerBindings;
      if (depth === this.base) this.complete(el);
    }
    return accepted;
  }

  /** The stream's root (RFC 6120 sections 4.7 and 4.8). */
  private openRoot(tag: StartTag, name: string, ns: string): number {
    const { refusal } = this;
    if (ns !== NS_STREAM) return refusal.refuse('invalid-namespace', 'the root is not of the stream namespace');
    if (name !== 'stream') return refusal.refuse('bad-format', 'the root is not a stream header');
    if (this.defaultNs !== NS_CLIENT) {
      return refusal.refuse('invalid-namespace', 'the default namespace is not jabber:client');
    }
    if (tag.closesItself) return refusal.refuse('bad-format', 'a stream that ends where it begins');
    const header = streamHeaderOf({ name, ns, attrs: tag.attrs ?? noAttrs, children: noChildren });
    this.completed = { kind: 'header', header };
    // These strings live as long as the stream: they must not hold on to the chunk they were cut from.
    const { bindings } = this.opened!;
    this.defaultNs = NS_CLIENT;
    this.root = rootOf(tag.rawName, bindings);
    bindings.length = 0;
    this.depth++;
    return accepted;
  }

  /** Closes the innermost element with the end tag that begins at `from`: the index behind it, `incomplete` or `failed`. */
  close(text: string, from: number): number {
    if (this.depth === 0) return this.refusal.malformed('an end tag without its start');
    const isRoot = this.depth === this.base;
    const raw = isRoot ? this.root.rawName : this.opened!.rawNames[this.depth - 1]!;
    if (!text.startsWith(raw, from + 2)) {
      // The rest of the name may be still to come.
      return this.refusal.malformed('an end tag that does not match');
    }
    const i = skipSpace(text, from + 2 + raw.length);
    if (i >= text.length) return incomplete;
    if (text.charCodeAt(i) !== greaterThan) return this.refusal.malformed('an end tag that does not match');
    const depth = --this.depth;
    if (isRoot) {
      this.completed = { kind: 'end' };
      return i + 1;
    }
    const opened = this.opened!;
    const closed = opened.elements[depth]!;
    this.defaultNs = opened.outerDefaults[depth]!;
    opened.bindings.length = opened.outerBindings[depth]!;
    // Nothing of a finished element is kept here.
    opened.elements[depth] = noElement;
    opened.rawNames[depth] = '';
    opened.outerDefaults[depth] = '';
    if (depth === this.base) this.complete(closed);
    return i + 1;
  }

  /** Adds text to the innermost element, to the text before it if there is one. */
  addText(content: string): number {
    if (content === '') return accepted;
    const children = this.opened!.elements[this.depth - 1]!.children as Child[];
    const last = children.length - 1;
    const before = children[last];
    if (typeof before === 'string') children[last] = before + content;
    else if (children.length >= this.limits.children) return this.tooManyChildren();
    else children.push(content);
    return accepted;
  }

  private tooManyChildren(): typeof failed {
    return this.refusal.refuse('policy-violation', 'an element has too many children');
  }

  /** A top-level element is complete: what it was read with is free for others. */
  private complete(el: Element): void {
    this.completed = { kind: 'element', element: el };
    returnOpenElements(this.opened!);
    this.opened = undefined;
  }

  /** The namespace a prefix stands for. */
  private resolve(prefix: string): string | undefined {
    if (prefix === 'xml') return NS_XML;
    return bound(this.opened!.bindings, prefix) ?? bound(this.root.bindings, prefix);
  }

  /** Gives prefixed attributes their final names and finds those that turn out the same. */
  private resolveAttributes(attrs: string[]): boolean {
    for (let k = 0; k < attrs.length; k += 2) {
      const split = attrs[k]!.indexOf(':');
      if (split === -1) continue;
      const prefix = attrs[k]!.slice(0, split);
      const ns = this.resolve(prefix);
      if (ns === undefined) {
        this.refusal.refuse('bad-namespace-prefix', 'a prefix that is not declared');
        return false;
      }
      const local = attrs[k]!.slice(split + 1);
      attrs[k] = ns === NS_XML && local === 'lang' ? 'xml:lang' : `{${ns}}${local}`;
    }
    for (let k = 2; k < attrs.length; k += 2) {
      for (let j = 0; j < k; j += 2) {
        if (attrs[j] === attrs[k]) {
          this.refusal.malformed('an attribute stands twice');
          return false;
        }
      }
    }
    return true;
  }
}
