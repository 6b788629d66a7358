// Bytes that are in memory only, and whether senders are to be slowed down because of them. Knows no mailbox.

export class UnwrittenBytes {
  readonly #max: number;
  /** Writers are too far behind (true) or have caught up (false). */
  readonly #congested: (congested: boolean) => void;
  #bytes = 0;
  #isCongested = false;

  constructor(max: number, congested: (congested: boolean) => void) {
    this.#max = max;
    this.#congested = congested;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Call when a change is whole: tells when congestion begins, and when it has ended at half of the bound. */
  check(): void {
    if (!this.#isCongested && this.#bytes > this.#max) {
      this.#isCongested = true;
      this.#congested(true);
    } else if (this.#isCongested && this.#bytes < this.#max / 2) {
      this.#isCongested = false;
      this.#congested(false);
    }
  }
}
