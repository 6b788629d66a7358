// One direction of a Noise session after the handshake: a key, a counter, seal or open, rekey.
// Knows nothing of frames or sockets. Mutable on purpose: it is on the path of every frame.
// Source: Noise Protocol Framework revision 34, sections 5.1, 11.3 and 3 (sizes).

import {
  type Aead,
  maximumMessageBytes,
  maximumPlaintextBytes,
  noBytes,
  type Suite,
  symmetricKeyBytes,
  tagBytes,
  wipe,
} from './crypto.ts';
import { type NoiseError, noiseError } from './errors.ts';

const maximum32 = 0xffff_ffff;
const maximumNonce = 2n ** 64n - 1n;

export class CipherState {
  readonly #suite: Suite;
  /** Undefined once closed. */
  #aead: Aead | undefined;
  // The nonce in two halves: exact to the last value without bigint arithmetic per frame.
  #high = 0;
  #low = 0;

  /** `key` has 32 bytes; it is copied into the cipher and may be wiped after the call. */
  constructor(suite: Suite, key: Uint8Array) {
    this.#suite = suite;
    this.#aead = suite.aead(key);
  }

  /** The nonce of the next message, 0..2^64-1; the last value is reserved and means that the key is used up. */
  get nonce(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** Moves the nonce forward (SetNonce); backwards would use one twice and is refused with `nonce-refused`. */
  skipTo(nonce: bigint): NoiseError | undefined {
    if (nonce < this.nonce || nonce > maximumNonce) return noiseError('nonce-refused');
    this.#high = Number(nonce >> 32n);
    this.#low = Number(nonce & 0xffff_ffffn);
    return undefined;
  }

  /**
   * Seals `plaintext` (at most 65,519 bytes) into `out` at `offset`; gives back the number of bytes written, 16 more
   * than the plaintext has. `plaintext` may lie within `out`.
   *
   * Refuses `nonce-exhausted`, `message-too-long` and `output-too-small`, each without a change, and `closed`.
   */
  encryptInto(plaintext: Uint8Array, out: Uint8Array, offset: number, ad: Uint8Array = noBytes): number | NoiseError {
    const length = plaintext.length + tagBytes;
    if (length > maximumMessageBytes) return noiseError('message-too-long');
    if (!(offset >= 0 && offset + length <= out.length)) return noiseError('output-too-small');
    if (this.#high === maximum32 && this.#low === maximum32) return noiseError('nonce-exhausted');
    if (this.#aead === undefined) return noiseError('closed');
    this.#aead.seal(this.#high, this.#low, ad, plaintext, out, offset);
    this.#step();
    return length;
  }

  /** As `encryptInto`, into a new buffer. EncryptWithAd of the specification, but for the order of the parameters. */
  encrypt(plaintext: Uint8Array, ad: Uint8Array = noBytes): Uint8Array | NoiseError {
    if (plaintext.length > maximumPlaintextBytes) return noiseError('message-too-long');
    const out = Buffer.allocUnsafe(plaintext.length + tagBytes);
    const length = this.encryptInto(plaintext, out, 0, ad);
    return typeof length === 'number' ? out : length;
  }

  /**
   * Opens one message (16..65,535 bytes) into a new buffer.
   *
   * Refuses `decryption-failed`, `message-truncated`, `message-too-long`, `nonce-exhausted` and `closed`, each without a change:
   * the session could go on, but whoever carries frames over an ordered stream closes it, for the peer is broken or
   * somebody else is writing.
   */
  decrypt(message: Uint8Array, ad: Uint8Array = noBytes): Uint8Array | NoiseError {
    if (message.length > maximumMessageBytes) return noiseError('message-too-long');
    if (message.length < tagBytes) return noiseError('message-truncated');
    if (this.#high === maximum32 && this.#low === maximum32) return noiseError('nonce-exhausted');
    if (this.#aead === undefined) return noiseError('closed');
    const plaintext = this.#aead.open(this.#high, this.#low, ad, message);
    if (plaintext === undefined) return noiseError('decryption-failed');
    this.#step();
    return plaintext;
  }

  /** Wipes the key. From then on everything is refused with `closed`. */
  close(): void {
    this.#aead?.close();
    this.#aead = undefined;
  }

  /**
   * Replaces the key by a one-way function of it (section 11.3) and wipes it; the nonce goes on. Both sides must do it
   * together. A closed state stays closed.
   */
  rekey(): void {
    if (this.#aead === undefined) return;
    const sealed = new Uint8Array(symmetricKeyBytes + tagBytes);
    this.#aead.seal(maximum32, maximum32, noBytes, new Uint8Array(symmetricKeyBytes), sealed, 0);
    this.#aead.close();
    this.#aead = this.#suite.aead(sealed.subarray(0, symmetricKeyBytes));
    wipe(sealed);
  }

  #step(): void {
    if (this.#low === maximum32) {
      this.#high += 1;
      this.#low = 0;
    } else this.#low += 1;
  }
}
