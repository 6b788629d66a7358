// Attachment pointers inside content: where an encrypted file lies, how it is opened, and what it is.
// Knows nothing of files, uploads or decryption.
// Source: docs/protocol/09-content.md section 9.3, schema/content.proto `AttachmentPointer`.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { isText, need, time, uint32, wholeNumber } from './checks.ts';
import {
  AttachmentKind as KindCode,
  type AttachmentPointer as PointerMessage,
  type AttachmentPointerSchema,
} from '../gen/content_pb.ts';

export const attachmentPointerLimits = {
  maxUrlBytes: 2_048,
  maxNameBytes: 512,
  maxCaptionBytes: 4_096,
  maxMediaTypeBytes: 128,
  maxBlurhashBytes: 128,
  maxThumbnailBytes: 16_384,
  maxWaveformBytes: 256,
  /** 32 bytes for each chunk and for the whole. */
  maxIncrementalMacBytes: 10_240,
} as const;

const keyBytes = 64;
const digestBytes = 32;

export type AttachmentKind = 'file' | 'image' | 'video' | 'voice' | 'audio';

/** `key`, `digest`, `incrementalMac`, `incrementalMacChunkBytes`, `sizeBytes` are `AttachmentSecrets` (attachments.ts). */
export type AttachmentPointer = {
  /** `https:`. */
  readonly url: string;
  readonly key: Uint8Array;
  readonly digest: Uint8Array;
  readonly incrementalMac: Uint8Array;
  readonly incrementalMacChunkBytes: number;
  readonly sizeBytes: number;
  readonly kind: AttachmentKind;
  /** What the sender says that it is; nothing is opened because of it. Empty: not said. */
  readonly mediaType: string;
  /** A name to show and to propose; never a path. */
  readonly fileName?: string;
  readonly caption?: string;
  readonly width?: number;
  readonly height?: number;
  readonly durationMs?: number;
  readonly blurhash?: string;
  readonly thumbnail?: Uint8Array;
  /** Loudness of a voice message, one byte for each step. */
  readonly waveform?: Uint8Array;
  readonly uploadedAtMs?: number;
  readonly animated?: boolean;
};

const kindCodes: Readonly<Record<AttachmentKind, KindCode>> = {
  file: KindCode.FILE,
  image: KindCode.IMAGE,
  video: KindCode.VIDEO,
  voice: KindCode.VOICE,
  audio: KindCode.AUDIO,
};
const kindNames = new Map<number, AttachmentKind>(
  (Object.keys(kindCodes) as AttachmentKind[]).map(name => [kindCodes[name], name]),
);

export function checkPointer(pointer: AttachmentPointer, field: string): void {
  const limits = attachmentPointerLimits;
  const { url, incrementalMac, fileName = '', caption = '', blurhash = '', thumbnail, waveform } = pointer;
  need(isText(url, limits.maxUrlBytes) && url.startsWith('https://') && URL.canParse(url), `${field}.url`);
  need(pointer.key.length === keyBytes, `${field}.key`);
  need(pointer.digest.length === digestBytes, `${field}.digest`);
  need(
    incrementalMac.length % digestBytes === 0 && incrementalMac.length <= limits.maxIncrementalMacBytes,
    `${field}.incrementalMac`,
  );
  uint32(pointer.incrementalMacChunkBytes, `${field}.incrementalMacChunkBytes`);
  wholeNumber(pointer.sizeBytes, `${field}.sizeBytes`);
  need(isText(pointer.mediaType, limits.maxMediaTypeBytes), `${field}.mediaType`);
  need(isText(fileName, limits.maxNameBytes), `${field}.fileName`);
  need(isText(caption, limits.maxCaptionBytes), `${field}.caption`);
  need(isText(blurhash, limits.maxBlurhashBytes), `${field}.blurhash`);
  need((thumbnail?.length ?? 0) <= limits.maxThumbnailBytes, `${field}.thumbnail`);
  need((waveform?.length ?? 0) <= limits.maxWaveformBytes, `${field}.waveform`);
  for (const value of [pointer.width, pointer.height, pointer.durationMs]) uint32(value ?? 0, field);
  time(pointer.uploadedAtMs ?? 0, `${field}.uploadedAtMs`);
}

export function pointerMessage(pointer: AttachmentPointer): MessageInitShape<typeof AttachmentPointerSchema> {
  const { kind, sizeBytes, uploadedAtMs = 0, ...rest } = pointer;
  return { ...rest, kind: kindCodes[kind], sizeBytes: BigInt(sizeBytes), uploadedAtMs: BigInt(uploadedAtMs) };
}

export function readPointer(message: PointerMessage, field: string): AttachmentPointer {
  const { url, key, digest, incrementalMac, incrementalMacChunkBytes, mediaType } = message;
  const { fileName, caption, width, height, durationMs, blurhash, thumbnail, waveform, animated } = message;
  const uploadedAtMs = time(message.uploadedAtMs, `${field}.uploadedAtMs`);
  const pointer: AttachmentPointer = {
    url,
    key,
    digest,
    incrementalMac,
    incrementalMacChunkBytes,
    sizeBytes: wholeNumber(message.sizeBytes, `${field}.sizeBytes`),
    // A kind of a later version is still a file.
    kind: kindNames.get(message.kind) ?? 'file',
    mediaType,
    ...(fileName === '' ? {} : { fileName }),
    ...(caption === '' ? {} : { caption }),
    ...(width === 0 ? {} : { width }),
    ...(height === 0 ? {} : { height }),
    ...(durationMs === 0 ? {} : { durationMs }),
    ...(blurhash === '' ? {} : { blurhash }),
    ...(thumbnail.length === 0 ? {} : { thumbnail }),
    ...(waveform.length === 0 ? {} : { waveform }),
    ...(uploadedAtMs === 0 ? {} : { uploadedAtMs }),
    ...(animated ? { animated } : {}),
  };
  checkPointer(pointer, field);
  return pointer;
}
