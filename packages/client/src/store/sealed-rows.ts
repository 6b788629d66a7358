// How a value lies in a row: its key and length in front, filled up to a rounded size, sealed under the keys of the store and of
// the row, and bound to the place of the row.
// Knows nothing of SQL, nor of where a row's key is.
// Source: docs/protocol/09-content.md section 9.8.
import { StoreFault } from './store-errors.ts';
import type { StoreKeys } from './store-keys.ts';
import { type StoreTable, tables } from './store.ts';

/** Plaintext lengths are rounded up to this, so that the file tells only rough sizes. */
const SIZE_STEP_BYTES = 128;
const ROW_HEADER_BYTES = 6;

/** Where a row stands: the number of its table, and the hashes of its key and scope. */
export type RowPlace = {
  readonly kind: number;
  readonly lookup: Uint8Array;
  readonly scope: Uint8Array | null;
};

/** Keys and scopes never share a hash, so that a scope that equals a key says nothing. */
export function scopeText(scope: string): string {
  return `\0scope\0${scope}`;
}

/** Binds a value to its table, key and scope: a row can't be put in another's place. */
export function associatedWith({ kind, lookup, scope }: RowPlace): Buffer {
  return Buffer.concat([Buffer.of(kind, scope === null ? 0 : 1), lookup, scope ?? Buffer.alloc(0)]);
}

/** 2 bytes key length, 4 bytes value length, key, value, zeros. */
export function packRow(key: string, value: Uint8Array): Buffer {
  const keyBytes = Buffer.from(key);
  const size = ROW_HEADER_BYTES + keyBytes.length + value.length;
  const packed = Buffer.alloc(Math.ceil(size / SIZE_STEP_BYTES) * SIZE_STEP_BYTES);
  packed.writeUInt16BE(keyBytes.length, 0);
  packed.writeUInt32BE(value.length, 2);
  packed.set(keyBytes, ROW_HEADER_BYTES);
  packed.set(value, ROW_HEADER_BYTES + keyBytes.length);
  return packed;
}

/** Throws `corrupt-row`: changed, damaged, in another's place, or without its key. */
export function openRow(
  keys: StoreKeys,
  table: StoreTable,
  row: Readonly<Record<string, unknown>>,
): { readonly key: string; readonly value: Buffer } {
  const { key: lookup, scope, value: sealed, row_key: rowKey } = row;
  const isWhole = lookup instanceof Uint8Array && sealed instanceof Uint8Array && rowKey instanceof Uint8Array;
  if (!isWhole) throw new StoreFault('corrupt-row', { table });
  const place = { kind: tables[table], lookup, scope: scope instanceof Uint8Array ? scope : null };
  const packed = keys.openUnder(rowKey, sealed, associatedWith(place));
  // Authentic rows have a sound shape; the checks below hold against nothing but a mistake of this file.
  if (packed === undefined) throw new StoreFault('corrupt-row', { table });
  const keyLength = packed.readUInt16BE(0);
  const valueLength = packed.readUInt32BE(2);
  const start = ROW_HEADER_BYTES + keyLength;
  return { key: packed.toString('utf8', ROW_HEADER_BYTES, start), value: packed.subarray(start, start + valueLength) };
}
