// Carries encrypted files: up to the sender's own media origin (tus 1.0), down through a media grant. Both go on by
// themselves where a broken connection left off.
// Knows nothing of encryption beyond the pieces it is given, of streams, or of where state is kept.
// Source: docs/protocol/11-media.md sections 11.4 and 11.6; tus resumable upload protocol 1.0.0.
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import {
  AttachmentFailure,
  discard,
  type OpenSource,
  readSealed,
  type SealedAttachment,
} from '@drawbridge/e2ee/attachments';
import { drained, readBuffer } from '@drawbridge/identity/body-buffers';
import { type HttpTrust, isHttpsUrl } from '../connection/http.ts';
import { agentFor } from '../connection/way.ts';
import { Patience, type PatienceContext } from './patience.ts';

export const mediaTransferLimits = {
  idleTimeoutMs: 30_000,
} as const;

const pieceBytes = 262_144;

export type MediaTransferErrorCode =
  | 'invalid-argument'
  | 'not-authorised'
  | 'quota-used-up'
  | 'too-large'
  | 'not-found'
  | 'not-allowed'
  | 'refused'
  | 'unreachable'
  | 'source-changed'
  | 'source-failed'
  | 'aborted';

/** For each code: does a later try help, and the sentence for a person. */
export const mediaTransferErrors: Readonly<
  Record<MediaTransferErrorCode, { readonly retry: boolean; readonly text: string }>
> = {
  'invalid-argument': { retry: false, text: 'The address is not an https URL.' },
  'not-authorised': { retry: true, text: 'The provider did not accept the session. Sign in again.' },
  'quota-used-up': { retry: true, text: 'There is no room left at the provider. Remove files, or wait.' },
  'too-large': { retry: false, text: 'The file is larger than the provider allows.' },
  'not-found': { retry: false, text: 'The file is not there: it may have expired.' },
  'not-allowed': { retry: false, text: 'The file may not be fetched: its service is switched off for this person.' },
  refused: { retry: true, text: 'The server refused the transfer.' },
  unreachable: { retry: true, text: 'The connection broke too often. The transfer can go on later.' },
  'source-changed': { retry: false, text: 'The file was changed while it was sent: send it again.' },
  'source-failed': { retry: true, text: 'The file could not be read to its end.' },
  aborted: { retry: true, text: 'The transfer was stopped. It can go on later.' },
};

/** Ends the iterator of `downloadEncrypted`. */
export class MediaTransferFailure extends Error {
  readonly code: MediaTransferErrorCode;
  constructor(code: MediaTransferErrorCode, cause?: unknown) {
    super(mediaTransferErrors[code].text, { cause });
    this.code = code;
  }
}

/** By what it waits when a connection broke. */
export type Pace = Pick<PatienceContext, 'clock' | 'random'>;

export type UploadOptions = {
  /** Where uploads are created: what the provider names as `media` when a session begins. */
  readonly endpoint: string;
  /** The provider session token; `renew` when the last one was refused. */
  readonly session: (renew: boolean) => Promise<string>;
  readonly sealed: SealedAttachment;
  readonly open: OpenSource;
  /** Of an upload that was begun before. */
  readonly url?: string;
  /** Called once the upload has its URL, before anything is sent: keep it beside `encodeSealed(sealed)`. */
  readonly onBegun?: (url: string) => Promise<void> | void;
  /** Encrypted bytes that are safely at the origin. */
  readonly onProgress?: (bytes: number) => void;
  /** Encrypted bytes that were given to the connection: what breaks off is sent again. */
  readonly onSent?: (bytes: number) => void;
  readonly pace: Pace;
  readonly trust?: HttpTrust;
  readonly signal?: AbortSignal;
};

export type UploadResult =
  | { readonly kind: 'uploaded'; readonly url: string }
  | { readonly kind: 'failed'; readonly code: MediaTransferErrorCode };

type Reply = { readonly status: number; readonly headers: IncomingMessage['headers'] };

/** Uploads a sealed file, from wherever an earlier call left off. The URL is what goes into the pointer. Never rejects. */
export async function uploadAttachment(options: UploadOptions): Promise<UploadResult> {
  try {
    return { kind: 'uploaded', url: await upload(options) };
  } catch (error) {
    return { kind: 'failed', code: codeOf(error, options.signal) };
  }
}

async function upload(options: UploadOptions): Promise<string> {
  const { sealed, signal, onProgress } = options;
  const sizeBytes = sealed.encryptedSizeBytes;
  const patience = new Patience({ ...options.pace, signal });
  // An upload that was begun elsewhere is of no use, and its place must not get this provider's session.
  let url = isOfOrigin(options.url, options.endpoint) ? options.url : undefined;
  let renewed = false;
  let token = await options.session(false);
  /** Undefined when the connection broke, or the server asked for another try: it has been waited for. */
  const ask = async (
    method: string,
    at: string,
    headers: Record<string, string>,
    body?: Chunks,
    onSent?: (bytes: number) => void,
  ) => {
    const all = { 'tus-resumable': '1.0.0', authorization: `Bearer ${token}`, ...headers };
    const reply = await exchange({ method, url: at, headers: all, body, onSent, trust: options.trust, signal });
    if (reply?.status === 401 && !renewed) {
      renewed = true;
      token = await options.session(true);
      return undefined;
    }
    if (reply === undefined || isPassing(reply.status)) {
      await waitOn(patience);
      return undefined;
    }
    return reply;
  };

  for (;;) {
    if (url === undefined) {
      const reply = await ask('POST', options.endpoint, { 'upload-length': String(sizeBytes), 'content-length': '0' });
      if (reply === undefined) continue;
      if (reply.status !== 201) throw refusal(reply.status, 'up');
      url = new URL(String(reply.headers.location), options.endpoint).href;
      // Only where it was created: a URL elsewhere would get the session token.
      if (!isOfOrigin(url, options.endpoint)) throw new MediaTransferFailure('refused');
      await options.onBegun?.(url);
    }
    const head = await ask('HEAD', url, {});
    if (head === undefined) continue;
    if (head.status === 404 || head.status === 410) {
      // It expired: begun again, under the same key, since it is the same file.
      await waitOn(patience);
      url = undefined;
      continue;
    }
    const offsetBytes = readOffset(head, sizeBytes);
    if (head.status !== 200 || offsetBytes === undefined) throw refusal(head.status, 'up');
    if (patience.progressed(offsetBytes)) onProgress?.(offsetBytes);
    if (offsetBytes === sizeBytes) return url;
    const patch = await ask(
      'PATCH',
      url,
      {
        'content-type': 'application/offset+octet-stream',
        'content-length': String(sizeBytes - offsetBytes),
        'upload-offset': String(offsetBytes),
      },
      readSealed(options.open, sealed, offsetBytes),
      bytes => options.onSent?.(offsetBytes + bytes),
    );
    if (patch === undefined || patch.status === 409 || patch.status === 404) continue;
    if (patch.status !== 204) throw refusal(patch.status, 'up');
    if (readOffset(patch, sizeBytes) === sizeBytes) {
      onProgress?.(sizeBytes);
      return url;
    }
  }
}

function isOfOrigin(url: string | undefined, endpoint: string): boolean {
  return url !== undefined && URL.parse(url)?.origin === URL.parse(endpoint)?.origin;
}

export type DownloadOptions = {
  /** Gives the URL to fetch from: a grant's `href`, or one's own provider's URL. Asked again when a grant has ended. */
  readonly locate: () => Promise<string>;
  /** Of the encrypted file: `encryptedSizeBytes(pointer.sizeBytes)`. */
  readonly sizeBytes: number;
  readonly fromBytes?: number;
  readonly pace: Pace;
  readonly trust?: HttpTrust;
  readonly signal?: AbortSignal;
};

/**
 * The encrypted file from `fromBytes` to its end, for `openAttachment`, `saveAttachment` or a local copy.
 *
 * Exactly `sizeBytes - fromBytes` bytes, the caller's to `discard`, or it ends with `MediaTransferFailure`. They are not
 * checked here.
 */
export async function* downloadEncrypted(options: DownloadOptions): AsyncGenerator<Uint8Array> {
  const { sizeBytes, signal } = options;
  const patience = new Patience({ ...options.pace, signal });
  let atBytes = options.fromBytes ?? 0;
  let url: string | undefined;
  while (atBytes < sizeBytes) {
    url ??= await options.locate();
    const headers: Record<string, string> = { range: `bytes=${atBytes}-${sizeBytes - 1}` };
    const reply = await openReply({ method: 'GET', url, headers, trust: options.trust, signal });
    try {
      if (reply === undefined || isPassing(reply.statusCode ?? 0)) {
        await waitOn(patience);
        continue;
      }
      const status = reply.statusCode ?? 0;
      if (status === 410) {
        url = undefined;
        await waitOn(patience);
        continue;
      }
      const expected = `bytes ${atBytes}-${sizeBytes - 1}/${sizeBytes}`;
      const fits = status === 206 ? reply.headers['content-range'] === expected : status === 200;
      if (!fits) throw refusal(status, 'down');
      let skipBytes = status === 200 ? atBytes : 0;
      try {
        for await (const chunk of reply as AsyncIterable<Buffer>) {
          const part = chunk.subarray(Math.min(skipBytes, chunk.length));
          skipBytes -= chunk.length - part.length;
          if (part.length === 0) continue;
          if (part.length > sizeBytes - atBytes) throw new MediaTransferFailure('refused');
          atBytes += part.length;
          patience.progressed(atBytes);
          yield part;
        }
      } catch (error) {
        if (error instanceof MediaTransferFailure) throw error;
      }
      if (atBytes < sizeBytes) await waitOn(patience);
    } finally {
      reply?.destroy();
    }
  }
}

async function waitOn(patience: Patience): Promise<void> {
  const ended = await patience.wait();
  if (ended !== 'waited') throw new MediaTransferFailure(ended === 'tired' ? 'unreachable' : 'aborted');
}

/** Pieces that are the sender's to `discard`. */
type Chunks = AsyncGenerator<Uint8Array>;

type Call = {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Chunks | undefined;
  /** Bytes of the body that the connection has taken. */
  readonly onSent?: ((bytes: number) => void) | undefined;
  readonly trust: HttpTrust | undefined;
  readonly signal: AbortSignal | undefined;
};

/** The answer's beginning; undefined when the connection broke or nothing moved for too long. */
async function openReply(call: Call): Promise<IncomingMessage | undefined> {
  if (!isHttpsUrl(call.url)) throw new MediaTransferFailure('invalid-argument');
  // Before there is a connection that would wait: what is sent already may have to be encrypted again first.
  const first = await call.body?.next();
  await call.trust?.durable?.();
  const ca = call.trust?.ca;
  const sent = httpsRequest(call.url, {
    method: call.method,
    headers: call.headers,
    agent: agentFor(call.trust, call.url),
    minVersion: 'TLSv1.2',
    timeout: mediaTransferLimits.idleTimeoutMs,
    ...readBuffer(),
    ...(ca === undefined ? {} : { ca }),
    ...(call.signal === undefined ? {} : { signal: call.signal }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | undefined>();
  sent.on('timeout', () => sent.destroy());
  sent.on('error', () => resolve(undefined));
  sent.on('close', () => resolve(undefined));
  sent.on('response', response => {
    response.on('error', () => {});
    resolve(response);
  });
  sendBody(call, first, sent).catch((error: unknown) => {
    // What the file does wrong must not look like a broken connection: told before the connection is broken.
    if (error instanceof AttachmentFailure) reject(error);
    sent.destroy();
  });
  const reply = await promise;
  if (call.signal?.aborted === true) throw new MediaTransferFailure('aborted');
  return reply;
}

async function sendBody(
  { body, onSent }: Call,
  first: IteratorResult<Uint8Array> | undefined,
  sent: ClientRequest,
): Promise<void> {
  let bytes = 0;
  try {
    for (let next = first; next !== undefined && next.done !== true; next = await body?.next()) {
      const chunk = next.value;
      // Noted now: what was discarded has no length any more.
      const { length } = chunk;
      for (let at = 0; at < length; at += pieceBytes) {
        const isLast = at + pieceBytes >= length;
        if (!sent.write(chunk.subarray(at, at + pieceBytes), () => isLast && discard(chunk))) await drained(sent);
        if (sent.destroyed) return;
        bytes += Math.min(pieceBytes, length - at);
        onSent?.(bytes);
      }
    }
    sent.end();
  } finally {
    await body?.return(undefined);
  }
}

async function exchange(call: Call): Promise<Reply | undefined> {
  const reply = await openReply(call);
  if (reply === undefined) return undefined;
  const { statusCode: status = 0, headers } = reply;
  // Bodies of answers hold nothing that the status doesn't say.
  reply.destroy();
  return { status, headers };
}

/** Overload, a hanging earlier request, an origin out of reach: the same call may do later. */
function isPassing(status: number): boolean {
  return status === 408 || status === 423 || status === 429 || status === 460 || status >= 500;
}

function refusal(status: number, way: 'up' | 'down'): MediaTransferFailure {
  const codes: Readonly<Record<number, MediaTransferErrorCode>> = {
    401: 'not-authorised',
    403: way === 'up' ? 'quota-used-up' : 'not-allowed',
    404: 'not-found',
    410: 'not-found',
    413: 'too-large',
  };
  return new MediaTransferFailure(codes[status] ?? 'refused');
}

function readOffset(reply: Reply, sizeBytes: number): number | undefined {
  const text = String(reply.headers['upload-offset']);
  return /^[0-9]{1,15}$/.test(text) && Number(text) <= sizeBytes ? Number(text) : undefined;
}

function codeOf(error: unknown, signal: AbortSignal | undefined): MediaTransferErrorCode {
  if (signal?.aborted === true) return 'aborted';
  if (error instanceof MediaTransferFailure) return error.code;
  if (error instanceof AttachmentFailure) return error.code === 'source-changed' ? 'source-changed' : 'source-failed';
  return 'unreachable';
}
