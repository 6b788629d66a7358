// How much was said to a server that has not read it yet: what is said beyond a bound is lost, rather than kept in memory until
// the connection is taken for dead. Knows no server.

export const unreadLimits = {
  /** Of all that was said. */
  maxBytes: 8 * 1024 * 1024,
  /** So many more, and the server is asked whether it has read them. */
  askEveryBytes: 128 * 1024,
} as const;

export class UnreadBytes {
  /** Resolves when the server has read all that was said before; rejects when it is gone. */
  readonly #ask: () => Promise<void>;
  readonly #onBehind: (isBehind: boolean) => void;
  #saidBytes = 0;
  #readBytes = 0;
  #isAsking = false;
  #isBehind = false;
  /** Messages for which there was no room. */
  lost = 0;

  constructor(ask: () => Promise<void>, onBehind: (isBehind: boolean) => void) {
    this.#ask = ask;
    this.#onBehind = onBehind;
  }

  /** Whether this much may be said now; then it is to be said at once. */
  take(bytes: number): boolean {
    if (this.#saidBytes - this.#readBytes + bytes > unreadLimits.maxBytes) {
      this.lost++;
      this.#setBehind(true);
      return false;
    }
    this.#saidBytes += bytes;
    return true;
  }

  /** To be called when what was taken has been said. */
  said(): void {
    if (this.#isAsking || this.#saidBytes - this.#readBytes < unreadLimits.askEveryBytes) return;
    this.#isAsking = true;
    const upTo = this.#saidBytes;
    this.#ask().then(
      () => this.#answered(upTo),
      () => void (this.#isAsking = false),
    );
  }

  /** Another connection: what was on its way is lost. */
  begin(): void {
    this.#answered(this.#saidBytes);
  }

  #answered(upTo: number): void {
    this.#isAsking = false;
    this.#readBytes = Math.max(this.#readBytes, upTo);
    this.#setBehind(false);
    this.said();
  }

  #setBehind(isBehind: boolean): void {
    if (this.#isBehind === isBehind) return;
    this.#isBehind = isBehind;
    this.#onBehind(isBehind);
  }
}
