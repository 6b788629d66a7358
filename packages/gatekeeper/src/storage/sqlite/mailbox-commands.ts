// Mailbox rows: claim, append, read a page, remove, expire. Runs in the storage workers.
// Knows nothing of streams or stanzas.
import { hash } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type {
  AppendOutcome,
  Claim,
  MailboxBounds,
  MailboxRow,
  RemovedRange,
  StoredEntry,
} from '../../mailbox/mailbox-store.ts';
import { takeRoom } from './disk-reserve.ts';
import { MailboxCounts, type MailboxHead } from './mailbox-counts.ts';
import { prepared } from './prepared.ts';

/** About what a row takes beside its stanza. */
const rowBytes = 100;
/** Of a stanza's SHA-256, which tells repeats. */
const digestBytes = 16;

/** A device that goes takes its mailbox along. */
export function removeMailbox(db: DatabaseSync, device: number): void {
  const counts = new MailboxCounts(db);
  const head = counts.head(device);
  if (head !== undefined) removeRows(counts, head, takeRows(db, device, 0, Number.MAX_SAFE_INTEGER));
  counts.write();
  prepared(db, 'DELETE FROM mailbox_share WHERE device = ?').run(device);
  prepared(db, 'DELETE FROM mailbox_head WHERE device = ?').run(device);
}

function takeRows(db: DatabaseSync, device: number, first: number, last: number): Record<string, SQLOutputValue>[] {
  return prepared(
    db,
    'DELETE FROM mailbox WHERE device = ? AND seq BETWEEN ? AND ? RETURNING sender, length(stanza) AS bytes',
  ).all(device, first, last);
}

function removeRows(counts: MailboxCounts, head: MailboxHead, rows: Record<string, SQLOutputValue>[]): void {
  for (const row of rows) {
    const { sender, bytes } = row as { sender: string | null; bytes: number };
    counts.remove(head, sender ?? undefined, bytes);
  }
}

function appendRow(db: DatabaseSync, counts: MailboxCounts, row: MailboxRow, bounds: MailboxBounds): AppendOutcome {
  const { device, epoch, sender, expiresAtMs, stanza } = row;
  const head = counts.head(device);
  if (head === undefined) return { kind: 'device-gone' };
  if (epoch !== undefined && epoch !== head.epoch) return { kind: 'fenced' };
  const digest = hash('sha256', stanza, 'buffer').subarray(0, digestBytes);
  const there = prepared(db, 'SELECT seq FROM mailbox WHERE device = ? AND digest = ?').get(device, digest);
  if (there !== undefined) return { kind: 'duplicate', seq: (there as { seq: number }).seq };
  const bound = counts.boundReached(head, sender, stanza.length, bounds);
  if (bound !== undefined) return { kind: bound };
  const seq = head.lastSeq + 1;
  prepared(db, 'INSERT INTO mailbox (device, seq, expires_at, stanza, sender, digest) VALUES (?, ?, ?, ?, ?, ?)').run(
    device,
    seq,
    expiresAtMs,
    stanza,
    sender ?? null,
    digest,
  );
  head.lastSeq = seq;
  counts.add(head, sender, stanza.length);
  return { kind: 'stored', seq };
}

export const mailboxWrites = {
  mailboxClaim(db: DatabaseSync, args: { device: number; node: string }): Claim | { kind: 'device-gone' } {
    if (prepared(db, 'SELECT 1 FROM device WHERE row = ?').get(args.device) === undefined) {
      return { kind: 'device-gone' };
    }
    const head = prepared(
      db,
      `INSERT INTO mailbox_head (device, last_seq, count, bytes, epoch, node) VALUES (?1, 0, 0, 0, 1, ?2)
       ON CONFLICT (device) DO UPDATE SET epoch = epoch + 1, node = ?2
       RETURNING epoch, last_seq AS lastSeq, count, bytes`,
    ).get(args.device, args.node) as Omit<Claim, 'kind'>;
    return { kind: 'claimed', ...head };
  },

  mailboxRelease(db: DatabaseSync, args: { device: number; epoch: number }): void {
    prepared(db, 'UPDATE mailbox_head SET node = NULL WHERE device = ? AND epoch = ?').run(args.device, args.epoch);
  },

  mailboxAppend(
    db: DatabaseSync,
    { rows, bounds }: { rows: readonly MailboxRow[]; bounds: MailboxBounds },
  ): AppendOutcome[] {
    const sizeBytes = rows.reduce((sum, row) => sum + row.stanza.length + rowBytes, 0);
    takeRoom(db, sizeBytes, performance.now());
    const counts = new MailboxCounts(db);
    const outcomes = rows.map(row => appendRow(db, counts, row, bounds));
    counts.write();
    return outcomes;
  },

  /** Removes the entries from `first` to `last` inclusive, for each device, but for ranges of an older claim. */
  mailboxRemove(db: DatabaseSync, ranges: readonly RemovedRange[]): void {
    const counts = new MailboxCounts(db);
    for (const { device, epoch, first, last } of ranges) {
      const head = counts.head(device);
      if (head === undefined || (epoch !== undefined && epoch !== head.epoch)) continue;
      removeRows(counts, head, takeRows(db, device, first, last));
    }
    counts.write();
  },

  /** Removes at most `limit` entries of one device that expired at or before `nowMs`, oldest first. */
  mailboxExpire(db: DatabaseSync, args: { device: number; nowMs: number; limit: number }): number {
    const counts = new MailboxCounts(db);
    const head = counts.head(args.device);
    if (head === undefined) return 0;
    // Entries of one device expire in their order, so this stops at the first that is still good.
    const oldest = prepared(
      db,
      'SELECT seq, expires_at AS expiresAtMs FROM mailbox WHERE device = ? ORDER BY seq LIMIT ?',
    );
    let last = 0;
    for (const row of oldest.iterate(args.device, args.limit)) {
      const { seq, expiresAtMs } = row as { seq: number; expiresAtMs: number };
      if (expiresAtMs > args.nowMs) break;
      last = seq;
    }
    const gone = last === 0 ? [] : takeRows(db, args.device, 0, last);
    removeRows(counts, head, gone);
    counts.write();
    return gone.length;
  },
};

export const mailboxReads = {
  /** Entries after `afterSeq` in order, at most `maxCount` and, beyond the first, `maxBytes`; `fenced` for an older claim. */
  mailboxPage(
    db: DatabaseSync,
    args: { device: number; epoch: number; afterSeq: number; maxCount: number; maxBytes: number },
  ): StoredEntry[] | 'fenced' {
    const select = prepared(
      db,
      'SELECT seq, expires_at AS expiresAtMs, stanza FROM mailbox WHERE device = ? AND seq > ? ORDER BY seq LIMIT ?',
    );
    const page: StoredEntry[] = [];
    let bytes = 0;
    for (const row of select.iterate(args.device, args.afterSeq, args.maxCount)) {
      const entry = row as { seq: number; expiresAtMs: number; stanza: Uint8Array };
      bytes += entry.stanza.length;
      if (page.length > 0 && bytes > args.maxBytes) break;
      page.push(entry);
    }
    // After the rows: a claim that came between them and this has not seen them either.
    const head = prepared(db, 'SELECT epoch FROM mailbox_head WHERE device = ?').get(args.device);
    return (head as { epoch: number } | undefined)?.epoch === args.epoch ? page : 'fenced';
  },

  /** The devices that have anything waiting, after `afterRow`, at most `limit`. */
  mailboxDevices(db: DatabaseSync, args: { afterRow: number; limit: number }): number[] {
    const next = prepared(db, 'SELECT min(device) AS device FROM mailbox WHERE device > ?');
    const devices: number[] = [];
    let after = args.afterRow;
    while (devices.length < args.limit) {
      const { device } = next.get(after) as { device: number | null };
      if (device === null) break;
      devices.push(device);
      after = device;
    }
    return devices;
  },
};
