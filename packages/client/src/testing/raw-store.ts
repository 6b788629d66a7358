// What lies in the files of a store, for whoever takes them and has its key: values, and the keys that these have of their own, found in
// pages that are in use, free, or in the log.
// Knows nothing of what the values mean.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';

/** A value as it lies there. Nobody opens it who does not find `key` somewhere. */
export type SealedRow = { readonly value: Buffer; readonly key: Buffer };

/** All rows of `file`, as they lie in the folder now, the log included. */
export function sealedIn(folder: string, file: string): SealedRow[] {
  const rows = rowsIn(folder, file, 'SELECT value, row_key.key FROM row JOIN row_key USING (slot)');
  return rows.map(({ value, key }) => ({ value: bytesOf(value), key: bytesOf(key) }));
}

/** The values of a store before version 8, which opened with the store's key alone. */
export function unkeyedIn(folder: string, file: string): Buffer[] {
  return rowsIn(folder, file, 'SELECT value FROM row').map(({ value }) => bytesOf(value));
}

/** Those of these that can still be opened: their own key is in one of the files. */
export function openable(folder: string, rows: readonly SealedRow[]): SealedRow[] {
  const byStart = Map.groupBy(rows, ({ key }) => key.readUInt32LE(0));
  const found = new Set<SealedRow>();
  for (const name of filesOf(folder)) {
    const raw = readFileSync(join(folder, name));
    for (let at = 0; at + 4 <= raw.length; at++) {
      for (const row of byStart.get(raw.readUInt32LE(at)) ?? []) {
        if (raw.subarray(at, at + row.key.length).equals(row.key)) found.add(row);
      }
    }
  }
  return rows.filter(row => found.has(row));
}

/** Whether any part of one of these values is in any file of the folder. */
export function isInFiles(folder: string, values: readonly Buffer[]): boolean {
  const parts = values.flatMap(partsOf);
  return filesOf(folder).some(name => {
    const raw = readFileSync(join(folder, name));
    return parts.some(part => raw.includes(part));
  });
}

function rowsIn(folder: string, file: string, sql: string): Record<string, SQLOutputValue>[] {
  const copy = mkdtempSync(join(tmpdir(), 'drawbridge-raw-'));
  for (const name of filesOf(folder)) cpSync(join(folder, name), join(copy, name));
  const db = new DatabaseSync(join(copy, file));
  const rows = db.prepare(sql).all();
  db.close();
  rmSync(copy, { recursive: true });
  return rows;
}

function bytesOf(value: SQLOutputValue | undefined): Buffer {
  return Buffer.from(value as Uint8Array);
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
