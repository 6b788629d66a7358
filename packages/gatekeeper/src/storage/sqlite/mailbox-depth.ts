// How much mail waits, and since when: counted in pieces, so that reads of mailboxes go in between. Knows nothing of what
// is counted for.
import type { MailboxDepth } from '../stores.ts';
import type { SqliteStore } from './store.ts';

/** Device rows looked at in one read. */
const devicesPerRead = 5_000;

export async function measureDepth(store: SqliteStore): Promise<MailboxDepth> {
  const last = await store.read('mailboxLastDevice', undefined);
  let devices = 0;
  let entries = 0;
  let oldestAcceptedAtMs: number | undefined;
  for (let after = 0; after < last; after += devicesPerRead) {
    const piece = await store.read('mailboxDepthPiece', { after, last: after + devicesPerRead });
    devices += piece.devices;
    entries += piece.entries;
    const oldest = piece.oldestAcceptedAtMs;
    if (oldest !== null && oldest < (oldestAcceptedAtMs ?? Infinity)) oldestAcceptedAtMs = oldest;
  }
  return { devices, entries, oldestAcceptedAtMs };
}
