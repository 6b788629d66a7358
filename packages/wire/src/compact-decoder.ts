// Reads elements in the compact form and refuses every byte that the encoder would not have written. Bounded in time,
// depth and memory for any input. Knows nothing of frames' keys or streams.
//
// The rooms in `compact/`: a place in the bytes (reader), values (values), elements (elements), the message that is read
// straight into its parsed form (envelope-message), why bytes are refused (errors).
// Source: docs/protocol/07-compact-codec.md.

import { readElement } from './compact/elements.ts';
import { readEnvelope } from './compact/envelope-message.ts';
import type { CompactError } from './compact/errors.ts';
import { CompactReader } from './compact/reader.ts';
import type { CompactContext } from './compact-value.ts';
import { type Element, OversizedElement } from './element.ts';
import type { XmlLimits } from './limits.ts';

export type { CompactError, CompactErrorCode } from './compact/errors.ts';

/** `nextOffset`: of the byte behind the element. */
export type CompactDecoded = { readonly element: Element; readonly nextOffset: number };

/** Stanzas in one frame. */
export const maxFrameStanzas = 1024;

/**
 * Reads the element that begins at `offset`.
 *
 * Bytes that stand for base64 become `Uint8Array` children that share the memory of `bytes`; everything else is strings.
 * For every input: an element whose encoding is exactly the bytes read, or an error. Never throws.
 */
export function decodeCompact(
  bytes: Uint8Array,
  offset: number,
  context: CompactContext,
  limits: XmlLimits,
): CompactDecoded | CompactError {
  if (!Number.isInteger(offset) || offset < 0 || offset > bytes.length) return { code: 'truncated', offset: 0 };
  const reader = new CompactReader(bytes, offset, context, limits);
  const element = readElement(reader, 1);
  if (element === undefined) return { code: reader.code, offset: reader.offset };
  return { element, nextOffset: reader.offset };
}

/** Reads a whole frame: one stanza or more, at most `maxFrameStanzas`, to the last byte. Never throws. */
export function decodeCompactFrame(
  bytes: Uint8Array,
  context: CompactContext,
  limits: XmlLimits,
): readonly Element[] | CompactError {
  const reader = new CompactReader(bytes, 0, context, limits);
  const elements: Element[] = [];
  do {
    if (elements.length === maxFrameStanzas) return { code: 'too-many-stanzas', offset: reader.offset };
    reader.begin();
    const element = readEnvelope(reader) ?? readElement(reader, 1);
    if (element === undefined) return { code: reader.code, offset: reader.offset };
    elements.push(reader.isOversized ? new OversizedElement(element) : element);
  } while (reader.offset < bytes.length);
  return elements;
}
