// Writes the keys of compact sessions to a file, one line each, so that a capture can be read with `drawbridge inspect`.
// Development only: whoever has this file and a capture reads everything but what is end-to-end encrypted.
// Knows nothing of streams.
import { appendFileSync, chmodSync, writeFileSync } from 'node:fs';
import type { KeyLog } from './compact-stream.ts';

/** Opens the file, mode 0600. Throws when it can't be written. */
export function openKeyLog(file: string): KeyLog {
  writeFileSync(file, '', { flag: 'a', mode: 0o600 });
  chmodSync(file, 0o600);
  return line => appendFileSync(file, `${line}\n`);
}
