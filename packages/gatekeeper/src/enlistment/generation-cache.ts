// A bounded map that forgets what wasn't asked for lately. Knows nothing of what it holds.

/**
 * Holds at most about `max` values in two generations: when the young one is full, or at `turn`, it becomes the old one,
 * and what nobody asked for since is forgotten. A hit in the young one costs one look-up; one in the old one moves the
 * value over if `mayStay` says so, and forgets it otherwise.
 */
export class GenerationCache<V> {
  readonly #half: number;
  readonly #mayStay: (value: V) => boolean;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(max: number, mayStay: (value: V) => boolean) {
    this.#half = Math.max(1, max >> 1);
    this.#mayStay = mayStay;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    if (!this.#mayStay(old)) return undefined;
    this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#half) this.turn();
    this.#young.set(key, value);
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  turn(): void {
    this.#old = this.#young;
    this.#young = new Map();
  }
}
