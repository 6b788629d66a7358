// Local copies of files that are being fetched: encrypted as they came, on disk, so that a download goes on after a break
// or a restart, and is read while it arrives.
// Knows nothing of keys or of what is right: whoever reads from a copy checks what they get.
// Source: docs/protocol/11-media.md section 11.2.
import { createHmac } from 'node:crypto';
import { chmod, type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { discard } from '@drawbridge/e2ee/attachments';

export const mediaCopyLimits = {
  /** Copies that nobody reads now: the one that grew last stays longest. */
  copies: 16,
  totalBytes: 4_294_967_296,
  /** Since its last byte came. */
  lifetimeMs: 7 * 86_400_000,
  /** Written at once. */
  writeBytes: 262_144,
} as const;

const nameForm = /^[0-9a-f]{64}$/;

/** The disk does not take or give what it should. */
export class MediaCopyFailure extends Error {}

/** Gives the encrypted file from there to its end. The pieces are the copy's from then on. */
export type FetchFrom = (fromBytes: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export type MediaCopiesSettings = {
  /** Made (mode 0700) when the first copy is. */
  readonly folder: string;
  /** Names copies, so that the folder does not tell which files of an origin they are. 32 bytes. */
  readonly nameKey: () => Uint8Array;
  readonly nowMs: () => number;
};

export class MediaCopies {
  readonly #settings: MediaCopiesSettings;
  readonly #open = new Map<string, { readonly opening: Promise<MediaCopy>; users: number }>();
  #sweeping: Promise<void> = Promise.resolve();

  constructor(settings: MediaCopiesSettings) {
    this.#settings = settings;
  }

  /**
   * The copy of the file that `id` names, as far as it came before; readers of one file share it. Call `done` when nothing
   * more is read. `fetch` gives what is missing. Rejects with `MediaCopyFailure`.
   */
  async open(id: string, sizeBytes: number, fetch: FetchFrom): Promise<MediaCopy> {
    const name = this.#nameOf(id);
    // A copy that is being removed or closed now is out of the map only afterwards.
    await this.#sweeping;
    const shared = this.#open.get(name) ?? { opening: this.#openCopy(name, sizeBytes, fetch), users: 0 };
    this.#open.set(name, shared);
    shared.users += 1;
    try {
      return await shared.opening;
    } catch (error) {
      this.#open.delete(name);
      throw error;
    }
  }

  /** Ends one reading. With `remove` the copy goes, once nobody else reads it. */
  async done(id: string, remove = false): Promise<void> {
    const name = this.#nameOf(id);
    const shared = this.#open.get(name);
    if (shared === undefined) return;
    shared.users -= 1;
    if (shared.users > 0) return;
    this.#sweeping = this.#sweeping.then(async () => {
      if (shared.users > 0) return;
      this.#open.delete(name);
      await (await shared.opening).close();
      if (remove) await rm(this.#pathOf(name), { force: true }).catch(() => {});
    });
    await this.#sweeping;
    await this.sweep();
  }

  /** Removes the copy of a file; one that is read now goes on and leaves nothing. */
  async forget(id: string): Promise<void> {
    await rm(this.#pathOf(this.#nameOf(id)), { force: true }).catch(() => {});
  }

  /** Removes what is too old, and the oldest of what is too much. */
  sweep(): Promise<void> {
    this.#sweeping = this.#sweeping.then(() => this.#sweep());
    return this.#sweeping;
  }

  async #sweep(): Promise<void> {
    const { folder, nowMs } = this.#settings;
    const names = await readdir(folder).catch(() => []);
    const copies: { path: string; atMs: number; bytes: number }[] = [];
    for (const name of names) {
      if (!nameForm.test(name) || this.#open.has(name)) continue;
      const path = this.#pathOf(name);
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined) copies.push({ path, atMs: found.mtimeMs, bytes: found.size });
    }
    copies.sort((a, b) => b.atMs - a.atMs);
    let totalBytes = 0;
    for (const [index, { path, atMs, bytes }] of copies.entries()) {
      totalBytes += bytes;
      const { copies: most, totalBytes: mostBytes, lifetimeMs } = mediaCopyLimits;
      if (index < most && totalBytes <= mostBytes && nowMs() - atMs <= lifetimeMs) continue;
      await rm(path, { force: true }).catch(() => {});
    }
  }

  #nameOf(id: string): string {
    return createHmac('sha256', this.#settings.nameKey()).update(id).digest('hex');
  }

  #pathOf(name: string): string {
    return join(this.#settings.folder, name);
  }

  async #openCopy(name: string, sizeBytes: number, fetch: FetchFrom): Promise<MediaCopy> {
    const { folder } = this.#settings;
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
      const path = this.#pathOf(name);
      const file = await open(path, 'r+').catch(() => open(path, 'wx+', 0o600));
      const { size } = await file.stat();
      if (size > sizeBytes) await file.truncate(0);
      return new MediaCopy(file, sizeBytes, size > sizeBytes ? 0 : size, fetch);
    } catch (cause) {
      throw new MediaCopyFailure('The copy could not be opened.', { cause });
    }
  }
}

type Waiting = { readonly toBytes: number; readonly resolve: () => void; readonly reject: (error: unknown) => void };

/** One file: what has come of it, and what is missing as far as somebody wants it. */
export class MediaCopy {
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #fetch: FetchFrom;
  #arrivedBytes: number;
  #wantedBytes = 0;
  #waiting: Waiting[] = [];
  /** Wakes a fetch that has come as far as anybody wants. */
  #wanted: (() => void) | undefined;
  #fetching: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  constructor(file: FileHandle, sizeBytes: number, arrivedBytes: number, fetch: FetchFrom) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#arrivedBytes = arrivedBytes;
    this.#fetch = fetch;
  }

  get arrivedBytes(): number {
    return this.#arrivedBytes;
  }

  /**
   * Fulfilled when the first `toBytes` have come. Up to `aheadBytes` more are fetched without being asked for; then the
   * sender waits. Rejects with what `fetch` throws, `MediaCopyFailure`, or the signal's reason; the next call tries again.
   */
  async arrive(toBytes: number, aheadBytes: number, signal?: AbortSignal): Promise<void> {
    const goalBytes = Math.min(toBytes, this.sizeBytes);
    this.#wantedBytes = Math.max(this.#wantedBytes, Math.min(goalBytes + aheadBytes, this.sizeBytes));
    this.#wanted?.();
    if (this.#fetching === undefined && this.#arrivedBytes < this.#wantedBytes) this.#begin();
    if (this.#arrivedBytes >= goalBytes) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { toBytes: goalBytes, resolve, reject };
    this.#waiting.push(waiting);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', abort);
    if (signal?.aborted === true) abort();
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#waiting = this.#waiting.filter(each => each !== waiting);
    }
  }

  /** Fills `into` from what has come; gives how many bytes: less where it ends. Rejects with `MediaCopyFailure`. */
  async read(atBytes: number, into: Uint8Array): Promise<number> {
    const length = Math.min(into.length, this.#arrivedBytes - atBytes);
    if (length <= 0) return 0;
    const { bytesRead } = await this.#file.read(into, 0, length, atBytes).catch((cause: unknown) => {
      throw new MediaCopyFailure('The copy could not be read.', { cause });
    });
    if (bytesRead === 0) throw new MediaCopyFailure('The copy was cut.');
    return bytesRead;
  }

  /** Forgets what came: it was not right, and is fetched again. */
  async restart(): Promise<void> {
    await this.#stop();
    this.#arrivedBytes = 0;
    this.#wantedBytes = 0;
    try {
      await this.#file.truncate(0);
    } catch (cause) {
      throw new MediaCopyFailure('The copy could not be emptied.', { cause });
    }
  }

  async close(): Promise<void> {
    await this.#stop();
    await this.#file.close().catch(() => {});
  }

  async #stop(): Promise<void> {
    this.#fetching?.stop.abort();
    this.#wanted?.();
    await this.#fetching?.ended;
  }

  #begin(): void {
    const stop = new AbortController();
    const ended = this.#run(stop.signal).then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
    this.#fetching = { stop, ended };
  }

  #end(error: unknown): void {
    this.#fetching = undefined;
    for (const { reject } of this.#waiting) reject(error ?? new MediaCopyFailure('The copy was closed.'));
    this.#waiting = [];
    this.#wantedBytes = this.#arrivedBytes;
  }

  async #run(signal: AbortSignal): Promise<void> {
    // One buffer for all of it: what the network gives is let go at once.
    const gathered = Buffer.allocUnsafeSlow(mediaCopyLimits.writeBytes);
    let gatheredBytes = 0;
    const write = async (): Promise<void> => {
      for (let done = 0; done < gatheredBytes; ) {
        try {
          const { bytesWritten } = await this.#file.write(gathered, done, gatheredBytes - done, this.#arrivedBytes);
          done += bytesWritten;
          this.#arrivedBytes += bytesWritten;
        } catch (cause) {
          throw new MediaCopyFailure('The copy could not be written.', { cause });
        }
      }
      gatheredBytes = 0;
      for (const { toBytes, resolve } of this.#waiting) if (toBytes <= this.#arrivedBytes) resolve();
    };
    try {
      for await (const part of this.#fetch(this.#arrivedBytes, signal)) {
        for (let at = 0; at < part.length; ) {
          const took = gathered.length - gatheredBytes;
          gathered.set(part.subarray(at, at + took), gatheredBytes);
          gatheredBytes += Math.min(took, part.length - at);
          at += took;
          if (gatheredBytes === gathered.length) await write();
        }
        discard(part);
        if (this.#arrivedBytes + gatheredBytes >= this.#wantedBytes) await write();
        while (this.#arrivedBytes >= this.#wantedBytes && this.#arrivedBytes < this.sizeBytes) {
          if (signal.aborted) return;
          await new Promise<void>(resolve => {
            this.#wanted = resolve;
          });
          this.#wanted = undefined;
        }
      }
    } finally {
      // What came before a break is as good as what came before a pause.
      if (gatheredBytes > 0) await write();
    }
  }
}
