// What waits, read from PostgreSQL: a page of a mailbox, what has expired, which devices have mail. Knows nothing of what is
// in an entry.
import type { ExpiredEntry, ExpiredMail, ExpiryPlace, StoredEntry } from '../../mailbox/mailbox-store.ts';
import type { Database } from './database.ts';
import { accountOf } from './rows.ts';

type EntryRow = { seq: number; acceptedAtMs: number | null; expiresAtMs: number; stanza: Uint8Array };
const columns = 'seq, accepted_at AS "acceptedAtMs", expires_at AS "expiresAtMs", stanza';
/** Entries asked for at once: their sizes are known only when they are there. */
const entriesPerRead = 200;

function entryOf({ acceptedAtMs, seq, expiresAtMs, stanza }: EntryRow): StoredEntry {
  return { seq, expiresAtMs, stanza, acceptedAtMs: acceptedAtMs ?? undefined };
}

/** Entries after `afterSeq`, in order. Bytes are counted by the database, so that not more than that crosses over to here. */
export async function readEntries(
  database: Pick<Database, 'rows'>,
  device: number,
  afterSeq: number,
  maxCount: number,
  maxBytes: number,
): Promise<StoredEntry[]> {
  const entries: StoredEntry[] = [];
  let left = maxBytes;
  let after = afterSeq;
  for (;;) {
    const limit = Math.min(maxCount - entries.length, entriesPerRead);
    if (limit <= 0) return entries;
    const rows = await database.rows<EntryRow>(
      `SELECT ${columns} FROM (
         SELECT *, sum(octet_length(stanza)) OVER (ORDER BY seq) AS total FROM (
           SELECT * FROM mailbox WHERE account = $1 AND device = $2 AND seq > $3 ORDER BY seq LIMIT $4
         ) AS piece
       ) AS counted WHERE total <= $5 OR total = octet_length(stanza) ORDER BY seq`,
      [accountOf(device), device, after, limit, left],
    );
    for (const row of rows) {
      // The database gives the first one in any case.
      if (entries.length > 0 && row.stanza.length > left) return entries;
      entries.push(entryOf(row));
      left -= row.stanza.length;
    }
    if (rows.length < limit) return entries;
    after = rows.at(-1)!.seq;
  }
}

export async function readPage(
  database: Database,
  args: { device: number; epoch: number; afterSeq: number; maxCount: number; maxBytes: number },
): Promise<StoredEntry[] | 'fenced'> {
  const { device, epoch, afterSeq, maxCount, maxBytes } = args;
  const page = await readEntries(database, device, afterSeq, maxCount, maxBytes);
  // After the entries: a claim that came between them and this has not seen them either.
  const head = await database.row<{ epoch: number }>(
    'SELECT epoch FROM mailbox_head WHERE account = $1 AND device = $2',
    [accountOf(device), device],
  );
  return head?.epoch === epoch ? page : 'fenced';
}

export async function readExpired(
  database: Database,
  nowMs: number,
  after: ExpiryPlace | undefined,
  maxCount: number,
  maxBytes: number,
): Promise<ExpiredMail> {
  const entries: ExpiredEntry[] = [];
  let bytes = 0;
  let place = after ?? { expiresAtMs: 0, device: 0, seq: 0 };
  for (;;) {
    const limit = Math.min(maxCount - entries.length, entriesPerRead);
    if (limit <= 0) return { entries, next: place };
    const rows = await database.rows<EntryRow & { device: number }>(
      `SELECT device, ${columns} FROM mailbox
       WHERE expires_at <= $1 AND (expires_at, device, seq) > ($2::bigint, $3::bigint, $4::bigint)
       ORDER BY expires_at, device, seq LIMIT $5`,
      [nowMs, place.expiresAtMs, place.device, place.seq, limit],
    );
    for (const row of rows) {
      bytes += row.stanza.length;
      if (entries.length > 0 && bytes > maxBytes) return { entries, next: place };
      const { device, seq, expiresAtMs } = row;
      place = { device, seq, expiresAtMs };
      entries.push({ ...entryOf(row), device });
    }
    if (rows.length < limit) return { entries, next: undefined };
  }
}

const devicesPerRead = 1_000;

export async function readDevices(database: Database): Promise<number[]> {
  const devices: number[] = [];
  for (;;) {
    const after = devices.at(-1) ?? 0;
    const rows = await database.rows<{ device: number }>(
      `SELECT device FROM mailbox_head WHERE (account, device) > ($1::bigint, $2::bigint) AND count > 0
       ORDER BY account, device LIMIT $3`,
      [accountOf(after), after, devicesPerRead],
    );
    devices.push(...rows.map(row => row.device));
    if (rows.length < devicesPerRead) return devices;
  }
}
