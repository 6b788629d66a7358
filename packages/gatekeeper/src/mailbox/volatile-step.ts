// The short volatile step: entries that a live stream has wait a moment in memory, and are written when their time is up.
// Knows nothing of storage: the writer takes them over. Source: docs/decisions/0010, 0020.
import type { After } from '@drawbridge/identity/timers';
import { type DeviceMailbox, type Entry, noEntries } from './device-mailbox.ts';

export type VolatileStepDeps = {
  readonly writeAfterMs: number;
  readonly monotonicMs: () => number;
  readonly after: After;
  readonly write: (entry: Entry) => void;
};

export class VolatileStep {
  readonly #deps: VolatileStepDeps;
  /** Mailboxes that have, or lately had, entries in memory only: written when their time is up. */
  #watched: DeviceMailbox[] = [];
  /** Calls off the next look. */
  #cancel: (() => void) | undefined;

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
    this.#cancel ??= this.#deps.after(this.#deps.writeAfterMs, () => this.#writeOverdue());
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
    this.#cancel?.();
  }

  /** A list of mailboxes, not of entries: what is acknowledged in time is nowhere any more, and dies young. */
  #writeOverdue(): void {
    this.#cancel = undefined;
    const dueBefore = this.#deps.monotonicMs() - this.#deps.writeAfterMs;
    this.#watched = this.#watched.filter(box => {
      const oldest = box.volatile[0];
      if (oldest !== undefined && oldest.queuedAtMs > dueBefore) return true;
      box.watched = false;
      this.write(box);
      return false;
    });
    if (this.#watched.length === 0) return;
    this.#cancel = this.#deps.after(this.#deps.writeAfterMs / 2, () => this.#writeOverdue());
  }
}
