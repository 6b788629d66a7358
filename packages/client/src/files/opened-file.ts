// A file that came, as an application reads it: piece by piece, as a stream of the web, or as a `Blob`.
// Knows nothing of where its bytes come from, nor of whether they are right: who gives them has checked them.
import { ClientError } from '../errors.ts';
import { streamFrom } from './web-stream.ts';

export const openedFileLimits = {
  /** What is held in memory at once for an app that wants a `Blob`. */
  blobBytes: 67_108_864,
} as const;

/** A file that is read while it arrives. Every byte that it gives was checked. */
export type OpenedFile = {
  readonly sizeBytes: number;
  /**
   * The bytes from `startBytes` up to but not including `endBytes` (the end of the file when left out), in order. A piece
   * is given as soon as its chunk, and everything before it, has arrived once; no more than a chunk or two are fetched
   * ahead of what is asked for. Any number of them at once. Ends with the errors of `save`.
   */
  readonly read: (options?: ReadOptions) => AsyncGenerator<Uint8Array, void, void>;
  /** The same as a stream of the web. Nothing is fetched before somebody reads; cancelling it ends the fetching. */
  readonly stream: (options?: ReadOptions) => ReadableStream<Uint8Array>;
  /**
   * The same, all of it in memory: more than 64 MiB are refused with `file-too-large`. It has no media type: what a sender
   * says of a file is not to be believed by a program that shows it.
   */
  readonly blob: (options?: ReadOptions) => Promise<Blob>;
  /** Ends what is read; what came stays for a while. Repeats do nothing. */
  readonly close: () => Promise<void>;
};

export type ReadOptions = { readonly startBytes?: number; readonly endBytes?: number; readonly signal?: AbortSignal };

export function streamOf(read: OpenedFile['read'], options: ReadOptions = {}): ReadableStream<Uint8Array> {
  const cancelled = new AbortController();
  const { signal = cancelled.signal } = options;
  const pieces = read({ ...options, signal: AbortSignal.any([signal, cancelled.signal]) });
  return streamFrom(pieces, () => cancelled.abort());
}

export async function blobOf(read: OpenedFile['read'], options?: ReadOptions): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const part of read(options)) {
    bytes += part.length;
    if (bytes > openedFileLimits.blobBytes) throw new ClientError('file-too-large');
    parts.push(Uint8Array.from(part));
  }
  return new Blob(parts);
}
