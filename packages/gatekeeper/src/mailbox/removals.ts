// Entries that are over leave storage: gathered for a moment, in ranges, and tried again until they are gone.
// Knows nothing of why an entry is over. Pages that were asked for meanwhile leave out what is in `box.removed`.
import type { DeviceMailbox } from './device-mailbox.ts';
import type { MailboxStore } from './mailbox-store.ts';

type Range = { device: number; first: number; last: number };

/** Rows that could not be removed are tried again after this. */
const retryMs = 1_000;
/** Removals of this time go to storage together. */
const removeAfterMs = 50;

export type RemovalDeps = {
  readonly store: MailboxStore;
  /** Nothing is tried again any more. */
  readonly isClosing: () => boolean;
  /** Hears of work under way, which has to end before the mailboxes are closed. */
  readonly track: (work: Promise<void>) => void;
  /** Rows of this mailbox are gone. */
  readonly removed: (box: DeviceMailbox) => void;
};

export class Removals {
  readonly #deps: RemovalDeps;
  #ranges = new Map<DeviceMailbox, Range[]>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: RemovalDeps) {
    this.#deps = deps;
  }

  schedule(box: DeviceMailbox, seq: number): void {
    (box.removed ??= new Set()).add(seq);
    let ranges = this.#ranges.get(box);
    if (ranges === undefined) this.#ranges.set(box, (ranges = []));
    const last = ranges.at(-1);
    if (last !== undefined && last.last === seq - 1) last.last = seq;
    else ranges.push({ device: box.row, first: seq, last: seq });
    this.#timer ??= setTimeout(() => this.flush(), removeAfterMs);
  }

  /** Call at the end: what is scheduled goes to storage now, but for mailboxes that are still being counted. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#ranges.size === 0) return;
    const batch = this.#ranges;
    this.#ranges = new Map();
    // What is being counted stays until it has been.
    for (const [box, ranges] of batch) {
      if (box.loading === undefined) continue;
      batch.delete(box);
      this.#ranges.set(box, ranges);
      this.#timer ??= setTimeout(() => this.flush(), removeAfterMs);
    }
    if (batch.size === 0) return;
    this.#deps.track(
      this.#deps.store.remove([...batch.values()].flat()).then(
        () => {
          for (const [box, ranges] of batch) {
            const removed = new Set(box.removed);
            for (const { first, last } of ranges) for (let seq = first; seq <= last; seq++) removed.delete(seq);
            box.removed = removed.size === 0 ? undefined : removed;
            this.#deps.removed(box);
          }
        },
        () => {
          if (this.#deps.isClosing()) return;
          for (const [box, ranges] of batch) this.#ranges.set(box, [...ranges, ...(this.#ranges.get(box) ?? [])]);
          this.#timer ??= setTimeout(() => this.flush(), retryMs);
        },
      ),
    );
  }
}
