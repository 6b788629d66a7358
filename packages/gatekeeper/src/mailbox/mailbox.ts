// Every device's mailbox: what it is owed, in order, until it has acknowledged it. Carries the acknowledgement rule:
// a sender's stanza is settled only when each addressed device has acknowledged it or has it on disk.
// A device that acknowledges quickly never costs a write: entries handed to a live stream wait a moment in memory.
// Joins the rooms that do it: the volatile step, the writer, the drain, removals and the sweep. Knows nothing of encodings
// on the wire, sockets, accounts or consent.
// Source: docs/protocol/04-streams.md section 4.2, docs/decisions/0010.
import type { Element } from '@drawbridge/wire/element';
import {
  type DeviceMailbox,
  type Entry,
  type LiveDevice,
  type Receipt,
  refuse,
  settle,
  settleEntry,
} from './device-mailbox.ts';
import { Drain } from './drain.ts';
import { type MailboxLimits, retryMs } from './mailbox-limits.ts';
import type { MailboxStore } from './mailbox-store.ts';
import { Removals } from './removals.ts';
import type { Codec } from './stanza-codec.ts';
import { Sweep } from './sweep.ts';
import { UnwrittenBytes } from './unwritten-bytes.ts';
import { VolatileStep } from './volatile-step.ts';
import { leaveShare, Writer } from './writer.ts';

export type MailboxEvents = {
  /** Writers are too far behind (true) or have caught up (false): slow senders down. */
  congested(congested: boolean): void;
  damaged(): void;
};

export type MailboxDeps = {
  readonly store: MailboxStore;
  readonly codec: Codec;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  readonly events: MailboxEvents;
  readonly limits: MailboxLimits;
};

export class Mailboxes {
  readonly #deps: MailboxDeps;
  /** Sequences start above this in a new mailbox, so that none is ever used twice, also after a restart. */
  #sequenceFloor = 0;
  readonly #boxes = new Map<number, DeviceMailbox>();
  /** Devices with entries on disk from before this process; their state is read when first needed. */
  #unread = new Set<number>();
  readonly #unwritten: UnwrittenBytes;
  readonly #volatile: VolatileStep;
  readonly #writer: Writer;
  readonly #drain: Drain;
  readonly #removals: Removals;
  readonly #sweep: Sweep;
  readonly #inFlight = new Set<Promise<void>>();
  #closing = false;

  constructor(deps: MailboxDeps) {
    this.#deps = deps;
    const { store, codec, limits, nowMs, monotonicMs, events } = deps;
    const track = (work: Promise<void>): void => this.#track(work);
    const isClosing = (): boolean => this.#closing;
    this.#unwritten = new UnwrittenBytes(limits.maxUnwrittenBytes, congested => events.congested(congested));
    this.#removals = new Removals({ store, isClosing, track, removed: box => this.#forgetWhenEmpty(box) });
    const removals = this.#removals;
    const { ttlMs, writeAfterMs } = limits;
    const unwritten = this.#unwritten;
    const drainOrForget = (box: DeviceMailbox): void => this.#drainOrForget(box);
    this.#writer = new Writer({ store, codec, ttlMs, unwritten, removals, track, written: drainOrForget });
    this.#volatile = new VolatileStep({ writeAfterMs, monotonicMs, write: entry => this.#writer.write(entry) });
    this.#sweep = new Sweep({
      store,
      nowMs,
      isClosing,
      box: device => this.#boxes.get(device),
      swept: box => this.#forgetWhenEmpty(box),
    });
    this.#drain = new Drain({
      store,
      codec,
      limits,
      nowMs,
      removals,
      track,
      swept: box => this.#sweep.done(box),
      damaged: () => events.damaged(),
      acknowledge: entry => this.acknowledge(entry),
    });
  }

  /** Learns which devices have entries from before. Call once, before anything else. */
  async open(): Promise<void> {
    this.#unread = new Set(await this.#deps.store.devices());
  }

  /** Writes what is only in memory, and waits for all writes and removals. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#volatile.close();
    for (const box of this.#boxes.values()) this.#volatile.write(box);
    for (;;) {
      this.#writer.flush();
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
    return this.#unwritten.bytes;
  }

  get isCongested(): boolean {
    return this.#unwritten.isCongested;
  }

  isLive(device: number): boolean {
    return this.#boxes.get(device)?.live !== undefined;
  }

  /** Whether the mailbox takes `sizeBytes` more. False until something is acknowledged or expires: tell the sender. */
  hasSpace(device: number, sizeBytes: number): boolean {
    const box = this.#boxes.get(device);
    return (
      box === undefined ||
      (box.count < this.#deps.limits.maxEntries && box.bytes + sizeBytes <= this.#deps.limits.maxBytes)
    );
  }

  /** Whether this sender may have `sizeBytes` more waiting there. False until the device has taken some of theirs. */
  hasShare(device: number, sizeBytes: number, sender: string): boolean {
    const shares = this.#boxes.get(device)?.shares;
    if (shares === undefined) return true;
    const { maxEntriesPerSender: count, maxBytesPerSender: bytes } = this.#deps.limits;
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
    this.#unwritten.add(sizeBytes);
    this.#unwritten.check();
    box.loading.push(readable => {
      this.#unwritten.remove(sizeBytes);
      // How full it is nobody knew when this came.
      const isFull = keep && !this.hasSpace(device, sizeBytes);
      if (box.discarded) settle(receipt);
      else if (readable && !isFull) this.#append(box, element, sizeBytes, keep, receipt);
      else refuse(receipt);
    });
  }

  /** Starts delivery to a device's new stream: first what waits, then what comes. Replaces an earlier stream. */
  attach(device: number, live: LiveDevice): void {
    const isUnread = this.#unread.has(device);
    const box = this.#box(device);
    this.#volatile.write(box);
    box.live = { device: live, cursor: 0, mode: 'draining', reading: false };
    // A first page is a quick read, counting a full mailbox is not.
    this.#drain.run(box);
    if (isUnread) this.#load(box);
  }

  /** Ends delivery to that stream; what it has not acknowledged is written now. */
  detach(device: number, live: LiveDevice | undefined): void {
    const box = this.#boxes.get(device);
    if (box?.live === undefined || box.live.device !== live) return;
    box.live = undefined;
    this.#volatile.write(box);
    this.#forgetWhenEmpty(box);
  }

  /** The stream's carrier is gone but the session may be resumed: what it has not acknowledged is written now. */
  suspend(device: number, live: LiveDevice): void {
    const box = this.#boxes.get(device);
    if (box?.live?.device !== live) return;
    box.live.mode = 'draining';
    this.#volatile.write(box);
  }

  /** The live device has room again. */
  roomAgain(device: number): void {
    const box = this.#boxes.get(device);
    if (box?.live?.mode === 'draining') this.#drain.run(box);
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
    leaveShare(entry);
    if (before === 'volatile') {
      this.#unwritten.remove(entry.countedBytes);
      this.#volatile.trim(box);
    } else if (before === 'durable') this.#removals.schedule(box, entry.seq);
    else (box.removed ??= new Set()).add(entry.seq);
    settleEntry(entry);
    if (box.live?.mode === 'draining') this.#drain.run(box);
    this.#unwritten.check();
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
      this.#unwritten.remove(entry.countedBytes);
      settleEntry(entry);
    }
    box.volatile = [];
    this.#unwritten.check();
  }

  /** Removes what is too old, a little at a time; gives how many entries went. Call it now and then. */
  sweep(limit: number): Promise<number> {
    return this.#sweep.run(limit);
  }

  /** A mailbox with entries from before is begun as loading: the caller calls `#load`. */
  #box(device: number): DeviceMailbox {
    let box = this.#boxes.get(device);
    if (box !== undefined) return box;
    this.#sequenceFloor = Math.max(this.#sequenceFloor, this.#deps.nowMs() * 1_024);
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
      this.#unwritten.check();
    };
    const state = this.#sweep.done(box).then(() => this.#deps.store.state(box.row));
    this.#track(
      state.then(
        ({ lastSeq, count, bytes }) => {
          box.lastSeq = Math.max(box.lastSeq, lastSeq);
          box.count += count;
          box.bytes += bytes;
          finish(true);
          this.#drainOrForget(box);
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

  #append(box: DeviceMailbox, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    const live = box.live;
    const direct = live !== undefined && live.mode === 'live' && live.device.hasRoom();
    const sinceMs = this.#deps.nowMs();
    const queuedAtMs = this.#deps.monotonicMs();
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
    this.#unwritten.add(sizeBytes);
    if (direct) {
      this.#volatile.add(entry);
      live.cursor = entry.seq;
      live.device.deliver(entry, element);
    } else {
      if (live?.mode === 'live') {
        live.mode = 'draining';
        this.#volatile.write(box);
      }
      this.#writer.write(entry);
    }
    this.#unwritten.check();
  }

  #drainOrForget(box: DeviceMailbox): void {
    if (box.live?.mode === 'draining') this.#drain.run(box);
    else this.#forgetWhenEmpty(box);
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
