// The media origin: people of this provider upload encrypted files, in pieces that can be resumed (tus 1.0), and whoever
// knows a file's URL reads it, whole or in ranges. Mountable in any node:http(s) server. This file puts the room together
// and finds out what a request wants; the files beside it do it.
// Knows nothing of what the files are, what they are called, who reads them, or how they are encrypted.
// Source: docs/protocol/11-media.md section 11.4-11.5.

import { mkdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { createDiskRoom, measureDisk } from './disk-room.ts';
import { createDownloads, type Downloads } from './downloads.ts';
import {
  defaultMediaLimits,
  type KeptFile,
  type MediaFile,
  type MediaLimits,
  type MediaOrigin,
  type MediaOriginOptions,
} from './media-options.ts';
import { failureCode, lingerMs, problemOf, Refusal, refuse, tusVersion } from './media-problems.ts';
import { createDiskMediaStore } from './media-store.ts';
import { createTransfers } from './transfers.ts';
import { onCollection, onUpload, type TusContext } from './tus-requests.ts';
import { createUploadFiles } from './upload-files.ts';
import { openUploads, type Upload } from './uploads.ts';

export type {
  KeptFile,
  MediaFile,
  MediaLimits,
  MediaOptions,
  MediaOrigin,
  MediaOriginOptions,
  RemovedFiles,
} from './media-options.ts';

const uploadMethods = 'OPTIONS, POST';
const fileMethods = 'OPTIONS, GET, HEAD, PATCH, DELETE';

/** Opens folder and database. Throws when they are unfit: nothing would work then. */
export function createMediaOrigin(options: MediaOriginOptions): MediaOrigin {
  const { log, path, nowMs } = options;
  const { stampMs, judgeMs } = options.expiry ?? { stampMs: nowMs, judgeMs: nowMs };
  const limits: MediaLimits = { ...defaultMediaLimits, ...options.limits };
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const uploads = openUploads(join(options.folder, 'media.sqlite'), limits, judgeMs);
  const store = options.store ?? createDiskMediaStore(join(options.folder, 'files'));
  const transfers = createTransfers(limits);
  const files = createUploadFiles({ uploads, store, transfers, limits, stampMs });
  const room = createDiskRoom(options.disk ?? measureDisk(options.folder), limits);
  const downloads = createDownloads(limits);
  const context = { options, limits, uploads, files, transfers, store, room };
  let closing: Promise<void> | undefined;
  let collecting: Promise<void> | undefined;

  function find(id: string): MediaFile | undefined {
    const upload = uploads.find(id);
    if (upload?.complete !== true) return undefined;
    const { name, sizeBytes } = upload;
    return { sizeBytes, read: (startBytes, endBytes) => store.read(name, startBytes, endBytes) };
  }

  async function collect(): Promise<void> {
    try {
      await files.collect(() => closing !== undefined);
    } catch (error) {
      log('media-not-collected', failureCode(error) ?? 'internal-error');
    } finally {
      collecting = undefined;
    }
  }

  async function close(): Promise<void> {
    downloads.close();
    await transfers.endAll();
    await collecting;
    await uploads.close();
  }

  return {
    serves: request => {
      const { url = '' } = request;
      return url.startsWith(path) && ['', '/', '?'].includes(url.charAt(path.length));
    },
    handler: (request, response) => {
      // Nobody reads what comes after the answer, and no other limit ends it.
      response.once('finish', () => setTimeout(() => request.complete || request.destroy(), lingerMs).unref());
      const serving =
        closing === undefined
          ? serve(context, downloads, find, request, response)
          : Promise.reject(new Refusal('busy'));
      serving.catch((error: unknown) => {
        const code = problemOf(error);
        // What failed on our side, or needs the operator; any other refusal of ours is the client's affair.
        if (!(error instanceof Refusal)) log('media-failed', failureCode(error) ?? code);
        else if (code === 'storage-full') log('media-refused', code);
        refuse(request, response, code);
      });
    },
    find,
    collectGarbage: () => (collecting ??= collect()),
    filesOf: identifier => uploads.ofOwner(identifier).map(keptFile),
    async removeAllOf(identifier) {
      const mine = uploads.ofOwner(identifier);
      // The row goes behind its file: what fails is found again.
      await files.removeAll(mine.map(({ name }) => name));
      return { count: mine.length, bytes: mine.reduce((sum, { offsetBytes }) => sum + offsetBytes, 0) };
    },
    close: () => (closing ??= close()),
  };
}

function keptFile({ sizeBytes, offsetBytes, complete, expiresAtMs }: Upload): KeptFile {
  return { sizeBytes, keptBytes: offsetBytes, complete, expiresAtMs };
}

async function serve(
  context: TusContext,
  downloads: Downloads,
  find: (id: string) => MediaFile | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('x-content-type-options', 'nosniff');
  response.setHeader('content-security-policy', "default-src 'none'; sandbox");
  const [target = ''] = (request.url ?? '').split('?', 1);
  const rest = target.slice(context.options.path.length);
  const id = /^\/([A-Za-z0-9_-]{43})$/.exec(rest)?.[1];
  const isCollection = rest === '' || rest === '/';
  if (!isCollection && id === undefined) throw new Refusal('not-found');
  const override = request.headers['x-http-method-override'];
  const method = typeof override === 'string' ? override : (request.method ?? '');
  const allow = isCollection ? uploadMethods : fileMethods;
  if (method === 'OPTIONS') return describe(response, context.limits, allow);
  const speaksTus = request.headers['tus-resumable'];
  if (id !== undefined && (method === 'GET' || (method === 'HEAD' && speaksTus === undefined))) {
    return await downloads.answer(request, response, context.options.reading === 'closed' ? undefined : find(id));
  }
  const serveTus = id === undefined ? onCollection.get(method) : onUpload.get(method);
  if (serveTus === undefined) {
    response.setHeader('allow', allow);
    throw new Refusal('method-refused');
  }
  if (speaksTus !== tusVersion) {
    response.setHeader('tus-version', tusVersion);
    throw new Refusal('version-refused');
  }
  await serveTus(context, request, response, id ?? '');
}

function describe(response: ServerResponse, limits: MediaLimits, allow: string): void {
  response.writeHead(204, {
    'tus-resumable': tusVersion,
    'tus-version': tusVersion,
    'tus-extension': 'creation,creation-with-upload,expiration,checksum,termination',
    'tus-max-size': String(limits.maxUploadBytes),
    'tus-checksum-algorithm': 'sha1,sha256',
    allow,
  });
  response.end();
}
