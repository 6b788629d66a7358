// Numbers what happens, and keeps the latest, so that a tab that comes back gets what it has missed.
// Pure. Knows nothing of tabs and of what events say.

export type Numbered<E> = { readonly number: number; readonly event: E };

export class EventLog<E> {
  readonly #most: number;
  readonly #kept: Numbered<E>[] = [];
  #last = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get last(): number {
    return this.#last;
  }

  add(event: E): Numbered<E> {
    const numbered = { number: ++this.#last, event };
    this.#kept.push(numbered);
    if (this.#kept.length > this.#most) this.#kept.shift();
    return numbered;
  }

  /** What came after; undefined when some of it is not kept any more, or the number is none of ours. */
  after(number: number): readonly Numbered<E>[] | undefined {
    if (number > this.#last) return undefined;
    const oldest = this.#kept[0]?.number ?? this.#last + 1;
    if (number < oldest - 1) return undefined;
    return this.#kept.slice(number - oldest + 1);
  }
}
