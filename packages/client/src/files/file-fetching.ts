// Files that came: fetched through a grant into an encrypted copy, and from there written to a path or read piece by piece.
// Knows nothing of conversations, nor of how many files move at once (`files.ts`).
// Source: docs/protocol/11-media.md.
import { resolve } from 'node:path';
import { encryptedSizeBytes, saveAttachment, temporaryPath } from '@drawbridge/e2ee/attachments';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import type { HttpTrust } from '../connection/http.ts';
import { fetchMediaGrant, type Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import { attachmentError, grantError, transferFailure } from './file-errors.ts';
import { readingOf } from './file-reading.ts';
import type { TransferOptions } from './file-to-send.ts';
import { isPath } from './local-file.ts';
import type { MediaCopies, MediaCopy } from './media-copies.ts';
import { downloadEncrypted, type Pace } from './media-transfer.ts';
import { blobOf, type OpenedFile, streamOf } from './opened-file.ts';

/** Files that are open to be read (`open`) at once. */
export const maxOpenFiles = 8;

const readBytes = 262_144;

export type FetchingSettings = {
  /** Towards the gatekeeper. */
  readonly trust: HttpTrust;
  readonly pace: Pace;
  readonly copies: MediaCopies;
  /** A plaintext file is written there now, or isn't any more: who keeps that removes what a killed process left behind. */
  readonly noteSaving: (temporary: string, isWritten: boolean) => void;
  /** Ends everything. */
  readonly closing: AbortSignal;
};

export class FileFetching {
  readonly #settings: FetchingSettings;
  readonly #opened = new Set<AbortController>();

  constructor(settings: FetchingSettings) {
    this.#settings = settings;
  }

  /** See `Files.save`. */
  async save(
    pointer: AttachmentPointer,
    path: string,
    request: Request,
    { onProgress, signal }: Pick<TransferOptions, 'onProgress'> & { readonly signal: AbortSignal },
  ): Promise<void> {
    if (!isPath(path)) throw new ClientError('invalid-argument', { detail: 'path' });
    const totalBytes = encryptedSizeBytes(pointer.sizeBytes);
    const { noteSaving } = this.#settings;
    await this.#withCopy(pointer, request, async copy => {
      for (let resumed = copy.arrivedBytes > 0; ; resumed = false) {
        // The attachment reader says only that its source failed: why is remembered here.
        let failure: unknown;
        async function* arriving(): AsyncGenerator<Uint8Array> {
          try {
            const piece = Buffer.allocUnsafeSlow(readBytes);
            for (let at = 0; at < totalBytes; ) {
              await copy.arrive(at + 1, totalBytes, signal);
              const came = await copy.read(at, piece);
              at += came;
              onProgress?.({ bytes: at, totalBytes });
              yield piece.subarray(0, came);
            }
          } catch (error) {
            failure = error;
            throw error;
          }
        }
        const temporary = temporaryPath(resolve(path));
        noteSaving(temporary, true);
        const saved = await saveAttachment(arriving(), pointer, path, temporary);
        noteSaving(temporary, false);
        if (saved.kind === 'opened') return 'remove';
        if (failure !== undefined) throw failure;
        const error = attachmentError(saved.code);
        if (error.code !== 'file-altered') throw error;
        await copy.restart();
        // Nobody knows what happened to the copy while nothing ran: fetched again, once.
        if (!resumed) throw error;
      }
    });
  }

  /** See `Files.open`. */
  async open(pointer: AttachmentPointer, request: Request): Promise<OpenedFile> {
    if (this.#settings.closing.aborted) throw new ClientError('closed');
    if (this.#opened.size >= maxOpenFiles) throw new ClientError('too-many-requests');
    const opened = new AbortController();
    this.#opened.add(opened);
    const close = async (): Promise<void> => {
      opened.abort(new ClientError('closed'));
      if (this.#opened.delete(opened)) await this.#settings.copies.done(copyOf(pointer));
    };
    let copy: MediaCopy;
    try {
      copy = await this.#openCopy(pointer, request);
    } catch (error) {
      this.#opened.delete(opened);
      throw transferFailure(error);
    }
    const read = readingOf(pointer, copy, opened.signal);
    return {
      sizeBytes: pointer.sizeBytes,
      read,
      stream: options => streamOf(read, options),
      blob: options => blobOf(read, options),
      close,
    };
  }

  /** Removes what is kept of a file that was not fetched to its end, or was opened. */
  async forget(pointer: AttachmentPointer): Promise<void> {
    await this.#settings.copies.forget(copyOf(pointer));
  }

  /** Every reading ends. */
  close(): void {
    for (const opened of this.#opened) opened.abort();
  }

  #openCopy(pointer: AttachmentPointer, request: Request): Promise<MediaCopy> {
    const sizeBytes = encryptedSizeBytes(pointer.sizeBytes);
    const { trust, copies, closing, pace } = this.#settings;
    const locate = async (): Promise<string> => fetchMediaGrant(request, pointer.url, sizeBytes).catch(grantError);
    return copies.open(copyOf(pointer), sizeBytes, (fromBytes, stopped) => {
      const signal = AbortSignal.any([stopped, closing]);
      return downloadEncrypted({ locate, sizeBytes, fromBytes, pace, trust, signal });
    });
  }

  /** Works with the local copy of a file; its errors as ours. */
  async #withCopy(
    pointer: AttachmentPointer,
    request: Request,
    work: (copy: MediaCopy) => Promise<'remove'>,
  ): Promise<void> {
    let result: 'remove' | undefined;
    try {
      const copy = await this.#openCopy(pointer, request);
      try {
        result = await work(copy);
      } finally {
        // Nothing of a file that was refused is kept.
        await this.#settings.copies.done(copyOf(pointer), result === 'remove' || copy.arrivedBytes === 0);
      }
    } catch (error) {
      throw transferFailure(error);
    }
  }
}

/** Names the local copy: a pointer that differs in anything the fetching depends on has another one. */
function copyOf({ url, sizeBytes, digest }: AttachmentPointer): string {
  return `${url} ${sizeBytes} ${Buffer.from(digest).toString('hex')}`;
}
