// Rows of what waits to be sent that the disk has damaged: they go, and the messages that they carried are found by what is not
// there any more.
// Knows nothing of lanes or streams.
// Source: docs/protocol/09-content.md section 9.7.
import type { InteropId } from '@drawbridge/wire/jid';
import type { LogEntry } from '../history/message-log.ts';
import { addNotice } from '../notices/notice-records.ts';
import { isJson } from '../store/json-bytes.ts';
import { listEntries } from '../store/message-records.ts';
import { readOutbox } from '../store/outbox-records.ts';
import type { Transaction } from '../store/store.ts';

/** Own messages in one step. */
const entriesPerPage = 500;

/** Own messages that wait, and whose row is gone with the damaged ones. Looks through the history: damage is rare. */
export function dropDamagedOutbox(tx: Transaction, own: InteropId, nowMs: number): LogEntry[] {
  if (tx.dropDamaged('outbox', isJson) === 0) return [];
  addNotice(tx, { kind: 'unsent-damaged' }, nowMs);
  const lost: LogEntry[] = [];
  for (let before = Number.MAX_SAFE_INTEGER; ; ) {
    const page = tx.attempt(() => listEntries(tx, { arrived: true, newest: true, before, limit: entriesPerPage }));
    if (!page.ok || page.value.length === 0) return lost;
    for (const { entry } of page.value) if (entry.author === own && isWithoutRow(tx, entry)) lost.push(entry);
    before = page.value.at(-1)!.sequence;
  }
}

function isWithoutRow(tx: Transaction, { progress, receipts, stanzas = [] }: LogEntry): boolean {
  const waits = progress === undefined || progress.state === 'queued' || progress.state === 'held';
  return (
    waits &&
    stanzas.length > 0 &&
    receipts === undefined &&
    !stanzas.some(id => readOutbox(tx, id)?.messageId !== undefined)
  );
}
