// Keeps the issuer's keys in one file of JSON Web Keys, readable by its owner alone.
// Knows nothing of rotation. One process per file.

import { mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { exportSigningKey, importSigningKey } from '@drawbridge/identity/jwk';
import { isJsonObject, parseStrictJson } from '@drawbridge/identity/strict-json';
import type { IssuerKeyStore, ScheduledKey } from './issuer.ts';

/** The file needs a person; the message says what to do. */
export class IssuerKeyFileError extends Error {
  readonly code: 'key-file-open' | 'key-file-damaged';
  constructor(code: IssuerKeyFileError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** `load` rejects on a damaged file and on one that others may read: both need a person, not a new key. */
export function issuerKeyFile(path: string): IssuerKeyStore {
  return {
    load: async () => {
      let bytes: Buffer;
      try {
        if (((await stat(path)).mode & 0o077) !== 0) {
          throw new IssuerKeyFileError(
            'key-file-open',
            'The signing key file may be read by others: chmod 600 it, or remove it to start again.',
          );
        }
        bytes = await readFile(path);
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
        throw error;
      }
      return readKeys(bytes);
    },
    save: async keys => {
      const text = JSON.stringify({
        version: 1,
        keys: keys.map(each => ({ signsFromMs: each.signsFromMs, jwk: exportSigningKey(each.key) })),
      });
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      // A crash leaves the old file or the new one, never a part.
      const draft = `${path}.new`;
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, path);
      const folder = await open(dirname(path), 'r');
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    },
  };
}

/** Keeps the keys only as long as the process runs. */
export function issuerKeyMemory(): IssuerKeyStore {
  let kept: readonly ScheduledKey[] = [];
  return {
    load: async () => kept,
    save: async keys => {
      kept = keys;
    },
  };
}

function readKeys(bytes: Uint8Array): ScheduledKey[] {
  const parsed = parseStrictJson(bytes);
  const list = parsed.kind === 'parsed' && parsed.value['version'] === 1 ? parsed.value['keys'] : undefined;
  if (!Array.isArray(list))
    throw new IssuerKeyFileError(
      'key-file-damaged',
      'The signing key file is damaged: restore it from a backup, or remove it to start again.',
    );
  return list.map((entry: unknown) => {
    const imported = isJsonObject(entry) ? importSigningKey(entry['jwk']) : undefined;
    const signsFromMs = isJsonObject(entry) ? entry['signsFromMs'] : undefined;
    if (imported?.kind !== 'imported' || typeof signsFromMs !== 'number') {
      throw new IssuerKeyFileError(
        'key-file-damaged',
        'The signing key file is damaged: restore it from a backup, or remove it to start again.',
      );
    }
    return { key: imported.key, signsFromMs };
  });
}
