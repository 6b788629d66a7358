// What waits in storage is handed to a live stream, page by page, while it has room; then the stream turns to live.
// Knows nothing of how entries come to storage.
import type { ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { After } from '@drawbridge/identity/timers';
import type { Element } from '@drawbridge/wire/element';
import { type Damage, type DeviceMailbox, type Entry, epochOf, type Live, type Wanted } from './device-mailbox.ts';
import { type MailboxLimits, maxReadFailures, retryMs } from './mailbox-limits.ts';
import type { MailboxStore, StoredEntry, UnreadableEntries } from './mailbox-store.ts';
import type { Removals } from './removals.ts';
import type { Codec } from './stanza-codec.ts';

export type DrainDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly limits: MailboxLimits;
  readonly expiry: ExpiryClock;
  readonly removals: Removals;
  readonly after: After;
  readonly track: (work: Promise<void>) => void;
  readonly damaged: (what: Damage) => void;
  /** Its time is over: resolves when its sender has been told. */
  readonly expired: (element: Element) => Promise<void>;
  readonly acknowledge: (entry: Entry) => void;
  readonly claimLost: (box: DeviceMailbox, live: Live) => void;
  /** Storage could not be read, so often that this stream is over. */
  readonly failed: (box: DeviceMailbox, live: Live) => void;
};

export class Drain {
  readonly #deps: DrainDeps;

  constructor(deps: DrainDeps) {
    this.#deps = deps;
  }

  /** Hands over stored entries while the device has room, then turns to live delivery. */
  run(box: DeviceMailbox): void {
    const live = box.live;
    if (live === undefined || live.mode !== 'draining' || live.reading) return;
    // A page could hold what the stream has already: its number comes with the write's answer.
    if (live.epoch === undefined || live.unnumbered > 0 || !live.device.hasRoom()) return;
    if (live.cursor >= box.lastSeq && !live.isBehind) {
      // What is being written is read when that is done, so that order holds.
      if (box.writing === 0) live.mode = 'live';
      return;
    }
    live.reading = true;
    this.#deps.track(
      this.#readPage(box, live, live.epoch).then(
        mayGoOn => {
          live.reading = false;
          live.readFailures = 0;
          if (box.live === live && mayGoOn) this.run(box);
        },
        () => {
          live.reading = false;
          live.isBehind = true;
          this.#deps.damaged('read');
          if (++live.readFailures === maxReadFailures) this.#deps.failed(box, live);
          else this.#deps.after(retryMs, () => this.run(box));
        },
      ),
    );
  }

  /** Reads the next page and hands it over; gives whether it makes sense to read on. */
  async #readPage(box: DeviceMailbox, live: Live, epoch: number): Promise<boolean> {
    const { pageEntries, pageBytes } = this.#deps.limits;
    // This very set hears of what is removed while the page is read.
    const removed = (box.removed ??= new Set());
    // Everything up to here is on disk already, so an empty page means that there is nothing up to here.
    const readable = box.writing === 0 ? box.lastSeq : live.cursor;
    const { isBehind } = live;
    live.isBehind = false;
    const page = await this.#deps.store.page(box.row, epoch, live.cursor, pageEntries, pageBytes);
    if (page === 'fenced') {
      this.#deps.claimLost(box, live);
      return false;
    }
    if (page.length > 0) {
      live.isBehind ||= isBehind;
      await this.#deliverPage(box, live, page, removed, 0);
      return true;
    }
    live.cursor = Math.max(live.cursor, readable);
    for (const seq of live.had ?? []) if (seq <= live.cursor) live.had?.delete(seq);
    return box.writing === 0;
  }

  #deliverPage(
    box: DeviceMailbox,
    live: Live,
    page: readonly (StoredEntry | UnreadableEntries)[],
    removed: ReadonlySet<number>,
    from: number,
  ): Promise<void> | undefined {
    const nowMs = this.#deps.expiry.judgeMs();
    for (let i = from; i < page.length; i++) {
      const stored = page[i]!;
      if (box.live !== live || !live.device.hasRoom()) return undefined;
      if (stored.stanza === undefined) {
        // It stays where it is; nothing behind it waits for it.
        this.#deps.damaged('page');
        live.cursor = stored.seq;
        for (const seq of live.had ?? []) if (seq <= live.cursor) live.had?.delete(seq);
        continue;
      }
      if (removed.has(stored.seq) || live.had?.delete(stored.seq) === true) {
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
    const { codec, removals, damaged, expired, track } = this.#deps;
    const element = codec.decode(stored.stanza, stored.acceptedAtMs);
    if (element !== undefined && stored.expiresAtMs > nowMs) return element;
    live.cursor = stored.seq;
    const leave = (): void => removals.schedule(box, stored.seq, epochOf(live));
    if (element === undefined) {
      damaged('entry');
      leave();
      // A sender who could not be told now is told by the sweep, or by the next stream.
    } else track(expired(element).then(leave, () => {}));
    return undefined;
  }

  #handOver(box: DeviceMailbox, live: Live, stored: StoredEntry, element: Element, wanted: Wanted): void {
    live.cursor = stored.seq;
    if (wanted === 'later') return;
    const sizeBytes = stored.stanza.length;
    const entry: Entry = {
      mailbox: box,
      live,
      seq: stored.seq,
      element: undefined,
      sizeBytes,
      countedBytes: sizeBytes,
      sinceMs: stored.acceptedAtMs,
      queuedAtMs: 0,
      state: 'durable',
      receipt: undefined,
    };
    if (wanted) live.device.deliver(entry, element);
    else this.#deps.acknowledge(entry);
  }
}
