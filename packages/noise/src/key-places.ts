// Memory for the symmetric keys of many connections: 32 bytes each, side by side, with no object for a key, since sessions
// are many and most are idle. A place is taken, read from, and given back wiped. Knows nothing of ciphers.
import { symmetricKeyBytes } from './crypto.ts';

const keyWords = symmetricKeyBytes / Uint32Array.BYTES_PER_ELEMENT;
/** Places of one piece of memory. */
const together = 256;

export class KeyPlaces {
  readonly #pieces: Uint32Array[] = [];
  /** Places that nobody has. */
  readonly #free: number[] = [];

  /** Copies a key of 32 bytes, and gives its place. */
  take(key: Uint8Array): number {
    if (this.#free.length === 0) this.#grow();
    const place = this.#free.pop()!;
    this.#bytesOf(place).set(key);
    return place;
  }

  /** Copies the key at this place into 8 words, which begin 32 bytes. */
  read(place: number, into: Uint32Array): void {
    const piece = this.#pieces[Math.floor(place / together)]!;
    const start = (place % together) * keyWords;
    for (let i = 0; i < keyWords; i++) into[i] = piece[start + i]!;
  }

  /** For another key, once: whoever gave a place back forgets it. `wipe` makes bytes zero for good. */
  giveBack(place: number, wipe: (secret: Uint8Array) => void): void {
    wipe(this.#bytesOf(place));
    this.#free.push(place);
  }

  /** How many are taken. */
  get taken(): number {
    return this.#pieces.length * together - this.#free.length;
  }

  #bytesOf(place: number): Uint8Array {
    const { buffer } = this.#pieces[Math.floor(place / together)]!;
    return new Uint8Array(buffer, (place % together) * symmetricKeyBytes, symmetricKeyBytes);
  }

  #grow(): void {
    const first = this.#pieces.length * together;
    this.#pieces.push(new Uint32Array(together * keyWords));
    for (let i = together - 1; i >= 0; i--) this.#free.push(first + i);
  }
}
