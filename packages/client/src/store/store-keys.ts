// Keys of the encrypted store: one random data key, wrapped by a key from a passphrase, a given key or a key file;
// what hides lookups is derived from it, and so is what seals a value, together with a key that is this value's alone.
// Knows nothing of tables or SQLite, nor of where the keys of single values are.
// Source: RFC 9106 (Argon2id), RFC 5869 (HKDF), NIST SP 800-38D (AES-GCM, random 96-bit nonces), SP 800-56C (one-step key
// derivation), RFC 2104 (HMAC).
import {
  argon2,
  type CipherKey,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { StoreFault } from './store-errors.ts';

export const KEY_BYTES = 32;
/** Of the key that one value has of its own. */
export const ROW_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SALT_BYTES = 16;

/** RFC 9106 section 4, second recommended option but for lanes: one thread, 64 MiB, three passes; about 0.2 s. */
export const ARGON2_MEMORY_KIB = 65_536;
export const ARGON2_PASSES = 3;
/** A header may ask for more, up to this: a forged file must not take the machine's memory. */
const MAX_ARGON2_MEMORY_KIB = 1_048_576;
const MAX_ARGON2_PASSES = 16;

/** Where the wrapping key comes from. A key file is made when the store is new: 32 random bytes, mode 0600. */
export type KeySource =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  | { readonly kind: 'key'; readonly key: Uint8Array }
  | { readonly kind: 'key-file'; readonly path: string };

/** Kept in the open in the store's file. */
export type KeyHeader = {
  readonly kdf: 'argon2id' | 'none';
  readonly salt: Uint8Array;
  readonly memoryKib: number;
  readonly passes: number;
  readonly wrapped: Uint8Array;
};

export type StoreKeys = {
  /** nonce, ciphertext, tag. Under the store's key alone: for an app's storage, and for files before version 8. */
  seal(plain: Uint8Array, associated: Uint8Array): Uint8Array;
  /** Undefined: changed, damaged, or moved from another row. */
  open(sealed: Uint8Array, associated: Uint8Array): Buffer | undefined;
  /** Both keys are needed to open it: the store's, and the one that is this value's alone. */
  sealUnder(rowKey: Uint8Array, plain: Uint8Array, associated: Uint8Array): Uint8Array;
  /** Undefined also: its own key is gone. */
  openUnder(rowKey: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Buffer | undefined;
  /** 32 bytes that say nothing about the text without the key. */
  lookup(table: number, text: string): Buffer;
  /** The same data key, wrapped for another source. */
  rewrap(source: KeySource): Promise<KeyHeader>;
};

function seal(key: CipherKey, plain: Uint8Array, associated: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(associated);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function open(key: CipherKey, sealed: Uint8Array, associated: Uint8Array): Buffer | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(associated);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([plain, decipher.final()]);
  } catch {
    // The tag does not hold.
    return undefined;
  }
}

const deriveArgon2 = promisify(argon2);

async function wrappingKey(source: KeySource, header: Omit<KeyHeader, 'wrapped'>, isNew: boolean): Promise<KeyObject> {
  if (source.kind === 'key-file')
    return createSecretKey(isNew ? makeOrReadKeyFile(source.path) : readKeyFile(source.path));
  if (source.kind === 'key') {
    if (source.key.length !== KEY_BYTES) throw new StoreFault('wrong-key');
    return createSecretKey(source.key);
  }
  return createSecretKey(
    await deriveArgon2('argon2id', {
      message: Buffer.from(source.passphrase.normalize('NFC')),
      nonce: header.salt,
      parallelism: 1,
      tagLength: KEY_BYTES,
      memory: header.memoryKib,
      passes: header.passes,
    }),
  );
}

function readKeyFile(path: string): Buffer {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')
      throw new StoreFault('key-missing', { cause });
    throw cause;
  }
  try {
    // Windows has no such bits; there the user's profile folder protects the file.
    if (process.platform !== 'win32' && (fstatSync(file).mode & 0o077) !== 0) throw new StoreFault('key-file-unsafe');
    const key = readFileSync(file);
    if (key.length !== KEY_BYTES) throw new StoreFault('key-file-unsafe');
    return key;
  } finally {
    closeSync(file);
  }
}

function makeOrReadKeyFile(path: string): Buffer {
  let file: number;
  try {
    file = openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  } catch (cause) {
    // Left behind by a first start that ended before the store was made.
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return readKeyFile(path);
    throw cause;
  }
  const key = randomBytes(KEY_BYTES);
  try {
    writeSync(file, key);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  syncFolder(dirname(path));
  return key;
}

/** A new file survives a power cut only when its folder was synced too. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function wrapLabel(header: Omit<KeyHeader, 'wrapped'>): Buffer {
  return Buffer.from(`drawbridge-store-1 data key ${header.kdf} ${header.memoryKib} ${header.passes}`);
}

function derive(dataKey: KeyObject, purpose: string): KeyObject {
  return createSecretKey(
    Buffer.from(hkdfSync('sha256', dataKey, Buffer.alloc(0), `drawbridge-store-1 ${purpose}`, KEY_BYTES)),
  );
}

function storeKeys(dataKey: KeyObject): StoreKeys {
  const values = derive(dataKey, 'values');
  const rows = derive(dataKey, 'row values').export();
  const lookups = derive(dataKey, 'lookups');
  // One step of SP 800-56C: the hash of two secrets, whose lengths never change.
  const valueKey = (rowKey: Uint8Array): Buffer => hash('sha256', Buffer.concat([rows, rowKey]), 'buffer');
  return {
    seal: (plain, associated) => seal(values, plain, associated),
    open: (sealed, associated) => open(values, sealed, associated),
    sealUnder: (rowKey, plain, associated) => seal(valueKey(rowKey), plain, associated),
    openUnder: (rowKey, sealed, associated) => open(valueKey(rowKey), sealed, associated),
    lookup: (table, text) => createHmac('sha256', lookups).update(Buffer.of(table)).update(text).digest(),
    rewrap: source => wrap(dataKey, source),
  };
}

async function wrap(dataKey: KeyObject, source: KeySource): Promise<KeyHeader> {
  const kdf = source.kind === 'passphrase' ? 'argon2id' : 'none';
  const header = { kdf, salt: randomBytes(SALT_BYTES), memoryKib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES } as const;
  const wrapping = await wrappingKey(source, header, true);
  return { ...header, wrapped: seal(wrapping, dataKey.export(), wrapLabel(header)) };
}

/** A fresh data key, wrapped for the source. */
export async function createStoreKeys(source: KeySource): Promise<{ header: KeyHeader; keys: StoreKeys }> {
  const dataKey = createSecretKey(randomBytes(KEY_BYTES));
  return { header: await wrap(dataKey, source), keys: storeKeys(dataKey) };
}

/** Opens an existing header; `wrong-key` when the source does not fit. */
export async function openStoreKeys(source: KeySource, header: KeyHeader): Promise<StoreKeys> {
  const bounded = header.memoryKib <= MAX_ARGON2_MEMORY_KIB && header.passes <= MAX_ARGON2_PASSES;
  if (!bounded || header.memoryKib < 8 || header.passes < 1) throw new StoreFault('not-a-store');
  if ((source.kind === 'passphrase') !== (header.kdf === 'argon2id')) throw new StoreFault('wrong-key');
  const dataKey = open(await wrappingKey(source, header, false), header.wrapped, wrapLabel(header));
  if (dataKey === undefined || dataKey.length !== KEY_BYTES) throw new StoreFault('wrong-key');
  return storeKeys(createSecretKey(dataKey));
}
