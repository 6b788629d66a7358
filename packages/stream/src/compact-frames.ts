// Frames of the compact transport: a 3-byte length, then Noise messages. Cuts frames out of any chunking, seals
// stanzas into frames, opens them. Knows nothing of handshakes, login or sockets.
// Source: docs/protocol/05-compact.md sections 5.2 and 5.4.
import type { CipherState } from '@drawbridge/noise/cipher-state';
import { noBytes } from '@drawbridge/noise/crypto';
import { isNoiseError } from '@drawbridge/noise/errors';
import { decodeCompactFrame, maxFrameStanzas } from '@drawbridge/wire/compact-decoder';
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
/** Where a WebSocket carries the bytes: one message. Its borders mean nothing, so that longer frames travel in several. */
export const maxWebSocketMessageBytes = 256 * 1024;
/** Stanzas are gathered into one frame up to about this size; more goes into the next. */
const gatherBytes = 48 * 1024;

/** Unfinished frames are gathered in a buffer of their own of at least this size. */
const minGatheredBytes = 256;

/**
 * Cuts frames out of a byte stream. Holds at most one unfinished frame and what came in the same chunk; a longer frame
 * than allowed is refused at once. What it gives lies in its own or the chunk's memory and is never written again.
 *
 * A frame that came whole is not copied. Others are gathered in a buffer that grows by doubling: however small the
 * pieces, each byte is copied a few times at most, and memory stays below about twice what is held.
 */
export class FrameReader {
  #bytes: Uint8Array = noBytes;
  #start = 0;
  #end = 0;
  /** Whether `#bytes` is a buffer of ours, with room behind `#end`, or the peer's last chunk. */
  #isOwn = false;
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  setMaximum(maxBytes: number): void {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#end - this.#start;
  }

  /** Takes a chunk, which must not be written to any more. Call `next` until it gives undefined. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const held = this.heldBytes;
    if (held === 0) {
      this.#bytes = chunk;
      this.#start = 0;
      this.#end = chunk.length;
      this.#isOwn = false;
      return;
    }
    this.#own(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Takes `count` bytes that are not a frame (the prologue), or undefined while they are not there. */
  takeBytes(count: number): Uint8Array | undefined {
    if (this.heldBytes < count) return this.#wait();
    const bytes = this.#bytes.subarray(this.#start, this.#start + count);
    this.#start += count;
    return bytes;
  }

  /** The next frame's body, undefined while it is not complete, or `frame-too-long`. */
  next(): Uint8Array | 'frame-too-long' | undefined {
    if (this.heldBytes < frameHeaderBytes) return this.#wait();
    const bytes = this.#bytes;
    const at = this.#start;
    const length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
    if (length > this.#maxBytes) return 'frame-too-long';
    const end = at + frameHeaderBytes + length;
    if (end > this.#end) return this.#wait();
    this.#start = end;
    return bytes.subarray(at + frameHeaderBytes, end);
  }

  /** Nothing more can be taken: lets go of the chunk, of which a small rest would keep all in memory. */
  #wait(): undefined {
    if (this.heldBytes > 0) this.#own(0);
    else {
      this.#bytes = noBytes;
      this.#start = 0;
      this.#end = 0;
    }
    return undefined;
  }

  /** Makes `#bytes` a buffer of ours with room for `more` bytes. Bytes that were given out are left where they are. */
  #own(more: number): void {
    if (this.#isOwn && this.#end + more <= this.#bytes.length) return;
    const held = this.heldBytes;
    const grown = Buffer.allocUnsafeSlow(Math.max(minGatheredBytes, more === 0 ? held : 2 * (held + more)));
    grown.set(this.#bytes.subarray(this.#start, this.#end));
    this.#bytes = grown;
    this.#start = 0;
    this.#end = held;
    this.#isOwn = true;
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
  let gathered = 0;
  for (let i = 0; i < elements.length; i++) {
    writer.write(elements[i]!, context);
    gathered++;
    const isFull = writer.length >= gatherBytes || gathered === maxFrameStanzas;
    if (!isFull && i < elements.length - 1) continue;
    const frame = seal(writer.view(), key);
    if (frame === undefined) return undefined;
    writer.reset();
    gathered = 0;
    if (first === undefined) first = frame;
    else (more ??= [first]).push(frame);
  }
  return more === undefined ? (first ?? noBytes) : Buffer.concat(more);
}

/** A frame that holds nothing: keep-alive. */
export function sealNothing(key: CipherState): Uint8Array | undefined {
  return seal(noBytes, key);
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
