// Opens an encrypted file as it comes: a cut, altered or swapped piece is caught at the first wrong chunk, and nothing of it is
// given out.
// Knows nothing of where the file lies, how it got there, or what is in it.
// Source: docs/protocol/11-media.md sections 11.1-11.3; the judge in the tests is libsignal's incremental MAC.
import { createDecipheriv, createHash, createSecretKey, timingSafeEqual } from 'node:crypto';
import { discard, pieces } from './bytes.ts';
import { MacCheck } from './chunk-macs.ts';
import {
  type AttachmentErrorCode,
  AttachmentFailure,
  type AttachmentSecrets,
  encryptedSizeBytes,
  failureCode,
  fits,
  ivBytes,
  macBytes,
  type Refused,
  zeros,
} from './format.ts';

/** Where a piece of the encrypted file lies: gives its part of the encrypted blocks. */
function blocksOf(piece: Uint8Array, atBytes: number, encryptedBytes: number): Uint8Array {
  const start = Math.min(piece.length, Math.max(0, ivBytes - atBytes));
  const end = Math.max(start, Math.min(piece.length, encryptedBytes - macBytes - atBytes));
  return piece.subarray(start, end);
}

/**
 * Checks and decrypts an encrypted file; `write` gets the file in order, each part only when its chunk was found right,
 * and the next part when its promise is done: until then the part may be read, not longer. Holds one chunk in memory, at
 * most 8 MiB; a piece of the source is used up before the next one is asked for.
 *
 * Refuses with every code of `AttachmentErrorCode` but `source-changed`; what was written before is a true beginning of
 * the file. The last chunk is given out only when the whole is right: MACs, digest, length.
 */
export async function openAttachment(
  source: AsyncIterable<Uint8Array>,
  secrets: AttachmentSecrets,
  write: (part: Uint8Array) => Promise<void> | void,
): Promise<{ readonly kind: 'opened' } | Refused> {
  const refused = (code: AttachmentErrorCode): Refused => ({ kind: 'refused', code });
  if (!fits(secrets)) return refused('pointer-refused');
  const encryptedBytes = encryptedSizeBytes(secrets.sizeBytes);
  const check = new MacCheck(secrets);
  const digest = createHash('sha256');
  const first = new Uint8Array(ivBytes);
  const last = Buffer.alloc(macBytes);
  let lastMac: Buffer | undefined;
  let decipher: ReturnType<typeof createDecipheriv> | undefined;
  let atBytes = 0;
  let leftBytes = secrets.sizeBytes;

  /** Plaintext without the padding; undefined when the padding isn't zeros. */
  const withoutPadding = (plain: Uint8Array): Uint8Array | undefined => {
    const part = plain.subarray(0, leftBytes);
    leftBytes -= part.length;
    const padding = plain.subarray(part.length);
    return Buffer.compare(padding, zeros.subarray(0, padding.length)) === 0 ? part : undefined;
  };
  const give = async (plain: Uint8Array): Promise<void> => {
    const part = withoutPadding(plain);
    if (part === undefined) throw new AttachmentFailure('padding-refused');
    if (part.length === 0) return;
    try {
      await write(part);
    } catch (error) {
      throw new AttachmentFailure('write-failed', error);
    }
  };

  let receivedBytes = 0;
  try {
    for await (const bytes of failingAs(source, 'source-failed')) {
      if (bytes.length > check.leftBytes) return refused('too-long');
      digest.update(bytes);
      // The MAC at the end covers everything before it: its value is taken when the running one gets there.
      const beforeMac = bytes.subarray(0, Math.max(0, encryptedBytes - macBytes - receivedBytes));
      const ready: Uint8Array[] = [];
      for (const part of [beforeMac, bytes.subarray(beforeMac.length)]) {
        if (receivedBytes === encryptedBytes - macBytes) lastMac ??= check.mac.value();
        if (receivedBytes >= encryptedBytes - macBytes) last.set(part, receivedBytes - encryptedBytes + macBytes);
        receivedBytes += part.length;
        if (part.length === 0) continue;
        const right = check.update(part);
        if (right === undefined) return refused('altered');
        ready.push(...right);
      }
      if (check.leftBytes === 0) {
        if (lastMac === undefined || !timingSafeEqual(last, lastMac)) return refused('altered');
        if (!timingSafeEqual(digest.copy().digest(), secrets.digest)) return refused('digest-mismatch');
      }
      for (const part of ready) {
        if (atBytes < ivBytes) first.set(part.subarray(0, ivBytes - atBytes), atBytes);
        const blocks = blocksOf(part, atBytes, encryptedBytes);
        atBytes += part.length;
        if (blocks.length === 0) continue;
        decipher ??= createDecipheriv('aes-256-cbc', createSecretKey(secrets.key.subarray(0, 32)), first);
        for (const piece of pieces(blocks)) {
          const plain = decipher.update(piece);
          await give(plain);
          discard(plain);
        }
        discard(part);
      }
    }
    if (check.leftBytes > 0 || decipher === undefined) return refused('truncated');
    await give(finalBlock(decipher));
  } catch (error) {
    return refused(failureCode(error, 'source-failed'));
  }
  return { kind: 'opened' };
}

function finalBlock(decipher: ReturnType<typeof createDecipheriv>): Buffer {
  try {
    return decipher.final();
  } catch (error) {
    throw new AttachmentFailure('padding-refused', error);
  }
}

/** Passes on what comes; an error of the source gets this code, so that it can't be taken for one of ours. */
async function* failingAs(source: AsyncIterable<Uint8Array>, code: AttachmentErrorCode): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    throw error instanceof AttachmentFailure ? error : new AttachmentFailure(code, error);
  }
}
