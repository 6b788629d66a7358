// Rows of the history: messages, facts about messages that have not come, chats, and the time that runs for disappearing ones.
// Reads and writes them in a transaction of the caller. Knows nothing of what facts mean, nor of sending and receiving.
import type { InteropId } from '@drawbridge/wire/jid';
import { type ChatRecord, newChat } from '../history/chat-state.ts';
import type { LogEntry } from '../history/message-log.ts';
import type { ChatId, MessageId } from '../history/message-names.ts';
import { decodeJson, encodeJson } from './json-bytes.ts';
import { getJson, putJson } from './json-rows.ts';
import { MAX_VALUE_BYTES, type Transaction } from './store.ts';

export function messageKey(author: InteropId, id: MessageId): string {
  return `${author}:${id}`;
}

/** A message that has come, or facts about one that has not (`readOrphan`). */
export function readEntry(tx: Transaction, author: InteropId, id: MessageId): LogEntry | undefined {
  return getJson(tx, 'message', messageKey(author, id));
}

/** False, and nothing is written, when the entry would be larger than a row may be. With `first` a new row stands before all others. */
export function writeEntry(tx: Transaction, entry: LogEntry, first = false): boolean {
  const value = encodeJson(entry);
  if (value.length > MAX_VALUE_BYTES) return false;
  const key = messageKey(entry.author, entry.id);
  if (first) tx.putFirst('message', key, value, entry.chat);
  else tx.put('message', key, value, entry.chat);
  return true;
}

/** Where a message stands in its chat; without `place`: behind all that came. */
export function placeEntry(tx: Transaction, author: InteropId, id: MessageId, place = tx.newPlace()): void {
  tx.place('message', messageKey(author, id), place);
}

export type EntryRow = { readonly sequence: number; readonly entry: LogEntry };

/** By place; with `arrived` in the order in which they came to this device. */
export function listEntries(
  tx: Transaction,
  options: {
    readonly arrived?: boolean;
    readonly chat?: ChatId;
    readonly after?: number;
    readonly before?: number;
    readonly newest?: boolean;
    readonly limit: number;
  },
): EntryRow[] {
  const { chat, arrived = false, ...rest } = options;
  const list = { ...rest, ...(chat === undefined ? {} : { scope: chat }) };
  const rows = arrived ? tx.list('message', list) : tx.listByPlace('message', list);
  return rows.map(row => ({ sequence: row.sequence, entry: decodeJson(row.value) as LogEntry }));
}

/** Facts are kept with the chat in which they were said: said elsewhere, they are about nothing. */
function orphanKey(chat: ChatId, author: InteropId, id: MessageId): string {
  return `${chat}\n${messageKey(author, id)}`;
}

export function readOrphan(tx: Transaction, chat: ChatId, author: InteropId, id: MessageId): LogEntry | undefined {
  return getJson(tx, 'orphan', orphanKey(chat, author, id));
}

export function deleteOrphan(tx: Transaction, chat: ChatId, author: InteropId, id: MessageId): void {
  tx.delete('orphan', orphanKey(chat, author, id));
}

/** The oldest of a chat give way. */
export function writeOrphan(tx: Transaction, entry: LogEntry, maxPerChat: number): void {
  const value = encodeJson(entry);
  if (value.length > MAX_VALUE_BYTES) return;
  const key = orphanKey(entry.chat, entry.author, entry.id);
  tx.put('orphan', key, value, entry.chat);
  const excess = tx.count('orphan', entry.chat) - maxPerChat;
  if (excess <= 0) return;
  for (const row of tx.list('orphan', { scope: entry.chat, limit: excess })) tx.delete('orphan', row.key);
}

export function readChat(tx: Transaction, chat: ChatId): ChatRecord {
  return getJson(tx, 'chat', chat) ?? newChat(chat);
}

export function writeChat(tx: Transaction, record: ChatRecord): void {
  putJson(tx, 'chat', record.chat, record);
}

export type ChatRecordRow = { readonly sequence: number; readonly chat: ChatRecord };

/** In the order in which they began. */
export function listChats(
  tx: Transaction,
  options: { readonly after?: number; readonly limit: number },
): ChatRecordRow[] {
  return tx.list('chat', options).map(({ sequence, value }) => ({ sequence, chat: decodeJson(value) as ChatRecord }));
}

/** A message whose time runs: from when `dueMs` is set, and to that point of this device's elapsed time. */
export type ExpiryRecord = {
  readonly author: InteropId;
  readonly id: MessageId;
  /** How long it runs, from when this row was written. */
  readonly runMs: number;
  readonly dueMs?: number;
};

export function readExpiry(tx: Transaction, author: InteropId, id: MessageId): ExpiryRecord | undefined {
  return getJson(tx, 'expiry', messageKey(author, id));
}

export function writeExpiry(tx: Transaction, expiry: ExpiryRecord): void {
  putJson(tx, 'expiry', messageKey(expiry.author, expiry.id), expiry);
}

export function deleteExpiry(tx: Transaction, author: InteropId, id: MessageId): void {
  tx.delete('expiry', messageKey(author, id));
}

/** All of them: as many as messages are about to disappear. */
export function listExpiries(tx: Transaction): ExpiryRecord[] {
  const found: ExpiryRecord[] = [];
  for (let after = 0; ; ) {
    const rows = tx.list('expiry', { after });
    if (rows.length === 0) return found;
    for (const row of rows) found.push(decodeJson(row.value) as ExpiryRecord);
    after = rows.at(-1)!.sequence;
  }
}
