// One deed for one key: a command that comes again, because its tab never heard the result, gets the result of the first.
// Knows nothing of what commands do. Kept in memory: a key is worth as much as the process that it was said to.

export class KeptResults<R> {
  readonly #most: number;
  readonly #kept = new Map<string, { readonly what: string; readonly result: Promise<R> }>();

  constructor(most: number) {
    this.#most = most;
  }

  /** `what` tells the command from all others: the same key for another one gives undefined. */
  once(key: string, what: string, run: () => Promise<R>): Promise<R> | undefined {
    const known = this.#kept.get(key);
    if (known !== undefined) return known.what === what ? known.result : undefined;
    const result = run();
    this.#kept.set(key, { what, result });
    if (this.#kept.size > this.#most) this.#kept.delete(this.#kept.keys().next().value!);
    return result;
  }
}
