// Stream management's counts of one direction through somebody in the middle who drops, adds and repeats stanzas: what the
// receiver says it has handled is turned into what the sender believes it has.
// Knows nothing of elements or sockets.
// Source: XEP-0198 section 4.

export class Counts {
  /** For each stanza of the sender that is not acknowledged: the receiver's count after everything that became of it. */
  readonly #settledAt: number[] = [];
  #acknowledged = 0;
  #delivered = 0;

  /** A stanza of the sender became this number for the receiver. */
  passed(stanzas: number): void {
    this.#delivered += stanzas;
    this.#settledAt.push(this.#delivered);
  }

  /** Stanzas that the sender never sent. */
  added(stanzas: number): void {
    this.#delivered += stanzas;
  }

  /** The sender's count for the receiver's. */
  handled(count: number): number {
    while (this.#settledAt.length > 0 && this.#settledAt[0]! <= count) {
      this.#settledAt.shift();
      this.#acknowledged++;
    }
    return this.#acknowledged;
  }
}
