// The primitives on node:crypto: everywhere, and where sodium-native has no binary (platform-crypto.ts).
// Measured choices: AES keys in the form that this Node takes fastest (`keyForm`), public keys as JWK (SPKI costs twice
// as much or more), one-shot hashes, HKDF of plain bytes.
// Knows nothing of handshakes.

import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import {
  copyBytes,
  type Aead,
  type CipherName,
  ClosedKey,
  type HashName,
  type KeyPair,
  type NoiseCrypto,
  noBytes,
  publicKeyBytes,
  type Suite,
  tagBytes,
  wipe,
} from './crypto.ts';

const hashes = {
  SHA256: { digest: 'sha256', hashBytes: 32 },
  SHA512: { digest: 'sha512', hashBytes: 64 },
  BLAKE2s: { digest: 'blake2s256', hashBytes: 32 },
  BLAKE2b: { digest: 'blake2b512', hashBytes: 64 },
} as const satisfies Record<HashName, { readonly digest: string; readonly hashBytes: 32 | 64 }>;

/** As `NoiseCrypto.suite`. */
export function nodeSuite(cipher: CipherName, hashName: HashName): Suite {
  const { digest, hashBytes } = hashes[hashName];
  return {
    name: `25519_${cipher}_${hashName}`,
    cipher,
    hashBytes,
    generateKeyPair,
    hash: (first, second) => hash(digest, Buffer.concat([first, second]), 'buffer'),
    hkdf(chainingKey, input, outputs) {
      // RFC 5869 with empty info is HKDF of the Noise specification, section 4.3.
      const bytes = hkdfSync(digest, input, chainingKey, noBytes, outputs * hashBytes);
      const [first, second] = [new Uint8Array(bytes, 0, hashBytes), new Uint8Array(bytes, hashBytes, hashBytes)];
      return outputs === 2 ? [first, second] : [first, second, new Uint8Array(bytes, 2 * hashBytes, hashBytes)];
    },
    aead: key => new NodeAead(cipher === 'AESGCM' ? 'aes-256-gcm' : 'chacha20-poly1305', key),
  };
}

const options = { authTagLength: tagBytes };
// Both nonce forms start with 32 zero bits (section 12). Node copies the buffer when a cipher is made, so one is enough.
const iv = Buffer.alloc(12);

/**
 * A key in the form in which this Node makes ciphers fastest. From version 26 plain bytes cost no more per message than a
 * key object, which takes 1 KiB for each direction of each idle connection; before, they cost four times as much.
 */
const keyForm: (key: Uint8Array) => KeyObject | Uint8Array =
  Number(process.versions.node.split('.')[0]) >= 26 ? copyBytes : key => createSecretKey(key);

/** A class, not closures: two of these stand in every connection. */
class NodeAead implements Aead {
  private readonly cipher: 'aes-256-gcm' | 'chacha20-poly1305';
  /** Undefined once closed. */
  private key: KeyObject | Uint8Array | undefined;

  constructor(cipher: 'aes-256-gcm' | 'chacha20-poly1305', key: Uint8Array) {
    this.cipher = cipher;
    this.key = keyForm(key);
  }

  seal(high: number, low: number, ad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
    this.setNonce(high, low);
    const cipher = createCipheriv(this.cipher as 'aes-256-gcm', this.opened(), iv, options);
    sealWith(cipher, ad, plaintext, out, offset);
  }

  open(high: number, low: number, ad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    this.setNonce(high, low);
    return openWith(createDecipheriv(this.cipher as 'aes-256-gcm', this.opened(), iv, options), ad, sealed);
  }

  close(): void {
    // A key object wipes itself when it is collected.
    if (this.key instanceof Uint8Array) wipe(this.key);
    this.key = undefined;
  }

  private opened(): KeyObject | Uint8Array {
    if (this.key === undefined) throw new ClosedKey();
    return this.key;
  }

  private setNonce(high: number, low: number): void {
    if (this.cipher === 'aes-256-gcm') {
      iv.writeUInt32BE(high, 4);
      iv.writeUInt32BE(low, 8);
    } else {
      iv.writeUInt32LE(low, 4);
      iv.writeUInt32LE(high, 8);
    }
  }
}

type Cipher = ReturnType<typeof createCipheriv> & { getAuthTag(): Buffer; setAAD(ad: Uint8Array): unknown };
type Decipher = ReturnType<typeof createDecipheriv> & {
  setAuthTag(tag: Uint8Array): unknown;
  setAAD(ad: Uint8Array): unknown;
};

function sealWith(cipher: Cipher, ad: Uint8Array, plaintext: Uint8Array, out: Uint8Array, offset: number): void {
  if (ad.length > 0) cipher.setAAD(ad);
  // An AEAD stream cipher gives everything from update(); final() only closes the tag.
  if (plaintext.length > 0) out.set(cipher.update(plaintext), offset);
  cipher.final();
  out.set(cipher.getAuthTag(), offset + plaintext.length);
}

function openWith(decipher: Decipher, ad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const length = sealed.length - tagBytes;
  if (length < 0) return undefined;
  decipher.setAuthTag(sealed.subarray(length));
  if (ad.length > 0) decipher.setAAD(ad);
  const plaintext = length > 0 ? decipher.update(sealed.subarray(0, length)) : Buffer.alloc(0);
  try {
    decipher.final();
  } catch {
    wipe(plaintext); // Unauthenticated bytes are nobody's to see.
    return undefined;
  }
  return plaintext;
}

/** A new X25519 key pair, for ephemerals: its private half can't be exported. */
export function generateKeyPair(): KeyPair {
  // The public half is encoded within the call: exporting it afterwards can deadlock in Node during garbage collection.
  const { publicKey, privateKey } = generateKeyPairSync('x25519', { publicKeyEncoding: { format: 'jwk' } });
  return keyPair(Buffer.from(publicKey.x!, 'base64url'), privateKey);
}

/** 32 random bytes: an X25519 private key (RFC 7748 section 5), for keys that must be stored. */
export function generatePrivateKey(): Uint8Array {
  return randomBytes(publicKeyBytes);
}

const pkcs8Prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const basePoint = Buffer.alloc(publicKeyBytes);
basePoint[0] = 9;

/** As `NoiseCrypto.keyPairFromPrivateKey`. */
export function keyPairFromPrivateKey(privateKey: Uint8Array): KeyPair | undefined {
  if (privateKey.length !== publicKeyBytes) return undefined;
  const der = Buffer.concat([pkcs8Prefix, privateKey]);
  const keyObject = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  wipe(der);
  const publicKey = agree(keyObject, basePoint); // X25519 of the base point is the public key (RFC 7748 section 6.1).
  return publicKey === undefined ? undefined : keyPair(publicKey, keyObject);
}

function keyPair(publicKey: Uint8Array, privateKey: KeyObject): KeyPair {
  // The key object wipes its private half when it is collected.
  return { publicKey, agree: remotePublicKey => agree(privateKey, remotePublicKey), close() {} };
}

function agree(privateKey: KeyObject, remotePublicKey: Uint8Array): Uint8Array | undefined {
  if (remotePublicKey.length !== publicKeyBytes) return undefined;
  const x = Buffer.from(remotePublicKey.buffer, remotePublicKey.byteOffset, publicKeyBytes).toString('base64url');
  const publicKey = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x } });
  let shared: Uint8Array;
  try {
    shared = diffieHellman({ privateKey, publicKey });
  } catch {
    return undefined; // OpenSSL refuses to derive from a point of low order.
  }
  // A build that does not refuse gives zeros (RFC 7748 section 6.1); or-ing all bytes takes the same time for any secret.
  let any = 0;
  for (const byte of shared) any |= byte;
  return any === 0 ? undefined : shared;
}

export const nodeCrypto: NoiseCrypto = { suite: nodeSuite, generateKeyPair, keyPairFromPrivateKey };
