// The bytes of a file that is read while it arrives: each chunk is checked before it is given, and no more is fetched than that
// asks for.
// Knows nothing of grants or HTTP (`file-fetching.ts`), nor of what an app does with the bytes (`opened-file.ts`).
// Source: docs/protocol/11-media.md.
import { createAttachmentReader } from '@drawbridge/e2ee/attachments';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { ClientError } from '../errors.ts';
import { attachmentError, transferFailure } from './file-errors.ts';
import type { MediaCopy } from './media-copies.ts';
import type { OpenedFile, ReadOptions } from './opened-file.ts';

const blockBytes = 16;

/** What `OpenedFile.read` does; `closed` ends every reading of the file. */
export function readingOf(pointer: AttachmentPointer, copy: MediaCopy, closed: AbortSignal): OpenedFile['read'] {
  const reader = createAttachmentReader(pointer, (at, into) => copy.read(at, into));
  const { incrementalMacChunkBytes: chunkBytes, sizeBytes } = pointer;

  return async function* read({ startBytes = 0, endBytes = sizeBytes, signal }: ReadOptions = {}) {
    if (![startBytes, endBytes].every(at => at >= 0 && Number.isSafeInteger(at))) {
      throw new ClientError('invalid-argument', { detail: 'startBytes and endBytes are counts of bytes' });
    }
    const until = signal === undefined ? closed : AbortSignal.any([closed, signal]);
    for (let at = startBytes; at < Math.min(endBytes, sizeBytes); ) {
      if (until.aborted) throw closed.aborted ? new ClientError('closed') : new ClientError('cancelled');
      const got = await reader.read(at);
      if (got.kind === 'plaintext') {
        yield got.bytes.subarray(0, endBytes - at);
        at += got.bytes.length;
        continue;
      }
      try {
        if (got.kind === 'refused') {
          const error = attachmentError(got.code);
          await copy.restart();
          throw error;
        }
        // A part is readable with its whole chunk; two blocks more may lie in the next one.
        const chunk = Math.floor((at + 2 * blockBytes) / chunkBytes);
        await copy.arrive((chunk + 1) * chunkBytes, chunkBytes, until);
      } catch (error) {
        if (closed.aborted) throw new ClientError('closed');
        throw signal?.aborted === true ? new ClientError('cancelled') : transferFailure(error);
      }
    }
  };
}
