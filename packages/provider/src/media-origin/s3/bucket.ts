// One bucket: each request that the store makes of it, with failures as errors of the port.
// Knows nothing of spools, offsets or what keys mean.
// Source: Amazon S3 API reference, multipart upload.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
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
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { MediaStoreError } from '../media-store.ts';
import { ask, failureOf, isNoObject } from './failures.ts';
import type { S3Limits, S3StoreOptions } from './options.ts';

type Part = { readonly PartNumber: number; readonly ETag: string };

export class Bucket {
  readonly name: string;
  readonly client: S3Client;

  constructor(options: S3StoreOptions, limits: S3Limits) {
    this.name = options.bucket;
    this.client = openClient(options, limits);
  }

  async beginUpload(Key: string): Promise<string> {
    const command = new CreateMultipartUploadCommand({ Bucket: this.name, Key });
    const { UploadId } = await ask(() => this.client.send(command));
    if (UploadId === undefined) throw new MediaStoreError('storage-broken', 'the store began an upload without a name');
    return UploadId;
  }

  async putPart(Key: string, UploadId: string, part: number, Body: Buffer, signal?: AbortSignal): Promise<void> {
    const command = new UploadPartCommand({ Bucket: this.name, Key, UploadId, PartNumber: part, Body });
    await ask(() => this.client.send(command, signal === undefined ? {} : { abortSignal: signal }));
  }

  /** Makes one object of the parts, which together must have this size. */
  async completeUpload(Key: string, UploadId: string, sizeBytes: number): Promise<void> {
    const Parts: Part[] = [];
    let listedBytes = 0;
    await ask(async () => {
      for await (const page of paginateListParts({ client: this.client }, { Bucket: this.name, Key, UploadId })) {
        for (const { PartNumber, ETag, Size } of page.Parts ?? []) {
          const inOrder = PartNumber === Parts.length + 1;
          if (!inOrder || ETag === undefined || Size === undefined) return;
          Parts.push({ PartNumber, ETag });
          listedBytes += Size;
        }
      }
    });
    if (listedBytes !== sizeBytes) throw new MediaStoreError('storage-broken', 'the store has lost parts');
    const whole = { Bucket: this.name, Key, UploadId, MultipartUpload: { Parts } };
    await ask(() => this.client.send(new CompleteMultipartUploadCommand(whole)));
  }

  async put(Key: string, Body: Buffer | string): Promise<void> {
    await ask(() => this.client.send(new PutObjectCommand({ Bucket: this.name, Key, Body })));
  }

  /** Of a whole object; undefined when there is none. */
  async sizeOf(Key: string): Promise<number | undefined> {
    return this.#unlessMissing(async () => {
      const { ContentLength } = await this.client.send(new HeadObjectCommand({ Bucket: this.name, Key }));
      return ContentLength;
    });
  }

  /** A whole object as text; undefined when there is none. */
  async getText(Key: string): Promise<string | undefined> {
    return this.#unlessMissing(async () => {
      const { Body } = await this.client.send(new GetObjectCommand({ Bucket: this.name, Key }));
      return await Body?.transformToString();
    });
  }

  /** Bytes `startBytes` up to but not including `endBytes`; undefined when there is no such object. */
  async getRange(Key: string, startBytes: number, endBytes: number): Promise<Readable | undefined> {
    const Range = `bytes=${startBytes}-${endBytes - 1}`;
    return this.#unlessMissing(async () => {
      const { Body, ContentLength } = await this.client.send(new GetObjectCommand({ Bucket: this.name, Key, Range }));
      if (!(Body instanceof Readable)) throw new MediaStoreError('storage-broken', 'an answer without a body');
      if (ContentLength === endBytes - startBytes) return Body;
      Body.destroy();
      throw new MediaStoreError('storage-broken', 'the store gave another range');
    });
  }

  /** The object, and uploads to its key that were never completed. */
  async remove(Key: string): Promise<void> {
    for await (const { key, uploadId: UploadId } of this.unfinished(Key)) {
      if (key !== Key) continue;
      const command = new AbortMultipartUploadCommand({ Bucket: this.name, Key, UploadId });
      await this.#unlessMissing(() => this.client.send(command));
    }
    await ask(() => this.client.send(new DeleteObjectCommand({ Bucket: this.name, Key })));
  }

  async *unfinished(Prefix: string): AsyncIterable<{ readonly key: string; readonly uploadId: string }> {
    let from: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};
    for (;;) {
      const page: ListMultipartUploadsCommandOutput = await ask(() =>
        this.client.send(new ListMultipartUploadsCommand({ Bucket: this.name, Prefix, ...from })),
      );
      for (const { Key, UploadId } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined) yield { key: Key, uploadId: UploadId };
      }
      const { NextKeyMarker, NextUploadIdMarker } = page;
      if (page.IsTruncated !== true || NextKeyMarker === undefined || NextUploadIdMarker === undefined) return;
      from = { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker };
    }
  }

  /** The keys of whole objects. */
  async *keys(Prefix: string): AsyncIterable<string> {
    const { client } = this;
    const pages = paginateListObjectsV2({ client }, { Bucket: this.name, Prefix })[Symbol.asyncIterator]();
    for (let page = await ask(() => pages.next()); page.done !== true; page = await ask(() => pages.next())) {
      for (const { Key } of page.value.Contents ?? []) if (Key !== undefined) yield Key;
    }
  }

  close(): void {
    this.client.destroy();
  }

  async #unlessMissing<T>(run: () => Promise<T>): Promise<T | undefined> {
    try {
      return await run();
    } catch (error) {
      if (isNoObject(error)) return undefined;
      throw failureOf(error);
    }
  }
}

function openClient(options: S3StoreOptions, limits: S3Limits): S3Client {
  const pool = { keepAlive: true, maxSockets: limits.connections, noDelay: true };
  return new S3Client({
    endpoint: options.endpoint,
    region: options.region,
    forcePathStyle: options.pathStyle,
    // These are given so that nothing is looked for in `~/.aws`, the environment or the metadata service of a cloud.
    credentials: { ...options.credentials },
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
}
