// The input of one established stream, a piece at a time: what a read gives beyond the stream's part of a turn of the event loop
// waits here until others were read. Knows nothing of encodings, sockets or sessions.
// Source: docs/decisions/0073; threat 10 of docs/threat-model.md.

/** So much of one read is taken before it is asked whether the stream's part of the turn is over. */
export const pieceBytes = 8 * 1024;

/** A stream of either encoding, as its input sees it. */
export interface PacedStream<Input> {
  /** It is open, and nothing speaks against reading on. */
  readonly mayRead: boolean;
  /** Takes a piece of it, and gives what is left. */
  readPiece(input: Input): Input | undefined;
  /** What it keeps alive while it waits. */
  heldBytes(input: Input): number;
  /** Everything was read that came: more may come. */
  resumeLink(): void;
  /** So many bytes more wait, or fewer. False: all streams together hold too much, read it at once. */
  inputWaits(bytes: number): boolean;
  /** Later, in a turn of its own. */
  readSoon(): void;
}

export class PacedInput<Input> {
  readonly #stream: PacedStream<Input>;
  /** In the order in which it came. */
  #waiting: Input[] = [];
  #heldBytes = 0;
  #isReading = false;
  #isScheduled = false;

  constructor(stream: PacedStream<Input>) {
    this.#stream = stream;
  }

  take(input: Input): void {
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
      while (this.#waiting.length > 0 && this.#stream.mayRead) this.#readPiece();
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

  #readPiece(): void {
    const waiting = this.#waiting;
    const left = this.#stream.readPiece(waiting[0]!);
    // It may have been dropped.
    if (left === undefined) waiting.shift();
    else waiting[0] = left;
  }

  #isHeld(): boolean {
    let held = 0;
    for (const input of this.#waiting) held += this.#stream.heldBytes(input);
    const more = held - this.#heldBytes;
    if (more === 0) return true;
    if (!this.#stream.inputWaits(more)) return false;
    this.#heldBytes = held;
    return true;
  }

  #readAll(): void {
    while (this.#waiting.length > 0) this.#readPiece();
    this.#isHeld();
  }
}
