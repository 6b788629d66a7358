// The keys that sign the gatekeeper's security event tokens: kept in one file of mode 0600, made when there is none.
// Knows nothing of events. Source: docs/protocol/03 (`/.well-known/jwks.json`).
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  exportSigningKey,
  generateSigningKey,
  importSigningKey,
  type PublicSigningJwk,
  publicJwk,
  type SigningKey,
} from '@drawbridge/identity/jwk';

export type EventKeys = {
  /** Signs; the first in the file. */
  readonly current: SigningKey;
  /** What is published: all in the file, so that a key can be replaced while its tokens are still on their way. */
  readonly published: readonly PublicSigningJwk[];
};

/** The file can't be used; the message says what to do. Nothing was changed. */
export class EventKeysError extends Error {
  readonly code = 'event-keys-unusable';
}

const fileName = 'event-keys.json';

/** Writes a file of mode 0600 in one step: a crash leaves the old one or the new one. */
export function writeSecretFile(file: string, text: string): void {
  const temporary = `${file}.new`;
  const descriptor = openSync(temporary, 'w', 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  chmodSync(temporary, 0o600);
  renameSync(temporary, file);
}

/** Reads the keys from the data folder, or makes the first one. To rotate: put a new key first, remove old ones a day later. */
export function openEventKeys(dataFolder: string): EventKeys {
  const file = join(dataFolder, fileName);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new EventKeysError(`${file} can't be read: mend its owner and mode`);
    }
    const key = generateSigningKey('ES256');
    writeSecretFile(file, `${JSON.stringify({ keys: [exportSigningKey(key)] }, undefined, 2)}\n`);
    return { current: key, published: [publicJwk(key)] };
  }
  const keys = parseKeys(text);
  const [current] = keys;
  if (current === undefined) {
    throw new EventKeysError(`${file} holds no usable key: restore it, or remove it so that a new one is made`);
  }
  return { current, published: keys.map(publicJwk) };
}

function parseKeys(text: string): SigningKey[] {
  let list: unknown;
  try {
    list = (JSON.parse(text) as { keys?: unknown } | null)?.keys;
  } catch {
    return [];
  }
  if (!Array.isArray(list)) return [];
  const keys: SigningKey[] = [];
  for (const jwk of list) {
    const imported = importSigningKey(jwk);
    // One that can't be read makes the file unusable: a rotation gone wrong must not go unseen.
    if (imported.kind === 'refused') return [];
    keys.push(imported.key);
  }
  return keys;
}
