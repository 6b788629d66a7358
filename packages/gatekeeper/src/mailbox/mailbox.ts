// Every device's mailbox: what it is owed, in order, until it has acknowledged it. Carries the acknowledgement rule:
// a sender's stanza is settled only when each addressed device has acknowledged it or has it on disk.
// A device that acknowledges quickly never costs a write: entries handed to a live stream wait a moment in memory.
// Knows nothing of encodings on the wire, sockets, accounts or consent.
// Source: docs/protocol/04-streams.md section 4.2, docs/decisions/0010.
import { attribute, type Element } from '@drawbridge/wire/element';
import { type DeviceMailbox, type Entry, type Live, type LiveDevice, type Receipt, settle } from './device-mailbox.ts';
import type { AppendOutcome, MailboxRow, MailboxStore, StoredEntry } from './mailbox-store.ts';
import { Removals } from './removals.ts';
import { SenderShares } from './sender-shares.ts';

export type MailboxLimits = {
  /**
   * How long an entry that a live stream has may wait for its acknowledgement before it is written; it may be half as
   * long again.
   */
  readonly writeAfterMs: number;
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Of these, what may wait on disk of one sender. */
  readonly maxEntriesPerSender: number;
  readonly maxBytesPerSender: number;
  readonly ttlMs: number;
  /** Bytes not yet on disk beyond which senders are slowed down. */
  readonly maxUnwrittenBytes: number;
  readonly pageEntries: number;
  readonly pageBytes: number;
};

export const defaultMailboxLimits: MailboxLimits = {
  writeAfterMs: 40,
  maxEntries: 200_000,
  maxBytes: 256 * 1024 * 1024,
  maxEntriesPerSender: 50_000,
  maxBytesPerSender: 64 * 1024 * 1024,
  ttlMs: 30 * 86_400_000,
  maxUnwrittenBytes: 64 * 1024 * 1024,
  pageEntries: 256,
  pageBytes: 512 * 1024,
};

/** Storage that could not be read is tried again after this. */
const retryMs = 1_000;

/** Marks the stored form of entries drained later, so that they carry when they came (XEP-0203). */
export type Codec = {
  encode(element: Element): Uint8Array;
  /** Undefined when the bytes are damaged. */
  decode(bytes: Uint8Array, storedAtMs: number): Element | undefined;
};

export type MailboxEvents = {
  /** Writers are too far behind (true) or have caught up (false): slow senders down. */
  congested(congested: boolean): void;
  damaged(): void;
};

export class Mailboxes {
  readonly #store: MailboxStore;
  readonly #limits: MailboxLimits;
  readonly #codec: Codec;
  readonly #nowMs: () => number;
  readonly #monotonicMs: () => number;
  /** Sequences start above this in a new mailbox, so that none is ever used twice, also after a restart. */
  #sequenceFloor = 0;
  readonly #events: MailboxEvents;
  readonly #boxes = new Map<number, DeviceMailbox>();
  /** Devices with entries on disk from before this process; their state is read when first needed. */
  #unread = new Set<number>();
  /** Mailboxes that have, or lately had, entries in memory only: written when their time is up. */
  #watched: DeviceMailbox[] = [];
  #watchTimer: NodeJS.Timeout | undefined;
  #toWrite: Entry[] = [];
  #writeScheduled = false;
  #unwrittenBytes = 0;
  #congested = false;
  readonly #removals: Removals;
  #inFlight = new Set<Promise<void>>();
  /** The device whose expired entries are being removed: its counts are not to be trusted until then. */
  #sweeping: { readonly device: number | undefined; readonly done: Promise<void> } | undefined;
  #closing = false;

  constructor(deps: {
    store: MailboxStore;
    codec: Codec;
    nowMs: () => number;
    monotonicMs: () => number;
    events: MailboxEvents;
    limits: MailboxLimits;
  }) {
    this.#store = deps.store;
    const isClosing = (): boolean => this.#closing;
    this.#removals = new Removals(deps.store, {
      get closing() {
        return isClosing();
      },
      track: work => this.#track(work),
      removed: box => this.#forgetWhenEmpty(box),
    });
    this.#limits = deps.limits;
    this.#codec = deps.codec;
    this.#nowMs = deps.nowMs;
    this.#monotonicMs = deps.monotonicMs;
    this.#events = deps.events;
  }

  /** Learns which devices have entries from before. Call once, before anything else. */
  async open(): Promise<void> {
    this.#unread = new Set(await this.#store.devices());
  }

  /** Writes what is only in memory, and waits for all writes and removals. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#watchTimer);
    for (const box of this.#boxes.values()) this.#writeVolatile(box);
    for (;;) {
      this.#flushWrites();
      this.#removals.flush();
      if (this.#inFlight.size === 0) return;
      // A write that ends may bring removals, a state that has been read writes.
      await Promise.allSettled([...this.#inFlight]);
    }
  }

  /** Mailboxes in memory: of devices with a stream, and of those that have something waiting. */
  get size(): number {
    return this.#boxes.size;
  }

  /** Bytes that are only in memory. */
  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  get isCongested(): boolean {
    return this.#congested;
  }

  isLive(device: number): boolean {
    return this.#boxes.get(device)?.live !== undefined;
  }

  /** Whether the mailbox takes `sizeBytes` more. False until something is acknowledged or expires: tell the sender. */
  hasSpace(device: number, sizeBytes: number): boolean {
    const box = this.#boxes.get(device);
    return box === undefined || (box.count < this.#limits.maxEntries && box.bytes + sizeBytes <= this.#limits.maxBytes);
  }

  /** Whether this sender may have `sizeBytes` more waiting there. False until the device has taken some of theirs. */
  hasShare(device: number, sizeBytes: number, sender: string): boolean {
    const shares = this.#boxes.get(device)?.shares;
    if (shares === undefined) return true;
    const { maxEntriesPerSender: count, maxBytesPerSender: bytes } = this.#limits;
    return shares.hasRoom(sender, sizeBytes, { count, bytes });
  }

  /**
   * Takes one stanza for one device. Order per mailbox is the order of calls. `keep` false: for a live device only.
   * The receipt counts this device among `remaining` already.
   */
  append(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    const isUnread = this.#unread.has(device);
    const box = this.#box(device);
    if (isUnread) this.#load(box);
    if (box.loading === undefined) {
      this.#append(box, element, sizeBytes, keep, receipt);
      return;
    }
    this.#unwrittenBytes += sizeBytes;
    this.#checkCongestion();
    box.loading.push(readable => {
      this.#unwrittenBytes -= sizeBytes;
      // How full it is nobody knew when this came.
      const isFull = keep && !this.hasSpace(device, sizeBytes);
      if (box.discarded) settle(receipt);
      else if (readable && !isFull) this.#append(box, element, sizeBytes, keep, receipt);
      else this.#refuse(receipt);
    });
  }

  /** Starts delivery to a device's new stream: first what waits, then what comes. Replaces an earlier stream. */
  attach(device: number, live: LiveDevice): void {
    const isUnread = this.#unread.has(device);
    const box = this.#box(device);
    this.#writeVolatile(box);
    box.live = { device: live, cursor: 0, mode: 'draining', reading: false };
    // A first page is a quick read, counting a full mailbox is not.
    this.#drain(box);
    if (isUnread) this.#load(box);
  }

  /** Ends delivery to that stream; what it has not acknowledged is written now. */
  detach(device: number, live: LiveDevice | undefined): void {
    const box = this.#boxes.get(device);
    if (box?.live === undefined || box.live.device !== live) return;
    box.live = undefined;
    this.#writeVolatile(box);
    this.#forgetWhenEmpty(box);
  }

  /** The stream's carrier is gone but the session may be resumed: what it has not acknowledged is written now. */
  suspend(device: number, live: LiveDevice): void {
    const box = this.#boxes.get(device);
    if (box?.live?.device !== live) return;
    box.live.mode = 'draining';
    this.#writeVolatile(box);
  }

  /** The live device has room again. */
  roomAgain(device: number): void {
    const box = this.#boxes.get(device);
    if (box?.live?.mode === 'draining') this.#drain(box);
  }

  /** The device has this entry for good. */
  acknowledge(entry: Entry): void {
    const before = entry.state;
    if (before === 'acknowledged' || before === 'dropped') return;
    entry.state = 'acknowledged';
    entry.element = undefined;
    const box = entry.mailbox;
    box.count--;
    box.bytes -= entry.countedBytes;
    this.#leaveShare(entry);
    if (before === 'volatile') {
      this.#unwrittenBytes -= entry.countedBytes;
      this.#trimVolatile(box);
    } else if (before === 'durable') this.#removals.schedule(box, entry.seq);
    else (box.removed ??= new Set()).add(entry.seq);
    this.#settle(entry);
    if (box.live?.mode === 'draining') this.#drain(box);
    this.#checkCongestion();
  }

  /** Forgets a removed device's mailbox; its rows are deleted with the device. Senders who wait are settled. */
  discard(device: number): void {
    this.#unread.delete(device);
    const box = this.#boxes.get(device);
    if (box === undefined) return;
    this.#boxes.delete(device);
    this.#sequenceFloor = Math.max(this.#sequenceFloor, box.lastSeq);
    box.discarded = true;
    box.live = undefined;
    for (const entry of box.volatile) {
      if (entry.state !== 'volatile') continue;
      entry.state = 'dropped';
      this.#unwrittenBytes -= entry.countedBytes;
      this.#settle(entry);
    }
    box.volatile = [];
    this.#checkCongestion();
  }

  /** Removes what is too old, a little at a time; gives how many entries went. Call it now and then. */
  async sweep(limit: number): Promise<number> {
    if (this.#sweeping !== undefined) return 0;
    this.#sweeping = { device: undefined, done: Promise.resolve() };
    let removed = 0;
    try {
      const nowMs = this.#nowMs();
      for (const device of await this.#store.devices()) {
        if (removed >= limit || this.#closing) break;
        const box = this.#boxes.get(device);
        // A device with a stream finds out by itself what is too old. Rows on their way out are counted out already.
        if (box !== undefined && (box.live !== undefined || box.loading !== undefined || (box.removed?.size ?? 0) > 0))
          continue;
        const expired = this.#store.expire(device, nowMs, limit - removed).then(gone => {
          removed += gone.count;
          if (box === undefined) return;
          box.count -= gone.count;
          box.bytes -= gone.bytes;
          // Whose they were nobody read: counting begins anew, in the senders' favour.
          if (gone.count > 0) box.shares = undefined;
          this.#forgetWhenEmpty(box);
        });
        this.#sweeping = { device, done: expired.catch(() => {}) };
        await expired;
      }
    } finally {
      this.#sweeping = undefined;
    }
    return removed;
  }

  /** A mailbox with entries from before is begun as loading: the caller calls `#load`. */
  #box(device: number): DeviceMailbox {
    let box = this.#boxes.get(device);
    if (box !== undefined) return box;
    this.#sequenceFloor = Math.max(this.#sequenceFloor, this.#nowMs() * 1_024);
    const lastSeq = this.#sequenceFloor;
    box = {
      row: device,
      lastSeq,
      count: 0,
      bytes: 0,
      live: undefined,
      shares: undefined,
      writing: 0,
      volatile: [],
      watched: false,
      loading: this.#unread.delete(device) ? [] : undefined,
      removed: undefined,
      discarded: false,
    };
    this.#boxes.set(device, box);
    return box;
  }

  #load(box: DeviceMailbox): void {
    const finish = (readable: boolean): void => {
      const waiting = box.loading ?? [];
      box.loading = undefined;
      for (const run of waiting) run(readable);
      this.#checkCongestion();
    };
    const state = this.#swept(box).then(() => this.#store.state(box.row));
    this.#track(
      state.then(
        ({ lastSeq, count, bytes }) => {
          box.lastSeq = Math.max(box.lastSeq, lastSeq);
          box.count += count;
          box.bytes += bytes;
          finish(true);
          if (box.live?.mode === 'draining') this.#drain(box);
          else this.#forgetWhenEmpty(box);
        },
        () => {
          // Storage can't be read: what waits is refused rather than kept out of order, and reading is tried again.
          finish(false);
          if (box.discarded || this.#closing) return;
          if (box.live === undefined && (box.removed?.size ?? 0) === 0) {
            this.#boxes.delete(box.row);
            this.#unread.add(box.row);
          } else {
            box.loading = [];
            setTimeout(() => this.#load(box), retryMs).unref();
          }
        },
      ),
    );
  }

  /** Resolves when no removal of expired entries of this mailbox is under way. */
  #swept(box: DeviceMailbox): Promise<void> {
    return this.#sweeping?.device === box.row ? this.#sweeping.done : Promise.resolve();
  }

  #append(box: DeviceMailbox, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    const live = box.live;
    const direct = live !== undefined && live.mode === 'live' && live.device.hasRoom();
    const sinceMs = this.#nowMs();
    const queuedAtMs = this.#monotonicMs();
    if (!keep) {
      if (direct) {
        const seq = box.lastSeq;
        const state = 'dropped';
        const entry: Entry = {
          mailbox: box,
          seq,
          element: undefined,
          sizeBytes,
          countedBytes: sizeBytes,
          sinceMs,
          queuedAtMs,
          state,
          sharedBy: undefined,
          receipt: undefined,
        };
        live.device.deliver(entry, element);
      }
      settle(receipt);
      return;
    }
    const seq = ++box.lastSeq;
    const entry: Entry = {
      mailbox: box,
      seq,
      element,
      sizeBytes,
      countedBytes: sizeBytes,
      sinceMs,
      queuedAtMs,
      state: 'volatile',
      sharedBy: undefined,
      receipt,
    };
    box.count++;
    box.bytes += sizeBytes;
    this.#unwrittenBytes += sizeBytes;
    if (direct) {
      box.volatile.push(entry);
      if (!box.watched) {
        box.watched = true;
        this.#watched.push(box);
        this.#watchTimer ??= setTimeout(() => this.#writeOverdue(), this.#limits.writeAfterMs);
      }
      live.cursor = entry.seq;
      live.device.deliver(entry, element);
    } else {
      if (live?.mode === 'live') {
        live.mode = 'draining';
        this.#writeVolatile(box);
      }
      this.#write(entry);
    }
    this.#checkCongestion();
  }

  /** A list of mailboxes, not of entries: what is acknowledged in time is nowhere any more, and dies young. */
  #writeOverdue(): void {
    this.#watchTimer = undefined;
    const dueBefore = this.#monotonicMs() - this.#limits.writeAfterMs;
    this.#watched = this.#watched.filter(box => {
      const oldest = box.volatile[0];
      if (oldest !== undefined && oldest.queuedAtMs > dueBefore) return true;
      box.watched = false;
      this.#writeVolatile(box);
      return false;
    });
    if (this.#watched.length === 0) return;
    this.#watchTimer = setTimeout(() => this.#writeOverdue(), this.#limits.writeAfterMs / 2);
  }

  #writeVolatile(box: DeviceMailbox): void {
    for (const entry of box.volatile) if (entry.state === 'volatile') this.#write(entry);
    box.volatile = [];
  }

  #trimVolatile({ volatile }: DeviceMailbox): void {
    while (volatile.length > 0 && volatile[0]!.state !== 'volatile') volatile.shift();
  }

  #write(entry: Entry): void {
    entry.state = 'writing';
    entry.sharedBy = senderOf(entry.element);
    if (entry.sharedBy !== undefined) {
      (entry.mailbox.shares ??= new SenderShares()).add(entry.sharedBy, entry.countedBytes);
    }
    entry.mailbox.writing++;
    this.#toWrite.push(entry);
    if (this.#writeScheduled) return;
    this.#writeScheduled = true;
    setImmediate(() => this.#flushWrites());
  }

  #flushWrites(): void {
    this.#writeScheduled = false;
    if (this.#toWrite.length === 0) return;
    const entries: Entry[] = [];
    const rows: MailboxRow[] = [];
    const skipped: Entry[] = [];
    for (const entry of this.#toWrite) {
      const { mailbox, seq, sinceMs, element } = entry;
      entry.element = undefined;
      if (entry.state === 'acknowledged' || element === undefined || mailbox.discarded) {
        // Acknowledged, or its device removed, while it waited for this turn's end: it need not be written at all.
        mailbox.writing--;
        mailbox.removed?.delete(seq);
        this.#unwrittenBytes -= entry.countedBytes;
        skipped.push(entry);
        this.#settle(entry);
        continue;
      }
      const stanza = this.#codec.encode(element);
      mailbox.bytes += stanza.length - entry.countedBytes;
      if (entry.sharedBy !== undefined) mailbox.shares?.resize(entry.sharedBy, stanza.length - entry.countedBytes);
      this.#unwrittenBytes += stanza.length - entry.countedBytes;
      entry.countedBytes = stanza.length;
      entries.push(entry);
      rows.push({ device: mailbox.row, seq, expiresAtMs: sinceMs + this.#limits.ttlMs, stanza });
    }
    this.#toWrite = [];
    if (skipped.length > 0) this.#afterWrite(skipped);
    if (rows.length === 0) return;
    this.#track(
      this.#store.append(rows).then(
        outcomes => this.#written(entries, outcomes),
        () => this.#notWritten(entries),
      ),
    );
  }

  #written(entries: readonly Entry[], outcomes: readonly AppendOutcome[]): void {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (outcomes[i] === 'device-gone') {
        this.#leftOut(entry);
        continue;
      }
      entry.mailbox.writing--;
      this.#unwrittenBytes -= entry.countedBytes;
      if (entry.state === 'writing') {
        entry.state = 'durable';
        this.#settle(entry);
        if (!entry.mailbox.discarded) continue;
      }
      this.#removals.schedule(entry.mailbox, entry.seq);
    }
    this.#afterWrite(entries);
  }

  /** The device was removed before this was written: there is nobody to keep it for, as if it had been discarded. */
  #leftOut(entry: Entry): void {
    const box = entry.mailbox;
    box.writing--;
    box.removed?.delete(entry.seq);
    this.#unwrittenBytes -= entry.countedBytes;
    if (entry.state !== 'writing') return;
    entry.state = 'dropped';
    box.count--;
    box.bytes -= entry.countedBytes;
    this.#leaveShare(entry);
    this.#settle(entry);
  }

  #notWritten(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const box = entry.mailbox;
      box.writing--;
      this.#unwrittenBytes -= entry.countedBytes;
      box.removed?.delete(entry.seq);
      if (entry.state !== 'writing') continue;
      entry.state = 'dropped';
      box.count--;
      box.bytes -= entry.countedBytes;
      this.#leaveShare(entry);
      const receipt = entry.receipt;
      entry.receipt = undefined;
      if (receipt !== undefined) this.#refuse(receipt);
    }
    this.#afterWrite(entries);
  }

  #afterWrite(entries: readonly Entry[]): void {
    const boxes = new Set<DeviceMailbox>();
    for (const entry of entries) boxes.add(entry.mailbox);
    for (const box of boxes) {
      if (box.live?.mode === 'draining') this.#drain(box);
      else this.#forgetWhenEmpty(box);
    }
    this.#checkCongestion();
  }

  #refuse(receipt: Receipt): void {
    if (!receipt.failed) {
      receipt.failed = true;
      receipt.refused();
    }
    settle(receipt);
  }

  #leaveShare({ sharedBy, mailbox, countedBytes }: Entry): void {
    if (sharedBy === undefined || mailbox.shares === undefined) return;
    mailbox.shares.remove(sharedBy, countedBytes);
    if (mailbox.count === 0) mailbox.shares = undefined;
  }

  #settle(entry: Entry): void {
    const receipt = entry.receipt;
    entry.receipt = undefined;
    if (receipt !== undefined) settle(receipt);
  }

  /** Hands over stored entries while the device has room, then turns to live delivery. */
  #drain(box: DeviceMailbox): void {
    const live = box.live;
    if (live === undefined || live.reading || live.mode === 'live') return;
    if (!live.device.hasRoom()) return;
    const isCounted = box.loading === undefined;
    if (isCounted && (live.cursor >= box.lastSeq || (box.count === 0 && box.writing === 0))) {
      live.mode = 'live';
      return;
    }
    live.reading = true;
    const { pageEntries, pageBytes } = this.#limits;
    let readable = live.cursor;
    let { removed } = box;
    const read = this.#swept(box).then(() => {
      // This very set hears of what is removed while the page is read.
      removed = box.removed ??= new Set();
      // Everything up to here is on disk already, so an empty page means that there is nothing up to here.
      if (box.writing === 0 && isCounted) readable = box.lastSeq;
      return this.#store.page(box.row, live.cursor, pageEntries, pageBytes);
    });
    let page: readonly StoredEntry[] = [];
    const delivered = read.then(stored => {
      page = stored;
      return this.#deliverPage(box, live, page, removed, 0);
    });
    this.#track(
      delivered.then(
        () => {
          live.reading = false;
          if (page.length === 0) live.cursor = Math.max(live.cursor, readable);
          // Rows still being written are read when their write is done, so that order holds; and before the state has
          // been read nobody knows whether there is more.
          const isIdle = box.writing === 0 && box.loading === undefined;
          if (box.live === live && (page.length > 0 || isIdle)) this.#drain(box);
        },
        () => {
          live.reading = false;
          setTimeout(() => this.roomAgain(box.row), retryMs).unref();
        },
      ),
    );
  }

  #deliverPage(
    box: DeviceMailbox,
    live: Live,
    page: readonly StoredEntry[],
    removed: ReadonlySet<number> | undefined,
    from: number,
  ): Promise<void> | undefined {
    const nowMs = this.#nowMs();
    for (let i = from; i < page.length; i++) {
      const stored = page[i]!;
      if (box.live !== live || !live.device.hasRoom()) return undefined;
      if (removed?.has(stored.seq) === true) {
        live.cursor = stored.seq;
        continue;
      }
      const sinceMs = stored.expiresAtMs - this.#limits.ttlMs;
      const element = stored.expiresAtMs <= nowMs ? undefined : this.#codec.decode(stored.stanza, sinceMs);
      if (element === undefined) {
        if (stored.expiresAtMs > nowMs) this.#events.damaged();
        live.cursor = stored.seq;
        box.count--;
        box.bytes -= stored.stanza.length;
        box.shares = undefined;
        this.#removals.schedule(box, stored.seq);
        continue;
      }
      const wanted = live.device.wants(element);
      if (typeof wanted !== 'boolean') {
        return wanted.then(decided => {
          if (box.live !== live || !live.device.hasRoom()) return undefined;
          if (removed?.has(stored.seq) !== true) this.#handOver(box, live, stored, element, decided);
          return this.#deliverPage(box, live, page, removed, i + 1);
        });
      }
      this.#handOver(box, live, stored, element, wanted);
    }
    return undefined;
  }

  #handOver(box: DeviceMailbox, live: Live, stored: StoredEntry, element: Element, wanted: boolean): void {
    live.cursor = stored.seq;
    const sizeBytes = stored.stanza.length;
    const entry: Entry = {
      mailbox: box,
      seq: stored.seq,
      element: undefined,
      sizeBytes,
      countedBytes: sizeBytes,
      sinceMs: stored.expiresAtMs - this.#limits.ttlMs,
      queuedAtMs: 0,
      state: 'durable',
      sharedBy: senderOf(element),
      receipt: undefined,
    };
    if (wanted) live.device.deliver(entry, element);
    else this.acknowledge(entry);
  }

  #checkCongestion(): void {
    const high = this.#limits.maxUnwrittenBytes;
    if (!this.#congested && this.#unwrittenBytes > high) {
      this.#congested = true;
      this.#events.congested(true);
    } else if (this.#congested && this.#unwrittenBytes < high / 2) {
      this.#congested = false;
      this.#events.congested(false);
    }
  }

  /** A mailbox keeps its place while rows of it may be on disk: whoever makes it anew would not know of them. */
  #forgetWhenEmpty(box: DeviceMailbox): void {
    const idle = box.live === undefined && box.count === 0 && box.writing === 0 && (box.removed?.size ?? 0) === 0;
    if (!idle || box.loading !== undefined || this.#boxes.get(box.row) !== box) return;
    // Its sequences are never given again, also when the clock has been put back.
    this.#sequenceFloor = Math.max(this.#sequenceFloor, box.lastSeq);
    this.#boxes.delete(box.row);
  }

  #track(work: Promise<void>): void {
    this.#inFlight.add(work);
    void work.finally(() => this.#inFlight.delete(work));
  }
}

/** The local part of its `from`, which the gatekeeper has stamped. */
function senderOf(element: Element | undefined): string | undefined {
  const from = element === undefined ? undefined : attribute(element, 'from');
  const at = from?.indexOf('@') ?? -1;
  return at < 0 ? undefined : from?.slice(0, at);
}
