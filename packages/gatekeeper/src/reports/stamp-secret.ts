// The secret that stamps follow from: 32 random bytes in one file of mode 0600, made when there is none, the same on all nodes.
// Knows nothing of stamps.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartError } from '../start-error.ts';
import { writeSecretFile } from '../wakeup/event-keys.ts';

const fileName = 'stamp-secret';
const secretBytes = 32;

/** Throws a StartError that says what to do when the file is there and can't be used. */
export function openStampSecret(dataFolder: string): Uint8Array {
  const file = join(dataFolder, fileName);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new StartError('stamp-secret-unusable', `${file} can't be read: mend its owner and mode`);
    const made = randomBytes(secretBytes);
    writeSecretFile(file, `${made.toString('base64url')}\n`);
    return made;
  }
  const secret = Buffer.from(text, 'base64url');
  if (secret.length === secretBytes && secret.toString('base64url') === text) return secret;
  const next = 'restore it, or remove it so that a new one is made: what was stamped before can then not be reported';
  throw new StartError('stamp-secret-unusable', `${file} holds no secret: ${next}`);
}
