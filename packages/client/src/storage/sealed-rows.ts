// How a row of the store lies in an app's storage: its name is a keyed hash, and its value is sealed with its table, number and
// lengths, so that the storage shows how many rows of each table there are, their rough sizes, and nothing else.
// Knows nothing of where they are kept.
// Source: docs/protocol/09-content.md section 9.8.
import { StoreFault } from '../store/store-errors.ts';
import type { StoreKeys } from '../store/store-keys.ts';
import { type StoreTable, tables } from '../store/store.ts';
import type { SealedRow } from './row-storage.ts';
import type { TableRow } from './tables.ts';

/** Lengths are rounded up to this. */
const sizeStepBytes = 128;
/** Sequence, place (NaN: none), lengths of key, scope (all ones: none) and value. */
const headerBytes = 8 + 8 + 2 + 2 + 4;
const noScope = 0xffff;

const tableOf = new Map(Object.entries(tables).map(([name, kind]) => [kind as number, name as StoreTable]));

export function rowId(keys: StoreKeys, table: StoreTable, key: string): string {
  const kind = tables[table];
  return `${kind}.${keys.lookup(kind, key).toString('base64url')}`;
}

/** The table of a row by its id; undefined: it is none of ours. */
export function tableOfId(id: string): StoreTable | undefined {
  return tableOf.get(Number(id.split('.')[0]));
}

export function sealRow(keys: StoreKeys, row: TableRow): SealedRow {
  const id = rowId(keys, row.table, row.key);
  const key = Buffer.from(row.key);
  const scope = row.scope === undefined ? undefined : Buffer.from(row.scope);
  const size = headerBytes + key.length + (scope?.length ?? 0) + row.value.length;
  const packed = Buffer.alloc(Math.ceil(size / sizeStepBytes) * sizeStepBytes);
  packed.writeDoubleBE(row.sequence, 0);
  packed.writeDoubleBE(row.place ?? Number.NaN, 8);
  packed.writeUInt16BE(key.length, 16);
  packed.writeUInt16BE(scope?.length ?? noScope, 18);
  packed.writeUInt32BE(row.value.length, 20);
  let at = headerBytes;
  for (const part of [key, scope, row.value]) {
    if (part === undefined) continue;
    packed.set(part, at);
    at += part.length;
  }
  return { id, value: keys.seal(packed, Buffer.from(id)) };
}

/** Throws `StoreFault` with `corrupt-row`: changed, damaged, or put in another row's place. */
export function openRow(keys: StoreKeys, { id, value }: SealedRow): TableRow {
  const table = tableOfId(id);
  const packed = table === undefined ? undefined : keys.open(value, Buffer.from(id));
  if (table === undefined || packed === undefined) throw new StoreFault('corrupt-row', { table: table ?? 'none' });
  const place = packed.readDoubleBE(8);
  const keyLength = packed.readUInt16BE(16);
  const scopeLength = packed.readUInt16BE(18);
  const scopeAt = headerBytes + keyLength;
  const valueAt = scopeAt + (scopeLength === noScope ? 0 : scopeLength);
  return {
    table,
    key: packed.toString('utf8', headerBytes, scopeAt),
    scope: scopeLength === noScope ? undefined : packed.toString('utf8', scopeAt, valueAt),
    sequence: packed.readDoubleBE(0),
    place: Number.isNaN(place) ? undefined : place,
    value: packed.subarray(valueAt, valueAt + packed.readUInt32BE(20)),
  };
}
