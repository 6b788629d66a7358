// A piece of what waits in mailboxes, counted. Runs in the storage workers. Knows nothing of what is counted for.
import type { DatabaseSync } from 'node:sqlite';
import { prepared } from './prepared.ts';

type Piece = { readonly devices: number; readonly entries: number; readonly oldestAcceptedAtMs: number | null };

export const depthReads = {
  mailboxLastDevice(db: DatabaseSync): number {
    const row = prepared(db, 'SELECT coalesce(max(device), 0) AS device FROM mailbox_head').get();
    return Number(row?.['device']);
  },

  /** Of devices behind `after` up to `last`: the first entry of a device came first. When earlier versions' came is unknown. */
  mailboxDepthPiece(db: DatabaseSync, { after, last }: { after: number; last: number }): Piece {
    const row = prepared(
      db,
      `SELECT count(*) AS devices, coalesce(sum(count), 0) AS entries, min(
         (SELECT accepted_at FROM mailbox WHERE key BETWEEN mailbox_head.device << 32 AND (mailbox_head.device + 1) << 32
          ORDER BY key LIMIT 1)
       ) AS oldestAcceptedAtMs
       FROM mailbox_head WHERE device > ? AND device <= ? AND count > 0`,
    ).get(after, last);
    return { ...(row as unknown as Piece) };
  },
};
