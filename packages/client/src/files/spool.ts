// Files that an app gives as a `Blob` or a stream lie in the client's folder while they are sent, so that sending goes on
// after a restart: in the open, as a file that is sent from its path does, readable by its owner alone.
// Knows nothing of sealing, uploads or messages.
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClientError } from '../errors.ts';

export const spoolLimits = {
  /** As many as an attachment may have. */
  maxBytes: 2_147_483_648,
  maxNameCharacters: 80,
} as const;

/** A `File` has its own name; it is used as the last part of a path would be. */
export type FileSource = Blob | ReadableStream<Uint8Array>;

export class Spool {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Writes a source down and gives its path. Rejects with `file-too-large`, `file-unreadable` (the source broke off),
   * `file-not-written`, `cancelled`; nothing is left behind then.
   */
  async add(source: FileSource, signal?: AbortSignal): Promise<string> {
    const path = join(this.#folder, randomUUID(), nameOf(source));
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await using file = await open(path, 'wx', 0o600);
      let bytes = 0;
      for await (const chunk of chunksOf(source)) {
        if (signal?.aborted === true) throw new ClientError('cancelled');
        bytes += chunk.length;
        if (bytes > spoolLimits.maxBytes) throw new ClientError('file-too-large');
        await file.writeFile(chunk);
      }
      await file.sync();
      return path;
    } catch (cause) {
      await this.remove(path);
      throw cause instanceof ClientError ? cause : new ClientError('file-not-written', { cause });
    }
  }

  /** Removes what `add` wrote. Does nothing for any other path. */
  async remove(path: string): Promise<void> {
    if (dirname(dirname(path)) === this.#folder) await rm(dirname(path), { recursive: true, force: true });
  }

  /** Removes what nobody will send any more. */
  async sweep(wanted: readonly string[]): Promise<void> {
    const kept = new Set(wanted.map(path => dirname(path)));
    const found = await readdir(this.#folder).catch(() => []);
    for (const name of found) {
      const each = join(this.#folder, name);
      if (!kept.has(each)) await rm(each, { recursive: true, force: true });
    }
  }
}

async function* chunksOf(source: FileSource): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of source instanceof Blob ? source.stream() : source) {
      if (!(chunk instanceof Uint8Array))
        throw new ClientError('invalid-argument', { detail: 'a stream of Uint8Array' });
      yield chunk;
    }
  } catch (cause) {
    throw cause instanceof ClientError ? cause : new ClientError('file-unreadable', { cause });
  }
}

/** A name that is one part of a path on every system, and hides nothing. */
function nameOf(source: FileSource): string {
  const given = source instanceof File ? source.name : '';
  const last = given.split(/[/\\]/).at(-1) ?? '';
  const plain = last.replace(/[^\p{L}\p{N} ._()-]/gu, '').replace(/^[. ]+|[. ]+$/g, '');
  return plain.slice(-spoolLimits.maxNameCharacters) || 'file';
}
