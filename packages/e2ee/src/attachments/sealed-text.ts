// A sealed file's description as text, for the store. It holds the file's key: keep it encrypted.
// Knows nothing of the file itself.
import { attachmentLimits, encryptedSizeBytes, fits, type SealedAttachment } from './format.ts';

/** What has to be kept to go on with an upload after a restart, as text. It holds the file's key: keep it encrypted. */
export function encodeSealed(sealed: SealedAttachment): string {
  const { key, iv, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes } = sealed;
  const bytes = [key, iv, digest, incrementalMac].map(each => Buffer.from(each).toString('base64url'));
  return ['1', sizeBytes, incrementalMacChunkBytes, ...bytes].join('.');
}

/** Reads what `encodeSealed` wrote; undefined for anything else. */
export function parseSealed(text: string): SealedAttachment | undefined {
  const match = /^1\.([0-9]{1,10})\.([0-9]{1,7})\.([\w-]{86})\.([\w-]{22})\.([\w-]{43})\.([\w-]{43,12400})$/.exec(text);
  if (match === null) return undefined;
  const bytes = (index: number): Uint8Array => new Uint8Array(Buffer.from(match[index]!, 'base64url'));
  const sizeBytes = Number(match[1]);
  const sealed: SealedAttachment = {
    sizeBytes,
    incrementalMacChunkBytes: Number(match[2]),
    key: bytes(3),
    iv: bytes(4),
    digest: bytes(5),
    incrementalMac: bytes(6),
    encryptedSizeBytes: encryptedSizeBytes(Math.min(sizeBytes, attachmentLimits.maxSizeBytes)),
  };
  return fits(sealed) ? sealed : undefined;
}
