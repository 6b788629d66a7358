// Runs the hooks of whoever embeds the kit: each for a bounded time, and a bounded number of those that run on after it.
// Knows nothing of what they do.

export class HookTooSlow extends Error {}

export type HookLimits = {
  /** A hook that takes longer has failed; its signal says so, and it may run on. */
  readonly timeoutMs: number;
  /** Hooks that run on after they have failed; with so many none is begun until one of them ends. */
  readonly maxLate: number;
};

export class Hooks {
  readonly #limits: HookLimits;
  readonly #onRoom: () => void;
  #late = 0;

  /** `onRoom`: one ended where there was no room before. */
  constructor(limits: HookLimits, onRoom: () => void = () => {}) {
    this.#limits = limits;
    this.#onRoom = onRoom;
  }

  /** How many run on after their time. */
  get late(): number {
    return this.#late;
  }

  get hasRoom(): boolean {
    return this.#late < this.#limits.maxLate;
  }

  /** Rejects as the hook does, or with a HookTooSlow when it takes longer. To be called while there is room. */
  async run(hook: (signal: AbortSignal) => unknown): Promise<void> {
    const { promise: slow, reject } = Promise.withResolvers<never>();
    const aborter = new AbortController();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#late++;
      const error = new HookTooSlow('the hook took too long');
      reject(error);
      aborter.abort(error);
    }, this.#limits.timeoutMs);
    const work = (async () => void (await hook(aborter.signal)))().finally(() => {
      clearTimeout(timer);
      if (isLate) this.#ended();
    });
    await Promise.race([work, slow]);
  }

  #ended(): void {
    const hadRoom = this.hasRoom;
    this.#late--;
    if (!hadRoom) this.#onRoom();
  }
}
