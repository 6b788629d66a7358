// The mailbox's storage port. Knows no store, no sockets and not what is in a stanza.

export type MailboxRow = {
  readonly device: number;
  /** Of the writer's claim; undefined when it holds none: anybody may leave something in a mailbox. */
  readonly epoch: number | undefined;
  /** Whose share it counts in; undefined: nobody's. */
  readonly sender: string | undefined;
  readonly expiresAtMs: number;
  /** Names the sender's device and its stanza id: the same bytes are the same message. */
  readonly stanza: Uint8Array;
};
export type StoredEntry = { readonly seq: number; readonly expiresAtMs: number; readonly stanza: Uint8Array };

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
 */
export type AppendOutcome =
  | { readonly kind: 'stored' | 'duplicate'; readonly seq: number }
  | { readonly kind: BoundReached | 'device-gone' | 'fenced' };

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
 * Writes take effect in the order of the calls. A device's entries, counts and claim go with the device
 * (`AccountStore`). Counts are what waits, exactly, however it came and went.
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
  /** Removes the entries from `first` to `last` inclusive, for each device; none under an older epoch. Idempotent. */
  remove(ranges: readonly RemovedRange[]): Promise<void>;
  /**
   * Entries after a sequence, in order, within a limit of number and, beyond the first, of bytes. Sees all that was appended
   * before. `fenced` when the claim was not of this epoch any more at the end of the read: nothing may be shown.
   */
  page(
    device: number,
    epoch: number,
    afterSeq: number,
    maxCount: number,
    maxBytes: number,
  ): Promise<readonly StoredEntry[] | 'fenced'>;
  /** The devices that have anything waiting, in ascending order. */
  devices(): Promise<readonly number[]>;
  /**
   * Removes entries of one device that expired at or before `nowMs`, oldest first, at most `limit`; gives how many went.
   * Needs no claim. Idempotent.
   */
  expire(device: number, nowMs: number, limit: number): Promise<number>;
}
