// Entries that are over leave storage: gathered for a moment, in ranges, and tried again until they are gone.
// Knows nothing of why an entry is over. Pages that were asked for meanwhile leave out what is in `box.removed`.
import type { After } from '@drawbridge/identity/timers';
import type { Damage, DeviceMailbox } from './device-mailbox.ts';
import { retryMs } from './mailbox-limits.ts';
import type { MailboxStore, RemovedRange } from './mailbox-store.ts';

type Range = { epoch: number | undefined; first: number; last: number };

/** Removals of this time go to storage together. */
const removeAfterMs = 50;

export type RemovalDeps = {
  readonly store: MailboxStore;
  readonly after: After;
  /** Nothing is tried again any more. */
  readonly isClosing: () => boolean;
  /** Hears of work under way, which has to end before the mailboxes are closed. */
  readonly track: (work: Promise<void>) => void;
  readonly damaged: (what: Damage) => void;
  /** Rows of this mailbox are gone. */
  readonly removed: (box: DeviceMailbox) => void;
};

export class Removals {
  readonly #deps: RemovalDeps;
  #ranges = new Map<DeviceMailbox, Range[]>();
  /** Calls off the next flush. */
  #cancel: (() => void) | undefined;

  constructor(deps: RemovalDeps) {
    this.#deps = deps;
  }

  /** `epoch` is that of the claim under which it became over. */
  schedule(box: DeviceMailbox, seq: number, epoch: number | undefined): void {
    (box.removed ??= new Set()).add(seq);
    let ranges = this.#ranges.get(box);
    if (ranges === undefined) this.#ranges.set(box, (ranges = []));
    const last = ranges.at(-1);
    if (last !== undefined && last.last === seq - 1 && last.epoch === epoch) last.last = seq;
    else ranges.push({ epoch, first: seq, last: seq });
    this.#flushAfter(removeAfterMs);
  }

  /** Call at the end: what is scheduled goes to storage now, but for mailboxes that are being claimed. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#ranges.size === 0) return;
    const batch = this.#ranges;
    this.#ranges = new Map();
    for (const [box, ranges] of batch) {
      if (box.claiming === 0) continue;
      // Under the old claim it might come too late, and under the new one it can't be said yet.
      batch.delete(box);
      this.#ranges.set(box, ranges);
      this.#flushAfter(removeAfterMs);
    }
    if (batch.size === 0) return;
    this.#deps.track(
      this.#deps.store.remove([...batch].flatMap(([box, ranges]) => rangesOf(box, ranges))).then(
        damaged => {
          // What could not be removed comes again with the device's next stream, as a repeat.
          for (const _ of damaged) this.#deps.damaged('removal');
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
          this.#flushAfter(retryMs);
        },
      ),
    );
  }

  #flushAfter(ms: number): void {
    this.#cancel ??= this.#deps.after(ms, () => this.flush());
  }
}

/** What was over under an earlier claim of this node is over under its latest one; storage refuses it when that is not in force. */
function rangesOf(box: DeviceMailbox, ranges: readonly Range[]): RemovedRange[] {
  return ranges.map(({ epoch, first, last }) => ({
    device: box.row,
    epoch: box.epoch ?? epoch,
    first,
    last,
  }));
}
