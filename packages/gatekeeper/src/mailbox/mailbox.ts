// Every device's mailbox: what it is owed, in order, until it has acknowledged it. Carries the acknowledgement rule:
// a sender's stanza is settled only when each addressed device has acknowledged it or has it on disk.
// A device that acknowledges quickly never costs a write: entries handed to a live stream wait a moment in memory.
// Joins the rooms that do it: streams and their claims, the volatile step, the writer, the drain, removals and the sweep. Knows nothing of encodings
// on the wire, sockets, accounts or consent.
// Source: docs/protocol/04-streams.md section 4.2, docs/decisions/0010, 0054, 0055.
import type { Element } from '@drawbridge/wire/element';
import { boxApart } from './boxes.ts';
import {
  type DeviceMailbox,
  type Entry,
  epochOf,
  type Live,
  type LiveDevice,
  loseEntry,
  noEntries,
  type Receipt,
  settle,
  settleEntry,
} from './device-mailbox.ts';
import type { Delivery } from './delivery.ts';
import type { MailboxDeps } from './mailbox-deps.ts';
import type { BoundReached } from './mailbox-store.ts';
import { joinParts, type Parts } from './parts.ts';
import { keepEarly, type Streams } from './streams.ts';

export class Mailboxes implements Delivery {
  readonly #deps: MailboxDeps;
  readonly #parts: Parts;
  readonly #inFlight = new Set<Promise<void>>();
  #closing = false;
  #sweepOver = false;

  constructor(deps: MailboxDeps) {
    this.#deps = deps;
    this.#parts = joinParts(deps, {
      isClosing: () => this.#closing,
      isSweepOver: () => this.#closing || this.#sweepOver,
      track: work => this.#track(work),
      acknowledge: entry => this.acknowledge(entry),
      hasLoud: device => this.hasLoud(device),
      passing: (box, live, element, sizeBytes) => this.#entry(box, live, element, sizeBytes, undefined),
    });
  }

  /** Writes what is only in memory, and waits for all writes and removals. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#parts.volatile.close();
    for (const box of this.#parts.boxes.all()) this.#parts.volatile.write(box);
    for (;;) {
      this.#parts.writer.flush();
      this.#parts.removals.flush();
      if (this.#inFlight.size === 0) return;
      // A write that ends may bring removals.
      await Promise.allSettled([...this.#inFlight]);
    }
  }

  /** Mailboxes in memory: of devices with a stream, and of those for which something is being written. */
  get size(): number {
    return this.#parts.boxes.size;
  }

  /** Bytes that are only in memory. */
  get unwrittenBytes(): number {
    return this.#parts.unwritten.bytes;
  }

  get isCongested(): boolean {
    return this.#parts.unwritten.isCongested;
  }

  refusal(device: number, sender: string, sizeBytes: number): BoundReached | undefined {
    return this.#parts.refusals.find(device, sender, sizeBytes);
  }

  deliver(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    const known = this.#parts.boxes.get(device);
    const current = known?.live;
    const live = current !== undefined && current.mode === 'live' && current.device.hasRoom() ? current : undefined;
    if (!keep && live === undefined) {
      if (current?.mode === 'claiming') keepEarly(current, element, sizeBytes);
      else if (current === undefined) this.#deps.elsewhere?.passOn(device, this.#deps.codec.encode(element));
      settle(receipt);
      return;
    }
    const box = known ?? this.#parts.boxes.ofDevice(device);
    const entry = this.#entry(box, live, element, sizeBytes, keep ? receipt : undefined);
    if (!keep) {
      live?.device.deliver(entry, element);
      settle(receipt);
      return;
    }
    this.#parts.unwritten.add(sizeBytes);
    if (live !== undefined) {
      this.#parts.volatile.add(entry);
      live.device.deliver(entry, element);
    } else {
      if (current?.mode === 'live') this.#parts.streams.turnToDraining(box, current);
      this.#parts.writer.write(entry);
    }
    this.#parts.unwritten.check();
  }

  drop(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    if (!keep) {
      settle(receipt);
      return;
    }
    // By itself: what the device's stream has, or has claimed, must change nothing for the sender.
    const entry = this.#entry(boxApart(device), undefined, element, sizeBytes, {
      remaining: 1,
      failed: false,
      refused: because => {
        if (!receipt.failed) receipt.refused(because);
        receipt.failed = true;
      },
      lost: () => receipt.lost?.(),
      settled: () => {
        settle(receipt);
        if (entry.state === 'durable') this.acknowledge(entry);
      },
    });
    this.#parts.unwritten.add(sizeBytes);
    this.#parts.writer.write(entry);
    this.#parts.unwritten.check();
  }

  /** Starts delivery to a device's new stream: first what waits, then what comes. Replaces an earlier stream. */
  attach(device: number, stream: LiveDevice): void {
    this.#parts.streams.attach(device, stream);
  }

  /** Ends delivery to that stream; what it has not acknowledged is written now. */
  detach(device: number, stream: LiveDevice | undefined): void {
    this.#parts.streams.detach(device, stream);
  }

  /** The stream's carrier is gone but the session may be resumed: what it has not acknowledged is written now. */
  suspend(device: number, stream: LiveDevice): void {
    this.#parts.streams.suspend(device, stream);
  }

  /** The live device has room again. */
  roomAgain(device: number): void {
    const box = this.#parts.boxes.get(device);
    if (box !== undefined) this.#parts.drain.run(box);
  }

  /** What streams here have claimed just now. */
  claims(): ReturnType<Streams['claims']> {
    return this.#parts.streams.claims();
  }

  /** Another node has written into this mailbox: the stream that has it here, if there is one, reads on. */
  nudge(device: number): void {
    this.#parts.streams.nudge(device);
  }

  /** As `nudge`, when this number was given by somebody else. */
  nudgeBehind(device: number, lastSeq: number): void {
    this.#parts.streams.nudgeBehind(device, lastSeq);
  }

  /** A stream at another node has the device, under this claim. */
  claimedElsewhere(device: number, epoch: number): void {
    this.#parts.streams.claimedElsewhere(device, epoch);
  }

  /** A stanza that is not kept came to another node: it is for the stream here, or for nobody. */
  deliverPassedOn(device: number, stanza: Uint8Array): void {
    if (this.#parts.boxes.get(device)?.live === undefined) return;
    const element = this.#deps.codec.decode(stanza, undefined);
    if (element !== undefined) this.deliver(device, element, stanza.length, false, passedOnReceipt());
  }

  /** The device has this entry for good. A stream that has been replaced acknowledges nothing. */
  acknowledge(entry: Entry): void {
    const before = entry.state;
    if (before === 'acknowledged' || before === 'dropped') return;
    const { mailbox: box, live } = entry;
    if (live?.isLost === true || (box.live !== undefined && box.live !== live)) return;
    entry.state = 'acknowledged';
    entry.element = undefined;
    if (before === 'volatile') {
      this.#parts.unwritten.remove(entry.countedBytes);
      this.#parts.volatile.trim(box);
    } else if (before === 'durable') {
      this.#parts.removals.schedule(box, entry.seq, epochOf(live));
      this.#parts.refusals.forget(box.row);
    }
    settleEntry(entry);
    this.#parts.drain.run(box);
    this.#parts.unwritten.check();
  }

  /** Forgets a removed device's mailbox; its rows are deleted with the device. Senders who wait are settled. */
  discard(device: number): void {
    const box = this.#parts.boxes.get(device);
    if (box === undefined) return;
    this.#parts.boxes.forget(device);
    this.#deps.elsewhere?.left(device);
    box.discarded = true;
    box.live = undefined;
    for (const entry of box.volatile) {
      if (entry.state !== 'volatile') continue;
      entry.state = 'dropped';
      this.#parts.unwritten.remove(entry.countedBytes);
      loseEntry(entry);
    }
    box.volatile = noEntries;
    this.#parts.unwritten.check();
  }

  /** Removes what is over, in pieces; gives how many entries went. Call it now and then, and when a device has gone. */
  sweep(): Promise<number> {
    return this.#parts.sweep.run();
  }

  /** What is being swept stops after the piece that is under way. */
  stopSweeping(): void {
    this.#sweepOver = true;
  }

  /** Whether anything waits in storage for which this device has to be woken; true also when that can't be told. */
  hasLoud(device: number): Promise<boolean> {
    // What was appended before is asked about too.
    this.#parts.writer.flush();
    const asked = this.#deps.store.hasLoud(device).catch(() => true);
    this.#track(asked.then(() => {}));
    return asked;
  }

  /** Without a receipt: one that is not kept. */
  #entry(
    box: DeviceMailbox,
    live: Live | undefined,
    element: Element,
    sizeBytes: number,
    receipt: Receipt | undefined,
  ): Entry {
    const isKept = receipt !== undefined;
    return {
      mailbox: box,
      live,
      seq: 0,
      element: isKept ? element : undefined,
      sizeBytes,
      countedBytes: sizeBytes,
      sinceMs: this.#deps.nowMs(),
      queuedAtMs: this.#deps.monotonicMs(),
      state: isKept ? 'volatile' : 'dropped',
      receipt,
    };
  }

  #track(work: Promise<void>): void {
    this.#inFlight.add(work);
    void work.finally(() => this.#inFlight.delete(work));
  }
}

/** Its sender heard from the node that it came to. */
function passedOnReceipt(): Receipt {
  return { remaining: 1, failed: false, settled: () => undefined, refused: () => undefined };
}
