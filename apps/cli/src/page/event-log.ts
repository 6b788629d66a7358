// Numbers what happens, and keeps the latest, so that a tab that comes back gets what it has missed.
// Pure. Knows nothing of tabs and of what events say.

type Kept = { readonly number: number; readonly frame: string };

export class EventLog {
  readonly #most: number;
  readonly #mostBytes: number;
  readonly #kept: Kept[] = [];
  #bytes = 0;
  #last = 0;

  constructor(most: number, mostBytes: number) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  get last(): number {
    return this.#last;
  }

  /** Gives back the frame that tells of it, as it is kept. */
  add(event: unknown): string {
    const number = ++this.#last;
    const frame = JSON.stringify({ kind: 'event', number, event });
    this.#kept.push({ number, frame });
    this.#bytes += Buffer.byteLength(frame);
    while (this.#kept.length > this.#most || this.#bytes > this.#mostBytes) {
      this.#bytes -= Buffer.byteLength(this.#kept.shift()!.frame);
    }
    return frame;
  }

  /** Frames of what came after; undefined when some of it is not kept any more, or the number is none of ours. */
  after(number: number): readonly string[] | undefined {
    if (number > this.#last) return undefined;
    const oldest = this.#kept[0]?.number ?? this.#last + 1;
    if (number < oldest - 1) return undefined;
    return this.#kept.slice(number - oldest + 1).map(({ frame }) => frame);
  }
}
