// How an operator names the S3-compatible bucket for the media origin's files: the form, its check, and opening what it names.
// Knows nothing of the rest of any configuration file. Source: docs/operations/configuration.md.

import { readFileSync } from 'node:fs';
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import { type MediaStore, MediaStoreError } from './media-store.ts';
import type { S3Credentials } from './s3/options.ts';

/** The form in JSON. Paths are the reader's to resolve. */
export const mediaStorageSchema = Type.Object(
  {
    endpoint: Type.String({
      minLength: 1,
      maxLength: 2_048,
      description: 'URL of the S3-compatible store: https, or http on this machine; private addresses are allowed',
    }),
    region: Type.String({ minLength: 1, maxLength: 64, description: 'region that requests are signed for' }),
    bucket: Type.String({ pattern: '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$', description: 'a bucket that exists' }),
    prefix: Type.String({
      pattern: '^([A-Za-z0-9_-]{1,100}/){0,4}$',
      default: '',
      description: 'stands before every key and ends with a slash; used by this media origin alone',
    }),
    pathStyle: Type.Boolean({
      default: true,
      description: 'the bucket in the path; `false`: in the host name, as Amazon wants',
    }),
    credentialsFile: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'JSON with `accessKeyId`, `secretAccessKey` and perhaps `sessionToken`; without it the environment is read: ' +
          '`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`',
      }),
    ),
    caFile: Type.Optional(
      Type.String({ minLength: 1, description: "PEM, trusted instead of the system's authorities" }),
    ),
  },
  { additionalProperties: false, description: 'an S3-compatible bucket for files; local disk when left out' },
);
export type MediaStorage = Static<typeof mediaStorageSchema>;

const credentialsSchema = Type.Object(
  {
    accessKeyId: Type.String({ minLength: 1 }),
    secretAccessKey: Type.String({ minLength: 1 }),
    sessionToken: Type.Optional(Type.String({ minLength: 1 })),
  },
  { additionalProperties: false },
);

/** Completes a value with defaults and checks it; the text says what is wrong. */
export function parseMediaStorage(value: unknown): MediaStorage | string {
  const storage: unknown = Value.Default(mediaStorageSchema, Value.Clone(value));
  if (Value.Check(mediaStorageSchema, storage)) return endpointFault(storage) ?? storage;
  const [error] = Value.Errors(mediaStorageSchema, storage);
  return `${error?.instancePath.slice(1).replaceAll('/', '.') ?? ''} ${error?.message ?? 'has a wrong value'}`.trim();
}

/** What is wrong with the endpoint; undefined when nothing is. */
export function endpointFault({ endpoint }: MediaStorage): string | undefined {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined) return 'endpoint is not a URL';
  if (url.username !== '' || url.password !== '') return 'endpoint holds credentials: move them to credentialsFile';
  if (url.search !== '' || url.hash !== '') return 'endpoint has a query or fragment: remove it';
  if (url.protocol === 'https:') return undefined;
  // Requests are signed, but answers are not: elsewhere anybody on the way could change them.
  const loopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname);
  return url.protocol === 'http:' && loopback
    ? undefined
    : 'endpoint must begin with https:// (http:// on loopback only)';
}

function readCredentials(file: string | undefined, environment: NodeJS.ProcessEnv): S3Credentials {
  if (file === undefined) {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment;
    const { AWS_SESSION_TOKEN: sessionToken } = environment;
    if (!accessKeyId || !secretAccessKey) {
      throw new MediaStoreError(
        'storage-refused',
        'no credentials for the bucket: name a credentialsFile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
      );
    }
    return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
  }
  const unfit = (what: string): MediaStoreError =>
    new MediaStoreError('storage-refused', `credentialsFile ${file} ${what}`);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw unfit("can't be read: mend its name, owner or mode");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unfit('is not JSON');
  }
  if (!Value.Check(credentialsSchema, value)) throw unfit('must hold accessKeyId and secretAccessKey, and no more');
  return value;
}

export type OpenMediaStorage = {
  /** On local disk, kept like the media database. */
  readonly spoolFolder: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly log: (event: string, code: string) => void;
};

/**
 * Opens the bucket and checks it. Rejects with a MediaStoreError that says what to mend; a store that doesn't answer is
 * only logged, so that it can't keep everything else from starting.
 */
export async function openMediaStorage(storage: MediaStorage, options: OpenMediaStorage): Promise<MediaStore> {
  const { endpoint, region, bucket, prefix, pathStyle, credentialsFile, caFile } = storage;
  const credentials = readCredentials(credentialsFile, options.environment);
  // An origin that keeps files on disk never loads it.
  const { openS3MediaStore } = await import('./s3-store.ts');
  const store = openS3MediaStore({
    endpoint,
    region,
    bucket,
    prefix,
    pathStyle,
    credentials,
    spoolFolder: options.spoolFolder,
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
  });
  try {
    await store.check();
  } catch (error) {
    if (!(error instanceof MediaStoreError) || error.code !== 'storage-unavailable') throw error;
    options.log('media-storage', error.code);
  }
  return store;
}
