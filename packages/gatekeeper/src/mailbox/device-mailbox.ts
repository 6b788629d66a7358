// The words of a mailbox: its entries, the device that reads them, the sender that waits for them. No behaviour but a
// receipt's count. Knows nothing of storage, encodings or sockets.
import type { Element } from '@drawbridge/wire/element';
import type { SenderShares } from './sender-shares.ts';

/** The sender's side of one stanza: how many devices are still open, and what to do when none is. */
export type Receipt = {
  remaining: number;
  /** Called once, when every device has it. */
  readonly settled: () => void;
  /** Called once, before `settled`, when storage refused it for at least one device. */
  readonly refused: () => void;
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
}

export type EntryState = 'volatile' | 'writing' | 'durable' | 'acknowledged' | 'dropped';

export type Entry = {
  readonly mailbox: DeviceMailbox;
  readonly seq: number;
  /** What to write; let go as soon as it is acknowledged or on disk, so that a busy mailbox holds no trees. */
  element: Element | undefined;
  readonly sizeBytes: number;
  /** What the mailbox counts for it: `sizeBytes`, and from when it goes to the writer the stored form's length. */
  countedBytes: number;
  /** When it came, wall clock (milliseconds since 1970). */
  readonly sinceMs: number;
  /** When it came, monotonic clock. */
  readonly queuedAtMs: number;
  state: EntryState;
  /** Whose share it counts in, with `countedBytes`, while it waits on disk. */
  sharedBy: string | undefined;
  receipt: Receipt | undefined;
};

export type Live = { readonly device: LiveDevice; cursor: number; mode: 'draining' | 'live'; reading: boolean };

export type DeviceMailbox = {
  readonly row: number;
  lastSeq: number;
  count: number;
  bytes: number;
  live: Live | undefined;
  /** Of what was written since this process knows the mailbox; what was there before is nobody's. */
  shares: SenderShares | undefined;
  /** Entries handed to the writer and not yet durable. */
  writing: number;
  /** Entries in memory only, oldest first, the first not acknowledged; empty unless a live stream has them. */
  volatile: Entry[];
  /** Among those that are looked at for overdue entries. */
  watched: boolean;
  /**
   * What waits until the state has been read from disk after a restart; called with false when it can't be read. Until
   * then `count` and `bytes` lack what is read, and nothing is removed from disk; what is there is delivered already.
   */
  loading: ((readable: boolean) => void)[] | undefined;
  /**
   * Entries that are over although their row is or may come to be on disk: pages leave them out. Replaced, not emptied,
   * when rows are gone, for a page that was asked for earlier may still hold them.
   */
  removed: Set<number> | undefined;
  /** The device is gone: what is still being written is removed again. */
  discarded: boolean;
};

/** One device fewer to wait for; settles the sender's stanza at the last. */
export function settle(receipt: Receipt): void {
  if (--receipt.remaining === 0) receipt.settled();
}

/** This device will not get it: the sender is told so once, whatever becomes of the others. */
export function refuse(receipt: Receipt): void {
  if (!receipt.failed) {
    receipt.failed = true;
    receipt.refused();
  }
  settle(receipt);
}

/** Nobody waits for this entry any more. */
export function settleEntry(entry: Entry): void {
  const receipt = entry.receipt;
  entry.receipt = undefined;
  if (receipt !== undefined) settle(receipt);
}
