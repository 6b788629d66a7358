// What an app holds and wants sent: a `Blob`, or a stream of any kind, read once from its beginning to its end.
// Knows nothing of where the bytes go.
import { ClientError } from '../errors.ts';
import { streamFrom } from './web-stream.ts';

const maxNameCharacters = 80;

/**
 * What an app holds; a stream of Node is an `AsyncIterable`. A `File` has its own name; it is used as the last part of a path
 * would be. A stream is read once, and cancelled when it is not read to its end.
 */
export type FileSource = Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * What it gives. One that gives nothing more does not hold up whoever ends it. Throws `file-unreadable` when it breaks off or
 * the signal ends it, `invalid-argument` when it is none or is read already.
 */
export async function* chunksOf(source: FileSource, signal: AbortSignal): AsyncGenerator<Uint8Array> {
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

/** Throws `invalid-argument` for what isn't a source, or is read by somebody else. */
function readerOf(source: FileSource): ReadableStreamDefaultReader<Uint8Array> {
  try {
    if (source instanceof Blob) return source.stream().getReader();
    if (source instanceof ReadableStream) return source.getReader();
    const pieces = source[Symbol.asyncIterator]();
    return streamFrom(pieces, () => pieces.return?.()).getReader();
  } catch {
    throw notASource();
  }
}

/** Nobody will read it: its owner hears of that. Does nothing to what isn't a source, or was read. */
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

/** A name that is the last part of a path on every system, and hides nothing. */
export function nameOf(source: FileSource, sourceName = ''): string {
  const given = sourceName === '' && source instanceof File ? source.name : sourceName;
  const last = given.split(/[/\\]/).at(-1) ?? '';
  const plain = last.replace(/[^\p{L}\p{N} ._()-]/gu, '').replace(/^[. ]+|[. ]+$/g, '');
  return plain.slice(-maxNameCharacters) || 'file';
}
