// The fastest primitives that work here: libsodium where sodium-native has a binary for this machine that computes what it
// should, else node:crypto. Both speak all ciphers; what differs is their price. Source: docs/decisions/0035.
// Knows nothing of handshakes.
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { noBytes, type NoiseCrypto } from './crypto.ts';
import { generatePrivateKey, nodeCrypto } from './node-crypto.ts';
import { type Sodium, sodiumCrypto } from './sodium-crypto.ts';

/** Why libsodium is not used, for the operator's log; undefined when it is. */
export type SodiumAbsence = 'not-installed' | 'not-loadable' | 'computes-wrongly';

export type PlatformCrypto = { readonly crypto: NoiseCrypto; readonly sodiumAbsence: SodiumAbsence | undefined };

/** Chooses by what `load` gives: for tests. `load` throws when there is nothing to load. */
export function chooseCrypto(load: () => unknown): PlatformCrypto {
  try {
    const loaded = load();
    if (!hasFunctions(loaded)) return withoutSodium('not-loadable');
    const crypto = sodiumCrypto(loaded, { ...nodeCrypto, generatePrivateKey });
    return computesRight(crypto) ? { crypto, sodiumAbsence: undefined } : withoutSodium('computes-wrongly');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return withoutSodium(code === 'MODULE_NOT_FOUND' ? 'not-installed' : 'not-loadable');
  }
}

function withoutSodium(sodiumAbsence: SodiumAbsence): PlatformCrypto {
  return { crypto: nodeCrypto, sodiumAbsence };
}

class BinaryCutShort extends Error {
  constructor(binary: string) {
    super(`${binary} ends too early: install sodium-native again`);
  }
}

/**
 * The library as a module at `from` finds it. Through `require`: it is optional, and a static import of what isn't there would
 * end the process. So would a binary that was cut short on disk: the system's loader reads beyond its end.
 */
export function loadSodium(from: string): unknown {
  const require = createRequire(from);
  const folder = join(dirname(require.resolve('sodium-native')), 'prebuilds', `${process.platform}-${process.arch}`);
  const binary = join(folder, 'sodium-native.node');
  if (existsSync(binary) && isCutShort(binary)) throw new BinaryCutShort(binary);
  return require('sodium-native');
}

const elfHeaderBytes = 64;
const elfMagic = 0x7f45_4c46;

/** Of 64-bit ELF files alone, whose headers say where their last part, the table of sections, lies. */
function isCutShort(binary: string): boolean {
  const header = Buffer.alloc(elfHeaderBytes);
  const file = openSync(binary, 'r');
  try {
    if (readSync(file, header) < elfHeaderBytes) return true;
    if (header.readUInt32BE(0) !== elfMagic) return false;
    const sectionsBytes = header.readUInt16LE(58) * header.readUInt16LE(60);
    return Number(header.readBigUInt64LE(40)) + sectionsBytes > fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}

const chosen = chooseCrypto(() => loadSodium(import.meta.url));

export const platformCrypto: NoiseCrypto = chosen.crypto;
export const sodiumAbsence: SodiumAbsence | undefined = chosen.sodiumAbsence;

function hasFunctions(loaded: unknown): loaded is Sodium {
  if (typeof loaded !== 'object' || loaded === null) return false;
  const names: Record<keyof Sodium, true> = {
    crypto_aead_chacha20poly1305_ietf_encrypt: true,
    crypto_aead_chacha20poly1305_ietf_decrypt: true,
    crypto_scalarmult_base: true,
    crypto_scalarmult: true,
    sodium_memzero: true,
  };
  return Object.keys(names).every(name => typeof Reflect.get(loaded, name) === 'function');
}

/** One answer each, against node:crypto, and refusals: a broken binary must not come as far as a handshake. */
function computesRight(crypto: NoiseCrypto): boolean {
  try {
    const own = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const [fast, sure] = [crypto.keyPairFromPrivateKey(own), nodeCrypto.keyPairFromPrivateKey(own)];
    if (fast === undefined || sure === undefined || !isSame(fast.publicKey, sure.publicKey)) return false;
    const other = nodeCrypto.generateKeyPair().publicKey;
    if (!isSame(fast.agree(other), sure.agree(other)) || fast.agree(new Uint8Array(32)) !== undefined) return false;
    fast.close();
    // Handshakes seal with associated data, frames without any.
    return [other, noBytes].every(ad => sealsRight(crypto, own, ad));
  } catch {
    return false;
  }
}

function sealsRight(crypto: NoiseCrypto, key: Uint8Array, ad: Uint8Array): boolean {
  const [fast, sure] = [crypto, nodeCrypto].map(each => each.suite('ChaChaPoly', 'SHA256').aead(key));
  const [one, two] = [new Uint8Array(48), new Uint8Array(48)];
  fast!.seal(1, 2, ad, key, one, 0);
  sure!.seal(1, 2, ad, key, two, 0);
  const isRight = isSame(one, two) && isSame(fast!.open(1, 2, ad, two), key);
  two[40]! ^= 1;
  const isRefused = fast!.open(1, 2, ad, two) === undefined;
  fast!.close();
  sure!.close();
  return isRight && isRefused;
}

function isSame(one: Uint8Array | undefined, two: Uint8Array | undefined): boolean {
  return one !== undefined && two !== undefined && Buffer.compare(one, two) === 0;
}
