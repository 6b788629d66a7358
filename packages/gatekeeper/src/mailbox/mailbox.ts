// Every device's mailbox: what it is owed, in order, until it has acknowledged it. Carries the acknowledgement rule:
// a sender's stanza is settled only when each addressed device has acknowledged it or has it on disk.
// A device that acknowledges quickly never costs a write: entries handed to a live stream wait a moment in memory.
// Joins the rooms that do it: claims, the volatile step, the writer, the drain, removals and the sweep. Knows nothing of encodings
// on the wire, sockets, accounts or consent.
// Source: docs/protocol/04-streams.md section 4.2, docs/decisions/0010, 0054, 0055.
import { createBelievedClock, type ExpiryClock } from '@drawbridge/identity/believed-clock';
import type { Element } from '@drawbridge/wire/element';
import { detachMessage } from '@drawbridge/wire/envelope';
import { Claims } from './claims.ts';
import {
  type Damage,
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
import { Drain } from './drain.ts';
import type { Elsewhere } from './elsewhere.ts';
import type { MailboxLimits } from './mailbox-limits.ts';
import type { BoundReached, MailboxStore } from './mailbox-store.ts';
import { Refusals } from './refusals.ts';
import { Removals } from './removals.ts';
import type { Codec } from './stanza-codec.ts';
import { Sweep, type TellSender } from './sweep.ts';
import { UnwrittenBytes } from './unwritten-bytes.ts';
import { VolatileStep } from './volatile-step.ts';
import { Writer } from './writer.ts';

/** Stanzas that are not kept and wait for a stream's claim; more are dropped, as for a device that is away. */
const maxEarly = 32;

export type MailboxEvents = {
  /** Writers are too far behind (true) or have caught up (false): slow senders down. */
  congested(congested: boolean): void;
  damaged(what: Damage): void;
};

export type MailboxDeps = {
  readonly store: MailboxStore;
  /** This node's name, another one each time it starts. */
  readonly node: string;
  readonly codec: Codec;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  /** By which mail grows old; from the two above when left out. */
  readonly expiry?: ExpiryClock | undefined;
  readonly events: MailboxEvents;
  /** Has a message's sender told that it will not be delivered. */
  readonly tellSender: TellSender;
  readonly limits: MailboxLimits;
  /** The other nodes; undefined: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
};

export class Mailboxes implements Delivery {
  readonly #deps: MailboxDeps;
  readonly #boxes = new Map<number, DeviceMailbox>();
  readonly #unwritten: UnwrittenBytes;
  readonly #refusals: Refusals;
  readonly #volatile: VolatileStep;
  readonly #claims: Claims;
  readonly #writer: Writer;
  readonly #drain: Drain;
  readonly #removals: Removals;
  readonly #sweep: Sweep;
  readonly #inFlight = new Set<Promise<void>>();
  #closing = false;
  #sweepOver = false;

  constructor(deps: MailboxDeps) {
    this.#deps = deps;
    const { store, node, codec, limits, nowMs, monotonicMs, events, tellSender } = deps;
    const expiry = deps.expiry ?? createBelievedClock(nowMs, monotonicMs);
    const damaged = (what: Damage): void => events.damaged(what);
    const track = (work: Promise<void>): void => this.#track(work);
    const isClosing = (): boolean => this.#closing;
    const isSweepOver = (): boolean => this.#closing || this.#sweepOver;
    const claimLost = (box: DeviceMailbox, live: Live): void => this.#lose(box, live, 'replaced');
    const readOn = (box: DeviceMailbox): void => this.#readOn(box);
    const unwritten = new UnwrittenBytes(limits.maxUnwrittenBytes, congested => events.congested(congested));
    const removals = new Removals({
      store,
      isClosing,
      track,
      damaged,
      removed: box => this.#forgetWhenIdle(box),
    });
    this.#unwritten = unwritten;
    this.#removals = removals;
    this.#refusals = new Refusals(monotonicMs);
    this.#claims = new Claims({
      store,
      node,
      track,
      failed: (box, live) => this.#lose(box, live, 'storage-failed'),
      answered: box => this.#forgetWhenIdle(box),
      claimed: (box, live) => {
        deps.elsewhere?.claimed(box.row, live.epoch!);
        this.#claimed(box, live);
      },
    });
    this.#writer = new Writer({
      store,
      codec,
      limits,
      expiry,
      unwritten,
      removals,
      track,
      damaged,
      written: readOn,
      elsewhere: deps.elsewhere,
      node,
      boundReached: ({ device, sender, stanza }, because) =>
        this.#refusals.note(device, sender, stanza.length, because),
      claimLost,
    });
    this.#volatile = new VolatileStep({
      writeAfterMs: limits.writeAfterMs,
      monotonicMs,
      write: entry => {
        // The stream that has it may keep it for long: without the frame that it came in.
        if (entry.element !== undefined && !('stanza' in entry.element)) detachMessage(entry.element);
        this.#writer.write(entry);
      },
    });
    this.#sweep = new Sweep({
      store,
      codec,
      expiry,
      isClosing: isSweepOver,
      isLive: device => this.#boxes.get(device)?.live !== undefined,
      tell: tellSender,
      damaged,
    });
    this.#drain = new Drain({
      store,
      codec,
      limits,
      expiry,
      removals,
      track,
      damaged,
      expired: element => tellSender(element, 'expired'),
      acknowledge: entry => this.acknowledge(entry),
      claimLost,
      failed: (box, live) => this.#lose(box, live, 'storage-failed'),
    });
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
      // A write that ends may bring removals.
      await Promise.allSettled([...this.#inFlight]);
    }
  }

  /** Mailboxes in memory: of devices with a stream, and of those for which something is being written. */
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

  refusal(device: number, sender: string, sizeBytes: number): BoundReached | undefined {
    return this.#refusals.find(device, sender, sizeBytes);
  }

  deliver(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    const known = this.#boxes.get(device);
    const current = known?.live;
    const live = current !== undefined && current.mode === 'live' && current.device.hasRoom() ? current : undefined;
    if (!keep && live === undefined) {
      if (current?.mode === 'claiming') keepEarly(current, element, sizeBytes);
      else if (current === undefined) this.#deps.elsewhere?.passOn(device, this.#deps.codec.encode(element));
      settle(receipt);
      return;
    }
    const box = known ?? this.#newBox(device);
    const entry = this.#entry(box, live, element, sizeBytes, keep ? receipt : undefined);
    if (!keep) {
      live?.device.deliver(entry, element);
      settle(receipt);
      return;
    }
    this.#unwritten.add(sizeBytes);
    if (live !== undefined) {
      this.#volatile.add(entry);
      live.device.deliver(entry, element);
    } else {
      if (current?.mode === 'live') this.#turnToDraining(box, current);
      this.#writer.write(entry);
    }
    this.#unwritten.check();
  }

  drop(device: number, element: Element, sizeBytes: number, keep: boolean, receipt: Receipt): void {
    if (!keep) {
      settle(receipt);
      return;
    }
    // By itself: what the device's stream has, or has claimed, must change nothing for the sender.
    const entry = this.#entry({ ...newBox(device), isApart: true }, undefined, element, sizeBytes, {
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
    this.#unwritten.add(sizeBytes);
    this.#writer.write(entry);
    this.#unwritten.check();
  }

  /** Starts delivery to a device's new stream: first what waits, then what comes. Replaces an earlier stream. */
  attach(device: number, stream: LiveDevice): void {
    const box = this.#boxes.get(device) ?? this.#newBox(device);
    // What is known under the old claim goes to storage before the new one.
    this.#volatile.write(box);
    if (box.writing > 0) this.#writer.flush();
    if (box.removed !== undefined) this.#removals.flush();
    const live: Live = {
      device: stream,
      epoch: undefined,
      isLost: false,
      cursor: 0,
      had: undefined,
      isBehind: false,
      unnumbered: 0,
      early: undefined,
      mode: 'claiming',
      reading: false,
      readFailures: 0,
    };
    box.live = live;
    this.#deps.elsewhere?.came(device);
    this.#claims.claim(box, live);
  }

  /** Ends delivery to that stream; what it has not acknowledged is written now. */
  detach(device: number, stream: LiveDevice | undefined): void {
    const box = this.#boxes.get(device);
    const live = box?.live;
    if (box === undefined || live === undefined || live.device !== stream) return;
    box.live = undefined;
    this.#deps.elsewhere?.left(device);
    this.#volatile.write(box);
    if (live.epoch !== undefined) this.#release(device, live, live.epoch);
    this.#forgetWhenIdle(box);
  }

  /** The stream's carrier is gone but the session may be resumed: what it has not acknowledged is written now. */
  suspend(device: number, stream: LiveDevice): void {
    const box = this.#boxes.get(device);
    if (box?.live?.device !== stream) return;
    if (box.live.mode === 'live') this.#turnToDraining(box, box.live);
  }

  /** The live device has room again. */
  roomAgain(device: number): void {
    const box = this.#boxes.get(device);
    if (box !== undefined) this.#drain.run(box);
  }

  /** What streams here have claimed just now. */
  claims(): readonly { readonly device: number; readonly epoch: number }[] {
    const claims: { device: number; epoch: number }[] = [];
    for (const { row: device, live } of this.#boxes.values()) {
      if (live?.epoch !== undefined) claims.push({ device, epoch: live.epoch });
    }
    return claims;
  }

  /** Another node has written into this mailbox: the stream that has it here, if there is one, reads on. */
  nudge(device: number): void {
    const box = this.#boxes.get(device);
    const live = box?.live;
    if (box === undefined || live?.epoch === undefined) return;
    live.isBehind = true;
    this.#readOn(box);
  }

  /** As `nudge`, when this number was given by somebody else. */
  nudgeBehind(device: number, lastSeq: number): void {
    const box = this.#boxes.get(device);
    if (box?.live === undefined || box.lastSeq >= lastSeq || box.writing > 0) return;
    this.nudge(device);
  }

  /** A stream at another node has the device, under this claim. */
  claimedElsewhere(device: number, epoch: number): void {
    const box = this.#boxes.get(device);
    const live = box?.live;
    if (box !== undefined && live?.epoch !== undefined && live.epoch < epoch) this.#lose(box, live, 'replaced');
  }

  /** A stanza that is not kept came to another node: it is for the stream here, or for nobody. */
  deliverPassedOn(device: number, stanza: Uint8Array): void {
    if (this.#boxes.get(device)?.live === undefined) return;
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
      this.#unwritten.remove(entry.countedBytes);
      this.#volatile.trim(box);
    } else if (before === 'durable') {
      this.#removals.schedule(box, entry.seq, epochOf(live));
      this.#refusals.forget(box.row);
    }
    settleEntry(entry);
    this.#drain.run(box);
    this.#unwritten.check();
  }

  /** Forgets a removed device's mailbox; its rows are deleted with the device. Senders who wait are settled. */
  discard(device: number): void {
    const box = this.#boxes.get(device);
    if (box === undefined) return;
    this.#boxes.delete(device);
    this.#deps.elsewhere?.left(device);
    box.discarded = true;
    box.live = undefined;
    for (const entry of box.volatile) {
      if (entry.state !== 'volatile') continue;
      entry.state = 'dropped';
      this.#unwritten.remove(entry.countedBytes);
      loseEntry(entry);
    }
    box.volatile = noEntries;
    this.#unwritten.check();
  }

  /** Removes what is over, in pieces; gives how many entries went. Call it now and then, and when a device has gone. */
  sweep(): Promise<number> {
    return this.#sweep.run();
  }

  /** What is being swept stops after the piece that is under way. */
  stopSweeping(): void {
    this.#sweepOver = true;
  }

  /** Whether anything waits in storage for which this device has to be woken; true also when that can't be told. */
  hasLoud(device: number): Promise<boolean> {
    // What was appended before is asked about too.
    this.#writer.flush();
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

  /** The stream may read; when nothing waits, it has what came meanwhile and is not kept. */
  #claimed(box: DeviceMailbox, live: Live): void {
    this.#readOn(box);
    for (const { element, sizeBytes } of live.early ?? []) {
      if (box.live !== live || live.mode !== 'live' || !live.device.hasRoom()) break;
      live.device.deliver(this.#entry(box, live, element, sizeBytes, undefined), element);
    }
    live.early = undefined;
  }

  #newBox(device: number): DeviceMailbox {
    const box = newBox(device);
    this.#boxes.set(device, box);
    return box;
  }

  /** Until storage has it, another node that writes takes the stream for live, and has nobody woken: look behind it. */
  #release(device: number, live: Live, epoch: number): void {
    const released = this.#claims.release(device, epoch);
    if (this.#deps.elsewhere === undefined || this.#closing) return;
    this.#track(
      released
        .then(() => this.hasLoud(device))
        .then(isLoud => {
          if (isLoud && this.#boxes.get(device)?.live === undefined) live.device.leftWaiting();
        }),
    );
  }

  #turnToDraining(box: DeviceMailbox, live: Live): void {
    live.mode = 'draining';
    this.#volatile.write(box);
  }

  /** There may be something to read, or nothing left to do. */
  #readOn(box: DeviceMailbox): void {
    const { live } = box;
    // A gap in the numbers: another node has written.
    if (live?.mode === 'live' && (live.isBehind || live.cursor < box.lastSeq)) this.#turnToDraining(box, live);
    if (live === undefined) this.#forgetWhenIdle(box);
    else this.#drain.run(box);
  }

  /** This stream is over: what it has goes to storage, for the device's next one to read. */
  #lose(box: DeviceMailbox, live: Live, because: 'replaced' | 'storage-failed'): void {
    if (live.isLost) return;
    live.isLost = true;
    if (box.live !== live) return;
    box.live = undefined;
    this.#deps.elsewhere?.left(box.row);
    this.#volatile.write(box);
    live.device.lost(because);
    this.#forgetWhenIdle(box);
  }

  /** A mailbox keeps its place while something is on its way to storage: its order hangs on it. */
  #forgetWhenIdle(box: DeviceMailbox): void {
    const isWaiting = box.claiming > 0 || box.writing > 0 || (box.removed?.size ?? 0) > 0;
    if (box.live === undefined && !isWaiting && this.#boxes.get(box.row) === box) this.#boxes.delete(box.row);
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

function keepEarly(live: Live, element: Element, sizeBytes: number): void {
  live.early ??= [];
  if (live.early.length < maxEarly) live.early.push({ element, sizeBytes });
}

function newBox(device: number): DeviceMailbox {
  return {
    row: device,
    lastSeq: 0,
    live: undefined,
    epoch: undefined,
    claiming: 0,
    writing: 0,
    inFlight: 0,
    inFlightEpoch: undefined,
    held: undefined,
    volatile: noEntries,
    watched: false,
    removed: undefined,
    discarded: false,
    isApart: false,
  };
}
