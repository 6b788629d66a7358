// What an encrypted file looks like: sizes, limits, what its receiver has to know, and why one is refused.
// Pure: knows nothing of ciphers, streams or folders.
// Source: docs/protocol/11-media.md sections 11.1-11.3.
/** Named limits. */
export const attachmentLimits = {
  /** Of the file itself; encrypted it is up to a twentieth larger. */
  maxSizeBytes: 2_147_483_648,
  minChunkBytes: 65_536,
  maxChunkBytes: 8_388_608,
  /** A sender makes chunks so large that there are no more of them: the MACs stay below 10 KiB. */
  maxChunks: 288,
  /** What is encrypted, decrypted or given out at once. */
  pieceBytes: 262_144,
} as const;

export const keyBytes = 64;
export const ivBytes = 16;
export const macBytes = 32;
export const digestBytes = 32;
export const blockBytes = 16;
export const smallestPaddedBytes = 541;
export const zeros = new Uint8Array(attachmentLimits.pieceBytes + blockBytes);

/** What a receiver needs besides the URL: these members of `AttachmentPointer` (schema/content.proto). */
export type AttachmentSecrets = {
  /** 64 random bytes, for this file alone: 32 for AES-256, 32 for HMAC-SHA256. */
  readonly key: Uint8Array;
  /** SHA-256 of the encrypted file. */
  readonly digest: Uint8Array;
  /** HMAC-SHA256 of the encrypted file up to the end of each chunk, and of the whole: 32 bytes each. */
  readonly incrementalMac: Uint8Array;
  readonly incrementalMacChunkBytes: number;
  /** Of the file itself. */
  readonly sizeBytes: number;
};

/** What a sender keeps until the upload is done: with the same file it gives the same encrypted bytes again. */
export type SealedAttachment = AttachmentSecrets & {
  readonly iv: Uint8Array;
  /** Of the encrypted file: what is uploaded, and what a media grant is asked for. */
  readonly encryptedSizeBytes: number;
};

export type AttachmentErrorCode =
  | 'pointer-refused'
  | 'too-large'
  | 'source-failed'
  | 'source-changed'
  | 'truncated'
  | 'too-long'
  | 'altered'
  | 'digest-mismatch'
  | 'padding-refused'
  | 'write-failed';

/** For each code: does a later try help, and the sentence for a person or a log. */
export const attachmentErrors: Readonly<
  Record<AttachmentErrorCode, { readonly retry: boolean; readonly text: string }>
> = {
  'pointer-refused': { retry: false, text: 'The description of the file is malformed.' },
  'too-large': { retry: false, text: 'The file is larger than allowed.' },
  'source-failed': { retry: true, text: 'The file could not be read to its end.' },
  'source-changed': { retry: false, text: 'The file was changed while it was sent: send it again.' },
  truncated: { retry: true, text: 'The encrypted file ends too early.' },
  'too-long': { retry: false, text: 'The encrypted file is longer than its description says.' },
  altered: { retry: false, text: 'The encrypted file was altered, or the key is not its key.' },
  'digest-mismatch': { retry: false, text: 'The encrypted file is not the one that was described.' },
  'padding-refused': { retry: false, text: 'The encrypted file is not padded as it must be.' },
  'write-failed': { retry: true, text: 'The opened file could not be written.' },
};

/** Carries the code where only an error can end a stream. Thrown by iterators of these files alone. */
export class AttachmentFailure extends Error {
  readonly code: AttachmentErrorCode;
  constructor(code: AttachmentErrorCode, cause?: unknown) {
    super(attachmentErrors[code].text, { cause });
    this.code = code;
  }
}

export function failureCode(error: unknown, otherwise: AttachmentErrorCode): AttachmentErrorCode {
  return error instanceof AttachmentFailure ? error.code : otherwise;
}

export type Refused = { readonly kind: 'refused'; readonly code: AttachmentErrorCode };

/**
 * The size that is encrypted in place of `sizeBytes`: 541, or the first above it in the series where each is a twentieth
 * more than the last, rounded down. Sizes leak no more than their place in this series.
 */
export function paddedSizeBytes(sizeBytes: number): number {
  let padded = smallestPaddedBytes;
  while (padded < sizeBytes) padded = Math.floor((padded * 21) / 20);
  return padded;
}

/** Size of the encrypted file: IV, the padded file in whole blocks with PKCS #7, MAC. */
export function encryptedSizeBytes(sizeBytes: number): number {
  return ivBytes + (Math.floor(paddedSizeBytes(sizeBytes) / blockBytes) + 1) * blockBytes + macBytes;
}

export function isSize(sizeBytes: number): boolean {
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 0;
}

export function chunkBytesFor(encryptedBytes: number): number {
  let chunkBytes: number = attachmentLimits.minChunkBytes;
  while (encryptedBytes / chunkBytes > attachmentLimits.maxChunks) chunkBytes *= 2;
  return chunkBytes;
}

/** Whether a pointer can be one of ours; sizes are then what they must be. */
export function fits(secrets: AttachmentSecrets): boolean {
  const { key, digest, incrementalMac, incrementalMacChunkBytes: chunkBytes, sizeBytes } = secrets;
  if (key.length !== keyBytes || digest.length !== digestBytes || !isSize(sizeBytes)) return false;
  if (sizeBytes > attachmentLimits.maxSizeBytes || !Number.isInteger(chunkBytes)) return false;
  if (chunkBytes < attachmentLimits.minChunkBytes || chunkBytes > attachmentLimits.maxChunkBytes) return false;
  return incrementalMac.length === (Math.floor(encryptedSizeBytes(sizeBytes) / chunkBytes) + 1) * macBytes;
}
