// Reading by URL: whole files and ranges, a bounded number at once. Knows nothing of people: whoever has the URL may read.
// Source: docs/protocol/11-media.md section 11.5; RFC 9110 section 14.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { pump } from '@drawbridge/identity/body-buffers';
import type { MediaFile } from './media-options.ts';
import { Refusal } from './media-problems.ts';
import { rangeAsked, readRange } from './range.ts';

export type Downloads = {
  /** Answers GET and HEAD with the file; refuses when there is none. */
  readonly answer: (request: IncomingMessage, response: ServerResponse, file: MediaFile | undefined) => Promise<void>;
  /** Cuts what is under way. */
  readonly close: () => void;
};

export function createDownloads(limits: { readonly transfers: number; readonly idleTimeoutMs: number }): Downloads {
  const answering = new Set<ServerResponse>();

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    file: MediaFile | undefined,
  ): Promise<void> {
    if (file === undefined) throw new Refusal('not-found');
    if (answering.size >= limits.transfers) throw new Refusal('busy');
    const { sizeBytes } = file;
    const range = readRange(rangeAsked(request.headers), sizeBytes);
    if (range === 'unsatisfiable') {
      response.setHeader('content-range', `bytes */${sizeBytes}`);
      throw new Refusal('range-refused');
    }
    const { startBytes, endBytes } = range === 'whole' ? { startBytes: 0, endBytes: sizeBytes } : range;
    const headers = {
      'accept-ranges': 'bytes',
      'cache-control': 'private, immutable, max-age=86400',
      'content-disposition': 'attachment',
      'content-length': String(endBytes - startBytes),
      'content-type': 'application/octet-stream',
      ...(range === 'whole' ? {} : { 'content-range': `bytes ${startBytes}-${endBytes - 1}/${sizeBytes}` }),
    };
    const status = range === 'whole' ? 200 : 206;
    if (request.method === 'HEAD' || sizeBytes === 0) {
      response.writeHead(status, headers).end();
      return;
    }
    const body = await file.read(startBytes, endBytes);
    if (body === undefined) throw new Refusal('not-found');
    answering.add(response);
    response.setTimeout(limits.idleTimeoutMs, () => response.destroy());
    response.writeHead(status, headers);
    try {
      await pump(body, response);
    } catch {
      // The reader went away or took too long; or the storage failed, and the missing end tells.
    } finally {
      answering.delete(response);
    }
  }

  return {
    answer,
    close: () => {
      for (const response of answering) response.destroy();
    },
  };
}
