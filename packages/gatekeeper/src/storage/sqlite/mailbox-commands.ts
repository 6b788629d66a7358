// Mailbox rows: claim, append, remove. Runs in the writer. An entry's key is its device and its number in one integer, so
// that a mailbox lies together and in order (docs/decisions/0034). Knows nothing of streams or stanzas.
import { hash } from 'node:crypto';
import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import type { AppendOutcome, Claim, MailboxBounds, MailboxRow, RemovedRange } from '../../mailbox/mailbox-store.ts';
import { DamagedDevices, itsByDevice, type Parts } from './damage.ts';
import { takeRoom } from './disk-reserve.ts';
import { MailboxCounts, type MailboxHead } from './mailbox-counts.ts';
import { prepared } from './prepared.ts';

type AppendArgs = { readonly rows: readonly MailboxRow[]; readonly bounds: MailboxBounds };

const damagedDevices = new DamagedDevices();
/** About what a row takes beside its stanza. */
const rowBytes = 120;
/** Of a stanza's SHA-256, which tells repeats. */
const digestBytes = 16;
/** The highest number that a key has room for. */
export const maxSeq = 2 ** 32 - 1;

function deleteEntries(
  db: DatabaseSync,
  device: number,
  first: number,
  last: number,
): Record<string, SQLOutputValue>[] {
  return prepared(
    db,
    `DELETE FROM mailbox WHERE key BETWEEN (?1 << 32) | ?2 AND (?1 << 32) | ?3
     RETURNING sender, length(stanza) AS sizeBytes, silent`,
  ).all(device, Math.min(first, maxSeq), Math.min(last, maxSeq));
}

/** Takes the entries from `first` to `last` inclusive out of a mailbox and out of its counts. */
function takeEntries(db: DatabaseSync, counts: MailboxCounts, head: MailboxHead, first: number, last: number): void {
  for (const row of deleteEntries(db, head.device, first, last)) {
    const { sender, sizeBytes, silent } = row as { sender: string | null; sizeBytes: number; silent: number };
    counts.remove(head, { sender: sender ?? undefined, sizeBytes, silent: silent === 1 });
  }
}

function appendRow(db: DatabaseSync, counts: MailboxCounts, row: MailboxRow, bounds: MailboxBounds): AppendOutcome {
  const { device, epoch, sender, stanza, silent } = row;
  const head = counts.head(device);
  if (head === undefined) return { kind: 'device-gone' };
  if (epoch !== undefined && epoch !== head.epoch) return { kind: 'fenced' };
  const digest = hash('sha256', stanza, 'buffer').subarray(0, digestBytes);
  const there = prepared(db, 'SELECT seq FROM mailbox WHERE device = ? AND digest = ?').get(device, digest);
  if (there !== undefined) return { kind: 'duplicate', seq: (there as { seq: number }).seq, ...ownerOf(head) };
  const bound = counts.boundReached(head, sender, stanza.length, bounds);
  if (bound !== undefined) return { kind: bound };
  if (head.lastSeq >= maxSeq) return { kind: 'full' };
  const seq = head.lastSeq + 1;
  prepared(
    db,
    `INSERT INTO mailbox (key, accepted_at, expires_at, silent, sender, digest, stanza)
     VALUES ((?1 << 32) | ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
  ).run(device, seq, row.acceptedAtMs, row.expiresAtMs, silent ? 1 : 0, sender ?? null, digest, stanza);
  head.lastSeq = seq;
  counts.add(head, { sender, sizeBytes: stanza.length, silent });
  return { kind: 'stored', seq, ...ownerOf(head) };
}

function ownerOf({ node }: MailboxHead): { readonly owner?: string } {
  return node === null ? {} : { owner: node };
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

  mailboxEndOtherClaims(db: DatabaseSync, { node }: { node: string }): string[] {
    const people = prepared(
      db,
      `SELECT DISTINCT account.interop_id AS interopId
       FROM mailbox_head JOIN device ON device.row = mailbox_head.device JOIN account ON account.row = device.account
       WHERE mailbox_head.node <> ? AND mailbox_head.loud > 0`,
    ).all(node);
    prepared(db, 'UPDATE mailbox_head SET node = NULL WHERE node <> ?').run(node);
    return people.map(row => (row as { interopId: string }).interopId);
  },

  mailboxAppend(db: DatabaseSync, { rows, bounds }: AppendArgs): AppendOutcome[] {
    const sizeBytes = rows.reduce((sum, row) => sum + row.stanza.length + rowBytes, 0);
    takeRoom(db, sizeBytes, performance.now());
    const counts = new MailboxCounts(db);
    const outcomes = rows.map(
      (row): AppendOutcome =>
        damagedDevices.has(row.device, performance.now()) ? { kind: 'damaged' } : appendRow(db, counts, row, bounds),
    );
    counts.write();
    return outcomes;
  },

  /**
   * Removes the entries from `first` to `last` inclusive, for each device, but for ranges of an older claim. Gives the
   * devices of which a part is damaged: what lies on and beside that stays.
   */
  mailboxRemove(db: DatabaseSync, ranges: readonly RemovedRange[]): number[] {
    const counts = new MailboxCounts(db);
    for (const { device, epoch, first, last } of ranges) {
      const head = counts.head(device);
      // What is left of a device that is gone counts for nobody.
      if (head === undefined) deleteEntries(db, device, first, last);
      else if (epoch === undefined || epoch === head.epoch) takeEntries(db, counts, head, first, last);
    }
    counts.write();
    return [];
  },

  /** A write, so that it comes after all that was appended before. */
  mailboxHasLoud(db: DatabaseSync, args: { device: number }): boolean {
    const head = prepared(db, 'SELECT loud FROM mailbox_head WHERE device = ?').get(args.device);
    return ((head as { loud: number } | undefined)?.loud ?? 0) > 0;
  },
};

/** How these are done when a page is damaged: each device by itself. */
export const mailboxParts: {
  readonly mailboxAppend: Parts<AppendArgs, AppendOutcome[]>;
  readonly mailboxRemove: Parts<readonly RemovedRange[], number[]>;
} = {
  mailboxAppend: {
    split: ({ rows, bounds }) => itsByDevice(rows).map(its => ({ rows: its, bounds })),
    join({ rows }, results) {
      const outcomes = new Map<MailboxRow, AppendOutcome>();
      for (const [part, its] of itsByDevice(rows).entries()) {
        if (results[part] === undefined) noteDamage(its[0]!.device);
        for (const [i, row] of its.entries()) outcomes.set(row, results[part]?.[i] ?? { kind: 'damaged' });
      }
      return rows.map(row => outcomes.get(row)!);
    },
  },
  mailboxRemove: {
    split: ranges => pieces(ranges).map(piece => [piece]),
    join: (ranges, results) => [
      ...new Set(
        pieces(ranges)
          .filter((_, i) => results[i] === undefined)
          .map(piece => piece.device),
      ),
    ],
  },
};

/** Entries that are removed in one go where a page is damaged: fewer than a page holds, so that what is far from it goes. */
const pieceEntries = 16;
/** Of one range; a stream has fewer entries in hand. What is beyond comes again. */
const maxPieces = 64;

function pieces(ranges: readonly RemovedRange[]): RemovedRange[] {
  return ranges.flatMap(range => {
    const last = Math.min(range.last, range.first + maxPieces * pieceEntries - 1);
    const starts = Array.from(
      { length: Math.ceil((last - range.first + 1) / pieceEntries) },
      (_, i) => range.first + i * pieceEntries,
    );
    return starts.map(first => ({ ...range, first, last: Math.min(first + pieceEntries - 1, last) }));
  });
}

function noteDamage(device: number): void {
  damagedDevices.note(device, performance.now());
}
