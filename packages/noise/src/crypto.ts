// The primitives a Noise protocol is made of, as a port: this package computes no cryptography itself.
// Knows nothing of who computes them.
// Source: Noise Protocol Framework revision 34, sections 4 and 12. All names are the specification's.

export const publicKeyBytes = 32;
export const symmetricKeyBytes = 32;
export const tagBytes = 16;
/** The greatest Noise message, handshake or transport, tag included (section 3). */
export const maximumMessageBytes = 65_535;
/** The greatest plaintext of a transport message. */
export const maximumPlaintextBytes = maximumMessageBytes - tagBytes;

/** A key was used after it was closed: a defect of the caller. */
export class ClosedKey extends Error {
  constructor() {
    super('the key is closed');
  }
}

/** An X25519 key pair whose private half stays with whoever made it: it can only be used, not read. */
export type KeyPair = {
  readonly publicKey: Uint8Array;
  /** DH (section 4.1) with a 32-byte public key; a new buffer of 32 bytes, or undefined when the result is all zero. */
  agree(remotePublicKey: Uint8Array): Uint8Array | undefined;
  /** Wipes the private half, where this code holds it; the pair must not be used any more. */
  close(): void;
};

/** One AEAD key, whose bytes it owns. The nonce is the 64-bit counter as two unsigned halves; how it is laid out is the cipher's affair. */
export type Aead = {
  /** Writes ciphertext and tag (`plaintext.length + 16` bytes) to `out` at `offset`. */
  seal(
    nonceHigh: number,
    nonceLow: number,
    ad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    offset: number,
  ): void;
  /** A new buffer with the plaintext, or undefined when ciphertext, tag, data or nonce are not what was sealed. */
  open(nonceHigh: number, nonceLow: number, ad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
  /** Wipes the key; nothing can be sealed or opened any more. */
  close(): void;
};

export type CipherName = 'AESGCM' | 'ChaChaPoly';
export type HashName = 'SHA256' | 'SHA512' | 'BLAKE2s' | 'BLAKE2b';

export type Suite = {
  /** The tail of the protocol name, `25519_AESGCM_SHA256`. */
  readonly name: `25519_${CipherName}_${HashName}`;
  readonly cipher: CipherName;
  readonly hashBytes: 32 | 64;
  generateKeyPair(): KeyPair;
  /** HASH(first || second). */
  hash(first: Uint8Array, second: Uint8Array): Uint8Array;
  /** HKDF (section 4.3): `outputs` new buffers of `hashBytes` each. */
  hkdf(chainingKey: Uint8Array, input: Uint8Array, outputs: 2 | 3): readonly Uint8Array[];
  /** `key` has 32 bytes and may be wiped after the call. */
  aead(key: Uint8Array): Aead;
};

/** What brings the primitives: `node-crypto`, `sodium-crypto`, or what fits this machine, `platform-crypto`. */
export type NoiseCrypto = {
  /** The primitives of `Noise_*_25519_<cipher>_<hash>`. Cheap to call, but one per process and name is enough. */
  suite(cipher: CipherName, hash: HashName): Suite;
  /** A new X25519 key pair. */
  generateKeyPair(): KeyPair;
  /** The key pair of a stored 32-byte private key; undefined when it isn't 32 bytes. The bytes may be wiped after the call. */
  keyPairFromPrivateKey(privateKey: Uint8Array): KeyPair | undefined;
};

export const noBytes = new Uint8Array(0);

/**
 * A copy of one's own. Not `bytes.slice()`: on a Buffer that is a view of the same memory. In a buffer that was asked for: V8
 * puts short arrays among its objects, and whenever it moves them leaves copies that nobody can wipe.
 */
export function copyBytes(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** Wipes secrets as well as JavaScript can: buffers of ours are zeroed. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}
