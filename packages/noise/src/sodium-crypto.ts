// The primitives on libsodium, as sodium-native binds it: ChaCha20-Poly1305 without an object per message, X25519 at half
// the price. Everything else (AES-GCM, hashes, HKDF) is node-crypto's. Knows nothing of where the binding comes from.
// Source: docs/decisions/0035; libsodium's documentation of crypto_aead_chacha20poly1305_ietf and crypto_scalarmult.
import {
  type Aead,
  ClosedKey,
  copyBytes,
  type KeyPair,
  type NoiseCrypto,
  publicKeyBytes,
  symmetricKeyBytes,
  tagBytes,
  wipe,
} from './crypto.ts';
import { KeyPlaces } from './key-places.ts';

/** What we use of sodium-native: no more than this is called. Each throws when libsodium refuses. */
export type Sodium = {
  crypto_aead_chacha20poly1305_ietf_encrypt(
    sealed: Uint8Array,
    plaintext: Uint8Array,
    ad: Uint8Array | null,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plaintext: Uint8Array,
    secretNonce: null,
    sealed: Uint8Array,
    ad: Uint8Array | null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  crypto_scalarmult_base(publicKey: Uint8Array, privateKey: Uint8Array): void;
  crypto_scalarmult(shared: Uint8Array, privateKey: Uint8Array, publicKey: Uint8Array): void;
  sodium_memzero(secret: Uint8Array): void;
};

/** `rest` brings what libsodium is not asked for, and randomness. */
export function sodiumCrypto(
  sodium: Sodium,
  rest: NoiseCrypto & { readonly generatePrivateKey: () => Uint8Array },
): NoiseCrypto {
  const keyPairFromPrivateKey = (privateKey: Uint8Array): KeyPair | undefined =>
    privateKey.length === publicKeyBytes ? new SodiumKeyPair(sodium, copyBytes(privateKey)) : undefined;
  const generateKeyPair = (): KeyPair => new SodiumKeyPair(sodium, rest.generatePrivateKey());
  return {
    suite: (cipher, hash) => ({
      ...rest.suite(cipher, hash),
      generateKeyPair,
      ...(cipher === 'ChaChaPoly' ? { aead: (key: Uint8Array) => new SodiumAead(sodium, key) } : {}),
    }),
    generateKeyPair,
    keyPairFromPrivateKey,
  };
}

// Section 12: 32 zero bits, then the counter, little-endian. libsodium reads it within the call, so one is enough.
const nonce = Buffer.alloc(12);

function setNonce(high: number, low: number): void {
  nonce.writeUInt32LE(low, 4);
  nonce.writeUInt32LE(high, 8);
}

const places = new KeyPlaces();
/** The key of the call that is under way: 32 bytes that libsodium reads cost several times as much when they stand alone. */
const keyAtWork = new Uint8Array(symmetricKeyBytes);
const keyAtWorkWords = new Uint32Array(keyAtWork.buffer);
/** Of a closed cipher. */
const noPlace = -1;

/** A class, not closures: two of these stand in every connection. */
class SodiumAead implements Aead {
  private readonly sodium: Sodium;
  private place: number;

  constructor(sodium: Sodium, key: Uint8Array) {
    // The binding looks at lengths as well; that it does is not a reason to let a view of another length come so far.
    if (key.length !== symmetricKeyBytes) throw new RangeError('a key has 32 bytes');
    this.sodium = sodium;
    this.place = places.take(key);
  }

  seal(high: number, low: number, ad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    const key = this.opened();
    const length = plaintext.length + tagBytes;
    const sealed = out.subarray(offset, offset + length);
    // In place is fine; half over each other is not.
    const source = overlapsBadly(plaintext, sealed) ? copyBytes(plaintext) : plaintext;
    setNonce(high, low);
    const data = ad.length === 0 ? null : ad;
    const written = this.sodium.crypto_aead_chacha20poly1305_ietf_encrypt(sealed, source, data, null, nonce, key);
    if (written !== length) throw new RangeError('libsodium sealed less than it was given');
  }

  open(high: number, low: number, ad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    const key = this.opened();
    const length = sealed.length - tagBytes;
    if (length < 0) return undefined;
    const plaintext = Buffer.allocUnsafe(length);
    setNonce(high, low);
    const data = ad.length === 0 ? null : ad;
    try {
      // Told by the exact count and not by the absence of an error: the binding returns -1 through an unsigned type.
      const opened = this.sodium.crypto_aead_chacha20poly1305_ietf_decrypt(plaintext, null, sealed, data, nonce, key);
      if (opened === length) return plaintext;
    } catch {
      // Falls through: libsodium verifies before it decrypts, so nothing was written that has to be wiped.
    }
    return undefined;
  }

  close(): void {
    if (this.place === noPlace) return;
    places.giveBack(this.place, secret => this.sodium.sodium_memzero(secret));
    this.place = noPlace;
    // It may be this one.
    this.sodium.sodium_memzero(keyAtWork);
  }

  /** Its bytes are this key's until the next call. */
  private opened(): Uint8Array {
    if (this.place === noPlace) throw new ClosedKey();
    places.read(this.place, keyAtWorkWords);
    return keyAtWork;
  }
}

function overlapsBadly(plaintext: Uint8Array, sealed: Uint8Array): boolean {
  if (plaintext.buffer !== sealed.buffer || plaintext.byteOffset === sealed.byteOffset) return false;
  return (
    plaintext.byteOffset < sealed.byteOffset + sealed.length &&
    sealed.byteOffset < plaintext.byteOffset + plaintext.length
  );
}

class SodiumKeyPair implements KeyPair {
  readonly publicKey: Uint8Array = new Uint8Array(publicKeyBytes);
  readonly #sodium: Sodium;
  /** Undefined once closed. */
  #privateKey: Uint8Array | undefined;

  /** `privateKey` becomes this pair's own. */
  constructor(sodium: Sodium, privateKey: Uint8Array) {
    this.#sodium = sodium;
    this.#privateKey = privateKey;
    sodium.crypto_scalarmult_base(this.publicKey, privateKey);
  }

  agree(remotePublicKey: Uint8Array): Uint8Array | undefined {
    if (this.#privateKey === undefined) throw new ClosedKey();
    if (remotePublicKey.length !== publicKeyBytes) return undefined;
    const shared = new Uint8Array(publicKeyBytes);
    try {
      this.#sodium.crypto_scalarmult(shared, this.#privateKey, remotePublicKey);
    } catch {
      wipe(shared);
      return undefined; // libsodium refuses a point of low order.
    }
    // A build that does not refuse gives zeros; or-ing all bytes takes the same time for any secret.
    let any = 0;
    for (const byte of shared) any |= byte;
    return any === 0 ? undefined : shared;
  }

  close(): void {
    if (this.#privateKey !== undefined) this.#sodium.sodium_memzero(this.#privateKey);
    this.#privateKey = undefined;
  }
}
