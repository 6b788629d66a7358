// The short volatile step: entries that a live stream has wait a moment in memory, and are written when their time is up.
// Knows nothing of storage: the writer takes them over. Source: docs/decisions/0010, 0020.
import { type DeviceMailbox, type Entry, noEntries } from './device-mailbox.ts';

export type VolatileStepDeps = {
  readonly writeAfterMs: number;
  readonly monotonicMs: () => number;
  readonly write: (entry: Entry) => void;
};

export class VolatileStep {
  readonly #deps: VolatileStepDeps;
  /** Mailboxes that have, or lately had, entries in memory only: written when their time is up. */
  #watched: DeviceMailbox[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: VolatileStepDeps) {
    this.#deps = deps;
  }

  add(entry: Entry): void {
    const box = entry.mailbox;
    if (box.volatile === noEntries) box.volatile = [entry];
    else box.volatile.push(entry);
    if (box.watched) return;
    box.watched = true;
    this.#watched.push(box);
    this.#timer ??= setTimeout(() => this.#writeOverdue(), this.#deps.writeAfterMs);
  }

  /** The first entry of this mailbox may be over. */
  trim({ volatile }: DeviceMailbox): void {
    while (volatile.length > 0 && volatile[0]!.state !== 'volatile') volatile.shift();
  }

  /** What this mailbox has in memory only goes to the writer now. */
  write(box: DeviceMailbox): void {
    for (const entry of box.volatile) if (entry.state === 'volatile') this.#deps.write(entry);
    box.volatile = noEntries;
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  /** A list of mailboxes, not of entries: what is acknowledged in time is nowhere any more, and dies young. */
  #writeOverdue(): void {
    this.#timer = undefined;
    const dueBefore = this.#deps.monotonicMs() - this.#deps.writeAfterMs;
    this.#watched = this.#watched.filter(box => {
      const oldest = box.volatile[0];
      if (oldest !== undefined && oldest.queuedAtMs > dueBefore) return true;
      box.watched = false;
      this.write(box);
      return false;
    });
    if (this.#watched.length === 0) return;
    this.#timer = setTimeout(() => this.#writeOverdue(), this.#deps.writeAfterMs / 2);
  }
}
