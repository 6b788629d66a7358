// What lies in the files of a store, for whoever takes them: sealed values, found in pages that are in use, free, or in the log.
// Knows nothing of what the values mean.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** The sealed values of all rows of `file`, as they lie in the folder now, the log included. */
export function sealedIn(folder: string, file: string): Buffer[] {
  const copy = mkdtempSync(join(tmpdir(), 'drawbridge-raw-'));
  for (const name of filesOf(folder)) cpSync(join(folder, name), join(copy, name));
  const db = new DatabaseSync(join(copy, file));
  const values = db
    .prepare('SELECT value FROM row')
    .all()
    .map(row => Buffer.from(row['value'] as Uint8Array));
  db.close();
  rmSync(copy, { recursive: true });
  return values;
}

/** Whether any part of one of these values is in any file of the folder. */
export function isInFiles(folder: string, values: readonly Buffer[]): boolean {
  const parts = values.flatMap(partsOf);
  return filesOf(folder).some(name => {
    const raw = readFileSync(join(folder, name));
    return parts.some(part => raw.includes(part));
  });
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(each => (each.isFile() ? [each.name] : []));
}

/** Parts of a value that lie in one piece wherever its pages begin. */
function partsOf(value: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let at = 0; at + 24 <= value.length; at += 512) parts.push(value.subarray(at, at + 24));
  return parts;
}
