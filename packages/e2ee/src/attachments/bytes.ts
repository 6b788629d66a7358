// The files' bytes as they pass: in small pieces, and freed when they were used.
// Knows nothing of what is in them.
import { attachmentLimits } from './format.ts';

/**
 * Gives the file from its beginning, each time it is called: it is read once to describe it and once for each upload. A
 * piece is used up before the next one is asked for.
 */
export type OpenSource = () => AsyncIterable<Uint8Array>;

/**
 * Frees the memory of bytes that nobody reads any more. The garbage collector would let 64 MiB of them pile up first. Does
 * nothing when they are a part of something larger: others may read that.
 */
export function discard({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached && byteLength === buffer.byteLength) buffer.transfer(0);
}

export function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += attachmentLimits.pieceBytes) {
    yield bytes.subarray(at, at + attachmentLimits.pieceBytes);
  }
}
