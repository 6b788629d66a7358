// The MACs of a file: a running one that can be read at the end of each chunk, and the check that nothing of a chunk is given
// out before it was found right.
// Knows nothing of ciphers, padding or digests.
// Source: docs/protocol/11-media.md section 11.2; RFC 2104.
import { createHash, type Hash, timingSafeEqual } from 'node:crypto';
import { type AttachmentSecrets, encryptedSizeBytes, macBytes } from './format.ts';

/**
 * HMAC-SHA256 (RFC 2104) whose value can be had at any point: node:crypto can copy a running hash but not a running HMAC.
 * One pass serves all the chunk MACs and the MAC at the file's end.
 */
export class RunningMac {
  readonly #outer: Hash;
  #inner: Hash;

  constructor(key: Uint8Array) {
    const pad = (byte: number): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte);
    this.#inner = createHash('sha256').update(pad(0x36));
    this.#outer = createHash('sha256').update(pad(0x5c));
  }

  update(bytes: Uint8Array): void {
    this.#inner.update(bytes);
  }

  value(): Buffer {
    return this.#outer.copy().update(this.#inner.copy().digest()).digest();
  }

  snapshot(): Hash {
    return this.#inner.copy();
  }

  restore(snapshot: Hash): void {
    this.#inner = snapshot.copy();
  }
}

/** Feeds bytes to a MAC and stops at the end of each chunk. */
export class ChunkedMac {
  readonly mac: RunningMac;
  readonly #chunkBytes: number;
  #leftBytes: number;

  constructor(key: Uint8Array, chunkBytes: number) {
    this.mac = new RunningMac(key);
    this.#chunkBytes = chunkBytes;
    this.#leftBytes = chunkBytes;
  }

  /** `atEnd` is called with the part of `bytes` that ends a chunk; what is left over is given back. */
  update(bytes: Uint8Array, atEnd: (part: Uint8Array, mac: Buffer) => void): Uint8Array {
    let rest = bytes;
    while (rest.length >= this.#leftBytes) {
      const part = rest.subarray(0, this.#leftBytes);
      rest = rest.subarray(this.#leftBytes);
      this.#leftBytes = this.#chunkBytes;
      this.mac.update(part);
      atEnd(part, this.mac.value());
    }
    this.mac.update(rest);
    this.#leftBytes -= rest.length;
    return rest;
  }
}

/** Holds what comes back until the MAC of its chunk was found right; copies it, so that its source may go. */
export class MacCheck {
  readonly #macs: Uint8Array;
  readonly #chunked: ChunkedMac;
  readonly #chunkBytes: number;
  readonly #encryptedBytes: number;
  #leftBytes: number;
  #chunk = 0;
  #held: Buffer | undefined;
  #heldBytes = 0;

  constructor(secrets: AttachmentSecrets) {
    this.#macs = secrets.incrementalMac;
    this.#chunked = new ChunkedMac(secrets.key.subarray(32), secrets.incrementalMacChunkBytes);
    this.#chunkBytes = secrets.incrementalMacChunkBytes;
    this.#encryptedBytes = encryptedSizeBytes(secrets.sizeBytes);
    this.#leftBytes = this.#encryptedBytes;
  }

  get mac(): RunningMac {
    return this.#chunked.mac;
  }

  /** How many bytes are still to come. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** The chunks that can be given out now, in order; undefined when one is wrong, after which nothing may be asked. */
  update(bytes: Uint8Array): readonly Uint8Array[] | undefined {
    const ready: Uint8Array[] = [];
    let right = true;
    const hold = (part: Uint8Array): void => {
      const heldBefore = this.#chunk * this.#chunkBytes;
      this.#held ??= Buffer.allocUnsafeSlow(Math.min(this.#chunkBytes, this.#encryptedBytes - heldBefore));
      this.#held.set(part, this.#heldBytes);
      this.#heldBytes += part.length;
    };
    const judge = (mac: Buffer): void => {
      const at = this.#chunk * macBytes;
      right &&= timingSafeEqual(mac, this.#macs.subarray(at, at + macBytes));
      this.#chunk += 1;
      if (right && this.#held !== undefined) ready.push(this.#held);
      this.#held = undefined;
      this.#heldBytes = 0;
    };
    this.#leftBytes -= bytes.length;
    const rest = this.#chunked.update(bytes, (part, mac) => {
      hold(part);
      judge(mac);
    });
    if (rest.length > 0) hold(rest);
    if (this.#leftBytes === 0) judge(this.mac.value());
    return right ? ready : undefined;
  }
}
