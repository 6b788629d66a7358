// Takes the body of one request into one upload: gathers pieces, writes them, settles them on disk, and says how far it came.
// Knows nothing of people, headers or answers. Source: docs/protocol/11-media.md section 11.5; tus 1.0.0, checksum.

import { type Hash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { discard } from '@drawbridge/identity/body-buffers';
import type { DiskRoom } from './disk-room.ts';
import type { MediaLimits } from './media-options.ts';
import { Refusal } from './media-problems.ts';
import type { MediaStore, MediaWriter } from './media-store.ts';
import type { UploadFiles } from './upload-files.ts';
import type { Upload } from './uploads.ts';

export type Checksum = { readonly hash: Hash; readonly expected: Buffer };

export type ReceiveOptions = {
  readonly store: MediaStore;
  readonly files: UploadFiles;
  readonly room: DiskRoom;
  readonly limits: MediaLimits;
};

const gatherBytes = 1_048_576;

/** Writes an upload on from its offset. What was settled survives a power cut; nothing counts before. */
class UploadWriter {
  readonly #options: ReceiveOptions;
  readonly #upload: Upload;
  #writer: MediaWriter | undefined;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  #writtenBytes: number;
  #settledBytes: number;

  constructor(options: ReceiveOptions, upload: Upload) {
    this.#options = options;
    this.#upload = upload;
    this.#writtenBytes = upload.offsetBytes;
    this.#settledBytes = upload.offsetBytes;
  }

  get roomBytes(): number {
    return this.#upload.sizeBytes - this.#writtenBytes - this.#gatheredBytes;
  }

  get isFull(): boolean {
    return this.#gatheredBytes >= gatherBytes;
  }

  /** Written but not settled, with more to come: the last byte is settled once, at the end. */
  get isCheckpointDue(): boolean {
    const { checkpointBytes } = this.#options.limits;
    return this.#writtenBytes - this.#settledBytes >= checkpointBytes && this.#writtenBytes < this.#upload.sizeBytes;
  }

  gather(chunk: Buffer): void {
    this.#gathered.push(chunk);
    this.#gatheredBytes += chunk.length;
  }

  /** Refuses when the disk's reserve would be touched; what was written before stays and can be settled. */
  async write(): Promise<void> {
    if (this.#gatheredBytes === 0) return;
    if (!(await this.#options.room.fits(this.#gatheredBytes, 0))) throw new Refusal('storage-full');
    this.#writer ??= await this.#options.store.openWriter(this.#upload.name, this.#upload.offsetBytes);
    await this.#writer.write(this.#gathered);
    for (const piece of this.#gathered) discard(piece);
    this.#writtenBytes += this.#gatheredBytes;
    this.#gathered = [];
    this.#gatheredBytes = 0;
  }

  /** The offset that a client is told must survive a power cut. */
  async settle(): Promise<Upload> {
    const whole = this.#writtenBytes === this.#upload.sizeBytes;
    // An empty file has had nothing to write, and has to be there all the same.
    if (whole && this.#writtenBytes === 0) this.#writer ??= await this.#options.store.openWriter(this.#upload.name, 0);
    await this.#writer?.sync();
    const noted = await this.#options.files.advance(this.#upload, this.#writtenBytes);
    this.#settledBytes = this.#writtenBytes;
    return whole ? await this.#options.files.complete(noted) : noted;
  }

  async close(): Promise<void> {
    await this.#writer?.close();
  }
}

/** Gives the upload as it is when the body has ended, was cut or was refused; what has come is kept. */
export async function receiveBody(
  options: ReceiveOptions,
  request: IncomingMessage,
  upload: Upload,
  checksum: Checksum | undefined,
): Promise<Upload> {
  const writer = new UploadWriter(options, upload);
  let storing = false;
  // While the storage works the sender waits for us, not we for them.
  const idle = setTimeout(() => (storing ? idle.refresh() : request.destroy()), options.limits.idleTimeoutMs);

  /** False when more came than the upload has room for. */
  async function takeAll(): Promise<boolean> {
    const body = request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
    for (;;) {
      // The connection broke, or another request took over: what has come is kept.
      const next = await body.next().catch(() => 'aborted' as const);
      if (next === 'aborted' || next.done === true) return true;
      const chunk = next.value;
      if (chunk.length > writer.roomBytes) return false;
      checksum?.hash.update(chunk);
      writer.gather(chunk);
      if (writer.isFull) {
        storing = true;
        await writer.write();
        if (checksum === undefined && writer.isCheckpointDue) await writer.settle();
        storing = false;
      }
      idle.refresh();
    }
  }

  try {
    const fitting = await takeAll();
    if (checksum !== undefined) {
      if (!fitting) throw new Refusal('too-large');
      if (!timingSafeEqual(checksum.hash.digest(), checksum.expected)) throw new Refusal('checksum-differs');
    }
    storing = true;
    await writer.write();
    const kept = await writer.settle();
    if (!fitting) throw new Refusal('too-large');
    return kept;
  } finally {
    clearTimeout(idle);
    await writer.close();
  }
}
