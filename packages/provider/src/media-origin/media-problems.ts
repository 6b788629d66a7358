// The media origin's errors: one table, the refusal that carries a code to the answer, and what a failure of the storage is.
// Knows nothing of uploads or people. Source: RFC 9457; docs/protocol/11-media.md section 11.5.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Problem, problemDetails } from '@drawbridge/identity/problem-details';
import { DatabaseWriteError } from '../storage/database-writer.ts';
import { MediaStoreError } from './media-store.ts';

/** Every error of the media origin. */
export const mediaProblems = {
  'request-refused': { status: 400, title: 'Request refused', detail: 'Send the headers that tus 1.0.0 names.' },
  'checksum-refused': { status: 400, title: 'Checksum refused', detail: 'Send sha1 or sha256 of the bytes sent.' },
  'not-authorized': { status: 401, title: 'Not authorised', detail: 'Begin a session, and send it as a bearer token.' },
  'quota-used-up': { status: 403, title: 'Quota used up', detail: 'Remove files, or wait until some expire.' },
  'not-found': { status: 404, title: 'Not found', detail: 'It never was, is not whole, or has expired.' },
  'method-refused': { status: 405, title: 'Method refused', detail: 'See the Allow header.' },
  'offset-differs': { status: 409, title: 'Offset differs', detail: 'Ask for the offset with HEAD and go on there.' },
  'version-refused': { status: 412, title: 'Version refused', detail: 'Speak tus 1.0.0.' },
  'too-large': { status: 413, title: 'Too large', detail: 'Send no more than Tus-Max-Size and Upload-Length say.' },
  'media-type-refused': { status: 415, title: 'Media type refused', detail: 'Send application/offset+octet-stream.' },
  'range-refused': { status: 416, title: 'Range refused', detail: 'Ask for a range within the size.' },
  'too-many-transfers': { status: 429, title: 'Too many transfers', detail: 'Wait until one of them ends.' },
  'checksum-differs': { status: 460, title: 'Checksum differs', detail: 'Send the same bytes again.' },
  'internal-error': { status: 500, title: 'Internal error', detail: 'Try again later.' },
  busy: { status: 503, title: 'Busy', detail: 'Try again after retryAfterSeconds.' },
  'storage-full': { status: 507, title: 'Storage full', detail: 'Try again later; what has come is kept.' },
} as const satisfies Record<string, Problem>;
export type MediaProblemCode = keyof typeof mediaProblems;

export const tusVersion = '1.0.0';
export const tusHeaders = { 'tus-resumable': tusVersion, 'cache-control': 'no-store' };
const retrySeconds = 5;
/** How long a refused request may go on sending what nobody reads. */
export const lingerMs = 1_000;

/** A refusal on its way to the answer. */
export class Refusal extends Error {
  readonly code: MediaProblemCode;
  constructor(code: MediaProblemCode) {
    super(code);
    this.code = code;
  }
}

/** What a failure is to the client. */
export function problemOf(error: unknown): MediaProblemCode {
  if (error instanceof Refusal) return error.code;
  if (error instanceof DatabaseWriteError && error.code !== 'disk-full') return 'busy';
  switch (failureCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'disk-full':
    case 'storage-full':
      return 'storage-full';
    case 'storage-unavailable':
      return 'busy';
    default:
      return 'internal-error';
  }
}

/** The code of the system or the storage, for the operator; undefined for a defect of ours. */
export function failureCode(error: unknown): string | undefined {
  if (error instanceof MediaStoreError || error instanceof DatabaseWriteError) return error.code;
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Answers with the problem, and ends a request that still sends. */
export function refuse(request: IncomingMessage, response: ServerResponse, code: MediaProblemCode): void {
  if (response.headersSent) return void response.destroy();
  const waits = code === 'busy' || code === 'too-many-transfers';
  const details = problemDetails(mediaProblems, code, waits ? { retryAfterSeconds: retrySeconds } : {});
  const body = JSON.stringify(details);
  response.writeHead(details.status, {
    ...tusHeaders,
    'content-type': 'application/problem+json',
    'content-length': String(Buffer.byteLength(body)),
    ...(waits ? { 'retry-after': String(retrySeconds) } : {}),
    ...(code === 'not-authorized' ? { 'www-authenticate': 'Bearer' } : {}),
    ...(request.complete ? {} : { connection: 'close' }),
  });
  if (request.complete || request.method === 'HEAD') {
    response.end(request.method === 'HEAD' ? undefined : body);
    return;
  }
  // Closing while the peer still sends would reset the connection, and the answer might never be read.
  response.write(body);
  const linger = setTimeout(() => response.end(), lingerMs);
  request.once('close', () => {
    clearTimeout(linger);
    response.end();
  });
  request.once('end', () => response.end()).resume();
}
