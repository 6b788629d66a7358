// Which bound of a mailbox another entry would pass, the narrowest first. Knows no store.
import type { BoundReached, MailboxBounds } from './mailbox-store.ts';

export type Counted = { count: number; bytes: number };

export type CountedMail = {
  readonly mailbox: Readonly<Counted>;
  /** Of the entry's sender in this mailbox; undefined: it counts in nobody's share. */
  readonly share: Readonly<Counted> | undefined;
  readonly personBytes: number;
  readonly providerBytes: number;
};

export function boundReached(
  sizeBytes: number,
  bounds: MailboxBounds,
  { mailbox, share, personBytes, providerBytes }: CountedMail,
): BoundReached | undefined {
  if (mailbox.count >= bounds.maxEntries || mailbox.bytes + sizeBytes > bounds.maxBytes) return 'full';
  if (share !== undefined) {
    const isFull = share.count >= bounds.maxEntriesPerSender || share.bytes + sizeBytes > bounds.maxBytesPerSender;
    if (isFull) return 'share-full';
  }
  if (personBytes + sizeBytes > bounds.maxBytesPerPerson) return 'person-full';
  if (providerBytes + sizeBytes > bounds.maxBytesPerProvider) return 'provider-full';
  return undefined;
}
