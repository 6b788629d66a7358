// Encrypts files as streams: once to describe one under a fresh key, and again for each upload, in constant memory.
// Knows nothing of where the bytes go.
// Source: docs/protocol/11-media.md sections 11.1-11.3; Signal's attachment form (IV, AES-256-CBC, HMAC-SHA256).
import { createCipheriv, createHash, createSecretKey, randomBytes } from 'node:crypto';
import { discard, type OpenSource, pieces } from './bytes.ts';
import { ChunkedMac, MacCheck, type RunningMac } from './chunk-macs.ts';
import {
  AttachmentFailure,
  attachmentLimits,
  chunkBytesFor,
  encryptedSizeBytes,
  failureCode,
  fits,
  isSize,
  ivBytes,
  keyBytes,
  paddedSizeBytes,
  type Refused,
  type SealedAttachment,
  zeros,
} from './format.ts';

/** The padded file, exactly as long as it must be. */
async function* paddedPieces(open: OpenSource, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let leftBytes = sizeBytes;
  try {
    for await (const bytes of open()) {
      leftBytes -= bytes.length;
      if (leftBytes < 0) break;
      yield* pieces(bytes);
    }
  } catch (error) {
    throw new AttachmentFailure('source-failed', error);
  }
  if (leftBytes !== 0) throw new AttachmentFailure('source-changed');
  for (let left = paddedSizeBytes(sizeBytes) - sizeBytes; left > 0; left -= zeros.length) {
    yield zeros.subarray(0, left);
  }
}

type Recipe = { readonly key: Uint8Array; readonly iv: Uint8Array; readonly sizeBytes: number };

/** The encrypted file. `mac` must be fed with every piece before the next is asked for. */
async function* encryptedPieces(open: OpenSource, recipe: Recipe, mac: RunningMac): AsyncGenerator<Uint8Array> {
  const cipher = createCipheriv('aes-256-cbc', createSecretKey(recipe.key.subarray(0, 32)), recipe.iv);
  yield recipe.iv;
  for await (const piece of paddedPieces(open, recipe.sizeBytes)) yield cipher.update(piece);
  yield cipher.final();
  yield mac.value();
}

/**
 * Describes a file under a fresh key: reads it once and keeps nothing of it.
 *
 * Refuses with `too-large`, `source-failed`, or `source-changed` (not exactly `sizeBytes` long).
 */
export async function sealAttachment(
  open: OpenSource,
  sizeBytes: number,
): Promise<{ readonly kind: 'sealed'; readonly sealed: SealedAttachment } | Refused> {
  if (!isSize(sizeBytes) || sizeBytes > attachmentLimits.maxSizeBytes) return { kind: 'refused', code: 'too-large' };
  const recipe = { key: new Uint8Array(randomBytes(keyBytes)), iv: new Uint8Array(randomBytes(ivBytes)), sizeBytes };
  const encryptedBytes = encryptedSizeBytes(sizeBytes);
  const chunkBytes = chunkBytesFor(encryptedBytes);
  const chunked = new ChunkedMac(recipe.key.subarray(32), chunkBytes);
  const digest = createHash('sha256');
  const macs: Buffer[] = [];
  try {
    for await (const piece of encryptedPieces(open, recipe, chunked.mac)) {
      digest.update(piece);
      chunked.update(piece, (_part, mac) => void macs.push(mac));
      if (piece !== recipe.iv) discard(piece);
    }
  } catch (error) {
    return { kind: 'refused', code: failureCode(error, 'source-failed') };
  }
  macs.push(chunked.mac.value());
  const sealed = {
    ...recipe,
    digest: new Uint8Array(digest.digest()),
    incrementalMac: new Uint8Array(Buffer.concat(macs)),
    incrementalMacChunkBytes: chunkBytes,
    encryptedSizeBytes: encryptedBytes,
  };
  return { kind: 'sealed', sealed };
}

/**
 * The encrypted file from byte `fromBytes` to its end: for an upload, and for going on with one. One chunk after the other,
 * the caller's to `discard`.
 *
 * Everything before is encrypted again, since CBC chains. A chunk is given out only when it is the one that was
 * described: a file that was changed since never goes out under the old key. Ends with `AttachmentFailure`
 * (`source-changed`, `source-failed`, `pointer-refused`). A chunk has at most 8 MiB.
 */
export async function* readSealed(
  open: OpenSource,
  sealed: SealedAttachment,
  fromBytes = 0,
): AsyncGenerator<Uint8Array> {
  if (!fits(sealed) || sealed.iv.length !== ivBytes) throw new AttachmentFailure('pointer-refused');
  const check = new MacCheck(sealed);
  let atBytes = 0;
  for await (const piece of encryptedPieces(open, sealed, check.mac)) {
    const ready = check.update(piece);
    if (piece !== sealed.iv) discard(piece);
    if (ready === undefined) throw new AttachmentFailure('source-changed');
    for (const part of ready) {
      const skipBytes = Math.min(part.length, Math.max(0, fromBytes - atBytes));
      atBytes += part.length;
      if (skipBytes < part.length) yield part.subarray(skipBytes);
    }
  }
}
