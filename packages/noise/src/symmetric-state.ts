// The running transcript of a handshake: chaining key, hash, and the key of the moment. Knows no tokens or DH keys.
// Source: Noise Protocol Framework revision 34, section 5.2.

import { CipherState } from './cipher-state.ts';
import { type Aead, copyBytes, noBytes, type Suite, symmetricKeyBytes, tagBytes, wipe } from './crypto.ts';

export class SymmetricState {
  readonly #suite: Suite;
  #chainingKey: Uint8Array;
  #hash: Uint8Array;
  #aead: Aead | undefined;
  /** The key belongs to the state that this one was forked from, until it takes over. */
  #isBorrowed = false;
  // A handshake seals a handful of values under one key, so that 32 bits of nonce are more than enough here.
  #nonce = 0;

  private constructor(suite: Suite, chainingKey: Uint8Array, hash: Uint8Array) {
    this.#suite = suite;
    this.#chainingKey = chainingKey;
    this.#hash = hash;
  }

  static initialise(suite: Suite, protocolName: string): SymmetricState {
    const name = Buffer.from(protocolName, 'ascii');
    const hash = new Uint8Array(suite.hashBytes);
    if (name.length <= suite.hashBytes) hash.set(name);
    else hash.set(suite.hash(name, noBytes));
    return new SymmetricState(suite, copyBytes(hash), hash);
  }

  /** A copy to try a message on: in the end it takes over, or is wiped. */
  fork(): SymmetricState {
    const copy = new SymmetricState(this.#suite, copyBytes(this.#chainingKey), this.#hash);
    copy.#aead = this.#aead;
    copy.#isBorrowed = true;
    copy.#nonce = this.#nonce;
    return copy;
  }

  /** Takes the place of the state that it was forked from, which is wiped. */
  takeOver(from: SymmetricState): void {
    if (this.#isBorrowed) from.#aead = undefined;
    this.#isBorrowed = false;
    from.wipe();
  }

  get keyed(): boolean {
    return this.#aead !== undefined;
  }

  get hash(): Uint8Array {
    return this.#hash;
  }

  /** Wipes `input` too. */
  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = this.#suite.hkdf(this.#chainingKey, input, 2);
    this.#replaceKeys(chainingKey!, key!);
    wipe(input);
  }

  mixHash(data: Uint8Array): void {
    this.#hash = this.#suite.hash(this.#hash, data);
  }

  mixKeyAndHash(psk: Uint8Array): void {
    const [chainingKey, hashInput, key] = this.#suite.hkdf(this.#chainingKey, psk, 3);
    this.#replaceKeys(chainingKey!, key!);
    this.mixHash(hashInput!);
    wipe(hashInput);
  }

  /** Seals to `out` at `offset` (or copies, while there is no key yet); gives back the offset after it. */
  encryptAndHash(plaintext: Uint8Array, out: Uint8Array, offset: number): number {
    let end = offset + plaintext.length;
    if (this.#aead === undefined) out.set(plaintext, offset);
    else {
      end += tagBytes;
      this.#aead.seal(0, this.#nonce, this.#hash, plaintext, out, offset);
      this.#nonce += 1;
    }
    this.mixHash(out.subarray(offset, end));
    return end;
  }

  /** Opens into a new buffer; undefined when the data is not what was sealed. */
  decryptAndHash(data: Uint8Array): Uint8Array | undefined {
    let plaintext: Uint8Array | undefined;
    if (this.#aead === undefined) plaintext = copyBytes(data);
    else {
      plaintext = this.#aead.open(0, this.#nonce, this.#hash, data);
      if (plaintext === undefined) return undefined;
      this.#nonce += 1;
    }
    this.mixHash(data);
    return plaintext;
  }

  /** The cipher states of initiator and responder, in this order. Wipes what they were made from. */
  split(): readonly [CipherState, CipherState] {
    const [first, second] = this.#suite.hkdf(this.#chainingKey, noBytes, 2);
    const states = [
      new CipherState(this.#suite, first!.subarray(0, symmetricKeyBytes)),
      new CipherState(this.#suite, second!.subarray(0, symmetricKeyBytes)),
    ] as const;
    wipe(first, second);
    this.wipe();
    return states;
  }

  wipe(): void {
    wipe(this.#chainingKey);
    this.#dropKey();
  }

  #dropKey(): void {
    if (!this.#isBorrowed) this.#aead?.close();
    this.#aead = undefined;
    this.#isBorrowed = false;
  }

  #replaceKeys(chainingKey: Uint8Array, key: Uint8Array): void {
    wipe(this.#chainingKey);
    this.#chainingKey = chainingKey;
    this.#dropKey();
    this.#aead = this.#suite.aead(key.subarray(0, symmetricKeyBytes));
    this.#nonce = 0;
    wipe(key);
  }
}
