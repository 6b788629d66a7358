// Frees the memory of bytes that have passed through, at once: the garbage collector lets 64 MiB of buffers pile up before
// it looks, in each process that passes files on. Knows nothing of what they were.
import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { OnReadOpts } from 'node:net';
import type { Readable, Writable } from 'node:stream';

const readBytes = 65_536;

/** Of bytes that nobody reads any more. Does nothing when they are a part of something larger: others may read that. */
export function discard({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached && byteLength === buffer.byteLength) buffer.transfer(0);
}

/**
 * For the options of node:http(s)'s `request`: the connection reads into one buffer, again and again, instead of a new one
 * each time. Node's HTTP parser copies bodies out of it.
 */
export function readBuffer(): { readonly onread: OnReadOpts } {
  const callback = function (this: EventEmitter, bytes: number, buffer: Uint8Array): boolean {
    this.emit('data', buffer.subarray(0, bytes));
    return true;
  };
  return { onread: { buffer: Buffer.allocUnsafeSlow(readBytes), callback } };
}

/** It closed its connection before the end of the body. */
export class ReaderGone extends Error {}

/**
 * Sends a body as it comes, as slowly as it is taken, and frees each piece when the connection has it. Rejects when either
 * end breaks, with a ReaderGone or what the body failed with; then both are ended.
 */
export async function pump(body: Readable, response: ServerResponse): Promise<void> {
  const closed = (): void => void body.destroy();
  response.once('close', closed);
  if (response.destroyed) closed();
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      if (response.destroyed) throw new ReaderGone();
      if (!response.write(piece, () => discard(piece))) await drained(response);
    }
    response.off('close', closed);
    await new Promise<void>((resolve, reject) => {
      response.once('close', () => (response.writableFinished ? resolve() : reject(new ReaderGone())));
      response.end(resolve);
    });
  } catch (error) {
    response.destroy();
    throw error;
  } finally {
    response.off('close', closed);
    body.destroy();
  }
}

/** Fulfilled when it takes more, or is closed. */
export function drained(sink: Writable): Promise<void> {
  return new Promise(resolve => {
    const go = (): void => {
      sink.off('drain', go);
      sink.off('close', go);
      resolve();
    };
    sink.on('drain', go).on('close', go);
    if (sink.closed) go();
  });
}
