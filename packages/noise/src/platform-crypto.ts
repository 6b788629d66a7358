// The fastest primitives that work here: libsodium where sodium-native has a binary for this machine that computes what it
// should, else node:crypto. Both speak all ciphers; what differs is their price. Source: docs/decisions/0035.
// Knows nothing of handshakes.
import { createRequire } from 'node:module';
import type { NoiseCrypto } from './crypto.ts';
import { generatePrivateKey, nodeCrypto } from './node-crypto.ts';
import { type Sodium, sodiumCrypto } from './sodium-crypto.ts';

/** Why libsodium is not used, for the operator's log; undefined when it is. */
export type SodiumAbsence = 'not-installed' | 'not-loadable' | 'computes-wrongly';

export type PlatformCrypto = { readonly crypto: NoiseCrypto; readonly sodiumAbsence: SodiumAbsence | undefined };

/** Chooses by what `load` gives: for tests. `load` throws when there is nothing to load. */
export function chooseCrypto(load: () => unknown): PlatformCrypto {
  let loaded: unknown;
  try {
    loaded = load();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return { crypto: nodeCrypto, sodiumAbsence: code === 'MODULE_NOT_FOUND' ? 'not-installed' : 'not-loadable' };
  }
  if (!hasFunctions(loaded)) return { crypto: nodeCrypto, sodiumAbsence: 'not-loadable' };
  const crypto = sodiumCrypto(loaded, { ...nodeCrypto, generatePrivateKey });
  return computesRight(crypto)
    ? { crypto, sodiumAbsence: undefined }
    : { crypto: nodeCrypto, sodiumAbsence: 'computes-wrongly' };
}

/** A native library through `require`: it is optional, and a static import of what isn't there would end the process. */
const chosen = chooseCrypto(() => createRequire(import.meta.url)('sodium-native'));

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

/** One answer each, against node:crypto, and one refusal: a broken binary must not come as far as a handshake. */
function computesRight(crypto: NoiseCrypto): boolean {
  try {
    const own = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const [fast, sure] = [crypto.keyPairFromPrivateKey(own), nodeCrypto.keyPairFromPrivateKey(own)];
    if (fast === undefined || sure === undefined || !isSame(fast.publicKey, sure.publicKey)) return false;
    const other = nodeCrypto.generateKeyPair().publicKey;
    if (!isSame(fast.agree(other), sure.agree(other)) || fast.agree(new Uint8Array(32)) !== undefined) return false;
    fast.close();
    const [left, right] = [crypto, nodeCrypto].map(each => each.suite('ChaChaPoly', 'SHA256').aead(own));
    const [one, two] = [new Uint8Array(48), new Uint8Array(48)];
    left!.seal(1, 2, other, own, one, 0);
    right!.seal(1, 2, other, own, two, 0);
    if (!isSame(one, two) || !isSame(left!.open(1, 2, other, two), own)) return false;
    two[40]! ^= 1;
    const isRefused = left!.open(1, 2, other, two) === undefined;
    left!.close();
    return isRefused;
  } catch {
    return false;
  }
}

function isSame(one: Uint8Array | undefined, two: Uint8Array | undefined): boolean {
  return one !== undefined && two !== undefined && Buffer.compare(one, two) === 0;
}
