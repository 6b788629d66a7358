// Puts an opened file on the disk, whole or not at all.
// Knows nothing of what is in it, nor of who asks.
import { randomBytes } from 'node:crypto';
import { type FileHandle, open as openFile, rename, rm } from 'node:fs/promises';
import type { AttachmentSecrets, Refused } from './format.ts';
import { openAttachment } from './open.ts';

/**
 * Opens an encrypted file into `path`, whole or not at all: until everything is right and on disk, the bytes lie in a
 * file of mode 0600 beside it, which is removed when anything is wrong. A file that is at `path` already is replaced. A
 * caller that must remove what a killed process left behind names that file (`temporaryPath`) and keeps the name.
 */
export async function saveAttachment(
  source: AsyncIterable<Uint8Array>,
  secrets: AttachmentSecrets,
  path: string,
  temporary: string = temporaryPath(path),
): Promise<{ readonly kind: 'opened' } | Refused> {
  let file: FileHandle | undefined;
  try {
    file = await openFile(temporary, 'wx', 0o600);
    const handle = file;
    const result = await openAttachment(source, secrets, async part => {
      for (let at = 0; at < part.length; ) at += (await handle.write(part, at)).bytesWritten;
    });
    if (result.kind === 'opened') {
      await handle.sync();
      await rename(temporary, path);
    }
    return result;
  } catch {
    return { kind: 'refused', code: 'write-failed' };
  } finally {
    await file?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** A new name in the same folder. */
export function temporaryPath(path: string): string {
  return `${path}.${randomBytes(6).toString('hex')}.part`;
}

/** Whether `temporaryPath` gives such names. */
export function isTemporaryPath(path: string): boolean {
  return /\.[0-9a-f]{12}\.part$/.test(path);
}
