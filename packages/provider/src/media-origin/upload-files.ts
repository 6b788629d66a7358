// The state of uploads and their bytes together: what is noted, what is whole, what is removed. The one place that changes
// both the table and the storage, in the order that a crash forgives. Knows nothing of HTTP or people.

import type { MediaLimits } from './media-options.ts';
import { Refusal } from './media-problems.ts';
import type { MediaStore } from './media-store.ts';
import type { Transfers } from './transfers.ts';
import type { Upload, Uploads } from './uploads.ts';

export type UploadFilesOptions = {
  readonly uploads: Uploads;
  readonly store: MediaStore;
  readonly transfers: Transfers;
  readonly limits: MediaLimits;
  /** Lives of uploads begin here. */
  readonly stampMs: () => number;
};

export type UploadFiles = {
  /** Notes how many bytes are on disk. Refuses when the upload was removed meanwhile. */
  readonly advance: (upload: Upload, offsetBytes: number) => Promise<Upload>;
  /**
   * Makes a file of an upload whose last byte was noted. That goes first: the storage need not keep what it has made a
   * file of open for writing, and when it fails here, or the process dies, it is done by whoever asks next.
   */
  readonly complete: (upload: Upload) => Promise<Upload>;
  /** Ends a request that is still sending to this upload: its sender has given it up, or wouldn't ask. */
  readonly takeOver: (id: string, name: string) => Promise<Upload>;
  /** The upload as it is when nobody sends to it; a file when its last byte has come. */
  readonly settled: (id: string, name: string) => Promise<Upload>;
  readonly remove: (name: string) => Promise<void>;
  /** Ends transfers to them first. */
  readonly removeAll: (names: readonly string[]) => Promise<void>;
  /** Removes what has expired, and files that no upload knows; stops early when `stopped` says so. */
  readonly collect: (stopped: () => boolean) => Promise<void>;
};

const garbagePerRound = 1_000;

export function createUploadFiles(options: UploadFilesOptions): UploadFiles {
  const { uploads, store, transfers, limits, stampMs } = options;
  // Rows are made before files: a file without a row was left behind by a crash, so looking once is enough.
  let lookedForStrays = false;

  async function note(upload: Upload, offsetBytes: number, whole: boolean): Promise<Upload> {
    const expiresAtMs = stampMs() + (whole ? limits.retentionMs : limits.unfinishedLifetimeMs);
    const noted = await uploads.advance(upload.name, offsetBytes, whole, expiresAtMs);
    if (!noted) throw new Refusal('not-found');
    return { ...upload, offsetBytes, complete: whole, expiresAtMs };
  }

  async function complete(upload: Upload): Promise<Upload> {
    await store.finish(upload.name, upload.sizeBytes);
    return await note(upload, upload.sizeBytes, true);
  }

  async function takeOver(id: string, name: string): Promise<Upload> {
    await transfers.end(name);
    const upload = uploads.find(id);
    if (upload === undefined) throw new Refusal('not-found');
    return upload;
  }

  async function remove(name: string): Promise<void> {
    try {
      await store.remove(name);
      await uploads.remove(name);
    } catch (error) {
      // Its row may be gone already.
      lookedForStrays = false;
      throw error;
    }
  }

  async function removeAll(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await transfers.end(name);
      await remove(name);
    }
  }

  return {
    advance: (upload, offsetBytes) => note(upload, offsetBytes, false),
    complete,
    takeOver,
    async settled(id, name) {
      const upload = await takeOver(id, name);
      if (upload.complete || upload.offsetBytes < upload.sizeBytes || upload.sizeBytes === 0) return upload;
      return await transfers.alone(name, () => complete(upload));
    },
    remove: name => transfers.alone(name, () => remove(name)),
    removeAll,
    async collect(stopped) {
      for (let names = uploads.expired(garbagePerRound); names.length > 0; names = uploads.expired(garbagePerRound)) {
        if (stopped()) return;
        await removeAll(names);
      }
      if (lookedForStrays) return;
      for await (const name of store.names()) {
        if (stopped()) return;
        if (!uploads.has(name)) await store.remove(name);
      }
      lookedForStrays = true;
    },
  };
}
