// Keeps the media origin's files in an S3-compatible bucket: an adapter of the port MediaStore.
//
// A file is cut into parts of one size. What arrives is written to a spool on local disk first; a part that is full goes to
// the bucket (UploadPart), and the last, shorter one when the file is whole. So what was synced lies in the bucket, but for
// less than a part's size, which lies in the spool: parts have a least size of 5 MiB there, and an offset that a client was
// told needs none. A spooled part is removed only when its copy is in the bucket and the offset behind it was noted, since
// parts of an unfinished upload can be replaced but not read.
//
// Knows nothing of people, quotas or expiry. Source: docs/protocol/11-media.md section 11.5; Amazon S3 API reference,
// multipart upload; decision 0016.

import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  paginateListObjectsV2,
  paginateListParts,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { isMediaName, MediaStoreError, type MediaStore, type MediaWriter, syncFolder } from './media-store.ts';

/** Named limits; each may be changed when the store is opened. */
export type S3Limits = {
  /** At least 5 MiB, which is what S3 asks for. Uploads that aren't whole are lost when it changes. */
  readonly partBytes: number;
  /** Parts on their way to the bucket, each of them in memory. */
  readonly partsAtOnce: number;
  /** Of these, the parts of one upload. */
  readonly partsAtOncePerUpload: number;
  /** Tries of one request, with growing random pauses between them. */
  readonly attempts: number;
  readonly connectTimeoutMs: number;
  /** Of one try, until the answer begins. */
  readonly requestTimeoutMs: number;
  /** Nothing moves. */
  readonly idleTimeoutMs: number;
  readonly connections: number;
};

export const defaultS3Limits: S3Limits = {
  partBytes: 5_242_880,
  partsAtOnce: 4,
  partsAtOncePerUpload: 2,
  attempts: 4,
  connectTimeoutMs: 3_000,
  requestTimeoutMs: 60_000,
  idleTimeoutMs: 30_000,
  connections: 2_048,
};

export type S3Credentials = {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
};

export type S3StoreOptions = {
  /** What is reached is the operator's choice, private addresses too; no part of it comes from people. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Stands before every key; one media origin alone uses it. */
  readonly prefix: string;
  /** The bucket in the path (`https://host/bucket/key`) and not in the host's name. */
  readonly pathStyle: boolean;
  readonly credentials: S3Credentials;
  /** PEM of authorities that are trusted instead of the system's. */
  readonly ca?: string;
  /** On local disk; it must stay, like the media database. */
  readonly spoolFolder: string;
  readonly limits?: Partial<S3Limits>;
};

export type S3Store = MediaStore & {
  /**
   * Asks the bucket whether it takes and gives objects, and whether the prefix is this origin's: the first origin leaves a
   * mark there. Rejects with a MediaStoreError whose message says what to do.
   */
  readonly check: () => Promise<void>;
  readonly close: () => void;
};

const markName = 'drawbridge-media-origin';
const partName = /^[0-9]{5}$/;

/** Makes the spool; asks the bucket nothing. Throws when the folder can't be made. */
export function openS3MediaStore(options: S3StoreOptions): S3Store {
  const { bucket: Bucket, prefix, spoolFolder, credentials } = options;
  const limits: S3Limits = { ...defaultS3Limits, ...options.limits };
  const { partBytes } = limits;
  mkdirSync(spoolFolder, { recursive: true, mode: 0o700 });
  const pool = { keepAlive: true, maxSockets: limits.connections, noDelay: true };
  const client = new S3Client({
    endpoint: options.endpoint,
    region: options.region,
    forcePathStyle: options.pathStyle,
    // These are given so that nothing is looked for in `~/.aws`, the environment or the metadata service of a cloud.
    credentials: { ...credentials },
    authSchemePreference: ['sigv4'],
    defaultsMode: 'standard',
    disableClockSkewCorrection: false,
    disableS3ExpressSessionAuth: true,
    sigv4aSigningRegionSet: [options.region],
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'drawbridge',
    retryMode: 'standard',
    maxAttempts: limits.attempts,
    // Bodies are signed with their SHA-256. The newer checksums are unknown to many stores.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    followRegionRedirects: false,
    requestHandler: {
      httpAgent: new HttpAgent(pool),
      httpsAgent: new HttpsAgent({
        ...pool,
        minVersion: 'TLSv1.2',
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      }),
      connectionTimeout: limits.connectTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: limits.idleTimeoutMs,
    },
  });
  const takePlace = createPlaces(limits.partsAtOnce);
  const keyOf = (name: string): string => prefix + name;
  const spoolOf = (name: string): string => join(spoolFolder, name);
  const partFile = (name: string, part: number): string => join(spoolOf(name), String(part).padStart(5, '0'));
  const partOf = (offsetBytes: number): number => Math.floor(offsetBytes / partBytes) + 1;

  /** Runs requests; their failures become errors of the port. */
  async function ask<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw failureOf(error);
    }
  }

  /** The multipart upload of this file; begun, and noted in the spool, when there is none yet. */
  async function uploadIdOf(name: string): Promise<string> {
    const noted = join(spoolOf(name), 'upload');
    try {
      return await readFile(noted, 'utf8');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    const { UploadId } = await ask(() => client.send(new CreateMultipartUploadCommand({ Bucket, Key: keyOf(name) })));
    if (UploadId === undefined) throw new MediaStoreError('storage-broken', 'the store began an upload without a name');
    // Parts can be found again by this name alone, so it is on disk before the first of them counts.
    const file = await open(noted, 'w', 0o600);
    try {
      await file.writeFile(UploadId);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(spoolOf(name));
    return UploadId;
  }

  async function sendPart(name: string, part: number, UploadId: string, signal?: AbortSignal): Promise<void> {
    const free = await takePlace();
    try {
      signal?.throwIfAborted();
      const Body = await readFile(partFile(name, part));
      const command = new UploadPartCommand({ Bucket, Key: keyOf(name), UploadId, PartNumber: part, Body });
      await ask(() => client.send(command, signal === undefined ? {} : { abortSignal: signal }));
    } finally {
      free();
    }
  }

  /** Leaves in the spool exactly what lies between the last full part and the offset. */
  async function cutSpool(name: string, offsetBytes: number): Promise<void> {
    const current = partOf(offsetBytes);
    for (const each of await readdir(spoolOf(name))) {
      if (partName.test(each) && Number(each) !== current) await rm(join(spoolOf(name), each));
    }
    const keptBytes = offsetBytes - (current - 1) * partBytes;
    if (keptBytes === 0) await rm(partFile(name, current), { force: true });
    else {
      const { size } = await stat(partFile(name, current));
      // Cutting a file to more than it has would fill it up with zeros.
      if (size < keptBytes) throw new MediaStoreError('storage-broken', 'the spool has lost what was acknowledged');
      await truncate(partFile(name, current), keptBytes);
    }
  }

  async function openWriter(name: string, offsetBytes: number): Promise<MediaWriter> {
    // Made for the first byte only: a spool that is gone later is a loss to be said, not to be papered over.
    if (offsetBytes === 0) {
      mkdirSync(spoolOf(name), { recursive: true, mode: 0o700 });
      await syncFolder(spoolFolder);
    }
    await cutSpool(name, offsetBytes);
    const stopping = new AbortController();
    const sending: Promise<void>[] = [];
    let uploadId: Promise<string> | undefined;
    let atBytes = offsetBytes;
    let syncedBytes = offsetBytes;
    let file: FileHandle | undefined;
    /** Parts whose copy is in the bucket, and whose spooled bytes may go when the offset has been noted. */
    let sent: number[] = [];

    const send = async (part: number): Promise<void> => {
      uploadId ??= uploadIdOf(name);
      await sendPart(name, part, await uploadId, stopping.signal);
      sent.push(part);
    };
    const openPart = async (): Promise<FileHandle> => {
      const opened = await open(partFile(name, partOf(atBytes)), 'a', 0o600);
      await syncFolder(spoolOf(name));
      return opened;
    };
    const closePart = async (): Promise<void> => {
      const closing = file;
      file = undefined;
      await closing?.close();
    };

    return {
      async write(pieces) {
        // The writer that goes on has noted what was synced.
        const noted = sent.filter(part => part * partBytes <= syncedBytes);
        sent = sent.filter(part => !noted.includes(part));
        for (const part of noted) await rm(partFile(name, part), { force: true });
        for (let piece of pieces) {
          while (piece.length > 0) {
            const part = partOf(atBytes);
            const now = piece.subarray(0, part * partBytes - atBytes);
            file ??= await openPart();
            await file.appendFile(now);
            atBytes += now.length;
            piece = piece.subarray(now.length);
            if (atBytes < part * partBytes) continue;
            await closePart();
            if (sending.length >= limits.partsAtOncePerUpload) await sending.shift();
            const arrival = send(part);
            // Waited for later; until then a failure is nobody's.
            arrival.catch(() => {});
            sending.push(arrival);
          }
        }
      },
      async sync() {
        await Promise.all(sending);
        sending.length = 0;
        await file?.datasync();
        syncedBytes = atBytes;
      },
      async close() {
        stopping.abort();
        await Promise.allSettled(sending);
        await closePart();
      },
    };
  }

  async function sizeOf(name: string): Promise<number | undefined> {
    try {
      const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket, Key: keyOf(name) }));
      return ContentLength;
    } catch (error) {
      if (isNoObject(error)) return undefined;
      throw failureOf(error);
    }
  }

  async function assemble(name: string, sizeBytes: number): Promise<void> {
    const fullParts = Math.floor(sizeBytes / partBytes);
    const Key = keyOf(name);
    if (fullParts === 0) {
      const free = await takePlace();
      try {
        const Body = sizeBytes === 0 ? Buffer.alloc(0) : await readFile(partFile(name, 1));
        if (Body.length !== sizeBytes) throw new MediaStoreError('storage-broken', 'the spool has another size');
        await ask(() => client.send(new PutObjectCommand({ Bucket, Key, Body })));
      } finally {
        free();
      }
      return;
    }
    const UploadId = await readFile(join(spoolOf(name), 'upload'), 'utf8');
    if (sizeBytes > fullParts * partBytes) await sendPart(name, fullParts + 1, UploadId);
    const Parts: { readonly PartNumber: number; readonly ETag: string }[] = [];
    let listedBytes = 0;
    await ask(async () => {
      for await (const page of paginateListParts({ client }, { Bucket, Key, UploadId })) {
        for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
          const inOrder = PartNumber === Parts.length + 1;
          if (!inOrder || ETag === undefined || Size === undefined) return;
          Parts.push({ PartNumber, ETag });
          listedBytes += Size;
        }
      }
    });
    if (listedBytes !== sizeBytes) throw new MediaStoreError('storage-broken', 'the store has lost parts');
    const command = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } });
    await ask(() => client.send(command));
  }

  async function finish(name: string, sizeBytes: number): Promise<void> {
    try {
      await assemble(name, sizeBytes);
    } catch (error) {
      // The process died, or an answer was lost, after the file was there.
      const lost = isMissing(error) || (error instanceof MediaStoreError && error.code === 'storage-broken');
      if (!lost || (await sizeOf(name)) !== sizeBytes) throw error;
    }
    await rm(spoolOf(name), { recursive: true, force: true });
  }

  async function read(name: string, startBytes: number, endBytes: number): Promise<Readable | undefined> {
    const Range = `bytes=${startBytes}-${endBytes - 1}`;
    try {
      const { Body, ContentLength } = await client.send(new GetObjectCommand({ Bucket, Key: keyOf(name), Range }));
      if (!(Body instanceof Readable)) throw new MediaStoreError('storage-broken', 'an answer without a body');
      if (ContentLength === endBytes - startBytes) return Body;
      Body.destroy();
      throw new MediaStoreError('storage-broken', 'the store gave another range');
    } catch (error) {
      if (isNoObject(error)) return undefined;
      throw failureOf(error);
    }
  }

  async function* unfinished(Prefix: string): AsyncIterable<{ readonly key: string; readonly uploadId: string }> {
    let from: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};
    for (;;) {
      const page: ListMultipartUploadsCommandOutput = await ask(() =>
        client.send(new ListMultipartUploadsCommand({ Bucket, Prefix, ...from })),
      );
      for (const { Key, UploadId } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined) yield { key: Key, uploadId: UploadId };
      }
      const { NextKeyMarker, NextUploadIdMarker } = page;
      if (page.IsTruncated !== true || NextKeyMarker === undefined || NextUploadIdMarker === undefined) return;
      from = { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker };
    }
  }

  async function remove(name: string): Promise<void> {
    const Key = keyOf(name);
    for await (const { key, uploadId } of unfinished(Key)) {
      if (key !== Key) continue;
      await client
        .send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: uploadId }))
        .catch((error: unknown) => {
          if (!isNoObject(error)) throw failureOf(error);
        });
    }
    await ask(() => client.send(new DeleteObjectCommand({ Bucket, Key })));
    // Last: while it is there the name is found again.
    await rm(spoolOf(name), { recursive: true, force: true });
  }

  async function* names(): AsyncIterable<string> {
    // The caller removes what it doesn't know: never in another origin's prefix.
    await check();
    for (const name of await readdir(spoolFolder)) if (isMediaName(name)) yield name;
    const nameOf = (key: string | undefined): string => key?.slice(prefix.length) ?? '';
    for await (const { key } of unfinished(prefix)) if (isMediaName(nameOf(key))) yield nameOf(key);
    const pages = paginateListObjectsV2({ client }, { Bucket, Prefix: prefix })[Symbol.asyncIterator]();
    for (let page = await ask(() => pages.next()); page.done !== true; page = await ask(() => pages.next())) {
      for (const { Key } of page.value.Contents ?? []) if (isMediaName(nameOf(Key))) yield nameOf(Key);
    }
  }

  async function readMark(): Promise<string | undefined> {
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: prefix + markName }));
      return await Body?.transformToString();
    } catch (error) {
      if (isNoObject(error)) return undefined;
      throw failureOf(error);
    }
  }

  async function ownMark(): Promise<string> {
    const noted = join(spoolFolder, markName);
    try {
      return await readFile(noted, 'utf8');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    const mark = randomBytes(16).toString('hex');
    const file = await open(noted, 'wx', 0o600);
    try {
      await file.writeFile(mark);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncFolder(spoolFolder);
    return mark;
  }

  async function check(): Promise<void> {
    const found = await readMark();
    const own = await ownMark();
    if (found === own) return;
    if (found === undefined) {
      await ask(() => client.send(new PutObjectCommand({ Bucket, Key: prefix + markName, Body: own })));
      // Two origins that begin at once: one of them sees the other's.
      if ((await readMark()) === own) return;
    }
    throw new MediaStoreError(
      'storage-not-ours',
      `another media origin uses the prefix '${prefix}' of this bucket: choose another prefix. If ${spoolFolder} and the ` +
        `media database were lost, remove everything under the prefix first`,
    );
  }

  return { openWriter, finish, read, remove, names, check, close: () => client.destroy() };
}

/** Lets a fixed number hold a place at once; the others wait in order. */
function createPlaces(count: number): () => Promise<() => void> {
  const waiting: (() => void)[] = [];
  let free = count;
  return async () => {
    if (free > 0) free -= 1;
    else await new Promise<void>(resolve => waiting.push(resolve));
    return () => {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    };
  };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function isNoObject(error: unknown): boolean {
  return (
    error instanceof S3ServiceException &&
    error.$metadata.httpStatusCode === 404 &&
    ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(error.name)
  );
}

const fullNames = ['QuotaExceeded', 'XMinioStorageFull', 'InsufficientStorage', 'EntityTooLarge'];
const refusedNames = ['NoSuchBucket', 'PermanentRedirect', 'AuthorizationHeaderMalformed', 'InvalidBucketName'];

/** What a failure is to the media origin. The store's own words stay out: they name the bucket, keys and hosts. */
function failureOf(error: unknown): unknown {
  if (error instanceof MediaStoreError) return error;
  if (!(error instanceof S3ServiceException)) {
    // Broken connections, time-outs, answers that are no XML. The rest are aborts and defects of ours.
    const unanswered =
      error instanceof Error &&
      error.name !== 'AbortError' &&
      ('code' in error || '$response' in error || error.name === 'TimeoutError');
    return unanswered
      ? new MediaStoreError('storage-unavailable', 'the store does not answer: check its endpoint and the network')
      : error;
  }
  const status = error.$metadata.httpStatusCode ?? 0;
  if (status === 507 || status === 413 || fullNames.includes(error.name)) {
    return new MediaStoreError('storage-full', 'the bucket has no room');
  }
  if (status === 401 || status === 403 || status === 301 || refusedNames.includes(error.name)) {
    return new MediaStoreError(
      'storage-refused',
      `the store refuses (${error.name}): check bucket, region, credentials, and the rights to list, read, write and ` +
        `delete in the bucket`,
    );
  }
  if (status === 429 || status >= 500 || status === 0) {
    return new MediaStoreError('storage-unavailable', `the store fails (${error.name}): try again later`);
  }
  return new MediaStoreError('storage-broken', `the store answers unexpectedly (${error.name})`);
}
