// The media origin: people of this provider upload encrypted files, in pieces that can be resumed (tus 1.0), and whoever
// knows a file's URL reads it, whole or in ranges. Mountable in any node:http(s) server.
// Knows nothing of what the files are, what they are called, who reads them, or how they are encrypted.
// Source: docs/protocol/11-media.md section 11.4-11.5; tus resumable upload protocol 1.0.0 with the extensions creation,
// creation-with-upload, expiration, checksum and termination; RFC 9110 section 14 (ranges); RFC 9457 (problem details).

import { createHash, type Hash, timingSafeEqual } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { discard, pump } from '@drawbridge/identity/body-buffers';
import { rangeAsked, readRange } from './range.ts';
import { createDiskMediaStore, type MediaStore, type MediaWriter } from './media-store.ts';
import { openUploads, type Upload } from './uploads.ts';

/** Named limits; each may be changed when the origin is made. */
export type MediaLimits = {
  /** A file of 2 GiB is 2,170,139,120 bytes long when it is encrypted. */
  readonly maxUploadBytes: number;
  /** Of one person, in files that have not expired; begun ones count whole. */
  readonly bytesPerUser: number;
  readonly uploadsPerUser: number;
  /** Since the last byte of an upload that isn't whole. */
  readonly unfinishedLifetimeMs: number;
  /** Of a whole file: longer than a message may wait in a mailbox (30 days). */
  readonly retentionMs: number;
  /** Nothing comes, or nothing is taken. */
  readonly idleTimeoutMs: number;
  readonly transfersPerUser: number;
  readonly transfers: number;
  /** What a crash can cost an upload under way. */
  readonly checkpointBytes: number;
};

export const defaultMediaLimits: MediaLimits = {
  maxUploadBytes: 2_170_552_320,
  bytesPerUser: 10_737_418_240,
  uploadsPerUser: 10_000,
  unfinishedLifetimeMs: 86_400_000,
  retentionMs: 45 * 86_400_000,
  idleTimeoutMs: 30_000,
  transfersPerUser: 8,
  transfers: 1_024,
  checkpointBytes: 16_777_216,
};

/** What may be chosen for a media origin inside the provider kit. */
export type MediaOptions = {
  readonly limits?: Partial<MediaLimits>;
  /** The folder of files and database; `media` in the kit's data folder when left out. */
  readonly folder?: string;
  /** Where files are kept; in the folder when left out. */
  readonly store?: MediaStore;
  /** `closed`: nobody reads by URL; who runs the origin reads with `find` and decides. `url` when left out. */
  readonly reading?: 'url' | 'closed';
  /** The URL that stands before identifiers, without a slash at its end; `<issuer>/media` when left out. */
  readonly url?: string;
};

export type MediaOriginOptions = MediaOptions & {
  readonly folder: string;
  readonly url: string;
  /** The path that requests arrive with before the identifier, such as `/media`. */
  readonly path: string;
  /** Whose session token this is. */
  readonly authenticate: (token: string) => Promise<string | undefined>;
  readonly nowMs: () => number;
  readonly log: (event: string, code: string) => void;
};

/** A whole file that has not expired. */
export type MediaFile = {
  readonly sizeBytes: number;
  /** Bytes `startBytes` up to but not including `endBytes`; undefined when the file is gone meanwhile. */
  readonly read: (startBytes: number, endBytes: number) => Promise<Readable | undefined>;
};

export type MediaOrigin = {
  /** Whether this request is for the media origin. */
  readonly serves: (request: IncomingMessage) => boolean;
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** The file with this identifier, for a reader in this process. */
  readonly find: (id: string) => MediaFile | undefined;
  /** Removes what has expired, and files that no upload knows. Idempotent. */
  readonly collectGarbage: () => Promise<void>;
  /** After an account was closed. */
  readonly removeAllOf: (identifier: string) => Promise<void>;
  /** Ends what is under way, keeps what has come, closes the database. */
  readonly close: () => Promise<void>;
};

type Problem = { readonly status: number; readonly title: string; readonly detail: string };

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

const tusVersion = '1.0.0';
const retrySeconds = 5;
const gatherBytes = 1_048_576;
/** How long a refused request may go on sending what nobody reads. */
const lingerMs = 1_000;
const garbagePerRound = 1_000;
const uploadMethods = 'OPTIONS, POST';
const fileMethods = 'OPTIONS, GET, HEAD, PATCH, DELETE';

/** A refusal on its way to the answer. */
class Refusal extends Error {
  readonly code: MediaProblemCode;
  constructor(code: MediaProblemCode) {
    super(code);
    this.code = code;
  }
}

type Checksum = { readonly hash: Hash; readonly expected: Buffer };
type Transfer = { readonly stop: () => void; readonly done: Promise<void> };

/** Opens folder and database. Throws when they are unfit: nothing would work then. */
export function createMediaOrigin(options: MediaOriginOptions): MediaOrigin {
  const { nowMs, log, path } = options;
  const limits: MediaLimits = { ...defaultMediaLimits, ...options.limits };
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const uploads = openUploads(join(options.folder, 'media.sqlite'), limits, nowMs);
  const store = options.store ?? createDiskMediaStore(join(options.folder, 'files'));
  /** At most one for each upload, by name. */
  const receiving = new Map<string, Transfer>();
  const receivingOf = new Map<string, number>();
  const answering = new Set<ServerResponse>();
  let closing: Promise<void> | undefined;
  let collecting: Promise<void> | undefined;
  let lookedForStrays = false;

  const tusHeaders = { 'tus-resumable': tusVersion, 'cache-control': 'no-store' };
  const expiresHeader = (upload: Upload): Record<string, string> => ({
    'upload-expires': new Date(upload.expiresAtMs).toUTCString(),
  });

  async function ownerOf(request: IncomingMessage): Promise<string> {
    const token = /^Bearer ([A-Za-z0-9_-]{43})$/i.exec(request.headers.authorization ?? '')?.[1];
    const owner = token === undefined ? undefined : await options.authenticate(token);
    if (owner === undefined) throw new Refusal('not-authorized');
    return owner;
  }

  async function ownUpload(request: IncomingMessage, id: string): Promise<Upload> {
    const owner = await ownerOf(request);
    const upload = uploads.find(id);
    if (upload?.owner !== owner) throw new Refusal('not-found');
    return upload;
  }

  /**
   * Ends a request that is still sending to this upload: its sender has given it up, or wouldn't ask. What has come is
   * on disk when this resolves.
   */
  async function takeOver(id: string, name: string): Promise<Upload> {
    for (let transfer = receiving.get(name); transfer !== undefined; transfer = receiving.get(name)) {
      transfer.stop();
      await transfer.done;
    }
    const upload = uploads.find(id);
    if (upload === undefined) throw new Refusal('not-found');
    return upload;
  }

  /** Takes the request's body into the upload. Gives the upload as it is then. */
  async function receive(request: IncomingMessage, upload: Upload): Promise<Upload> {
    const roomBytes = upload.sizeBytes - upload.offsetBytes;
    if (Number(request.headers['content-length'] ?? 0) > roomBytes) throw new Refusal('too-large');
    const checksum = readChecksum(request.headers['upload-checksum']);
    const mine = receivingOf.get(upload.owner) ?? 0;
    if (mine >= limits.transfersPerUser) throw new Refusal('too-many-transfers');
    if (receiving.size >= limits.transfers) throw new Refusal('busy');
    receivingOf.set(upload.owner, mine + 1);
    try {
      return await alone(
        upload.name,
        () => request.destroy(),
        () => receiveBody(request, upload, checksum),
      );
    } finally {
      const others = (receivingOf.get(upload.owner) ?? 1) - 1;
      if (others === 0) receivingOf.delete(upload.owner);
      else receivingOf.set(upload.owner, others);
    }
  }

  /** Others who want this upload wait until the work is done, or end it with `stop`. */
  async function alone<T>(name: string, stop: () => void, work: () => Promise<T>): Promise<T> {
    const { promise: done, resolve: finished } = Promise.withResolvers<void>();
    receiving.set(name, { stop, done });
    try {
      return await work();
    } finally {
      receiving.delete(name);
      finished();
    }
  }

  /**
   * Makes a file of an upload whose last byte was noted. That goes first: the storage need not keep what it has made a
   * file of open for writing, and when it fails here, or the process dies, it is done by whoever asks next.
   */
  async function complete(upload: Upload): Promise<Upload> {
    await store.finish(upload.name, upload.sizeBytes);
    return note(upload, upload.sizeBytes, true);
  }

  function note(upload: Upload, offsetBytes: number, whole: boolean): Upload {
    const expiresAtMs = nowMs() + (whole ? limits.retentionMs : limits.unfinishedLifetimeMs);
    if (!uploads.advance(upload.name, offsetBytes, whole, expiresAtMs)) throw new Refusal('not-found');
    return { ...upload, offsetBytes, complete: whole, expiresAtMs };
  }

  /** The upload as it is when nobody sends to it; a file when its last byte has come. */
  async function settled(id: string, name: string): Promise<Upload> {
    const upload = await takeOver(id, name);
    if (upload.complete || upload.offsetBytes < upload.sizeBytes || upload.sizeBytes === 0) return upload;
    return await alone(
      name,
      () => {},
      () => complete(upload),
    );
  }

  async function receiveBody(
    request: IncomingMessage,
    upload: Upload,
    checksum: Checksum | undefined,
  ): Promise<Upload> {
    let { offsetBytes } = upload;
    let syncedBytes = offsetBytes;
    let writer: MediaWriter | undefined;
    let gathered: Buffer[] = [];
    let gatheredBytes = 0;
    let refusal: MediaProblemCode | undefined;
    let storing = false;
    // While the storage works the sender waits for us, not we for them.
    const idle = setTimeout(() => (storing ? idle.refresh() : request.destroy()), limits.idleTimeoutMs);

    const write = async (): Promise<void> => {
      if (gatheredBytes === 0) return;
      writer ??= await store.openWriter(upload.name, upload.offsetBytes);
      await writer.write(gathered);
      for (const piece of gathered) discard(piece);
      offsetBytes += gatheredBytes;
      gathered = [];
      gatheredBytes = 0;
    };
    /** Nothing counts before it is on disk: the offset that a client is told must survive a power cut. */
    const settle = async (): Promise<Upload> => {
      const whole = offsetBytes === upload.sizeBytes;
      // An empty file has had nothing to write, and has to be there all the same.
      if (whole && offsetBytes === 0) writer ??= await store.openWriter(upload.name, 0);
      await writer?.sync();
      const noted = note(upload, offsetBytes, false);
      syncedBytes = offsetBytes;
      return whole ? await complete(noted) : noted;
    };

    try {
      const body = request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
      for (;;) {
        // The connection broke, or another request took over: what has come is kept.
        const next = await body.next().catch(() => 'aborted' as const);
        if (next === 'aborted' || next.done === true) break;
        const chunk = next.value;
        if (offsetBytes + gatheredBytes + chunk.length > upload.sizeBytes) {
          refusal = 'too-large';
          break;
        }
        checksum?.hash.update(chunk);
        gathered.push(chunk);
        gatheredBytes += chunk.length;
        if (gatheredBytes >= gatherBytes) {
          storing = true;
          await write();
          const due = checksum === undefined && offsetBytes - syncedBytes >= limits.checkpointBytes;
          // The last byte is settled once, behind the loop.
          if (due && offsetBytes < upload.sizeBytes) await settle();
          storing = false;
        }
        idle.refresh();
      }
      if (checksum !== undefined) {
        if (refusal !== undefined) throw new Refusal(refusal);
        if (!timingSafeEqual(checksum.hash.digest(), checksum.expected)) throw new Refusal('checksum-differs');
      }
      storing = true;
      await write();
      const kept = await settle();
      if (refusal !== undefined) throw new Refusal(refusal);
      return kept;
    } finally {
      clearTimeout(idle);
      await writer?.close();
    }
  }

  async function create(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const owner = await ownerOf(request);
    const sizeBytes = readCount(request.headers['upload-length']);
    if (sizeBytes === undefined) throw new Refusal('request-refused');
    if (sizeBytes > limits.maxUploadBytes) throw new Refusal('too-large');
    // `Upload-Metadata` (names, types) is never looked at.
    const created = uploads.create(owner, sizeBytes, nowMs() + limits.unfinishedLifetimeMs);
    if (created.kind === 'quota-used-up') throw new Refusal('quota-used-up');
    const withBody = isUploadBody(request);
    const upload = withBody || sizeBytes === 0 ? await receive(request, created.upload) : created.upload;
    response.writeHead(201, {
      ...tusHeaders,
      ...expiresHeader(upload),
      location: `${options.url}/${created.id}`,
      'upload-offset': String(upload.offsetBytes),
      'content-length': '0',
    });
    response.end();
  }

  async function append(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const found = await ownUpload(request, id);
    if (!isUploadBody(request)) throw new Refusal('media-type-refused');
    const offsetBytes = readCount(request.headers['upload-offset']);
    if (offsetBytes === undefined) throw new Refusal('request-refused');
    const upload = await settled(id, found.name);
    if (upload.offsetBytes !== offsetBytes) throw new Refusal('offset-differs');
    const kept = upload.complete ? upload : await receive(request, upload);
    response.writeHead(204, {
      ...tusHeaders,
      ...expiresHeader(kept),
      'upload-offset': String(kept.offsetBytes),
    });
    response.end();
  }

  async function tellOffset(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const upload = await settled(id, (await ownUpload(request, id)).name);
    response.writeHead(200, {
      ...tusHeaders,
      ...expiresHeader(upload),
      'upload-offset': String(upload.offsetBytes),
      'upload-length': String(upload.sizeBytes),
    });
    response.end();
  }

  async function terminate(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const { name } = await takeOver(id, (await ownUpload(request, id)).name);
    await alone(
      name,
      () => {},
      () => removeFile(name),
    );
    response.writeHead(204, tusHeaders).end();
  }

  function find(id: string): MediaFile | undefined {
    const upload = uploads.find(id);
    if (upload?.complete !== true) return undefined;
    const { name, sizeBytes } = upload;
    return { sizeBytes, read: (startBytes, endBytes) => store.read(name, startBytes, endBytes) };
  }

  async function download(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const file = options.reading === 'closed' ? undefined : find(id);
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

  type ServeTus = (request: IncomingMessage, response: ServerResponse, id: string) => Promise<void>;
  const onCollection = new Map<string, ServeTus>([['POST', create]]);
  const onUpload = new Map<string, ServeTus>([
    ['HEAD', tellOffset],
    ['PATCH', append],
    ['DELETE', terminate],
  ]);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('content-security-policy', "default-src 'none'; sandbox");
    const [target = ''] = (request.url ?? '').split('?', 1);
    const rest = target.slice(path.length);
    const id = /^\/([A-Za-z0-9_-]{43})$/.exec(rest)?.[1];
    const isCollection = rest === '' || rest === '/';
    if (!isCollection && id === undefined) throw new Refusal('not-found');
    const override = request.headers['x-http-method-override'];
    const method = typeof override === 'string' ? override : (request.method ?? '');
    if (method === 'OPTIONS') {
      response.writeHead(204, {
        'tus-resumable': tusVersion,
        'tus-version': tusVersion,
        'tus-extension': 'creation,creation-with-upload,expiration,checksum,termination',
        'tus-max-size': String(limits.maxUploadBytes),
        'tus-checksum-algorithm': 'sha1,sha256',
        allow: isCollection ? uploadMethods : fileMethods,
      });
      response.end();
      return;
    }
    const speaksTus = request.headers['tus-resumable'];
    if (id !== undefined && (method === 'GET' || (method === 'HEAD' && speaksTus === undefined))) {
      return await download(request, response, id);
    }
    const serveTus = id === undefined ? onCollection.get(method) : onUpload.get(method);
    if (serveTus === undefined) {
      response.setHeader('allow', isCollection ? uploadMethods : fileMethods);
      throw new Refusal('method-refused');
    }
    if (speaksTus !== tusVersion) {
      response.setHeader('tus-version', tusVersion);
      throw new Refusal('version-refused');
    }
    await serveTus(request, response, id ?? '');
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    const code = codeOf(error);
    // What failed on our side; a refusal of ours is the client's affair.
    if (!(error instanceof Refusal)) log('media-failed', (error as NodeJS.ErrnoException).code ?? code);
    if (response.headersSent) return void response.destroy();
    const { status, title, detail } = mediaProblems[code];
    const waits = code === 'busy' || code === 'too-many-transfers';
    const problem = {
      type: `urn:drawbridge:problem:${code}`,
      code,
      status,
      title,
      detail,
      ...(waits ? { retryAfterSeconds: retrySeconds } : {}),
    };
    const body = JSON.stringify(problem);
    response.writeHead(status, {
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

  async function removeFiles(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const transfer = receiving.get(name);
      transfer?.stop();
      await transfer?.done;
      await removeFile(name);
    }
  }

  async function removeFile(name: string): Promise<void> {
    try {
      await store.remove(name);
      uploads.remove(name);
    } catch (error) {
      // Its row may be gone already.
      lookedForStrays = false;
      throw error;
    }
  }

  async function collect(): Promise<void> {
    for (let names = uploads.expired(garbagePerRound); names.length > 0; names = uploads.expired(garbagePerRound)) {
      if (closing !== undefined) return;
      await removeFiles(names);
    }
    // Rows are made before files: a file without a row was left behind by a crash, so looking once is enough.
    if (lookedForStrays) return;
    for await (const name of store.names()) {
      if (closing !== undefined) return;
      if (!uploads.has(name)) await store.remove(name);
    }
    lookedForStrays = true;
  }

  async function close(): Promise<void> {
    for (const response of answering) response.destroy();
    const running = [...receiving.values()];
    for (const { stop } of running) stop();
    await Promise.all(running.map(transfer => transfer.done));
    await collecting;
    uploads.close();
  }

  return {
    serves: request => {
      const { url = '' } = request;
      return url.startsWith(path) && ['', '/', '?'].includes(url.charAt(path.length));
    },
    handler: (request, response) => {
      // Nobody reads what comes after the answer, and no other limit ends it.
      response.once('finish', () => setTimeout(() => request.complete || request.destroy(), lingerMs).unref());
      const serving = closing === undefined ? serve(request, response) : Promise.reject(new Refusal('busy'));
      serving.catch((error: unknown) => refuse(request, response, error));
    },
    find,
    collectGarbage: () =>
      (collecting ??= collect()
        .catch((error: unknown) =>
          log('media-not-collected', (error as NodeJS.ErrnoException).code ?? 'internal-error'),
        )
        .finally(() => {
          collecting = undefined;
        })),
    removeAllOf: async identifier => await removeFiles(uploads.removeAllOf(identifier)),
    close: () => (closing ??= close()),
  };
}

function codeOf(error: unknown): MediaProblemCode {
  if (error instanceof Refusal) return error.code;
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'storage-full':
      return 'storage-full';
    case 'storage-unavailable':
      return 'busy';
    default:
      return 'internal-error';
  }
}

function isUploadBody(request: IncomingMessage): boolean {
  return request.headers['content-type'] === 'application/offset+octet-stream';
}

function readCount(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^(0|[1-9][0-9]{0,14})$/.test(header) ? Number(header) : undefined;
}

function readChecksum(header: string | string[] | undefined): Checksum | undefined {
  if (header === undefined) return undefined;
  const match = /^(sha1|sha256) ([A-Za-z0-9+/]{27,43}=)$/.exec(String(header));
  const expected = Buffer.from(match?.[2] ?? '', 'base64');
  const hash = createHash(match?.[1] ?? 'sha1');
  if (match === null || expected.length !== hash.copy().digest().length) throw new Refusal('checksum-refused');
  return { hash, expected };
}
