// InteropIds in both their forms, as text and packed: those seen lately are found instead of being computed for each
// message. Only a memory of what the codec computes anyway; what is forgotten is computed again.
// Knows nothing of stanzas or streams.
// Source: docs/protocol/07-compact-codec.md section 7.5.

import { encodeInteropId } from './jid.ts';

/** `packed`: the provider number as a varint, then 16 random bytes, as they stand in a JID's compact form. */
type Known = { readonly text: string; readonly packed: Uint8Array };

export const randomBytesOfId = 16;
/** Places in each direction; a newcomer takes its place from who had it. */
const places = 16_384;
const byText: (Known | undefined)[] = Array.from({ length: places }, () => undefined);
const byPacked: (Known | undefined)[] = Array.from({ length: places }, () => undefined);

/** Of well-formed InteropIds alone: the last characters but one are random. */
function placeOfText(text: string): number {
  const end = text.length - 1;
  const high = text.charCodeAt(end - 1) * 1_021 + text.charCodeAt(end - 2) * 31;
  return (high + text.charCodeAt(end - 3) * 131 + text.charCodeAt(end - 4) * 7) & (places - 1);
}

function placeOfPacked(bytes: Uint8Array, randomStart: number): number {
  return ((bytes[randomStart]! << 8) | bytes[randomStart + 1]!) & (places - 1);
}

/** The packed form of a well-formed InteropId that was seen lately, or undefined. */
export function packedInteropId(text: string): Uint8Array | undefined {
  const known = byText[placeOfText(text)];
  return known !== undefined && known.text === text ? known.packed : undefined;
}

/** The text of the InteropId whose `length` packed bytes begin at `start`, if it was seen lately. */
export function knownInteropId(bytes: Uint8Array, start: number, length: number): string | undefined {
  const known = byPacked[placeOfPacked(bytes, start + length - randomBytesOfId)];
  if (known === undefined) return undefined;
  const { packed } = known;
  if (packed.length !== length) return undefined;
  for (let i = 0; i < length; i++) if (packed[i] !== bytes[start + i]) return undefined;
  return known.text;
}

/** Remembers one, and gives it. `random`: 16 bytes. */
export function rememberInteropId(providerNumber: number, random: Uint8Array): Known {
  const packed: number[] = [];
  let rest = providerNumber;
  for (; rest >= 0x80; rest >>>= 7) packed.push((rest & 0x7f) | 0x80);
  packed.push(rest, ...random);
  const known = { text: encodeInteropId(providerNumber, random), packed: Uint8Array.from(packed) };
  byText[placeOfText(known.text)] = known;
  byPacked[placeOfPacked(known.packed, known.packed.length - randomBytesOfId)] = known;
  return known;
}
