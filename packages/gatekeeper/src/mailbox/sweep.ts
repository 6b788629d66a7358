// Expired entries of devices that never come leave storage, a little at a time. Knows nothing of why they expired.
import type { DeviceMailbox } from './device-mailbox.ts';
import type { MailboxStore } from './mailbox-store.ts';

export type SweepDeps = {
  readonly store: MailboxStore;
  readonly nowMs: () => number;
  readonly isClosing: () => boolean;
  readonly box: (device: number) => DeviceMailbox | undefined;
  /** This mailbox has fewer entries now. */
  readonly swept: (box: DeviceMailbox) => void;
};

export class Sweep {
  readonly #deps: SweepDeps;
  /** The device whose expired entries are being removed: its counts are not to be trusted until then. */
  #sweeping: { readonly device: number | undefined; readonly done: Promise<void> } | undefined;

  constructor(deps: SweepDeps) {
    this.#deps = deps;
  }

  /** Resolves when no removal of expired entries of this mailbox is under way. */
  done(box: DeviceMailbox): Promise<void> {
    return this.#sweeping?.device === box.row ? this.#sweeping.done : Promise.resolve();
  }

  /** Removes at most `limit` entries; gives how many went. One at a time: a second call does nothing. */
  async run(limit: number): Promise<number> {
    if (this.#sweeping !== undefined) return 0;
    this.#sweeping = { device: undefined, done: Promise.resolve() };
    let removed = 0;
    try {
      const nowMs = this.#deps.nowMs();
      for (const device of await this.#deps.store.devices()) {
        if (removed >= limit || this.#deps.isClosing()) break;
        const box = this.#deps.box(device);
        // A device with a stream finds out by itself what is too old. Rows on their way out are counted out already.
        if (box !== undefined && (box.live !== undefined || box.loading !== undefined || (box.removed?.size ?? 0) > 0))
          continue;
        const expired = this.#deps.store.expire(device, nowMs, limit - removed).then(gone => {
          removed += gone.count;
          if (box === undefined) return;
          box.count -= gone.count;
          box.bytes -= gone.bytes;
          // Whose they were nobody read: counting starts again, in the senders' favour.
          if (gone.count > 0) box.shares = undefined;
          this.#deps.swept(box);
        });
        this.#sweeping = { device, done: expired.catch(() => {}) };
        await expired;
      }
    } finally {
      this.#sweeping = undefined;
    }
    return removed;
  }
}
