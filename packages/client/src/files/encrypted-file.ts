// A file that lies encrypted on the disk: written once from its beginning to its end, and read so as often as wanted. Each
// chunk is bound to its place, under a key that is this file's alone.
// Knows nothing of what is in it, where it lies, or where its key is kept.
// Source: NIST SP 800-38D (AES-GCM).
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { discard } from '@drawbridge/e2ee/attachments';

export const chunkBytes = 65_536;
const nonceBytes = 12;
const tagBytes = 16;

/** The file on the disk is not the one that was written. */
export class EncryptedFileDamaged extends Error {}

/** Encrypts what comes. A piece is to be written behind the one before, and used up before the next one is asked for. */
export async function* encryptedChunks(
  source: AsyncIterable<Uint8Array>,
  key: KeyObject,
): AsyncGenerator<Uint8Array, void, void> {
  const held = Buffer.allocUnsafeSlow(chunkBytes);
  const sealed = Buffer.allocUnsafeSlow(chunkBytes + tagBytes);
  let filled = 0;
  let index = 0;
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; ) {
      if (filled === chunkBytes) {
        yield seal(key, index, held, sealed);
        index += 1;
        filled = 0;
      }
      const part = bytes.subarray(at, at + chunkBytes - filled);
      held.set(part, filled);
      filled += part.length;
      at += part.length;
    }
  }
  yield seal(key, index, held.subarray(0, filled), sealed);
}

/**
 * Gives the file back, piece by piece; a piece is used up before the next one is asked for. Throws
 * `EncryptedFileDamaged`, before anything of the changed chunk is given out.
 */
export async function* decryptedChunks(
  file: FileHandle,
  key: KeyObject,
  sizeBytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  const sealed = Buffer.allocUnsafeSlow(chunkBytes + tagBytes);
  let atBytes = 0;
  for (let index = 0; index === 0 || index * chunkBytes < sizeBytes; index += 1) {
    const length = Math.min(chunkBytes, sizeBytes - index * chunkBytes) + tagBytes;
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await file.read(sealed, filled, length - filled, atBytes);
      if (bytesRead === 0) throw new EncryptedFileDamaged('it ends too early');
      filled += bytesRead;
      atBytes += bytesRead;
    }
    const plain = open(key, index, sealed.subarray(0, length));
    yield plain;
    discard(plain);
  }
}

/** Ciphertext and tag, in `into`. */
function seal(key: KeyObject, index: number, plain: Uint8Array, into: Buffer): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(index));
  const sealed = cipher.update(plain);
  into.set(sealed);
  discard(sealed);
  cipher.final();
  into.set(cipher.getAuthTag(), plain.length);
  return into.subarray(0, plain.length + tagBytes);
}

function open(key: KeyObject, index: number, sealed: Buffer): Uint8Array {
  const length = sealed.length - tagBytes;
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(index), { authTagLength: tagBytes });
  decipher.setAuthTag(sealed.subarray(length));
  const plain = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch (cause) {
    throw new EncryptedFileDamaged('it was changed', { cause });
  }
  return plain;
}

/** The chunk's place: under a key that encrypts one file, once, each is used once. */
function nonceOf(index: number): Uint8Array {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeUInt32BE(index, nonceBytes - 4);
  return nonce;
}
