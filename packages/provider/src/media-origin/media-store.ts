// Where the media origin keeps encrypted files: the port, and its adapter for a folder on disk.
// Knows nothing of people, uploads' names on the web, quotas or expiry.
// Source: docs/protocol/11-media.md section 11.5.

import { chmodSync, mkdirSync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

/** One upload that is being written. Used by one caller at a time. */
export type MediaWriter = {
  /**
   * Writes the pieces, in order, behind what was written before. When it resolves they are not read again. Whoever writes
   * after `sync` has noted the offset.
   */
  readonly write: (pieces: readonly Uint8Array[]) => Promise<void>;
  /** When it resolves, everything written survives a power cut. */
  readonly sync: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/**
 * Names are 64 characters of lower-case hexadecimal. Every function rejects when the storage fails, with a
 * MediaStoreError or the system's error, and what was synced before stays.
 */
export type MediaStore = {
  /**
   * Makes the file when `offsetBytes` is 0; forgets whatever lies behind `offsetBytes`, which is at most what was synced
   * and at least what was noted.
   */
  readonly openWriter: (name: string, offsetBytes: number) => Promise<MediaWriter>;
  /**
   * The upload is whole, synced, and noted as such: no writer is opened any more. Idempotent: called again when it was
   * rejected, or the process died, before the end was noted.
   */
  readonly finish: (name: string, sizeBytes: number) => Promise<void>;
  /** Bytes `startBytes` up to but not including `endBytes` of a finished file; undefined when there is none. */
  readonly read: (name: string, startBytes: number, endBytes: number) => Promise<Readable | undefined>;
  /** Idempotent. */
  readonly remove: (name: string) => Promise<void>;
  /** Everything that is there, also what was never finished. */
  readonly names: () => AsyncIterable<string>;
};

/**
 * `storage-full` and `storage-unavailable` may pass by themselves; the others need the operator: `storage-refused` (rights,
 * bucket), `storage-not-ours` (another media origin's), `storage-broken` (what was there is lost, or answers make no sense).
 */
export type MediaStoreErrorCode =
  | 'storage-full'
  | 'storage-unavailable'
  | 'storage-refused'
  | 'storage-not-ours'
  | 'storage-broken';

/** The message is for the operator and says what to do; it holds no name of a file. */
export class MediaStoreError extends Error {
  readonly code: MediaStoreErrorCode;
  constructor(code: MediaStoreErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const readPieceBytes = 262_144;

export function isMediaName(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Keeps each file as one file of mode 0600 in 256 folders. Throws when the folder can't be made. */
export function createDiskMediaStore(folder: string): MediaStore {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const fileOf = (name: string): string => join(folder, name.slice(0, 2), name);

  return {
    async openWriter(name, offsetBytes) {
      const file = offsetBytes === 0 ? await create(folder, name) : await open(fileOf(name), 'r+');
      try {
        await file.truncate(offsetBytes);
      } catch (error) {
        await file.close();
        throw error;
      }
      let atBytes = offsetBytes;
      return {
        async write(pieces) {
          let left = [...pieces];
          while (left.length > 0) {
            const { bytesWritten } = await file.writev(left, atBytes);
            atBytes += bytesWritten;
            left = behind(left, bytesWritten);
          }
        },
        sync: () => file.datasync(),
        close: () => file.close(),
      };
    },
    finish: async () => {},
    async read(name, startBytes, endBytes) {
      let file: FileHandle;
      try {
        file = await open(fileOf(name), 'r');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
      return file.createReadStream({ start: startBytes, end: endBytes - 1, highWaterMark: readPieceBytes });
    },
    remove: name => rm(fileOf(name), { force: true }),
    async *names() {
      for (const shelf of await readdir(folder)) {
        if (!/^[0-9a-f]{2}$/.test(shelf)) continue;
        for (const name of await readdir(join(folder, shelf))) if (isMediaName(name)) yield name;
      }
    },
  };
}

async function create(folder: string, name: string): Promise<FileHandle> {
  const shelf = join(folder, name.slice(0, 2));
  if ((await mkdir(shelf, { recursive: true, mode: 0o700 })) !== undefined) await syncFolder(folder);
  const file = await open(join(shelf, name), 'w', 0o600);
  // A file whose bytes are on disk but whose name isn't would be lost all the same.
  await syncFolder(shelf);
  return file;
}

/** What was made or removed in a folder is on disk when it resolves. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** What is left of the pieces when `bytes` bytes of them are written. */
function behind(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skipBytes = bytes;
  return pieces.flatMap(piece => {
    const left = piece.subarray(Math.min(skipBytes, piece.length));
    skipBytes -= piece.length - left.length;
    return left.length === 0 ? [] : [left];
  });
}
