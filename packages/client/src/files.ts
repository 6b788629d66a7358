// Files that people send each other: sealed and uploaded from a path, fetched through a grant and written to a path.
// Knows nothing of conversations: what carries the pointer is the caller's.
// Source: docs/protocol/11-media.md.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import {
  type AttachmentErrorCode,
  attachmentErrors,
  type AttachmentSecrets,
  encryptedSizeBytes,
  type OpenSource,
  saveAttachment,
  type SealedAttachment,
  sealAttachment,
} from '@drawbridge/e2ee/attachments';
import { type AttachmentPointer, attachmentPointerLimits } from '@drawbridge/e2ee/content-attachment';
import { fetchMediaGrant, type Request } from './directory.ts';
import { ClientError, type ClientErrorCode } from './errors.ts';
import type { HttpTrust } from './http.ts';
import { mediaQualities, type MediaQuality } from './media/job.ts';
import { MediaPreparation, type PreparedMedia } from './media/media-preparation.ts';
import {
  downloadEncrypted,
  type MediaTransferErrorCode,
  mediaTransferErrors,
  MediaTransferFailure,
  uploadAttachment,
} from './media-transfer.ts';
import type { ProviderSession } from './provider-session.ts';

export const fileLimits = {
  /** Files that one client sends and saves at once. */
  transfers: 8,
  /** Uploads that broke off and are kept to go on with; the oldest is forgotten first. */
  keptUploads: 16,
} as const;

/** In bytes of the encrypted file, which is up to a twentieth larger. An upload that broke may step back. */
export type FileProgress = { readonly bytes: number; readonly totalBytes: number };

export type TransferOptions = {
  readonly onProgress?: (progress: FileProgress) => void;
  /** Ends it with `cancelled`. An upload goes on there when the same file is sent again by the same client. */
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
   * `file` goes byte for byte, with whatever it says of its maker, place and time. Everything else is made anew without
   * that, and gets size, length and preview (docs/protocol/11-media.md section 11.7). Left out: pictures and videos are known
   * by their first bytes, all else is a `file`.
   */
  readonly kind?: (typeof fileKinds)[number];
  /** Of a picture: `standard` when left out; `original` keeps all its pixels. */
  readonly quality?: MediaQuality;
};

export type FilesSettings = {
  /** Whose media origin is uploaded to; undefined: there is none, and nothing can be sent. */
  readonly provider: ProviderSession | undefined;
  /** Where copies lie while they are sent; nothing else may be in it. */
  readonly preparationFolder: string;
  readonly trust: HttpTrust;
  readonly nowMs: () => number;
};

/** An upload to go on with: only while the file still looks the same. */
type Begun = { readonly sealed: SealedAttachment; readonly looks: string; url: string | undefined };

export class Files {
  readonly #settings: FilesSettings;
  readonly #preparation: MediaPreparation;
  readonly #begun = new Map<string, Begun>();
  readonly #closing = new AbortController();
  #transfers = 0;

  constructor(settings: FilesSettings) {
    this.#settings = settings;
    this.#preparation = new MediaPreparation(settings.preparationFolder);
  }

  /**
   * Prepares, seals and uploads a file, then gives its pointer to `deliver`. What was uploaded before a failure, also one of
   * `deliver`, is kept for the next call with the same file.
   *
   * Rejects with `no-media-origin`, `quota-used-up`, `media-unreadable`, `media-too-large`, `file-too-large`,
   * `file-unreadable`, `file-changed`, `file-not-written` (the copy), `content-refused` (name, type or caption),
   * `cancelled`, `unreachable`, `sign-in-refused`, `provider-refused`, `too-many-requests`, `closed`, `invalid-argument`.
   */
  send<T>(options: SendFileOptions, deliver: (pointer: AttachmentPointer) => Promise<T>): Promise<T> {
    return this.#transfer(options, async signal => {
      if (!isPath(options.path)) throw new ClientError('invalid-argument', { detail: 'path' });
      const path = resolve(options.path);
      const said = describe(options, path);
      const { provider } = this.#settings;
      const endpoint = await provider?.mediaEndpoint();
      if (provider === undefined || endpoint === undefined) throw new ClientError('no-media-origin');
      const { kind, quality = 'standard', name } = options;
      await using prepared = await this.#preparation.prepare({ path, kind, quality }, signal);
      const fileName = name ?? prepared.fileName ?? said.fileName;
      const described = { ...said, ...prepared.facts, kind: prepared.kind, fileName };
      const begun = await this.#seal(path, prepared, signal);
      try {
        const url = await this.#upload(provider, endpoint, prepared.path, begun, options, signal);
        const { key, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes } = begun.sealed;
        const secrets = { key, digest, incrementalMac, incrementalMacChunkBytes, sizeBytes };
        return await deliver({ ...secrets, ...described, url, uploadedAtMs: this.#settings.nowMs() });
      } catch (error) {
        // A changed file is described anew under a fresh key: two texts never meet under one.
        const anew = error instanceof ClientError && error.code === 'file-changed';
        if (!anew && begun.url !== undefined) this.#keep(path, begun);
        throw error;
      }
    });
  }

  /**
   * Fetches a file and writes it to `path`, whole or not at all; what was there is replaced only by a whole file.
   *
   * Rejects with `file-altered` (not what the sender described), `file-unavailable`, `file-too-large`,
   * `file-not-written`, `cancelled`, `unreachable`, `not-connected`, `rate-limited`, `gatekeeper-refused`,
   * `too-many-requests`, `closed`, `invalid-argument`.
   */
  save(pointer: AttachmentPointer, path: string, request: Request, options: TransferOptions): Promise<void> {
    return this.#transfer(options, async signal => {
      if (!isPath(path)) throw new ClientError('invalid-argument', { detail: 'path' });
      const totalBytes = encryptedSizeBytes(pointer.sizeBytes);
      const locate = async (): Promise<string> => fetchMediaGrant(request, pointer.url, totalBytes).catch(grantError);
      const encrypted = downloadEncrypted({ locate, sizeBytes: totalBytes, trust: this.#settings.trust, signal });
      // The attachment reader says only that its source failed: why is remembered here.
      let failure: unknown;
      async function* arriving(): AsyncGenerator<Uint8Array> {
        let bytes = 0;
        try {
          for await (const part of encrypted) {
            bytes += part.length;
            options.onProgress?.({ bytes, totalBytes });
            yield part;
          }
        } catch (error) {
          failure = error;
          throw error;
        }
      }
      const secrets: AttachmentSecrets = pointer;
      const saved = await saveAttachment(arriving(), secrets, path);
      if (saved.kind === 'opened') return;
      if (failure instanceof ClientError) throw failure;
      if (failure instanceof MediaTransferFailure) throw transferError(failure.code, 'down');
      throw attachmentError(saved.code, failure);
    });
  }

  /** Ends what is under way. */
  close(): void {
    this.#closing.abort();
    this.#begun.clear();
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

  /** What was begun is found by the path that was named; the bytes are those that were prepared. */
  async #seal(path: string, prepared: PreparedMedia, signal: AbortSignal): Promise<Begun> {
    const { looks: seen, sizeBytes } = await lookAt(prepared.path);
    const looks = prepared.sha256 ?? seen;
    const kept = this.#begun.get(path);
    // Taken out: a second call with the same file meanwhile has an upload of its own.
    this.#begun.delete(path);
    if (kept?.looks === looks) return kept;
    const sealing = await sealAttachment(reader(prepared.path, signal), sizeBytes);
    if (sealing.kind === 'refused') throw attachmentError(sealing.code);
    return { sealed: sealing.sealed, looks, url: undefined };
  }

  #keep(path: string, begun: Begun): void {
    if (this.#closing.signal.aborted) return;
    this.#begun.set(path, begun);
    for (const oldest of this.#begun.keys()) {
      if (this.#begun.size <= fileLimits.keptUploads) break;
      this.#begun.delete(oldest);
    }
  }

  async #upload(
    provider: ProviderSession,
    endpoint: string,
    path: string,
    begun: Begun,
    options: TransferOptions,
    signal: AbortSignal,
  ): Promise<string> {
    const { sealed, url } = begun;
    const totalBytes = sealed.encryptedSizeBytes;
    const tell = (bytes: number): void => options.onProgress?.({ bytes, totalBytes });
    let failure: unknown;
    const result = await uploadAttachment({
      endpoint,
      session: renew =>
        provider.session(renew).catch((error: unknown) => {
          failure = error;
          throw error;
        }),
      sealed,
      open: reader(path, signal),
      ...(url === undefined ? {} : { url }),
      onBegun: created => {
        begun.url = created;
      },
      onSent: tell,
      onProgress: tell,
      trust: this.#settings.trust,
      signal,
    });
    if (result.kind === 'uploaded') return result.url;
    if (failure instanceof ClientError) throw failure;
    throw transferError(result.code, 'up');
  }
}

function isPath(path: unknown): path is string {
  return typeof path === 'string' && path !== '' && !path.includes('\0');
}

/** What the pointer says of the file. Checked before anything is uploaded. */
function describe(options: SendFileOptions, path: string): { readonly mediaType: string; readonly fileName: string } {
  const { name = basename(path), mimeType = '', caption = '', kind = 'file', quality = 'standard' } = options;
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

async function lookAt(path: string): Promise<{ looks: string; sizeBytes: number }> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ClientError('file-unreadable', { cause });
  });
  // A pipe or a device would never end, or give something else the second time.
  if (!found.isFile()) throw new ClientError('file-unreadable', { detail: 'not a regular file' });
  const { dev, ino, size, mtimeMs } = found;
  return { looks: [dev, ino, size, mtimeMs].join(' '), sizeBytes: size };
}

function reader(path: string, signal: AbortSignal): OpenSource {
  return () => createReadStream(path, { signal, highWaterMark: 262_144 });
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

function attachmentError(code: AttachmentErrorCode, cause?: unknown): ClientError {
  return new ClientError(attachmentCodes[code], { detail: attachmentErrors[code].text, cause });
}

/** The gatekeeper's words for a grant that it doesn't give mean something else than for people. */
function grantError(error: unknown): never {
  if (!(error instanceof ClientError)) throw error;
  if (error.code === 'not-found') throw new ClientError('file-unavailable', { cause: error });
  if (error.code === 'request-refused' && error.detail?.includes('not-acceptable') === true) {
    throw new ClientError('file-too-large', { cause: error });
  }
  throw error;
}
