// The input of one established stream, a piece at a time: what a read gives beyond the stream's part of a turn of the event loop
// waits here until others were read. Knows nothing of encodings, sockets or sessions.
// Source: docs/decisions/0073; threat 10 of docs/threat-model.md.

/** So much of one read is taken before it is asked whether the stream's part of the turn is over. */
export const pieceBytes = 8 * 1024;

/** A stream of either encoding, as its input sees it. */
export interface PacedStream {
  /** It is open, and nothing speaks against reading on. */
  readonly mayRead: boolean;
  /** Input may be cut anywhere; otherwise each is taken whole. */
  readonly isDivisible: boolean;
  readPiece(input: Uint8Array): void;
  /** Everything was read that came: more may come. */
  resumeLink(): void;
  /** So many bytes more wait, or fewer. False: all streams together hold too much, read it at once. */
  inputWaits(bytes: number): boolean;
  /** Later, in a turn of its own. */
  readSoon(): void;
}

export class PacedInput {
  readonly #stream: PacedStream;
  /** In the order in which it came. */
  #waiting: Uint8Array[] = [];
  #heldBytes = 0;
  #isReading = false;
  #isScheduled = false;

  constructor(stream: PacedStream) {
    this.#stream = stream;
  }

  take(input: Uint8Array): void {
    this.#waiting.push(input);
    if (this.#waiting.length === 1) this.readOn();
    else if (!this.#isHeld()) this.#readAll();
  }

  /** The stream may be read again. True: something waits here, and goes before what the link has. */
  resume(): boolean {
    if (this.#waiting.length === 0) return false;
    if (!this.#isReading && !this.#isScheduled) {
      this.#isScheduled = true;
      this.#stream.readSoon();
    }
    return true;
  }

  readOn(): void {
    this.#isScheduled = false;
    this.#isReading = true;
    try {
      while (this.#waiting.length > 0 && this.#stream.mayRead) this.#stream.readPiece(this.#next(pieceBytes));
    } finally {
      this.#isReading = false;
    }
    if (!this.#isHeld()) this.#readAll();
    else if (this.#waiting.length === 0 && this.#stream.mayRead) this.#stream.resumeLink();
  }

  /** The stream is over: nothing of it is read any more. */
  drop(): void {
    this.#waiting = [];
    this.#isHeld();
  }

  #next(bytes: number): Uint8Array {
    const input = this.#waiting[0]!;
    if (!this.#stream.isDivisible || input.length <= bytes) return this.#waiting.shift()!;
    this.#waiting[0] = input.subarray(bytes);
    return input.subarray(0, bytes);
  }

  /** A piece keeps alive all that it was read with. */
  #isHeld(): boolean {
    let held = 0;
    for (const input of this.#waiting) held += input.buffer.byteLength;
    const more = held - this.#heldBytes;
    if (more === 0) return true;
    if (!this.#stream.inputWaits(more)) return false;
    this.#heldBytes = held;
    return true;
  }

  #readAll(): void {
    const all = this.#waiting;
    this.#waiting = [];
    this.#isHeld();
    for (const input of all) this.#stream.readPiece(input);
  }
}
