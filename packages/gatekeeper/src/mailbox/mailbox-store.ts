// The mailbox's storage port. Knows no store, no sockets and not what is in a stanza.

export type MailboxRow = {
  readonly device: number;
  /** Of the writer's claim; undefined when it holds none: anybody may leave something in a mailbox. */
  readonly epoch: number | undefined;
  /** Whose share it counts in; undefined: nobody's. */
  readonly sender: string | undefined;
  readonly acceptedAtMs: number;
  readonly expiresAtMs: number;
  /** Nobody is to be woken for it. */
  readonly silent: boolean;
  /** Names the sender's device and its stanza id: the same bytes are the same message. */
  readonly stanza: Uint8Array;
};
export type StoredEntry = {
  readonly seq: number;
  /** Undefined in what a version before kept without it. */
  readonly acceptedAtMs: number | undefined;
  readonly expiresAtMs: number;
  readonly stanza: Uint8Array;
};

/** What lies on the disk up to this number, from the entry before it, can't be read. */
export type UnreadableEntries = { readonly seq: number; readonly stanza: undefined };

/** An entry whose time is over. */
export type ExpiredEntry = StoredEntry & { readonly device: number };
/** Where a look at expired entries goes on. */
export type ExpiryPlace = Pick<ExpiredEntry, 'expiresAtMs' | 'device' | 'seq'>;
/** `next` undefined: there are no more. */
export type ExpiredMail = { readonly entries: readonly ExpiredEntry[]; readonly next: ExpiryPlace | undefined };

/** What waits for a device that was removed: a piece of it. */
export type OrphanedMail = {
  readonly device: number;
  /** Who might reach its person when that person went, for whoever tells the senders; undefined: nobody is to be told. */
  readonly person: OrphanedPerson | undefined;
  /** Empty: only its counts are left. */
  readonly entries: readonly StoredEntry[];
};
export type OrphanedPerson = { readonly provider: number; readonly optIns: readonly number[] };

/** What may wait, in stored bytes and entries: beyond it `append` refuses a row. */
export type MailboxBounds = {
  /** For one device. */
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Of these, of one sender. */
  readonly maxEntriesPerSender: number;
  readonly maxBytesPerSender: number;
  /** For all devices of one person, and of all people of one provider. */
  readonly maxBytesPerPerson: number;
  readonly maxBytesPerProvider: number;
};

/** Which bound a row would have passed. */
export type BoundReached = 'full' | 'share-full' | 'person-full' | 'provider-full';

/**
 * What became of a row. `duplicate`: the same stanza waits already, under this number. `device-gone`: the device was
 * removed, and nothing is kept for it. `fenced`: another stream has claimed the device since; nothing was written.
 * `damaged`: a part of this mailbox can't be read or written, and nothing was written.
 */
export type AppendOutcome =
  /** `owner`: the node whose claim the device has; absent: none. */
  | { readonly kind: 'stored' | 'duplicate'; readonly seq: number; readonly owner?: string }
  | { readonly kind: BoundReached | 'device-gone' | 'fenced' | 'damaged' };

/** A device's live stream owns its mailbox until the next claim: what it read and gave away then counts no more. */
export type Claim = {
  readonly kind: 'claimed';
  readonly epoch: number;
  /** The highest number given in this mailbox, 0 when none was; and what waits. */
  readonly lastSeq: number;
  readonly count: number;
  readonly bytes: number;
};

export type RemovedRange = {
  readonly device: number;
  readonly epoch: number | undefined;
  readonly first: number;
  readonly last: number;
};

/**
 * Writes take effect in the order of the calls. A device's counts and claim go with the device (`AccountStore`); its
 * entries are out of reach from then on, and leave in pieces (`orphaned`), so that nobody waits for a full mailbox to be
 * emptied. Counts are what waits, exactly, however it came and went.
 */
export interface MailboxStore {
  /**
   * Makes this node the owner, whoever was it before, and gives the mailbox's head, in one transaction. Each claim of a
   * device has a higher epoch than all before it. Not idempotent: a repeat ends the first.
   */
  claim(device: number, node: string): Promise<Claim | { readonly kind: 'device-gone' }>;
  /** Ends a claim if it is still that of this epoch; otherwise it changes nothing. Idempotent. */
  release(device: number, epoch: number): Promise<void>;
  /**
   * Appends the rows in their order, in one transaction, durable when it resolves, and gives each row's outcome. A stored
   * row has the number after the highest that its mailbox ever gave. Device, claim, bounds and repeats are judged in that
   * same transaction, row by row, in this order: `device-gone`, `fenced`, `duplicate`, then the bounds. Idempotent while
   * the row waits. Rejects with nothing written.
   */
  append(rows: readonly MailboxRow[], bounds: MailboxBounds): Promise<readonly AppendOutcome[]>;
  /**
   * Removes the entries from `first` to `last` inclusive, for each device; none under an older epoch. Gives the devices of
   * which a part is damaged: what lies on and beside that stays. Idempotent.
   */
  remove(ranges: readonly RemovedRange[]): Promise<readonly number[]>;
  /**
   * Entries after a sequence, in order, within a limit of number and, beyond the first, of bytes. Sees all that was appended
   * before. `fenced` when the claim was not of this epoch any more at the end of the read: nothing may be shown. What can't
   * be read stands in its place, at the page's end: the next page begins behind it.
   */
  page(
    device: number,
    epoch: number,
    afterSeq: number,
    maxCount: number,
    maxBytes: number,
  ): Promise<readonly (StoredEntry | UnreadableEntries)[] | 'fenced'>;
  /** The devices that have anything waiting, in ascending order. */
  devices(): Promise<readonly number[]>;
  /** Whether anything waits for this device that is not silent. Sees all that was appended before. */
  hasLoud(device: number): Promise<boolean>;
  /**
   * Ends the claims of all other nodes, and gives the InteropIds of people for whom something waits in these mailboxes that
   * is not silent: a node that died could not have them woken. For a store that one node has. Idempotent.
   */
  endOtherClaims(node: string): Promise<readonly string[]>;
  /**
   * Entries that expired at or before `nowMs`, by time, device and number, after a place, at most `maxCount` and, beyond
   * the first, `maxBytes`. Removed devices' entries may be among them; what can't be read is not.
   */
  expired(nowMs: number, after: ExpiryPlace | undefined, maxCount: number, maxBytes: number): Promise<ExpiredMail>;
  /** A piece of what waits for some device that is gone; undefined when there is none. */
  orphaned(maxCount: number, maxBytes: number): Promise<OrphanedMail | undefined>;
  /** Removes a gone device's entries up to `last`; when none is left its counts too, at most `limit` of them. Idempotent. */
  removeOrphaned(device: number, last: number, limit: number): Promise<void>;
}
