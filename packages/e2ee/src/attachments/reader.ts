// Reads any part of a file that has arrived, from a local copy that stays encrypted, each chunk judged each time.
// Knows nothing of where the copy lies, nor of players.
// Source: docs/protocol/11-media.md sections 11.2 and 11.3.
import { createDecipheriv, createSecretKey, type Hash, timingSafeEqual } from 'node:crypto';
import { discard } from './bytes.ts';
import { RunningMac } from './chunk-macs.ts';
import {
  AttachmentFailure,
  attachmentLimits,
  type AttachmentSecrets,
  blockBytes,
  encryptedSizeBytes,
  failureCode,
  fits,
  isSize,
  ivBytes,
  macBytes,
  type Refused,
} from './format.ts';

/** Reads from a local copy of the encrypted file; gives how many bytes: less than fit where it ends or hasn't arrived. */
export type ReadEncrypted = (atBytes: number, into: Uint8Array) => Promise<number>;

export type AttachmentReader = {
  /**
   * The file from `startBytes`: at least one byte and at most 256 KiB, none at its end. `not-yet`: this part, or one
   * before it, has not arrived. Calls may overlap; they run one after the other.
   */
  readonly read: (
    startBytes: number,
  ) => Promise<{ readonly kind: 'plaintext'; readonly bytes: Uint8Array } | { readonly kind: 'not-yet' } | Refused>;
};

/**
 * Plays a file while it still arrives, and any part of what has arrived, from a local copy that stays encrypted.
 *
 * The MACs are cumulative: a chunk can be judged when everything before it was there once. From then on any chunk is
 * judged alone, each time it is read, so that a changed copy on the disk is noticed. Holds one chunk, at most 8 MiB. The
 * digest isn't checked here: the MACs already cover every byte.
 */
export function createAttachmentReader(secrets: AttachmentSecrets, readEncrypted: ReadEncrypted): AttachmentReader {
  const usable = fits(secrets);
  const encryptedBytes = usable ? encryptedSizeBytes(secrets.sizeBytes) : 0;
  const chunkBytes = secrets.incrementalMacChunkBytes;
  const mac = new RunningMac(secrets.key.subarray(32));
  /** The running hash at the beginning of each chunk that was reached. */
  const beginnings: Hash[] = [mac.snapshot()];
  let held: { readonly chunk: number; readonly bytes: Buffer } | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  async function chunkAt(chunk: number): Promise<Buffer | 'not-yet'> {
    if (held?.chunk === chunk) return held.bytes;
    for (let next = Math.min(chunk, beginnings.length - 1); next <= chunk; next += 1) {
      const atBytes = next * chunkBytes;
      const bytes = Buffer.alloc(Math.min(chunkBytes, encryptedBytes - atBytes));
      for (let got = 0; got < bytes.length; ) {
        const came = await failing(readEncrypted(atBytes + got, bytes.subarray(got)));
        if (came === 0) return 'not-yet';
        got += came;
      }
      mac.restore(beginnings[next]!);
      mac.update(bytes);
      const expected = secrets.incrementalMac.subarray(next * macBytes, (next + 1) * macBytes);
      if (!timingSafeEqual(mac.value(), expected)) throw new AttachmentFailure('altered');
      if (beginnings.length === next + 1) beginnings.push(mac.snapshot());
      if (held !== undefined) discard(held.bytes);
      held = { chunk: next, bytes };
    }
    return held!.bytes;
  }

  /** Encrypted bytes from here to the end of their chunk, at most one piece and the block before it. */
  async function encryptedAt(atBytes: number, endBytes: number): Promise<Uint8Array | 'not-yet'> {
    // A copy: the next chunk takes the place of this one.
    const copy = Buffer.allocUnsafeSlow(endBytes - atBytes);
    let filled = 0;
    while (filled < copy.length) {
      const at = atBytes + filled;
      const chunk = Math.floor(at / chunkBytes);
      const bytes = await chunkAt(chunk);
      if (bytes === 'not-yet') return filled > 2 * blockBytes ? copy.subarray(0, filled) : bytes;
      const part = bytes.subarray(at - chunk * chunkBytes, endBytes - chunk * chunkBytes);
      copy.set(part, filled);
      filled += part.length;
    }
    return copy;
  }

  async function readNow(startBytes: number): ReturnType<AttachmentReader['read']> {
    if (!usable || !isSize(startBytes)) return { kind: 'refused', code: 'pointer-refused' };
    if (startBytes >= secrets.sizeBytes) return { kind: 'plaintext', bytes: new Uint8Array(0) };
    // The block before the first one is its IV: for the first of all it is the IV itself.
    const from = Math.floor(startBytes / blockBytes) * blockBytes;
    const to = Math.min(from + blockBytes + attachmentLimits.pieceBytes, encryptedBytes - macBytes);
    try {
      const encrypted = await encryptedAt(from, to);
      if (encrypted === 'not-yet') return { kind: 'not-yet' };
      const iv = encrypted.subarray(0, ivBytes);
      const whole = encrypted.length - (encrypted.length % blockBytes);
      const decipher = createDecipheriv('aes-256-cbc', createSecretKey(secrets.key.subarray(0, 32)), iv);
      const plain = decipher.setAutoPadding(false).update(encrypted.subarray(ivBytes, whole));
      discard(encrypted);
      return { kind: 'plaintext', bytes: plain.subarray(startBytes - from, secrets.sizeBytes - from) };
    } catch (error) {
      return { kind: 'refused', code: failureCode(error, 'source-failed') };
    }
  }

  return {
    read: startBytes => {
      const reading = queue.then(() => readNow(startBytes));
      queue = reading;
      return reading;
    },
  };
}

async function failing(reading: Promise<number>): Promise<number> {
  try {
    return await reading;
  } catch (error) {
    throw new AttachmentFailure('source-failed', error);
  }
}
