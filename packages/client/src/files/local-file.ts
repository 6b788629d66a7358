// A file that is to be sent, wherever it lies: in the open at a path of its owner's, or encrypted in the client's folder.
// Knows nothing of sealing, uploads or messages.
import { createSecretKey } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { OpenSource } from '@drawbridge/e2ee/attachments';
import { ClientError } from '../errors.ts';
import { decryptedChunks } from './encrypted-file.ts';

export type LocalFile = {
  readonly path: string;
  /** What it is called, where nobody says more. */
  readonly name: string;
  /** Another look, another file. */
  readonly looks: string;
  readonly sizeBytes: number;
  /** Whether it lies in the open, for others who read paths. */
  readonly isOpen: boolean;
  /** Reads it from its beginning, as often as it is called. */
  readonly source: (signal: AbortSignal) => OpenSource;
};

/** What has to be known of a file that lies encrypted. It holds the file's key: keep it encrypted. */
export type Spooled = {
  readonly name: string;
  readonly sizeBytes: number;
  /** Of what is in it, in hexadecimal digits. */
  readonly sha256: string;
  /** 32 bytes in base64url. */
  readonly key: string;
};

const readBytes = 262_144;

/** Rejects with `file-unreadable`, `invalid-argument`. */
export async function fileAt(given: string): Promise<LocalFile> {
  if (!isPath(given)) throw new ClientError('invalid-argument', { detail: 'path' });
  const path = resolve(given);
  const found = await stat(path).catch((cause: unknown) => {
    throw new ClientError('file-unreadable', { cause });
  });
  // A pipe or a device would never end, or give something else the second time.
  if (!found.isFile()) throw new ClientError('file-unreadable', { detail: 'not a regular file' });
  // Not the device: its number may be another after a restart of the machine.
  const { ino, size, mtimeMs } = found;
  const looks = [ino, size, mtimeMs].join(' ');
  return { path, name: basename(path), looks, sizeBytes: size, isOpen: true, source: signal => plainly(path, signal) };
}

/** What is in it, and nothing else, is how it looks: the same bytes that came again are the same file. */
export function spooledFile(path: string, { name, sizeBytes, sha256, key }: Spooled): LocalFile {
  return {
    ...{ path, name, sizeBytes, isOpen: false, looks: `sha256 ${sha256}` },
    source: signal =>
      async function* () {
        await using file = await open(path);
        for await (const chunk of decryptedChunks(file, createSecretKey(key, 'base64url'), sizeBytes)) {
          signal.throwIfAborted();
          yield chunk;
        }
      },
  };
}

export function isPath(path: unknown): path is string {
  return typeof path === 'string' && path !== '' && !path.includes('\0');
}

/** Reads into one buffer, again and again. */
function plainly(path: string, signal: AbortSignal): OpenSource {
  return async function* () {
    await using file = await open(path);
    const piece = Buffer.allocUnsafeSlow(readBytes);
    for (;;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length, null);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
    }
  };
}
