// The credentials of the data folder: files that hold one token each. Knows nothing of named admins.
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeSecretFile } from '../wakeup/event-keys.ts';

/** The credential file can't be used; the message says what to do. */
export class AdminTokenError extends Error {
  readonly code = 'admin-token-unusable';
}

/**
 * Reads a token's file in the data folder, or makes one with 256 random bits, mode 0600. `admin-token` may do all;
 * `metrics-token` reads metrics and nothing else, so that it may lie where Prometheus is configured.
 */
export function openAdminToken(dataFolder: string, name: 'admin-token' | 'metrics-token' = 'admin-token'): string {
  const file = join(dataFolder, name);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new AdminTokenError(`${file} can't be read: mend its owner and mode`);
    }
    text = randomBytes(32).toString('base64url');
    writeSecretFile(file, `${text}\n`);
    return text;
  }
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new AdminTokenError(`${file} can be read by others: set its mode to 0600, and replace the token`);
  }
  if (!/^[\x21-\x7e]{32,512}$/.test(text)) {
    throw new AdminTokenError(`${file} must hold one token of 32 to 512 characters: remove it so that one is made`);
  }
  return text;
}
