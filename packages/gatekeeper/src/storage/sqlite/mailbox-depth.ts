// How much mail waits, and since when: counted in pieces, so that reads of mailboxes go in between. Knows nothing of what
// is counted for.
import type { DatabaseSync } from 'node:sqlite';
import type { MailboxDepth } from '../stores.ts';
import { prepared } from './prepared.ts';
import type { SqliteStore } from './store.ts';

/** Device rows looked at in one read. */
const devicesPerRead = 5_000;

type Piece = { readonly devices: number; readonly entries: number; readonly oldestExpiresAtMs: number | null };

export const depthReads = {
  mailboxLastDevice(db: DatabaseSync): number {
    const row = prepared(db, 'SELECT coalesce(max(device), 0) AS device FROM mailbox_head').get();
    return Number(row?.['device']);
  },

  /** Of devices behind `after` up to `last`: entries of one device expire in their order, so the first is the oldest. */
  mailboxDepthPiece(db: DatabaseSync, { after, last }: { after: number; last: number }): Piece {
    const row = prepared(
      db,
      `SELECT count(*) AS devices, coalesce(sum(count), 0) AS entries, min(
         (SELECT expires_at FROM mailbox WHERE mailbox.device = mailbox_head.device ORDER BY seq LIMIT 1)
       ) AS oldestExpiresAtMs
       FROM mailbox_head WHERE device > ? AND device <= ? AND count > 0`,
    ).get(after, last);
    return { ...(row as unknown as Piece) };
  },
};

export async function measureDepth(store: SqliteStore): Promise<MailboxDepth> {
  const last = await store.read('mailboxLastDevice', undefined);
  let devices = 0;
  let entries = 0;
  let oldestExpiresAtMs: number | undefined;
  for (let after = 0; after < last; after += devicesPerRead) {
    const piece = await store.read('mailboxDepthPiece', { after, last: after + devicesPerRead });
    devices += piece.devices;
    entries += piece.entries;
    const oldest = piece.oldestExpiresAtMs;
    if (oldest !== null && oldest < (oldestExpiresAtMs ?? Infinity)) oldestExpiresAtMs = oldest;
  }
  return { devices, entries, oldestExpiresAtMs };
}
