// What bounds mailboxes, in entries, bytes and time. Knows nothing else.
import type { MailboxBounds } from './mailbox-store.ts';

export type MailboxLimits = MailboxBounds & {
  /**
   * How long an entry that a live stream has may wait for its acknowledgement before it is written; it may be half as
   * long again.
   */
  readonly writeAfterMs: number;
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
  maxBytesPerPerson: 512 * 1024 * 1024,
  maxBytesPerProvider: 64 * 1024 * 1024 * 1024,
  ttlMs: 30 * 86_400_000,
  maxUnwrittenBytes: 64 * 1024 * 1024,
  pageEntries: 256,
  pageBytes: 512 * 1024,
};

/** Storage that could not be read is tried again after this, so often; then the stream ends. */
export const retryMs = 1_000;
export const maxReadFailures = 3;
