// Files that people send each other: sealed and uploaded from a path, fetched through a grant and written to a path.
// Knows nothing of conversations: what carries the pointer is the caller's.
// Source: docs/protocol/11-media.md.
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import type { MediaPlace } from '../account/media-session.ts';
import type { HttpTrust } from '../connection/http.ts';
import type { Request } from '../directory/directory.ts';
import { ClientError } from '../errors.ts';
import { MediaPreparation } from '../media/media-preparation.ts';
import { FileFetching } from './file-fetching.ts';
import {
  type BegunUpload,
  describe,
  type FileToSend,
  localFile,
  seal,
  type SendFileOptions,
  type TransferOptions,
} from './file-to-send.ts';
import { uploadFile } from './file-upload.ts';
import type { LocalFile } from './local-file.ts';
import type { MediaCopies } from './media-copies.ts';
import type { Pace } from './media-transfer.ts';
import type { OpenedFile } from './opened-file.ts';

export const fileLimits = {
  /** Files that one client sends and saves at once. */
  transfers: 8,
} as const;

export type FilesSettings = {
  /** Whose media origin is uploaded to; undefined: there is none, and nothing can be sent. */
  readonly place: MediaPlace | undefined;
  /** Where copies lie while they are sent; nothing else may be in it. */
  readonly preparationFolder: string;
  /** Towards the gatekeeper, for downloads, and towards the media origin that is uploaded to. */
  readonly trust: HttpTrust;
  readonly placeTrust: HttpTrust;
  readonly nowMs: () => number;
  readonly pace: Pace;
  readonly copies: MediaCopies;
  /** A plaintext file is written there now, or isn't any more: who keeps that removes what a killed process left behind. */
  readonly noteSaving: (temporary: string, isWritten: boolean) => void;
};

export class Files {
  readonly #settings: FilesSettings;
  readonly #preparation: MediaPreparation;
  readonly #fetching: FileFetching;
  readonly #closing = new AbortController();
  #transfers = 0;

  constructor(settings: FilesSettings) {
    this.#settings = settings;
    this.#preparation = new MediaPreparation(settings.preparationFolder);
    const { trust, copies, noteSaving, pace } = settings;
    this.#fetching = new FileFetching({ trust, pace, copies, noteSaving, closing: this.#closing.signal });
  }

  /** How the file looks that is to be sent: another look, another file. Rejects as `send` does. */
  async look(wanted: FileToSend): Promise<Pick<LocalFile, 'path' | 'looks'>> {
    const file = await localFile(wanted);
    describe(wanted, file.name);
    return file;
  }

  /**
   * Takes over what an app holds, by `add`. Rejects with what `add` rejects with, and with `content-refused`,
   * `invalid-argument`, `cancelled`, `closed`, `too-many-requests`.
   */
  keep<T>(options: Omit<SendFileOptions, 'path'>, add: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#transfer(options, signal => {
      describe(options, '');
      return add(signal);
    });
  }

  /**
   * Prepares, seals and uploads a file, then gives its pointer to `deliver`; goes on with what was `begun` before.
   *
   * Rejects with `no-media-origin`, `quota-used-up`, `media-unreadable`, `media-too-large`, `file-too-large`,
   * `file-unreadable`, `file-changed`, `file-not-written` (the copy), `content-refused` (name, type or caption),
   * `cancelled`, `unreachable`, `sign-in-refused`, `provider-refused`, `too-many-requests`, `closed`, `invalid-argument`.
   */
  send<T>(options: FileToSend, deliver: (pointer: AttachmentPointer) => Promise<T>, begun?: BegunUpload): Promise<T> {
    return this.#transfer(options, async signal => {
      const file = await localFile(options);
      const said = describe(options, file.name);
      const { place } = this.#settings;
      const endpoint = await place?.mediaEndpoint();
      if (place === undefined || endpoint === undefined) throw new ClientError('no-media-origin');
      if (begun !== undefined && begun.looks !== file.looks) throw new ClientError('file-changed');
      const { kind, quality = 'standard', name } = options;
      await using prepared = await this.#preparation.prepare({ file, kind, quality }, signal);
      const fileName = name ?? prepared.fileName ?? said.fileName;
      const described = { ...said, ...prepared.facts, kind: prepared.kind, fileName };
      const upload = await seal(prepared, begun, signal);
      const keep = begun?.keep ?? (() => {});
      const url = await uploadFile({
        place,
        endpoint,
        file: prepared.file,
        upload,
        keep,
        options,
        pace: this.#settings.pace,
        trust: this.#settings.placeTrust,
        signal,
      });
      const { key, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes } = upload.sealed;
      const secrets = { key, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes };
      return await deliver({ ...secrets, ...described, url, uploadedAtMs: this.#settings.nowMs() });
    });
  }

  /**
   * Fetches a file and writes it to `path`, whole or not at all; what was there is replaced only by a whole file. Goes on
   * with what came before, also before a restart.
   *
   * Rejects with `file-altered` (not what the sender described), `file-unavailable`, `file-too-large`,
   * `file-not-written`, `cancelled`, `unreachable`, `not-connected`, `rate-limited`, `gatekeeper-refused`,
   * `too-many-requests`, `closed`, `invalid-argument`.
   */
  save(pointer: AttachmentPointer, path: string, request: Request, options: TransferOptions): Promise<void> {
    return this.#transfer(options, signal => {
      const { onProgress } = options;
      return this.#fetching.save(pointer, path, request, {
        ...(onProgress === undefined ? {} : { onProgress }),
        signal,
      });
    });
  }

  /**
   * Opens a file to be read while it arrives, from any place. Nothing is fetched before something is read.
   *
   * Rejects with `file-altered` (malformed), `file-not-written`, `too-many-requests`, `closed`.
   */
  open(pointer: AttachmentPointer, request: Request): Promise<OpenedFile> {
    return this.#fetching.open(pointer, request);
  }

  /** Removes copies that are too old or too many. */
  async sweep(): Promise<void> {
    await this.#settings.copies.sweep();
  }

  /** Removes what is kept of a file that was not fetched to its end, or was opened. */
  async forget(pointer: AttachmentPointer): Promise<void> {
    await this.#fetching.forget(pointer);
  }

  /** Ends what is under way. */
  close(): void {
    this.#closing.abort();
    this.#fetching.close();
  }

  async #transfer<T>(options: TransferOptions, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal: cancel } = options;
    const closing = this.#closing.signal;
    const signal = cancel === undefined ? closing : AbortSignal.any([closing, cancel]);
    const stopped = (): ClientError | undefined => {
      if (closing.aborted) return new ClientError('closed');
      return cancel?.aborted === true ? new ClientError('cancelled') : undefined;
    };
    const before = stopped();
    if (before !== undefined) throw before;
    if (this.#transfers >= fileLimits.transfers) throw new ClientError('too-many-requests');
    this.#transfers += 1;
    try {
      return await work(signal);
    } catch (error) {
      throw stopped() ?? error;
    } finally {
      this.#transfers -= 1;
    }
  }
}
