// Mailbox rows: append, read a page, remove, expire. Runs in the storage workers.
import type { DatabaseSync } from 'node:sqlite';
import type { AppendOutcome, MailboxRow } from '../../mailbox/mailbox-store.ts';
import { takeRoom } from './disk-reserve.ts';
import { prepared } from './prepared.ts';

/** About what a row takes beside its stanza. */
const rowBytes = 40;

export const mailboxWrites = {
  mailboxAppend(db: DatabaseSync, rows: readonly MailboxRow[]): AppendOutcome[] {
    const sizeBytes = rows.reduce((sum, row) => sum + row.stanza.length + rowBytes, 0);
    takeRoom(db, sizeBytes, performance.now());
    // Never a replacement: what a sender was told is kept must not go because of a sequence given twice.
    const insert = prepared(db, 'INSERT INTO mailbox (device, seq, expires_at, stanza) VALUES (?, ?, ?, ?)');
    const select = prepared(db, 'SELECT 1 FROM device WHERE row = ?');
    const known = new Map<number, boolean>();
    return rows.map(({ device, seq, expiresAtMs, stanza }) => {
      let isThere = known.get(device);
      if (isThere === undefined) known.set(device, (isThere = select.get(device) !== undefined));
      if (!isThere) return 'device-gone';
      insert.run(device, seq, expiresAtMs, stanza);
      return 'stored';
    });
  },

  /** Removes the entries from `first` to `last` inclusive, for each device. */
  mailboxRemove(db: DatabaseSync, ranges: readonly { device: number; first: number; last: number }[]): void {
    const remove = prepared(db, 'DELETE FROM mailbox WHERE device = ? AND seq BETWEEN ? AND ?');
    for (const range of ranges) remove.run(range.device, range.first, range.last);
  },

  /** Removes at most `limit` entries of one device that expired at or before `nowMs`, oldest first. */
  mailboxExpire(
    db: DatabaseSync,
    args: { device: number; nowMs: number; limit: number },
  ): { count: number; bytes: number } {
    // Entries of one device expire in their order, so this stops at the first that is still good.
    const oldest = prepared(
      db,
      'SELECT seq, expires_at AS expiresAtMs, length(stanza) AS bytes FROM mailbox WHERE device = ? ORDER BY seq LIMIT ?',
    );
    const gone = { count: 0, bytes: 0 };
    let last = 0;
    for (const row of oldest.iterate(args.device, args.limit)) {
      const { seq, expiresAtMs, bytes } = row as { seq: number; expiresAtMs: number; bytes: number };
      if (expiresAtMs > args.nowMs) break;
      gone.count++;
      gone.bytes += bytes;
      last = seq;
    }
    if (gone.count > 0) prepared(db, 'DELETE FROM mailbox WHERE device = ? AND seq <= ?').run(args.device, last);
    return gone;
  },
};

export const mailboxReads = {
  /** Entries after `afterSeq` in order, at most `maxCount` and, beyond the first, `maxBytes`. */
  mailboxPage(
    db: DatabaseSync,
    args: { device: number; afterSeq: number; maxCount: number; maxBytes: number },
  ): { seq: number; expiresAtMs: number; stanza: Uint8Array }[] {
    const select = prepared(
      db,
      'SELECT seq, expires_at AS expiresAtMs, stanza FROM mailbox WHERE device = ? AND seq > ? ORDER BY seq LIMIT ?',
    );
    const page: { seq: number; expiresAtMs: number; stanza: Uint8Array }[] = [];
    let bytes = 0;
    for (const row of select.iterate(args.device, args.afterSeq, args.maxCount)) {
      const entry = row as { seq: number; expiresAtMs: number; stanza: Uint8Array };
      bytes += entry.stanza.length;
      if (page.length > 0 && bytes > args.maxBytes) break;
      page.push(entry);
    }
    return page;
  },

  /** What a device has waiting: count, bytes, highest seq (0 when nothing). */
  mailboxState(db: DatabaseSync, args: { device: number }): { count: number; bytes: number; lastSeq: number } {
    const row = prepared(
      db,
      'SELECT count(*) AS count, coalesce(sum(length(stanza)), 0) AS bytes, coalesce(max(seq), 0) AS lastSeq FROM mailbox WHERE device = ?',
    ).get(args.device);
    return row as { count: number; bytes: number; lastSeq: number };
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
