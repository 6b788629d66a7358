// The one row of an app's storage that isn't sealed: the version of what the others hold, where numbers go on, and the wrapped
// data key, which only the client's passphrase or key opens.
// Knows nothing of rows.
import { StoreFault } from '../store/store-errors.ts';
import type { KeyHeader } from '../store/store-keys.ts';

export const headerId = 'header';

export type StorageHeader = {
  readonly version: number;
  /** The next number of a row; no number is given twice. */
  readonly next: number;
  readonly keys: KeyHeader;
};

export function encodeHeader({ version, next, keys }: StorageHeader): Uint8Array {
  const { kdf, memoryKib, passes } = keys;
  const [salt, wrapped] = [keys.salt, keys.wrapped].map(bytes => Buffer.from(bytes).toString('base64'));
  return Buffer.from(JSON.stringify({ version, next, kdf, memoryKib, passes, salt, wrapped }));
}

/** Undefined for undefined. Throws `StoreFault` with `not-a-store`. */
export function decodeHeader(value: Uint8Array | undefined): StorageHeader | undefined {
  if (value === undefined) return undefined;
  const { version, next, kdf, memoryKib, passes, salt, wrapped } = parse(value);
  const areCounts = [version, next, memoryKib, passes].every(each => Number.isSafeInteger(each) && Number(each) > 0);
  const isWhole = areCounts && typeof salt === 'string' && typeof wrapped === 'string';
  if (!isWhole || (kdf !== 'argon2id' && kdf !== 'none')) throw new StoreFault('not-a-store');
  return {
    version: Number(version),
    next: Number(next),
    keys: {
      kdf,
      memoryKib: Number(memoryKib),
      passes: Number(passes),
      salt: Buffer.from(salt, 'base64'),
      wrapped: Buffer.from(wrapped, 'base64'),
    },
  };
}

function parse(value: Uint8Array): Partial<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(value).toString());
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch (cause) {
    throw new StoreFault('not-a-store', { cause });
  }
}
