// What is open while a stream is read: elements with what was in force outside each, and what the stream's root declares.
// Streams are many and mostly silent, so both are shared between them. Knows nothing of tags.

import type { Element } from '../element.ts';

/** The open elements within a stream's root and what was in force outside each, by depth; of a document all of them. */
export class OpenElements {
  readonly elements: Element[] = [];
  readonly rawNames: string[] = [];
  readonly outerDefaults: string[] = [];
  readonly outerBindings: number[] = [];
  /** Prefix, namespace, prefix, namespace; the default namespace is bound to the empty prefix. */
  readonly bindings: string[] = [];
}

/** A stream needs them while it is inside an element: most streams are silent, and borrow them for a moment. */
const spare: OpenElements[] = [];
const maxSpare = 16;

export function borrowOpenElements(): OpenElements {
  return spare.pop() ?? new OpenElements();
}

/** Takes back what holds nothing any more. */
export function returnOpenElements(opened: OpenElements): void {
  if (spare.length < maxSpare) spare.push(opened);
}

/** What the root of a stream declares, in memory of its own. Streams are many, and nearly all declare the same. */
export type Root = { readonly rawName: string; readonly bindings: readonly string[] };
export const noRoot: Root = { rawName: '', bindings: [] };
let latestRoot = noRoot;

export function rootOf(rawName: string, bindings: readonly string[]): Root {
  const { bindings: latest } = latestRoot;
  const isSame = rawName === latestRoot.rawName && bindings.length === latest.length;
  if (!isSame || !bindings.every((text, at) => text === latest[at])) {
    latestRoot = { rawName: detached(rawName), bindings: bindings.map(detached) };
  }
  return latestRoot;
}

/** The same string in memory of its own. */
function detached(text: string): string {
  return Buffer.from(text, 'utf8').toString('utf8');
}

/** The namespace that was bound to a prefix last. */
export function bound(bindings: readonly string[], prefix: string): string | undefined {
  for (let k = bindings.length - 2; k >= 0; k -= 2) if (bindings[k] === prefix) return bindings[k + 1];
  return undefined;
}
