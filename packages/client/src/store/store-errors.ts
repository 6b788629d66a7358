// What can go wrong with the store on disk. Knows nothing of SQLite's own numbers beyond this file.

/**
 * - `store-in-use`: another process has it open.
 * - `wrong-key`: the passphrase, key or key file does not open it.
 * - `key-missing`: the store is there, its key file is not.
 * - `key-file-unsafe`: the key file is readable by others, or does not hold 32 bytes.
 * - `not-a-store`: the file is something else, or its header is damaged.
 * - `schema-too-new`: written by a later version of this program.
 * - `corrupt-row`: a row was changed outside this program, or the disk damaged it; `table` says where.
 * - `disk-full`, `io`: the system's words are in `cause`.
 * - `closed`: the store was closed before.
 */
export type StoreErrorCode =
  | 'store-in-use'
  | 'wrong-key'
  | 'key-missing'
  | 'key-file-unsafe'
  | 'not-a-store'
  | 'schema-too-new'
  | 'corrupt-row'
  | 'value-too-large'
  | 'disk-full'
  | 'io'
  | 'closed';

/** Thrown inside `transaction` and by nothing else that is public; `transaction` and the opener give it back as a value. */
export class StoreFault extends Error {
  readonly code: StoreErrorCode;
  readonly table: string | undefined;
  constructor(code: StoreErrorCode, options: { table?: string; cause?: unknown } = {}) {
    super(`store: ${code}${options.table === undefined ? '' : ` in ${options.table}`}`, { cause: options.cause });
    this.code = code;
    this.table = options.table;
  }
}

/** It concerns one row, and comes again whenever the same is tried; anything else may well pass. */
export function isOfOneRow({ code }: StoreFault): boolean {
  return code === 'value-too-large' || code === 'corrupt-row';
}

/** The fault of the store behind an error, however deep. */
export function storeFaultIn(error: unknown): StoreFault | undefined {
  for (let each = error; each instanceof Error; each = each.cause) if (each instanceof StoreFault) return each;
  return undefined;
}

export type StoreResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: StoreFault };

// https://www.sqlite.org/rescode.html: primary result codes are the low byte.
const sqliteCodes = new Map<number, StoreErrorCode>([
  [5, 'store-in-use'],
  [6, 'store-in-use'],
  [11, 'not-a-store'],
  [13, 'disk-full'],
  [26, 'not-a-store'],
]);

/** SQLite's and the file system's errors as this store's; undefined for anything else (broken code). */
export function faultOf(error: unknown): StoreFault | undefined {
  if (error instanceof StoreFault) return error;
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  if (error.code === 'ERR_SQLITE_ERROR' && 'errcode' in error && typeof error.errcode === 'number') {
    return new StoreFault(sqliteCodes.get(error.errcode & 0xff) ?? 'io', { cause: error });
  }
  if (error.code === 'ENOSPC') return new StoreFault('disk-full', { cause: error });
  if ('syscall' in error) return new StoreFault('io', { cause: error });
  return undefined;
}
