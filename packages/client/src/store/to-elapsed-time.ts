// Version 3 to 4: timers of disappearing messages go by elapsed time, and hybrid stamps begin after all that this person
// said before. Pure but for the rows and the clock's time. Knows nothing of how the store is opened.
import { heardOwnStamp } from '@drawbridge/e2ee/hybrid-clock';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Transaction } from './store.ts';
import {
  deleteExpiry,
  type ExpiryRecord,
  listChats,
  listEntries,
  listExpiries,
  readEntry,
  writeExpiry,
} from './message-records.ts';
import { readAccount, readStamp, writeStamp } from './account-records.ts';
import { readProfile } from './person-records.ts';
import type { MessageId } from '../history/message-names.ts';

const pageRows = 500;

type ExpiryByClock = { readonly author: InteropId; readonly id: MessageId; readonly atMs: number };

/** What is left by the clock, and never more than the message was given. */
function toElapsed(tx: Transaction, expiry: ExpiryRecord | ExpiryByClock, nowMs: number): void {
  if (!('atMs' in expiry)) return;
  const { author, id, atMs } = expiry;
  const seconds = readEntry(tx, author, id)?.posted?.expiresAfterSeconds;
  if (seconds === undefined) deleteExpiry(tx, author, id);
  else writeExpiry(tx, { author, id, runMs: Math.min(Math.max(atMs - nowMs, 0), seconds * 1_000) });
}

/** The latest stamp of what this person has said that a later word of theirs may have to overrule. */
function latestOwnStamp(tx: Transaction, own: InteropId): number {
  let latestMs = readProfile(tx, own)?.atMs ?? 0;
  const see = (atMs: number): void => void (latestMs = Math.max(latestMs, atMs));
  for (let after: number | undefined; ; ) {
    const rows = listChats(tx, { limit: pageRows, ...(after === undefined ? {} : { after }) });
    for (const { chat } of rows) for (const { atMs } of Object.values(chat.settings)) see(atMs);
    if (rows.length === 0) break;
    after = rows.at(-1)!.sequence;
  }
  for (let after: number | undefined; ; ) {
    const rows = listEntries(tx, { arrived: true, limit: pageRows, ...(after === undefined ? {} : { after }) });
    for (const { entry } of rows) {
      if (entry.author === own) for (const { atMs } of entry.edits ?? []) see(atMs);
      see(entry.reactions?.[own]?.atMs ?? 0);
    }
    if (rows.length === 0) return latestMs;
    after = rows.at(-1)!.sequence;
  }
}

export function toElapsedTime(tx: Transaction, nowMs: number): void {
  for (const expiry of listExpiries(tx)) toElapsed(tx, expiry, nowMs);
  const account = readAccount(tx);
  if (account !== undefined) writeStamp(tx, heardOwnStamp(readStamp(tx), latestOwnStamp(tx, account.interopId)));
}
