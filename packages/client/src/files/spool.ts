// Files that an app gives as a `Blob` or a stream lie in the client's folder while they are sent, so that sending goes on
// after a restart: in the open, as a file that is sent from its path does, readable by its owner alone.
// Knows nothing of sealing, uploads or messages.
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClientError } from '../errors.ts';
import { streamFrom } from './web-stream.ts';

export const spoolLimits = {
  /** As many as an attachment may have. */
  maxBytes: 2_147_483_648,
  maxNameCharacters: 80,
} as const;

/**
 * What an app holds; a stream of Node is an `AsyncIterable`. A `File` has its own name; it is used as the last part of a path
 * would be. A stream is read once, and cancelled when it is not read to its end.
 */
export type FileSource = Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export class Spool {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Writes a source down and gives its path. `sizeBytes` is what its owner says of its size: less or more is another file.
   *
   * Rejects with `file-too-large`, `file-unreadable` (the source broke off), `file-changed` (of another size),
   * `file-not-written`, `invalid-argument`, and with the signal's reason; nothing is left behind then.
   */
  async add(source: FileSource, sizeBytes: number | undefined, signal: AbortSignal): Promise<string> {
    const expectedBytes = source instanceof Blob ? source.size : sizeBytes;
    if (expectedBytes !== undefined && expectedBytes > spoolLimits.maxBytes) throw new ClientError('file-too-large');
    const path = join(this.#folder, randomUUID(), nameOf(source));
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await using file = await open(path, 'wx', 0o600);
      let bytes = 0;
      for await (const chunk of chunksOf(source, signal)) {
        bytes += chunk.length;
        if (bytes > spoolLimits.maxBytes) throw new ClientError('file-too-large');
        if (bytes > (expectedBytes ?? bytes)) throw new ClientError('file-changed');
        await file.writeFile(chunk);
      }
      if (bytes !== (expectedBytes ?? bytes)) throw new ClientError('file-changed');
      await file.sync();
      return path;
    } catch (cause) {
      await this.remove(path);
      if (signal.aborted) throw signal.reason;
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

/** A source that gives nothing more does not hold up whoever ends it. */
async function* chunksOf(source: FileSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = readerOf(source);
  const cancel = (): void => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) return signal.throwIfAborted();
      if (!(value instanceof Uint8Array)) throw notASource();
      yield value;
    }
  } catch (cause) {
    throw cause instanceof ClientError ? cause : new ClientError('file-unreadable', { cause });
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** Throws `invalid-argument` for what is no source, or is read by somebody else. */
function readerOf(source: FileSource): ReadableStreamDefaultReader<Uint8Array> {
  try {
    if (source instanceof Blob) return source.stream().getReader();
    if (source instanceof ReadableStream) return source.getReader();
    const pieces = source[Symbol.asyncIterator]();
    return streamFrom(pieces, () => void pieces.return?.()).getReader();
  } catch {
    throw notASource();
  }
}

/** Nobody will read it: its owner hears of that. Does nothing to what is no source, or was read. */
export function abandon(source: FileSource): void {
  try {
    void readerOf(source)
      .cancel()
      .catch(() => {});
  } catch {
    // It is somebody else's to read.
  }
}

function notASource(): ClientError {
  return new ClientError('invalid-argument', { detail: 'from is a Blob, or a stream of Uint8Array' });
}

/** A name that is one part of a path on every system, and hides nothing. */
function nameOf(source: FileSource): string {
  const given = source instanceof File ? source.name : '';
  const last = given.split(/[/\\]/).at(-1) ?? '';
  const plain = last.replace(/[^\p{L}\p{N} ._()-]/gu, '').replace(/^[. ]+|[. ]+$/g, '');
  return plain.slice(-spoolLimits.maxNameCharacters) || 'file';
}
