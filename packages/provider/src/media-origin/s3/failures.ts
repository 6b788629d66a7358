// What answers of a bucket mean to the media origin. The store's own words stay out: they name the bucket, keys and hosts.
// Knows nothing of what was asked.
import { S3ServiceException } from '@aws-sdk/client-s3';
import { MediaStoreError } from '../media-store.ts';

/** Runs requests; their failures become errors of the port. */
export async function ask<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw failureOf(error);
  }
}

export function isNoObject(error: unknown): boolean {
  return (
    error instanceof S3ServiceException &&
    error.$metadata.httpStatusCode === 404 &&
    ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(error.name)
  );
}

const fullNames = ['QuotaExceeded', 'XMinioStorageFull', 'InsufficientStorage', 'EntityTooLarge'];
const refusedNames = ['NoSuchBucket', 'PermanentRedirect', 'AuthorizationHeaderMalformed', 'InvalidBucketName'];

/** What a failure is to the media origin. */
export function failureOf(error: unknown): unknown {
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
