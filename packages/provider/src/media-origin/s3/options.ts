// What an operator says of a bucket, and the named limits of working with it.
// Values alone; asks nothing.

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
