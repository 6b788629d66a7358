// What waits in storage is handed to a live stream, page by page, while it has room; then the stream turns to live.
// Knows nothing of how entries come to storage.
import type { Element } from '@drawbridge/wire/element';
import type { DeviceMailbox, Entry, Live, Wanted } from './device-mailbox.ts';
import { type MailboxLimits, retryMs } from './mailbox-limits.ts';
import type { MailboxStore, StoredEntry } from './mailbox-store.ts';
import type { Removals } from './removals.ts';
import type { Codec } from './stanza-codec.ts';
import { senderOf } from './writer.ts';

export type DrainDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly limits: MailboxLimits;
  readonly nowMs: () => number;
  readonly removals: Removals;
  readonly track: (work: Promise<void>) => void;
  /** Resolves when no removal of expired entries of this mailbox is under way. */
  readonly swept: (box: DeviceMailbox) => Promise<void>;
  readonly damaged: () => void;
  readonly acknowledge: (entry: Entry) => void;
};

export class Drain {
  readonly #deps: DrainDeps;

  constructor(deps: DrainDeps) {
    this.#deps = deps;
  }

  /** Hands over stored entries while the device has room, then turns to live delivery. */
  run(box: DeviceMailbox): void {
    const live = box.live;
    if (live === undefined || live.reading || live.mode === 'live') return;
    if (!live.device.hasRoom()) return;
    const isCounted = box.loading === undefined;
    if (isCounted && (live.cursor >= box.lastSeq || (box.count === 0 && box.writing === 0))) {
      live.mode = 'live';
      return;
    }
    live.reading = true;
    this.#deps.track(
      this.#readPage(box, live, isCounted).then(
        ({ isEmpty, readable }) => {
          live.reading = false;
          if (isEmpty) live.cursor = Math.max(live.cursor, readable);
          // Rows still being written are read when their write is done, so that order holds; and before the state has
          // been read nobody knows whether there is more.
          const isIdle = box.writing === 0 && box.loading === undefined;
          if (box.live === live && (!isEmpty || isIdle)) this.run(box);
        },
        () => {
          live.reading = false;
          setTimeout(() => this.#runAgain(box), retryMs).unref();
        },
      ),
    );
  }

  #runAgain(box: DeviceMailbox): void {
    if (box.live?.mode === 'draining') this.run(box);
  }

  /** Reads the next page and hands it over; gives up to where everything has been read when it is empty. */
  async #readPage(
    box: DeviceMailbox,
    live: Live,
    isCounted: boolean,
  ): Promise<{ readonly isEmpty: boolean; readonly readable: number }> {
    const { pageEntries, pageBytes } = this.#deps.limits;
    await this.#deps.swept(box);
    // This very set hears of what is removed while the page is read.
    const removed = (box.removed ??= new Set());
    // Everything up to here is on disk already, so an empty page means that there is nothing up to here.
    const readable = box.writing === 0 && isCounted ? box.lastSeq : live.cursor;
    const page = await this.#deps.store.page(box.row, live.cursor, pageEntries, pageBytes);
    await this.#deliverPage(box, live, page, removed, 0);
    return { isEmpty: page.length === 0, readable };
  }

  #deliverPage(
    box: DeviceMailbox,
    live: Live,
    page: readonly StoredEntry[],
    removed: ReadonlySet<number>,
    from: number,
  ): Promise<void> | undefined {
    const nowMs = this.#deps.nowMs();
    for (let i = from; i < page.length; i++) {
      const stored = page[i]!;
      if (box.live !== live || !live.device.hasRoom()) return undefined;
      if (removed.has(stored.seq)) {
        live.cursor = stored.seq;
        continue;
      }
      const element = this.#readable(box, live, stored, nowMs);
      if (element === undefined) continue;
      const wanted = live.device.wants(element);
      if (wanted instanceof Promise) {
        return wanted.then(decided => {
          if (box.live !== live || !live.device.hasRoom()) return undefined;
          if (!removed.has(stored.seq)) this.#handOver(box, live, stored, element, decided);
          return this.#deliverPage(box, live, page, removed, i + 1);
        });
      }
      this.#handOver(box, live, stored, element, wanted);
    }
    return undefined;
  }

  /** Undefined: it is too old or damaged, and leaves storage. */
  #readable(box: DeviceMailbox, live: Live, stored: StoredEntry, nowMs: number): Element | undefined {
    const isExpired = stored.expiresAtMs <= nowMs;
    const sinceMs = stored.expiresAtMs - this.#deps.limits.ttlMs;
    const element = isExpired ? undefined : this.#deps.codec.decode(stored.stanza, sinceMs);
    if (element !== undefined) return element;
    if (!isExpired) this.#deps.damaged();
    live.cursor = stored.seq;
    box.count--;
    box.bytes -= stored.stanza.length;
    box.shares = undefined;
    this.#deps.removals.schedule(box, stored.seq);
    return undefined;
  }

  #handOver(box: DeviceMailbox, live: Live, stored: StoredEntry, element: Element, wanted: Wanted): void {
    live.cursor = stored.seq;
    if (wanted === 'later') return;
    const sizeBytes = stored.stanza.length;
    const entry: Entry = {
      mailbox: box,
      seq: stored.seq,
      element: undefined,
      sizeBytes,
      countedBytes: sizeBytes,
      sinceMs: stored.expiresAtMs - this.#deps.limits.ttlMs,
      queuedAtMs: 0,
      state: 'durable',
      sharedBy: senderOf(element),
      receipt: undefined,
    };
    if (wanted) live.device.deliver(entry, element);
    else this.#deps.acknowledge(entry);
  }
}
