// Files that an app gives as a `Blob` or a stream lie in the client's folder while they are sent, encrypted, so that sending
// goes on after a restart.
// Knows nothing of sealing, uploads or messages, nor of where keys are kept.
import { createHash, createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ClientError } from '../errors.ts';
import { encryptedChunks } from './encrypted-file.ts';
import { chunksOf, type FileSource, nameOf } from './file-source.ts';
import type { Spooled } from './local-file.ts';

export const spoolLimits = {
  /** As many as an attachment may have. */
  maxBytes: 2_147_483_648,
  /** Of all files together. */
  totalBytes: 4_294_967_296,
} as const;

export type KeptFile = { readonly path: string; readonly spooled: Spooled };

export class Spool {
  readonly #folder: string;
  readonly #maxTotalBytes: number;
  /** Bytes of each file that is here, or is being written. */
  readonly #sizes = new Map<string, number>();
  /** Nobody else knows of these yet. */
  readonly #fresh = new Set<string>();

  constructor(folder: string, maxTotalBytes: number = spoolLimits.totalBytes) {
    this.#folder = folder;
    this.#maxTotalBytes = maxTotalBytes;
  }

  /**
   * Writes a source down. `sizeBytes` is what its owner says of its size: less or more is another file. `sourceName` is what
   * they call it. No `sweep` removes it before `release`.
   *
   * Rejects with `file-too-large`, `outbox-full` (files that wait have no more room together), `file-unreadable` (the source
   * broke off), `file-changed` (of another size), `file-not-written`, `invalid-argument`, and with the signal's reason;
   * nothing is left behind then.
   */
  async add(
    source: FileSource,
    sizeBytes: number | undefined,
    signal: AbortSignal,
    sourceName?: string,
  ): Promise<KeptFile> {
    const expectedBytes = sizeBytes ?? (source instanceof Blob ? source.size : undefined);
    this.#checkSize(expectedBytes ?? 0);
    const path = join(this.#folder, randomUUID());
    const key = randomBytes(32);
    const digest = createHash('sha256');
    const count = (bytes: number): void => this.#count(path, bytes, expectedBytes);
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of chunksOf(source, signal)) {
        count(chunk.length);
        digest.update(chunk);
        yield chunk;
      }
    }
    this.#fresh.add(path);
    this.#sizes.set(path, 0);
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await using file = await open(path, 'wx', 0o600);
      for await (const chunk of encryptedChunks(counted(), createSecretKey(key))) await file.writeFile(chunk);
      const bytes = this.#sizes.get(path)!;
      if (bytes !== (expectedBytes ?? bytes)) throw new ClientError('file-changed');
      await file.sync();
      const sha256 = digest.digest('hex');
      return {
        path,
        spooled: { name: nameOf(source, sourceName), sizeBytes: bytes, sha256, key: key.toString('base64url') },
      };
    } catch (cause) {
      this.release(path);
      await this.#remove(path);
      if (signal.aborted) throw signal.reason;
      throw cause instanceof ClientError ? cause : new ClientError('file-not-written', { cause });
    }
  }

  /** From now on a file stays for as long as `sweep` is told that it is wanted. */
  release(path: string): void {
    this.#fresh.delete(path);
  }

  /** Removes what nobody will send any more. */
  async sweep(wanted: readonly string[]): Promise<void> {
    const kept = new Set(wanted);
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const path = join(this.#folder, name);
      if (this.#fresh.has(path)) continue;
      if (!kept.has(path)) await this.#remove(path);
      else if (!this.#sizes.has(path)) this.#sizes.set(path, (await stat(path).catch(() => undefined))?.size ?? 0);
    }
  }

  /** Before anything is read: what is known not to fit is not written down first. */
  #checkSize(bytes: number): void {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new ClientError('invalid-argument', { detail: 'sizeBytes' });
    if (bytes > spoolLimits.maxBytes) throw new ClientError('file-too-large');
    this.#checkRoom(bytes);
  }

  #checkRoom(moreBytes: number): void {
    let total = moreBytes;
    for (const each of this.#sizes.values()) total += each;
    if (total > this.#maxTotalBytes) throw new ClientError('outbox-full', { detail: 'bytes of files' });
  }

  #count(path: string, moreBytes: number, expectedBytes: number | undefined): void {
    const bytes = this.#sizes.get(path)! + moreBytes;
    if (bytes > spoolLimits.maxBytes) throw new ClientError('file-too-large');
    if (bytes > (expectedBytes ?? bytes)) throw new ClientError('file-changed');
    this.#sizes.set(path, bytes);
    this.#checkRoom(0);
  }

  async #remove(path: string): Promise<void> {
    // What can't be removed now is tried again by the next sweep.
    await rm(path, { recursive: true, force: true }).catch(() => {});
    this.#sizes.delete(path);
  }
}
