// Parts on their way to the bucket, a fixed number at once; and the writer of one upload, which spools what arrives and sends
// each part that is full.
// Knows nothing of people or of when an upload is whole.
import type { FileHandle } from 'node:fs/promises';
import type { MediaWriter } from '../media-store.ts';
import type { Bucket } from './bucket.ts';
import type { S3Limits } from './options.ts';
import { isMissing, type Spool } from './spool.ts';

export class Parts {
  readonly #bucket: Bucket;
  readonly #spool: Spool;
  readonly #prefix: string;
  readonly #takePlace: () => Promise<() => void>;

  constructor(bucket: Bucket, spool: Spool, prefix: string, limits: S3Limits) {
    this.#bucket = bucket;
    this.#spool = spool;
    this.#prefix = prefix;
    this.#takePlace = createPlaces(limits.partsAtOnce);
  }

  /** Runs when there is a place for what is held in memory. */
  async inPlace<T>(work: () => Promise<T>): Promise<T> {
    const free = await this.#takePlace();
    try {
      return await work();
    } finally {
      free();
    }
  }

  async send(name: string, part: number, uploadId: string, signal?: AbortSignal): Promise<void> {
    await this.inPlace(async () => {
      signal?.throwIfAborted();
      const bytes = await this.#spool.readPart(name, part);
      await this.#bucket.putPart(this.#prefix + name, uploadId, part, bytes, signal);
    });
  }

  /** The multipart upload of this file; begun, and noted in the spool, when there is none yet. */
  async uploadIdOf(name: string): Promise<string> {
    try {
      return await this.#spool.uploadId(name);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    const uploadId = await this.#bucket.beginUpload(this.#prefix + name);
    await this.#spool.noteUploadId(name, uploadId);
    return uploadId;
  }
}

export class PartWriter implements MediaWriter {
  readonly #name: string;
  readonly #spool: Spool;
  readonly #parts: Parts;
  readonly #limits: S3Limits;
  readonly #stopping = new AbortController();
  readonly #sending: Promise<void>[] = [];
  #uploadId: Promise<string> | undefined;
  #atBytes: number;
  #syncedBytes: number;
  #file: FileHandle | undefined;
  /** Parts whose copy is in the bucket, and whose spooled bytes may go when the offset has been noted. */
  #sent: number[] = [];

  constructor(name: string, offsetBytes: number, spool: Spool, parts: Parts, limits: S3Limits) {
    this.#name = name;
    this.#atBytes = offsetBytes;
    this.#syncedBytes = offsetBytes;
    this.#spool = spool;
    this.#parts = parts;
    this.#limits = limits;
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    await this.#forgetNoted();
    for (let piece of pieces) {
      while (piece.length > 0) {
        const part = this.#spool.partOf(this.#atBytes);
        const endBytes = part * this.#limits.partBytes;
        const now = piece.subarray(0, endBytes - this.#atBytes);
        this.#file ??= await this.#spool.openPart(this.#name, part);
        await this.#file.appendFile(now);
        this.#atBytes += now.length;
        piece = piece.subarray(now.length);
        if (this.#atBytes < endBytes) continue;
        await this.#closePart();
        if (this.#sending.length >= this.#limits.partsAtOncePerUpload) await this.#sending.shift();
        const arrival = this.#send(part);
        // Waited for later; until then a failure is nobody's.
        arrival.catch(() => {});
        this.#sending.push(arrival);
      }
    }
  }

  async sync(): Promise<void> {
    await Promise.all(this.#sending);
    this.#sending.length = 0;
    await this.#file?.datasync();
    this.#syncedBytes = this.#atBytes;
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#sending);
    await this.#closePart();
  }

  /** The writer that goes on has noted what was synced: its copy is in the bucket. */
  async #forgetNoted(): Promise<void> {
    const noted = this.#sent.filter(part => part * this.#limits.partBytes <= this.#syncedBytes);
    this.#sent = this.#sent.filter(part => !noted.includes(part));
    for (const part of noted) await this.#spool.removePart(this.#name, part);
  }

  async #send(part: number): Promise<void> {
    this.#uploadId ??= this.#parts.uploadIdOf(this.#name);
    await this.#parts.send(this.#name, part, await this.#uploadId, this.#stopping.signal);
    this.#sent.push(part);
  }

  async #closePart(): Promise<void> {
    const closing = this.#file;
    this.#file = undefined;
    await closing?.close();
  }
}

/** Lets a fixed number hold a place at once; the others wait in order. */
function createPlaces(count: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let free = count;
  return async () => {
    if (free > 0) free -= 1;
    else await new Promise<void>(resolve => waiting.push(resolve));
    return () => {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    };
  };
}
