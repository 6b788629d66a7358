// Expired entries of devices that never come leave storage, a little at a time. Knows nothing of why they expired.
import type { MailboxStore } from './mailbox-store.ts';

export type SweepDeps = {
  readonly store: MailboxStore;
  readonly nowMs: () => number;
  readonly isClosing: () => boolean;
  /** A device with a stream finds out by itself what is too old. */
  readonly isLive: (device: number) => boolean;
};

export class Sweep {
  readonly #deps: SweepDeps;
  #isRunning = false;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  /** Removes at most `limit` entries; gives how many went. One at a time: a second call does nothing. */
  async run(limit: number): Promise<number> {
    if (this.#isRunning) return 0;
    this.#isRunning = true;
    const { store, nowMs, isClosing, isLive } = this.#deps;
    let removed = 0;
    try {
      const now = nowMs();
      for (const device of await store.devices()) {
        if (removed >= limit || isClosing()) break;
        if (!isLive(device)) removed += await store.expire(device, now, limit - removed);
      }
    } finally {
      this.#isRunning = false;
    }
    return removed;
  }
}
