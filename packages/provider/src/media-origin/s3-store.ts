// Keeps the media origin's files in an S3-compatible bucket: an adapter of the port MediaStore.
//
// A file is cut into parts of one size. What arrives is written to a spool on local disk first; a part that is full goes to
// the bucket (UploadPart), and the last, shorter one when the file is whole. So what was synced lies in the bucket, but for
// less than a part's size, which lies in the spool: parts have a least size of 5 MiB there, and an offset that a client was
// told needs none. A spooled part is removed only when its copy is in the bucket and the offset behind it was noted, since
// parts of an unfinished upload can be replaced but not read.
//
// Knows nothing of people, quotas or expiry. Source: docs/protocol/11-media.md section 11.5; Amazon S3 API reference,
// multipart upload; decision 0016.

import type { Readable } from 'node:stream';
import { isMediaName, MediaStoreError, type MediaStore, type MediaWriter } from './media-store.ts';
import { Bucket } from './s3/bucket.ts';
import { defaultS3Limits, type S3Limits, type S3StoreOptions } from './s3/options.ts';
import { Parts, PartWriter } from './s3/parts.ts';
import { isMissing, markName, Spool } from './s3/spool.ts';

export type S3Store = MediaStore & {
  /**
   * Asks the bucket whether it takes and gives objects, and whether the prefix is this origin's: the first origin leaves a
   * mark there. Rejects with a MediaStoreError whose message says what to do.
   */
  readonly check: () => Promise<void>;
  readonly close: () => void;
};

/** Makes the spool; asks the bucket nothing. Throws when the folder can't be made. */
export function openS3MediaStore(options: S3StoreOptions): S3Store {
  const limits: S3Limits = { ...defaultS3Limits, ...options.limits };
  return new S3MediaStore(options, limits);
}

class S3MediaStore implements S3Store {
  readonly #prefix: string;
  readonly #limits: S3Limits;
  readonly #bucket: Bucket;
  readonly #spool: Spool;
  readonly #parts: Parts;

  constructor(options: S3StoreOptions, limits: S3Limits) {
    this.#prefix = options.prefix;
    this.#limits = limits;
    this.#spool = new Spool(options.spoolFolder, limits.partBytes);
    this.#bucket = new Bucket(options, limits);
    this.#parts = new Parts(this.#bucket, this.#spool, options.prefix, limits);
  }

  async openWriter(name: string, offsetBytes: number): Promise<MediaWriter> {
    // Made for the first byte only: a spool that is gone later is a loss to be said, not to be papered over.
    if (offsetBytes === 0) await this.#spool.begin(name);
    await this.#spool.cut(name, offsetBytes);
    return new PartWriter(name, offsetBytes, this.#spool, this.#parts, this.#limits);
  }

  async finish(name: string, sizeBytes: number): Promise<void> {
    try {
      await this.#assemble(name, sizeBytes);
    } catch (error) {
      // The process died, or an answer was lost, after the file was there.
      const lost = isMissing(error) || (error instanceof MediaStoreError && error.code === 'storage-broken');
      if (!lost || (await this.#bucket.sizeOf(this.#keyOf(name))) !== sizeBytes) throw error;
    }
    await this.#spool.remove(name);
  }

  async #assemble(name: string, sizeBytes: number): Promise<void> {
    const fullParts = Math.floor(sizeBytes / this.#limits.partBytes);
    if (fullParts === 0) {
      await this.#parts.inPlace(async () => {
        const bytes = sizeBytes === 0 ? Buffer.alloc(0) : await this.#spool.readPart(name, 1);
        if (bytes.length !== sizeBytes) throw new MediaStoreError('storage-broken', 'the spool has another size');
        await this.#bucket.put(this.#keyOf(name), bytes);
      });
      return;
    }
    const uploadId = await this.#spool.uploadId(name);
    if (sizeBytes > fullParts * this.#limits.partBytes) await this.#parts.send(name, fullParts + 1, uploadId);
    await this.#bucket.completeUpload(this.#keyOf(name), uploadId, sizeBytes);
  }

  read(name: string, startBytes: number, endBytes: number): Promise<Readable | undefined> {
    return this.#bucket.getRange(this.#keyOf(name), startBytes, endBytes);
  }

  async remove(name: string): Promise<void> {
    await this.#bucket.remove(this.#keyOf(name));
    // Last: while it is there the name is found again.
    await this.#spool.remove(name);
  }

  async *names(): AsyncIterable<string> {
    // The caller removes what it doesn't know: never in another origin's prefix.
    await this.check();
    yield* await this.#spool.names();
    for await (const { key } of this.#bucket.unfinished(this.#prefix)) yield* this.#nameOf(key);
    for await (const key of this.#bucket.keys(this.#prefix)) yield* this.#nameOf(key);
  }

  async check(): Promise<void> {
    const key = this.#prefix + markName;
    const found = await this.#bucket.getText(key);
    const own = await this.#spool.ownMark();
    if (found === own) return;
    if (found === undefined) {
      await this.#bucket.put(key, own);
      // Two origins that begin at once: one of them sees the other's.
      if ((await this.#bucket.getText(key)) === own) return;
    }
    throw new MediaStoreError(
      'storage-not-ours',
      `another media origin uses the prefix '${this.#prefix}' of this bucket: choose another prefix. If ` +
        `${this.#spool.folder} and the media database were lost, remove everything under the prefix first`,
    );
  }

  close(): void {
    this.#bucket.close();
  }

  #keyOf(name: string): string {
    return this.#prefix + name;
  }

  #nameOf(key: string): readonly string[] {
    const name = key.slice(this.#prefix.length);
    return isMediaName(name) ? [name] : [];
  }
}
