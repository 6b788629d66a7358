// Mailboxes whose device is gone: out of reach and out of the counts at once, off the disk in pieces. Runs in the workers.
// Knows nothing of who hears of it.
import type { DatabaseSync } from 'node:sqlite';
import type { OrphanedMail, OrphanedPerson, StoredEntry } from '../../mailbox/mailbox-store.ts';
import { isDamage, type Parts } from './damage.ts';
import { maxSeq } from './mailbox-commands.ts';
import { MailboxCounts } from './mailbox-counts.ts';
import { readEntries } from './mailbox-reads.ts';
import { prepared } from './prepared.ts';

/** A device goes, and its mailbox counts no more. Call it while the device is still there. */
export function orphanMailbox(db: DatabaseSync, device: number, person: OrphanedPerson | undefined): void {
  const counts = new MailboxCounts(db);
  const head = counts.head(device);
  if (head === undefined) return;
  counts.removeAll(head);
  counts.write();
  prepared(db, 'DELETE FROM mailbox_head WHERE device = ?').run(device);
  if (head.count === 0) return;
  prepared(db, 'INSERT INTO mailbox_orphan (device, provider, opt_ins) VALUES (?, ?, ?)').run(
    device,
    person?.provider ?? null,
    person === undefined ? null : JSON.stringify(person.optIns),
  );
}

type OrphanedPiece = { readonly device: number; readonly last: number; readonly limit: number };

/** With a damaged page in the way the counts and the mark go: others have their turn, and what is left expires. */
export const orphanParts: { readonly mailboxRemoveOrphaned: Parts<OrphanedPiece, void> } = {
  mailboxRemoveOrphaned: {
    split: ({ device }) => [{ device, last: 0, limit: Number.MAX_SAFE_INTEGER }],
    join: () => undefined,
  },
};

export const orphanReads = {
  mailboxOrphaned(db: DatabaseSync, args: { maxCount: number; maxBytes: number }): OrphanedMail | undefined {
    const row = prepared(
      db,
      'SELECT device, provider, opt_ins AS optIns FROM mailbox_orphan ORDER BY device LIMIT 1',
    ).get() as { device: number; provider: number | null; optIns: string | null } | undefined;
    if (row === undefined) return undefined;
    const { device, provider, optIns } = row;
    const person =
      provider === null || optIns === null ? undefined : { provider, optIns: JSON.parse(optIns) as number[] };
    const entries: StoredEntry[] = [];
    try {
      readEntries(db, { device, after: 0, ...args }, entries);
    } catch (error) {
      // What lies on a damaged page, and behind it, stays until it expires.
      if (!isDamage(error)) throw error;
    }
    return { device, person, entries };
  },
};

export const orphanWrites = {
  /** With nothing of its entries left that could be removed: shares, and in the end the mark. */
  mailboxRemoveOrphaned(db: DatabaseSync, args: OrphanedPiece): void {
    const { device, last, limit } = args;
    if (last > 0) {
      prepared(db, 'DELETE FROM mailbox WHERE key BETWEEN (?1 << 32) AND (?1 << 32) | ?2').run(
        device,
        Math.min(last, maxSeq),
      );
      return;
    }
    const { changes } = prepared(
      db,
      `DELETE FROM mailbox_share WHERE device = ?1 AND sender IN
       (SELECT sender FROM mailbox_share WHERE device = ?1 LIMIT ?2)`,
    ).run(device, limit);
    if (Number(changes) < limit) prepared(db, 'DELETE FROM mailbox_orphan WHERE device = ?').run(device);
  },
};
