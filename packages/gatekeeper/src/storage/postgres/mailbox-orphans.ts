// Mailboxes whose device is gone, on PostgreSQL: out of reach and out of the counts at once, off the disk in pieces.
// Knows nothing of who hears of it.
import type { MailboxStore, OrphanedMail, OrphanedPerson } from '../../mailbox/mailbox-store.ts';
import type { Database, Sql } from './database.ts';
import { addBytes } from './mailbox-sums.ts';
import { readEntries } from './mailbox-reads.ts';
import { accountOf } from './rows.ts';

/** A device goes, and its mailbox counts no more. Call it while the device is still there. */
export async function orphanMailbox(sql: Sql, device: number, person: OrphanedPerson | undefined): Promise<void> {
  const account = accountOf(device);
  const [head] = await sql.rows<{ provider: number; count: number; bytes: number }>(
    'DELETE FROM mailbox_head WHERE account = $1 AND device = $2 RETURNING provider, count, bytes',
    [account, device],
  );
  if (head === undefined || head.count === 0) return;
  await addBytes(sql, [{ account, provider: head.provider, bytes: -head.bytes }]);
  await sql.change('INSERT INTO mailbox_orphan (account, device, provider, opt_ins) VALUES ($1, $2, $3, $4)', [
    account,
    device,
    person?.provider ?? null,
    person === undefined ? null : JSON.stringify(person.optIns),
  ]);
}

export async function readOrphaned(
  database: Database,
  maxCount: number,
  maxBytes: number,
): Promise<OrphanedMail | undefined> {
  const row = await database.row<{ device: number; provider: number | null; optIns: string | null }>(
    'SELECT device, provider, opt_ins AS "optIns" FROM mailbox_orphan ORDER BY account, device LIMIT 1',
  );
  if (row === undefined) return undefined;
  const { device, provider, optIns } = row;
  const person =
    provider === null || optIns === null ? undefined : { provider, optIns: JSON.parse(optIns) as number[] };
  return { device, person, entries: await readEntries(database, device, 0, maxCount, maxBytes) };
}

/** With nothing of its entries left: shares, and in the end the mark. */
export async function removeOrphaned(
  sql: Sql,
  ...[device, last, limit]: Parameters<MailboxStore['removeOrphaned']>
): Promise<void> {
  const its = [accountOf(device), device];
  if (last > 0) {
    await sql.change('DELETE FROM mailbox WHERE account = $1 AND device = $2 AND seq <= $3', [...its, last]);
    return;
  }
  const changes = await sql.change(
    `DELETE FROM mailbox_share WHERE account = $1 AND device = $2 AND sender IN
       (SELECT sender FROM mailbox_share WHERE account = $1 AND device = $2 LIMIT $3)`,
    [...its, limit],
  );
  if (changes < limit) await sql.change('DELETE FROM mailbox_orphan WHERE account = $1 AND device = $2', its);
}
