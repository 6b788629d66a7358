// The words of a mailbox: its entries, the stream that has claimed it, the sender that waits. No behaviour but a receipt's
// count. Knows nothing of storage, encodings or sockets.
import type { Element } from '@drawbridge/wire/element';
import type { BoundReached, MailboxRow } from './mailbox-store.ts';

/** Why a device will not get a stanza. */
export type RefusedBecause = BoundReached | 'storage-failed' | 'damaged';

/**
 * What the disk has lost: one entry whose bytes are not a stanza; a page of a mailbox; a row that can't be written or removed; or
 * a read that failed as a whole.
 */
export type Damage = 'entry' | 'page' | 'write' | 'removal' | 'read';

/** The sender's side of one stanza: how many devices are still open, and what to do when none is. */
export type Receipt = {
  remaining: number;
  /** Called once, when every device has it. */
  readonly settled: () => void;
  /** Called once, before `settled`, when it was refused for at least one device. */
  readonly refused: (because: RefusedBecause) => void;
  /** Called for each device that went before it had it, before `settled`. */
  readonly lost?: () => void;
  /** Called, with other nodes about, when it is on disk for a device that has a stream at none of them. */
  readonly unclaimed?: () => void;
  failed: boolean;
};

/**
 * Whether what waits is handed over. `later`: not while things are as they are; it stays, and a later stream is asked
 * again. False: it never will be, and leaves storage.
 */
export type Wanted = boolean | 'later';

/** A live stream of a device, as the mailbox sees it. */
export interface LiveDevice {
  /** Whether another entry may be handed over now. When it turns true again, call `Mailboxes.roomAgain`. */
  hasRoom(): boolean;
  /** Asked about what comes from storage, before it is delivered: opt-outs and suspensions may have come since. */
  wants(element: Element): Wanted | Promise<Wanted>;
  deliver(entry: Entry, element: Element): void;
  /** This stream gets nothing more: another node has claimed the device, or storage could not be asked for the claim. */
  lost(because: 'replaced' | 'storage-failed'): void;
  /** This stream is over, and loud mail waits: another node may have written it for this stream. Have the person woken. */
  leftWaiting(): void;
}

export type EntryState = 'volatile' | 'writing' | 'durable' | 'acknowledged' | 'dropped';

export type Entry = {
  readonly mailbox: DeviceMailbox;
  /** The stream that has it; undefined: none yet. */
  readonly live: Live | undefined;
  /** Storage's number; 0 until it has one. */
  seq: number;
  /**
   * What to write, or the row that was refused under an old claim; let go as soon as it is acknowledged or on
   * disk, so that a busy mailbox holds no trees.
   */
  element: Element | MailboxRow | undefined;
  readonly sizeBytes: number;
  /** What counts as unwritten for it: `sizeBytes`, and from when it goes to the writer the stored form's length. */
  countedBytes: number;
  /** When it came, wall clock (milliseconds since 1970); undefined: a version before kept it without, and nothing is made up. */
  readonly sinceMs: number | undefined;
  /** When it came, monotonic clock. */
  readonly queuedAtMs: number;
  state: EntryState;
  receipt: Receipt | undefined;
};

/** A stream and its claim. */
export type Live = {
  readonly device: LiveDevice;
  /** Undefined until storage has granted the claim. */
  epoch: number | undefined;
  /** Another node's stream has the device: what this one has is written under no claim, and it acknowledges nothing. */
  isLost: boolean;
  /** The stream has had all up to this number. */
  cursor: number;
  /** What it has had beyond the cursor; pages leave it out. */
  had: Set<number> | undefined;
  /** Another node has written: read until there is nothing more, whatever the numbers say. */
  isBehind: boolean;
  /** Entries that it has and that are being written: no page is read until their numbers are known. */
  unnumbered: number;
  /** Stanzas that are not kept and came while the claim was asked for. */
  early: { readonly element: Element; readonly sizeBytes: number }[] | undefined;
  mode: 'claiming' | 'draining' | 'live';
  reading: boolean;
  /** Reads in a row that failed. */
  readFailures: number;
};

export type DeviceMailbox = {
  readonly row: number;
  /** The highest number that is known to be given. */
  lastSeq: number;
  live: Live | undefined;
  /** This node's latest claim, and how many of its claims wait for storage's answer. */
  epoch: number | undefined;
  claiming: number;
  /** Entries handed to the writer and not yet durable. */
  writing: number;
  /** Of these, in storage's hands; and the claim under which the last of them went. */
  inFlight: number;
  inFlightEpoch: number | undefined;
  /** Refused under an old claim, and what came behind: written in this order when nothing is in flight any more. */
  held: { readonly again: Entry[]; readonly behind: Entry[] } | undefined;
  /** Entries in memory only, oldest first, the first not acknowledged; empty unless a live stream has them. */
  volatile: Entry[];
  /** Among those that are looked at for overdue entries. */
  watched: boolean;
  /**
   * Entries that are over although their row is still on disk: pages leave them out. Replaced, not emptied, when rows are
   * gone, for a page that was asked for earlier may still hold them.
   */
  removed: Set<number> | undefined;
  /** The device is gone. */
  discarded: boolean;
  /** Of one entry that nobody is to have: no stream and no other node hears of it. */
  readonly isApart: boolean;
};

/** Shared, where there are no entries in memory: most streams are silent. */
export const noEntries = Object.freeze([]) as unknown as never[];

/** One device fewer to wait for; settles the sender's stanza at the last. */
export function settle(receipt: Receipt): void {
  if (--receipt.remaining === 0) receipt.settled();
}

/** This device will not get it: the sender is told so once, whatever becomes of the others. */
export function refuse(receipt: Receipt, because: RefusedBecause): void {
  if (!receipt.failed) {
    receipt.failed = true;
    receipt.refused(because);
  }
  settle(receipt);
}

/** Nobody waits for this entry any more. */
export function settleEntry(entry: Entry): void {
  const receipt = entry.receipt;
  entry.receipt = undefined;
  if (receipt !== undefined) settle(receipt);
}

/** Its device has gone: nobody will have it there. */
export function loseEntry(entry: Entry): void {
  entry.receipt?.lost?.();
  settleEntry(entry);
}

/** What its writes carry. */
export function epochOf(live: Live | undefined): number | undefined {
  return live === undefined || live.isLost ? undefined : live.epoch;
}

/** This stream has had the entry with this number. */
export function noteHad(live: Live, seq: number): void {
  if (seq <= live.cursor) return;
  if (seq > live.cursor + 1) {
    // Somebody else has written in between: that is still to be read.
    (live.had ??= new Set()).add(seq);
    return;
  }
  live.cursor = seq;
  while (live.had?.delete(live.cursor + 1) === true) live.cursor++;
}
