// What waits, read: a page of a mailbox, what has expired, which devices have mail. Runs in the reader. What lies on a
// damaged page is passed over and said, so that it holds up nothing behind it. Knows nothing of what is in an entry.
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type {
  ExpiredEntry,
  ExpiredMail,
  ExpiryPlace,
  StoredEntry,
  UnreadableEntries,
} from '../../mailbox/mailbox-store.ts';
import { isDamage } from './damage.ts';
import { maxSeq } from './mailbox-commands.ts';
import { prepared } from './prepared.ts';

type EntryRow = { seq: number; acceptedAtMs: number | null; expiresAtMs: number; stanza: Uint8Array };
const columns = 'seq, accepted_at AS acceptedAtMs, expires_at AS expiresAtMs, stanza';

function entryOf({ acceptedAtMs, ...row }: EntryRow): StoredEntry {
  return { ...row, acceptedAtMs: acceptedAtMs ?? undefined };
}

/** A statement that has failed tells its error once more when it is reset, in place of what is asked then. */
function useAgain(statement: StatementSync): void {
  try {
    statement.get(0, 0, 0);
  } catch {
    // That was it.
  }
}

/** Adds entries after `after`, in order, until a bound or the end; throws at a damaged page, with what was read added. */
export function readEntries(
  db: DatabaseSync,
  { device, after, maxCount, maxBytes }: { device: number; after: number; maxCount: number; maxBytes: number },
  page: (StoredEntry | UnreadableEntries)[],
): void {
  const select = prepared(
    db,
    `SELECT ${columns} FROM mailbox WHERE key >= (?1 << 32) | ?2 AND key <= (?1 << 32) | ${maxSeq} ORDER BY key LIMIT ?3`,
  );
  if (after >= maxSeq) return;
  let bytes = 0;
  try {
    // From the next one on: to look for what is greater than `after`, its page would be read too, and that may be damaged.
    for (const row of select.iterate(device, after + 1, maxCount)) {
      const entry = row as EntryRow;
      bytes += entry.stanza.length;
      if (page.length > 0 && bytes > maxBytes) break;
      page.push(entryOf(entry));
    }
  } catch (error) {
    useAgain(select);
    throw error;
  }
}

/** The first number after `after` that can be read again, behind a damaged page; undefined when there is none up to `last`. */
function nextReadable(db: DatabaseSync, device: number, after: number, last: number): number | undefined {
  const select = prepared(
    db,
    `SELECT seq, stanza FROM mailbox WHERE key >= (?1 << 32) | ?2 AND key <= (?1 << 32) | ?3 ORDER BY key LIMIT 1`,
  );
  const canRead = (from: number): boolean => {
    try {
      return select.get(device, from, last) !== undefined;
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  };
  // Steps that grow, then halve: a page holds a few entries, or a few hundred.
  let bad = after;
  let good = after;
  for (let step = 1; ; step *= 2) {
    good = Math.min(after + step, last);
    if (canRead(good)) break;
    if (good === last) return undefined;
    bad = good;
  }
  while (good - bad > 1) {
    const middle = (good + bad) >>> 1;
    if (canRead(middle)) good = middle;
    else bad = middle;
  }
  return good;
}

export const mailboxReads = {
  /**
   * Entries after `afterSeq` in order, at most `maxCount` and, beyond the first, `maxBytes`; `fenced` for an older claim.
   * What can't be read stands in its place, and ends the page.
   */
  mailboxPage(
    db: DatabaseSync,
    args: { device: number; epoch: number; afterSeq: number; maxCount: number; maxBytes: number },
  ): (StoredEntry | UnreadableEntries)[] | 'fenced' {
    const { device, afterSeq: after, maxCount, maxBytes } = args;
    const page: (StoredEntry | UnreadableEntries)[] = [];
    try {
      readEntries(db, { device, after, maxCount, maxBytes }, page);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const from = page.at(-1)?.seq ?? after;
      const head = prepared(db, 'SELECT last_seq AS lastSeq FROM mailbox_head WHERE device = ?').get(device);
      const { lastSeq } = (head ?? { lastSeq: 0 }) as { lastSeq: number };
      // Behind the last entry there is nothing to miss.
      if (from < lastSeq) {
        const next = nextReadable(db, device, from, lastSeq);
        page.push({ seq: next === undefined ? lastSeq : next - 1, stanza: undefined });
      }
    }
    // After the rows: a claim that came between them and this has not seen them either.
    const head = prepared(db, 'SELECT epoch FROM mailbox_head WHERE device = ?').get(device);
    return (head as { epoch: number } | undefined)?.epoch === args.epoch ? page : 'fenced';
  },

  /** Entries whose time is over, in the order of that time. One that can't be read is left out. */
  mailboxExpired(
    db: DatabaseSync,
    args: { nowMs: number; after: ExpiryPlace | undefined; maxCount: number; maxBytes: number },
  ): ExpiredMail {
    const { nowMs, after, maxCount, maxBytes } = args;
    // From the index alone: what can't be read costs itself and not those behind it.
    const due = prepared(
      db,
      `SELECT device, seq, expires_at AS expiresAtMs FROM mailbox INDEXED BY mailbox_expiry
       WHERE expires_at <= ?1 AND (expires_at, key) > (?2, (?3 << 32) | ?4) ORDER BY expires_at, key LIMIT ?5`,
    ).all(nowMs, after?.expiresAtMs ?? 0, after?.device ?? 0, after?.seq ?? 0, maxCount);
    const select = prepared(db, `SELECT ${columns} FROM mailbox WHERE key = (?1 << 32) | ?2`);
    const entries: ExpiredEntry[] = [];
    let bytes = 0;
    let next: ExpiryPlace | undefined;
    for (const row of due) {
      const { device, seq, expiresAtMs } = row as ExpiryPlace;
      let entry: EntryRow | undefined;
      try {
        entry = select.get(device, seq) as EntryRow | undefined;
      } catch (error) {
        if (!isDamage(error)) throw error;
      }
      bytes += entry?.stanza.length ?? 0;
      if (entries.length > 0 && bytes > maxBytes) return { entries, next };
      next = { device, seq, expiresAtMs };
      if (entry !== undefined) entries.push({ ...entryOf(entry), device });
    }
    return { entries, next: due.length < maxCount ? undefined : next };
  },

  /** The devices that have anything waiting, after `afterRow`, at most `limit`. */
  mailboxDevices(db: DatabaseSync, args: { afterRow: number; limit: number }): number[] {
    const rows = prepared(
      db,
      'SELECT device FROM mailbox_head WHERE device > ? AND count > 0 ORDER BY device LIMIT ?',
    ).all(args.afterRow, args.limit);
    return rows.map(row => (row as { device: number }).device);
  },
};
