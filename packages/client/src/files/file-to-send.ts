// A file that is to be sent: what an app says of it, what the pointer says of it, and its description under a key of its own.
// Knows nothing of uploads, places or conversations.
// Source: docs/protocol/11-media.md.
import { type SealedAttachment, sealAttachment } from '@drawbridge/e2ee/attachments';
import { attachmentPointerLimits } from '@drawbridge/e2ee/content-attachment';
import { ClientError } from '../errors.ts';
import { mediaQualities, type MediaQuality } from '../media/job.ts';
import type { PreparedMedia } from '../media/media-preparation.ts';
import { attachmentError } from './file-errors.ts';
import { fileAt, type LocalFile, type Spooled, spooledFile } from './local-file.ts';

/**
 * In bytes of the encrypted file, which is up to a twentieth larger; of `save` to a stream, of the file itself. An upload that
 * broke may step back.
 */
export type FileProgress = { readonly bytes: number; readonly totalBytes: number };

export type TransferOptions = {
  readonly onProgress?: (progress: FileProgress) => void;
  /** Ends it with `cancelled`. What has moved is kept for a while: the same call goes on there. */
  readonly signal?: AbortSignal;
};

export const fileKinds = ['file', 'image', 'video', 'voice'] as const;

export type SendFileOptions = TransferOptions & {
  readonly path: string;
  /** What the receiver is shown, at most 512 bytes. Left out: of a `file` the last part of the path, else a plain word. */
  readonly name?: string;
  /** Of a `file`, at most 128 bytes; not said when left out. Of anything else it is known. */
  readonly mimeType?: string;
  /** At most 4,096 bytes. */
  readonly caption?: string;
  /**
   * `file` goes byte for byte, with whatever it says of its maker, place and time. Everything else is rewritten without
   * that, and gets size, length and preview (docs/protocol/11-media.md section 11.7). Left out: pictures and videos are known
   * by their first bytes, all else is a `file`.
   */
  readonly kind?: (typeof fileKinds)[number];
  /** Of a picture: `standard` when left out; `original` keeps all its pixels. */
  readonly quality?: MediaQuality;
  /** May be opened once by each reader; its author keeps no copy. */
  readonly viewOnce?: boolean;
};

/** A file that lies somewhere: with `spooled`, encrypted in the client's folder. */
export type FileToSend = SendFileOptions & { readonly spooled?: Spooled | undefined };

/** A file that is described under its key, and how far its upload is. */
export type SealedUpload = {
  readonly sealed: SealedAttachment;
  /** Names the bytes of the copy that was made of it; undefined: it goes as it is. */
  readonly preparedSha256: string | undefined;
  readonly url: string | undefined;
};

/** An upload to go on with, of a file that still looks the same. */
export type BegunUpload = {
  readonly looks: string;
  /** Undefined: it is not described yet. */
  readonly upload: SealedUpload | undefined;
  /** Called before anything is sent under that key, or to that URL. What it throws ends the sending. */
  readonly keep: (upload: SealedUpload) => void;
};

/** The file that lies there. Rejects as `Files.send` does. */
export async function localFile({ path, spooled }: FileToSend): Promise<LocalFile> {
  return spooled === undefined ? fileAt(path) : spooledFile(path, spooled);
}

/** What the pointer says of the file. Checked before anything is uploaded. */
export function describe(
  options: Omit<SendFileOptions, 'path'>,
  ownName: string,
): { readonly mediaType: string; readonly fileName: string } {
  const {
    name = ownName,
    mimeType = '',
    caption = '',
    kind = 'file',
    quality = 'standard',
    viewOnce = false,
  } = options;
  const { maxNameBytes, maxMediaTypeBytes, maxCaptionBytes } = attachmentPointerLimits;
  const check = (text: string, maxBytes: number, detail: string): void => {
    if (typeof text !== 'string' || !text.isWellFormed() || Buffer.byteLength(text) > maxBytes) {
      throw new ClientError('content-refused', { detail });
    }
  };
  check(name, maxNameBytes, 'name');
  check(mimeType, maxMediaTypeBytes, 'mimeType');
  check(caption, maxCaptionBytes, 'caption');
  if (!fileKinds.includes(kind)) throw new ClientError('invalid-argument', { detail: 'kind' });
  if (!mediaQualities.includes(quality)) throw new ClientError('invalid-argument', { detail: 'quality' });
  if (typeof viewOnce !== 'boolean') throw new ClientError('invalid-argument', { detail: 'viewOnce' });
  return { mediaType: mimeType, fileName: name };
}

/** The description of a file, made now or begun before; written down before anything is sent under its key. */
export async function seal(
  { file, sha256: preparedSha256 }: PreparedMedia,
  begun: BegunUpload | undefined,
  signal: AbortSignal,
): Promise<SealedUpload> {
  // Another version of a codec may make another copy of the same picture: that is another text, under another key.
  if (begun?.upload !== undefined && begun.upload.preparedSha256 === preparedSha256) return begun.upload;
  const sealing = await sealAttachment(file.source(signal), file.sizeBytes);
  if (sealing.kind === 'refused') throw attachmentError(sealing.code);
  const upload = { sealed: sealing.sealed, preparedSha256, url: undefined };
  begun?.keep(upload);
  return upload;
}
