// One sealed file on its way to a media origin, begun now or before.
// Knows nothing of how it was prepared, nor of whom it is for.
// Source: docs/protocol/11-media.md.
import type { MediaPlace } from '../account/media-session.ts';
import type { HttpTrust } from '../connection/http.ts';
import { ClientError } from '../errors.ts';
import { transferError } from './file-errors.ts';
import type { BegunUpload, SealedUpload, TransferOptions } from './file-to-send.ts';
import type { LocalFile } from './local-file.ts';
import { type Pace, uploadAttachment } from './media-transfer.ts';

export type FileUpload = {
  readonly place: MediaPlace;
  readonly endpoint: string;
  readonly file: LocalFile;
  readonly upload: SealedUpload;
  readonly keep: BegunUpload['keep'];
  readonly options: TransferOptions;
  readonly pace: Pace;
  readonly trust: HttpTrust;
  readonly signal: AbortSignal;
};

/** Gives the URL of the whole file. Rejects as `Files.send` does. */
export async function uploadFile(job: FileUpload): Promise<string> {
  const { place, endpoint, file, upload, keep, options, pace, trust, signal } = job;
  const { sealed, url } = upload;
  const totalBytes = sealed.encryptedSizeBytes;
  const tell = (bytes: number): void => options.onProgress?.({ bytes, totalBytes });
  let failure: unknown;
  const result = await uploadAttachment({
    endpoint,
    session: renew =>
      place.session(renew).catch((error: unknown) => {
        failure = error;
        throw error;
      }),
    sealed,
    open: file.source(signal),
    ...(url === undefined ? {} : { url }),
    onBegun: created => {
      try {
        keep({ ...upload, url: created });
      } catch (error) {
        failure = error;
        throw error;
      }
    },
    onSent: tell,
    onProgress: tell,
    pace,
    trust,
    signal,
  });
  if (result.kind === 'uploaded') return result.url;
  if (failure instanceof ClientError) throw failure;
  throw transferError(result.code, 'up');
}
