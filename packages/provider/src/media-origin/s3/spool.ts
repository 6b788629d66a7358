// The spool on local disk: what was synced and does not lie in the bucket yet, part by part.
// Knows nothing of buckets.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { isMediaName, MediaStoreError, syncFolder } from '../media-store.ts';

export const markName = 'drawbridge-media-origin';
const partName = /^[0-9]{5}$/;

export class Spool {
  readonly folder: string;
  readonly #partBytes: number;

  /** Makes the folder. Throws when it can't be made. */
  constructor(folder: string, partBytes: number) {
    this.folder = folder;
    this.#partBytes = partBytes;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  partOf(offsetBytes: number): number {
    return Math.floor(offsetBytes / this.#partBytes) + 1;
  }

  async begin(name: string): Promise<void> {
    mkdirSync(this.#folderOf(name), { recursive: true, mode: 0o700 });
    await syncFolder(this.folder);
  }

  /** Leaves exactly what lies between the last full part and the offset. */
  async cut(name: string, offsetBytes: number): Promise<void> {
    const current = this.partOf(offsetBytes);
    for (const each of await readdir(this.#folderOf(name))) {
      if (partName.test(each) && Number(each) !== current) await rm(join(this.#folderOf(name), each));
    }
    const keptBytes = offsetBytes - (current - 1) * this.#partBytes;
    if (keptBytes === 0) await this.removePart(name, current);
    else {
      const { size } = await stat(this.#partFile(name, current));
      // Cutting a file to more than it has would fill it up with zeros.
      if (size < keptBytes) throw new MediaStoreError('storage-broken', 'the spool has lost what was acknowledged');
      await truncate(this.#partFile(name, current), keptBytes);
    }
  }

  /** To write behind what is there. */
  async openPart(name: string, part: number): Promise<FileHandle> {
    const opened = await open(this.#partFile(name, part), 'a', 0o600);
    await syncFolder(this.#folderOf(name));
    return opened;
  }

  readPart(name: string, part: number): Promise<Buffer> {
    return readFile(this.#partFile(name, part));
  }

  async removePart(name: string, part: number): Promise<void> {
    await rm(this.#partFile(name, part), { force: true });
  }

  /** The upload in the bucket that was begun for this file. Rejects with `ENOENT` when none is noted. */
  uploadId(name: string): Promise<string> {
    return readFile(join(this.#folderOf(name), 'upload'), 'utf8');
  }

  /** Parts can be found again by this name alone, so it is on disk before the first of them counts. */
  async noteUploadId(name: string, uploadId: string): Promise<void> {
    await writeSynced(join(this.#folderOf(name), 'upload'), 'w', uploadId);
    await syncFolder(this.#folderOf(name));
  }

  /** What says in the bucket that a prefix is this origin's. */
  async ownMark(): Promise<string> {
    const noted = join(this.folder, markName);
    try {
      return await readFile(noted, 'utf8');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
    const mark = randomBytes(16).toString('hex');
    await writeSynced(noted, 'wx', mark);
    await syncFolder(this.folder);
    return mark;
  }

  async names(): Promise<string[]> {
    return (await readdir(this.folder)).filter(name => isMediaName(name));
  }

  async remove(name: string): Promise<void> {
    await rm(this.#folderOf(name), { recursive: true, force: true });
  }

  #folderOf(name: string): string {
    return join(this.folder, name);
  }

  #partFile(name: string, part: number): string {
    return join(this.#folderOf(name), String(part).padStart(5, '0'));
  }
}

async function writeSynced(path: string, flags: 'w' | 'wx', text: string): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
