// What a media origin is given and what it gives: limits, options, and the origin itself. Types and default limits only.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { MeasureDisk } from './disk-room.ts';
import type { MediaStore } from './media-store.ts';

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
  /** Kept free on the disk of files or spool, for databases, logs and mailboxes on it. */
  readonly reserveBytes: number;
  /** On a small disk this share of it, when that is less. */
  readonly reservePercent: number;
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
  reserveBytes: 1_073_741_824,
  reservePercent: 20,
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
  /** By which files grow old; `nowMs` when left out. */
  readonly expiry?: ExpiryClock;
  /** The disk that files or their spool lie on; the one of `folder` when left out. */
  readonly disk?: MeasureDisk;
  readonly log: (event: string, code: string) => void;
};

/** A whole file that has not expired. */
export type MediaFile = {
  readonly sizeBytes: number;
  /** Bytes `startBytes` up to but not including `endBytes`; undefined when the file is gone meanwhile. */
  readonly read: (startBytes: number, endBytes: number) => Promise<Readable | undefined>;
};

/** An upload as its person may see it. Neither its URL nor what is in it is known here. */
export type KeptFile = {
  /** Of the whole file. */
  readonly sizeBytes: number;
  /** What has come of it. */
  readonly keptBytes: number;
  readonly complete: boolean;
  /** `retentionMs` after its last byte, or `unfinishedLifetimeMs` after the last piece of one that isn't whole. */
  readonly expiresAtMs: number;
};

export type RemovedFiles = { readonly count: number; readonly bytes: number };

export type MediaOrigin = {
  /** Whether this request is for the media origin. */
  readonly serves: (request: IncomingMessage) => boolean;
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** The file with this identifier, for a reader in this process. */
  readonly find: (id: string) => MediaFile | undefined;
  /** Removes what has expired, and files that no upload knows. Idempotent. */
  readonly collectGarbage: () => Promise<void>;
  /** What is there of a person's uploads, for that person. */
  readonly filesOf: (identifier: string) => readonly KeptFile[];
  /**
   * After an account was closed, whose sessions have ended. Gives what went. Rejects when the storage fails; what is left
   * then goes with the next call.
   */
  readonly removeAllOf: (identifier: string) => Promise<RemovedFiles>;
  /** Ends what is under way, keeps what has come, closes the database. */
  readonly close: () => Promise<void>;
};
