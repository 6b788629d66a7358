// Files that people send each other: sealed and uploaded from a path, fetched through a grant and written to a path.
// Knows nothing of conversations: what carries the pointer is the caller's.
// Source: docs/protocol/11-media.md.
import { resolve } from 'node:path';
import {
  type AttachmentErrorCode,
  attachmentErrors,
  createAttachmentReader,
  encryptedSizeBytes,
  saveAttachment,
  type SealedAttachment,
  sealAttachment,
  temporaryPath,
} from '@drawbridge/e2ee/attachments';
import { type AttachmentPointer, attachmentPointerLimits } from '@drawbridge/e2ee/content-attachment';
import { fetchMediaGrant, type Request } from '../directory/directory.ts';
import { ClientError, type ClientErrorCode } from '../errors.ts';
import { RequestRefused } from '../connection/requests.ts';
import type { HttpTrust } from '../connection/http.ts';
import { fileAt, isPath, type LocalFile, type Spooled, spooledFile } from './local-file.ts';
import { type MediaCopies, type MediaCopy, MediaCopyFailure } from './media-copies.ts';
import { mediaQualities, type MediaQuality } from '../media/job.ts';
import { blobOf, type OpenedFile, type ReadOptions, streamOf } from './opened-file.ts';
import { MediaPreparation, type PreparedMedia } from '../media/media-preparation.ts';
import {
  downloadEncrypted,
  type MediaTransferErrorCode,
  mediaTransferErrors,
  MediaTransferFailure,
  uploadAttachment,
} from './media-transfer.ts';
import type { MediaPlace } from '../account/media-session.ts';

export const fileLimits = {
  /** Files that one client sends and saves at once. */
  transfers: 8,
  /** Files that are open to be read (`open`) at once. */
  openFiles: 8,
} as const;

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
};

/** A file that lies somewhere: with `spooled`, encrypted in the client's folder. */
export type FileToSend = SendFileOptions & { readonly spooled?: Spooled | undefined };

export type FilesSettings = {
  /** Whose media origin is uploaded to; undefined: there is none, and nothing can be sent. */
  readonly place: MediaPlace | undefined;
  /** Where copies lie while they are sent; nothing else may be in it. */
  readonly preparationFolder: string;
  /** Towards the gatekeeper, for downloads, and towards the media origin that is uploaded to. */
  readonly trust: HttpTrust;
  readonly placeTrust: HttpTrust;
  readonly nowMs: () => number;
  readonly copies: MediaCopies;
  /** A plaintext file is written there now, or isn't any more: who keeps that removes what a killed process left behind. */
  readonly noteSaving: (temporary: string, isWritten: boolean) => void;
};

const readBytes = 262_144;
const blockBytes = 16;

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

export class Files {
  readonly #settings: FilesSettings;
  readonly #preparation: MediaPreparation;
  readonly #opened = new Set<AbortController>();
  readonly #closing = new AbortController();
  #transfers = 0;

  constructor(settings: FilesSettings) {
    this.#settings = settings;
    this.#preparation = new MediaPreparation(settings.preparationFolder);
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
      const url = await this.#upload(place, endpoint, prepared.file, upload, keep, options, signal);
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
    return this.#transfer(options, async signal => {
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
                options.onProgress?.({ bytes: at, totalBytes });
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
    });
  }

  /**
   * Opens a file to be read while it arrives, from any place. Nothing is fetched before something is read.
   *
   * Rejects with `file-altered` (malformed), `file-not-written`, `too-many-requests`, `closed`.
   */
  async open(pointer: AttachmentPointer, request: Request): Promise<OpenedFile> {
    if (this.#closing.signal.aborted) throw new ClientError('closed');
    if (this.#opened.size >= fileLimits.openFiles) throw new ClientError('too-many-requests');
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
    const reader = createAttachmentReader(pointer, (at, into) => copy.read(at, into));
    const { incrementalMacChunkBytes: chunkBytes, sizeBytes } = pointer;

    async function* read({
      startBytes = 0,
      endBytes = sizeBytes,
      signal,
    }: ReadOptions = {}): ReturnType<OpenedFile['read']> {
      if (![startBytes, endBytes].every(at => at >= 0 && Number.isSafeInteger(at))) {
        throw new ClientError('invalid-argument', { detail: 'startBytes and endBytes are counts of bytes' });
      }
      const until = signal === undefined ? opened.signal : AbortSignal.any([opened.signal, signal]);
      for (let at = startBytes; at < Math.min(endBytes, sizeBytes); ) {
        if (until.aborted) throw opened.signal.aborted ? new ClientError('closed') : new ClientError('cancelled');
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
          if (opened.signal.aborted) throw new ClientError('closed');
          throw signal?.aborted === true ? new ClientError('cancelled') : transferFailure(error);
        }
      }
    }
    return {
      sizeBytes,
      read,
      stream: options => streamOf(read, options),
      blob: options => blobOf(read, options),
      close,
    };
  }

  /** Removes copies that are too old or too many. */
  async sweep(): Promise<void> {
    await this.#settings.copies.sweep();
  }

  /** Removes what is kept of a file that was not fetched to its end, or was opened. */
  async forget(pointer: AttachmentPointer): Promise<void> {
    await this.#settings.copies.forget(copyOf(pointer));
  }

  /** Ends what is under way. */
  close(): void {
    this.#closing.abort();
    for (const opened of this.#opened) opened.abort();
  }

  #openCopy(pointer: AttachmentPointer, request: Request): Promise<MediaCopy> {
    const sizeBytes = encryptedSizeBytes(pointer.sizeBytes);
    const { trust, copies } = this.#settings;
    const locate = async (): Promise<string> => fetchMediaGrant(request, pointer.url, sizeBytes).catch(grantError);
    return copies.open(copyOf(pointer), sizeBytes, (fromBytes, stopped) => {
      const signal = AbortSignal.any([stopped, this.#closing.signal]);
      return downloadEncrypted({ locate, sizeBytes, fromBytes, trust, signal });
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

  async #upload(
    place: MediaPlace,
    endpoint: string,
    file: LocalFile,
    upload: SealedUpload,
    keep: BegunUpload['keep'],
    options: TransferOptions,
    signal: AbortSignal,
  ): Promise<string> {
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
      trust: this.#settings.placeTrust,
      signal,
    });
    if (result.kind === 'uploaded') return result.url;
    if (failure instanceof ClientError) throw failure;
    throw transferError(result.code, 'up');
  }
}

async function localFile({ path, spooled }: FileToSend): Promise<LocalFile> {
  return spooled === undefined ? fileAt(path) : spooledFile(path, spooled);
}

/** What the pointer says of the file. Checked before anything is uploaded. */
function describe(
  options: Omit<SendFileOptions, 'path'>,
  ownName: string,
): { readonly mediaType: string; readonly fileName: string } {
  const { name = ownName, mimeType = '', caption = '', kind = 'file', quality = 'standard' } = options;
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
  return { mediaType: mimeType, fileName: name };
}

/** The description of a file, made now or begun before; written down before anything is sent under its key. */
async function seal(
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

const transferCodes: Readonly<Record<MediaTransferErrorCode, ClientErrorCode>> = {
  'invalid-argument': 'invalid-argument',
  'not-authorised': 'sign-in-refused',
  'quota-used-up': 'quota-used-up',
  'too-large': 'file-too-large',
  'not-found': 'file-unavailable',
  'not-allowed': 'file-unavailable',
  refused: 'gatekeeper-refused',
  unreachable: 'unreachable',
  'source-changed': 'file-changed',
  'source-failed': 'file-unreadable',
  aborted: 'cancelled',
};

function transferError(code: MediaTransferErrorCode, way: 'up' | 'down'): ClientError {
  // An upload is begun again when it is gone: what isn't found is the place to begin one.
  if (way === 'up' && code === 'not-found') return new ClientError('no-media-origin');
  if (way === 'up' && code === 'refused') return new ClientError('provider-refused', { detail: 'upload' });
  return new ClientError(transferCodes[code], { detail: mediaTransferErrors[code].text });
}

/** Names the local copy: a pointer that differs in anything the fetching depends on has another one. */
function copyOf({ url, sizeBytes, digest }: AttachmentPointer): string {
  return `${url} ${sizeBytes} ${Buffer.from(digest).toString('hex')}`;
}

/** What can end a transfer from below, as an error of the SDK. */
function transferFailure(error: unknown): unknown {
  if (error instanceof MediaTransferFailure) return transferError(error.code, 'down');
  if (error instanceof MediaCopyFailure) return new ClientError('file-not-written', { cause: error });
  return error;
}

const attachmentCodes: Readonly<Record<AttachmentErrorCode, ClientErrorCode>> = {
  'pointer-refused': 'file-altered',
  'too-large': 'file-too-large',
  'source-failed': 'file-unreadable',
  'source-changed': 'file-changed',
  truncated: 'file-altered',
  'too-long': 'file-altered',
  altered: 'file-altered',
  'digest-mismatch': 'file-altered',
  'padding-refused': 'file-altered',
  'write-failed': 'file-not-written',
};

function attachmentError(code: AttachmentErrorCode): ClientError {
  return new ClientError(attachmentCodes[code], { detail: attachmentErrors[code].text });
}

/** The gatekeeper's words for a grant that it doesn't give mean something else than for people. */
function grantError(error: unknown): never {
  if (!(error instanceof ClientError)) throw error;
  if (error.code === 'not-found') throw new ClientError('file-unavailable', { cause: error });
  const isTooLarge = error instanceof RequestRefused && error.stanzaError.condition === 'not-acceptable';
  if (isTooLarge && error.code === 'request-refused') {
    throw new ClientError('file-too-large', { cause: error });
  }
  throw error;
}
