// Uploads over HTTP: creates, continues, tells and ends them (tus 1.0.0). Reads headers once and answers.
// Knows nothing of how bytes get to disk. Source: docs/protocol/11-media.md section 11.5; tus 1.0.0 with the extensions
// creation, creation-with-upload, expiration, checksum and termination.

import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { DiskRoom } from './disk-room.ts';
import type { MediaLimits, MediaOriginOptions } from './media-options.ts';
import { Refusal, tusHeaders } from './media-problems.ts';
import type { MediaStore } from './media-store.ts';
import { type Checksum, receiveBody } from './receive-body.ts';
import type { Transfers } from './transfers.ts';
import type { UploadFiles } from './upload-files.ts';
import type { Upload, Uploads } from './uploads.ts';

export type TusContext = {
  readonly options: MediaOriginOptions;
  readonly limits: MediaLimits;
  readonly uploads: Uploads;
  readonly files: UploadFiles;
  readonly transfers: Transfers;
  readonly store: MediaStore;
  readonly room: DiskRoom;
};

type ServeTus = (context: TusContext, request: IncomingMessage, response: ServerResponse, id: string) => Promise<void>;

/** What is done where uploads are created, by method. */
export const onCollection: ReadonlyMap<string, ServeTus> = new Map([['POST', create]]);

/** What is done with one upload, by method. */
export const onUpload: ReadonlyMap<string, ServeTus> = new Map([
  ['HEAD', tellOffset],
  ['PATCH', append],
  ['DELETE', terminate],
]);

async function create(context: TusContext, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { uploads, limits, options } = context;
  const owner = await ownerOf(context, request);
  const sizeBytes = readCount(request.headers['upload-length']);
  if (sizeBytes === undefined) throw new Refusal('request-refused');
  if (sizeBytes > limits.maxUploadBytes) throw new Refusal('too-large');
  // A store elsewhere keeps next to nothing on this disk, but nothing begins on one that is full.
  const onDisk = options.store === undefined;
  const fits = await context.room.fits(onDisk ? sizeBytes : 0, onDisk ? uploads.promisedBytes() : 0);
  if (!fits) throw new Refusal('storage-full');
  // `Upload-Metadata` (names, types) is never looked at.
  const created = await uploads.create(
    owner,
    sizeBytes,
    (options.expiry?.stampMs ?? options.nowMs)() + limits.unfinishedLifetimeMs,
  );
  if (created.kind === 'quota-used-up') throw new Refusal('quota-used-up');
  await requireStillOwner(context, request, created.upload);
  const begun = isUploadBody(request) || sizeBytes === 0;
  const upload = begun ? await receive(context, request, created.upload) : created.upload;
  response.writeHead(201, {
    ...answerHeaders(upload),
    location: `${options.url}/${created.id}`,
    'content-length': '0',
  });
  response.end();
}

async function append(
  context: TusContext,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
): Promise<void> {
  const found = await ownUpload(context, request, id);
  if (!isUploadBody(request)) throw new Refusal('media-type-refused');
  const offsetBytes = readCount(request.headers['upload-offset']);
  if (offsetBytes === undefined) throw new Refusal('request-refused');
  const upload = await context.files.settled(id, found.name);
  if (upload.offsetBytes !== offsetBytes) throw new Refusal('offset-differs');
  const kept = upload.complete ? upload : await receive(context, request, upload);
  response.writeHead(204, answerHeaders(kept)).end();
}

async function tellOffset(
  context: TusContext,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
): Promise<void> {
  const upload = await context.files.settled(id, (await ownUpload(context, request, id)).name);
  response.writeHead(200, { ...answerHeaders(upload), 'upload-length': String(upload.sizeBytes) }).end();
}

async function terminate(
  context: TusContext,
  request: IncomingMessage,
  response: ServerResponse,
  id: string,
): Promise<void> {
  const { name } = await context.files.takeOver(id, (await ownUpload(context, request, id)).name);
  await context.files.remove(name);
  response.writeHead(204, tusHeaders).end();
}

/** Takes the request's body into the upload. Gives the upload as it is then. */
async function receive(context: TusContext, request: IncomingMessage, upload: Upload): Promise<Upload> {
  const roomBytes = upload.sizeBytes - upload.offsetBytes;
  if (Number(request.headers['content-length'] ?? 0) > roomBytes) throw new Refusal('too-large');
  const checksum = readChecksum(request.headers['upload-checksum']);
  return await context.transfers.receive(
    upload,
    () => request.destroy(),
    () => receiveBody(context, request, upload, checksum),
  );
}

async function ownerOf({ options }: TusContext, request: IncomingMessage): Promise<string> {
  const token = /^Bearer ([A-Za-z0-9_-]{43})$/i.exec(request.headers.authorization ?? '')?.[1];
  const owner = token === undefined ? undefined : await options.authenticate(token);
  if (owner === undefined) throw new Refusal('not-authorized');
  return owner;
}

/** An account that was closed while its upload was created: nobody would remove that one. */
async function requireStillOwner(context: TusContext, request: IncomingMessage, { name }: Upload): Promise<void> {
  try {
    await ownerOf(context, request);
  } catch (error) {
    await context.files.remove(name);
    throw error;
  }
}

async function ownUpload(context: TusContext, request: IncomingMessage, id: string): Promise<Upload> {
  const owner = await ownerOf(context, request);
  const upload = context.uploads.find(id);
  if (upload?.owner !== owner) throw new Refusal('not-found');
  return upload;
}

function answerHeaders(upload: Upload): Record<string, string> {
  return {
    ...tusHeaders,
    'upload-expires': new Date(upload.expiresAtMs).toUTCString(),
    'upload-offset': String(upload.offsetBytes),
  };
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
