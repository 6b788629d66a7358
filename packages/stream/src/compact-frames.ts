// Frames of the compact transport: a 3-byte length, then Noise messages. Cuts frames out of any chunking, seals
// stanzas into frames, opens them. Knows nothing of handshakes, login or sockets.
// Source: docs/protocol/05-compact.md sections 5.2 and 5.4.
import type { CipherState } from '@drawbridge/noise/cipher-state';
import { isNoiseError } from '@drawbridge/noise/errors';
import { decodeCompactFrame } from '@drawbridge/wire/compact-decoder';
import { CompactWriter } from '@drawbridge/wire/compact-encoder';
import type { CompactContext } from '@drawbridge/wire/compact-value';
import type { Element } from '@drawbridge/wire/element';
import type { XmlLimits } from '@drawbridge/wire/limits';

/** Bytes of a frame's length. */
export const frameHeaderBytes = 3;
/** Noise's limit for one message; a longer frame holds several, each but the last of this size. */
const noiseMessageBytes = 65_535;
const tagBytes = 16;
const plaintextBytes = noiseMessageBytes - tagBytes;
/** A handshake message: its payload is a proof (8 KiB at most) and the first stanzas. */
export const maxHandshakeFrameBytes = 32 * 1024;
/** The largest stanza and its neighbours in a frame, sealed. */
export const maxFrameBytes = 320 * 1024;
/** Stanzas are gathered into one frame up to about this size; more goes into the next. */
const gatherBytes = 48 * 1024;

/** Cuts frames out of a byte stream. Holds at most one unfinished frame; a longer one than allowed is refused at once. */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(0);
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  setMaximum(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#held.length;
  }

  push(chunk: Uint8Array): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
  }

  /** Takes `count` bytes that are not a frame (the prologue), or undefined while they are not there. */
  takeBytes(count: number): Uint8Array | undefined {
    if (this.#held.length < count) return undefined;
    const bytes = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return bytes;
  }

  /** The next frame's body, undefined while it is not complete, or `frame-too-long`. */
  next(): Uint8Array | 'frame-too-long' | undefined {
    const held = this.#held;
    if (held.length < frameHeaderBytes) return undefined;
    const length = (held[0]! << 16) | (held[1]! << 8) | held[2]!;
    if (length > this.#maxBytes) return 'frame-too-long';
    const end = frameHeaderBytes + length;
    if (held.length < end) return undefined;
    this.#held = held.subarray(end);
    return held.subarray(frameHeaderBytes, end);
  }
}

/** A frame around one handshake message. */
export function frameOf(message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + message.length);
  writeLength(frame, 0, message.length);
  frame.set(message, frameHeaderBytes);
  return frame;
}

const writer = new CompactWriter(64 * 1024);

/** Writes stanzas one after the other, unsealed: a handshake payload. */
export function encodeStanzas(elements: readonly Element[], context: CompactContext): Uint8Array {
  writer.reset();
  for (const el of elements) writer.write(el, context);
  return writer.copy();
}

/** Seals stanzas into frames. Undefined when the key is used up (2^64 messages): close the connection. */
export function sealStanzas(
  elements: readonly Element[],
  context: CompactContext,
  key: CipherState,
): Uint8Array | undefined {
  let first: Uint8Array | undefined;
  let more: Uint8Array[] | undefined;
  writer.reset();
  for (let i = 0; i < elements.length; i++) {
    writer.write(elements[i]!, context);
    if (writer.length < gatherBytes && i < elements.length - 1) continue;
    const frame = seal(writer.view(), key);
    if (frame === undefined) return undefined;
    writer.reset();
    if (first === undefined) first = frame;
    else (more ??= [first]).push(frame);
  }
  return more === undefined ? (first ?? new Uint8Array(0)) : Buffer.concat(more);
}

/** A frame that holds nothing: keep-alive. */
export function sealNothing(key: CipherState): Uint8Array | undefined {
  return seal(new Uint8Array(0), key);
}

function seal(plaintext: Uint8Array, key: CipherState): Uint8Array | undefined {
  const messages = Math.max(1, Math.ceil(plaintext.length / plaintextBytes));
  const length = plaintext.length + messages * tagBytes;
  const frame = Buffer.allocUnsafe(frameHeaderBytes + length);
  writeLength(frame, 0, length);
  let offset = frameHeaderBytes;
  for (let i = 0; i < messages; i++) {
    const part = messages === 1 ? plaintext : plaintext.subarray(i * plaintextBytes, (i + 1) * plaintextBytes);
    const written = key.encryptInto(part, frame, offset);
    if (isNoiseError(written)) return undefined;
    offset += written;
  }
  return frame;
}

/** Why a frame was refused; the connection is closed without a word. */
export type FrameErrorCode = 'frame-not-authentic' | 'frame-malformed';

/** Opens one frame and reads its stanzas; none in a keep-alive. */
export function openFrame(
  frame: Uint8Array,
  context: CompactContext,
  limits: XmlLimits,
  key: CipherState,
): readonly Element[] | FrameErrorCode {
  let plaintext: Uint8Array;
  if (frame.length <= noiseMessageBytes) {
    const opened = key.decrypt(frame);
    if (isNoiseError(opened)) return 'frame-not-authentic';
    plaintext = opened;
  } else {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < frame.length; at += noiseMessageBytes) {
      const opened = key.decrypt(frame.subarray(at, at + noiseMessageBytes));
      if (isNoiseError(opened)) return 'frame-not-authentic';
      parts.push(opened);
    }
    plaintext = Buffer.concat(parts);
  }
  if (plaintext.length === 0) return [];
  const elements = decodeCompactFrame(plaintext, context, limits);
  return 'code' in elements ? 'frame-malformed' : elements;
}

function writeLength(into: Uint8Array, offset: number, length: number): void {
  into[offset] = length >>> 16;
  into[offset + 1] = (length >>> 8) & 0xff;
  into[offset + 2] = length & 0xff;
}
