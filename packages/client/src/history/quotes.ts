// Which replies quote a message, so that its words go from them when they go from here: out of the reply's own row, and of what
// of it waits to be sent or is kept to be sent again.
// Knows nothing of what is shown of a quote, nor of why words go. Rows in a transaction of the caller.
// Source: docs/protocol/09-content.md section 9.9.
import { withoutExcerpt } from '@drawbridge/e2ee/content-rewriting';
import { contentBytes, contentPayload, repeatId } from '../outbox/rows.ts';
import { decodeJson } from '../store/json-bytes.ts';
import { putJson } from '../store/json-rows.ts';
import { listEntries, messageKey, readEntry, readOrphan, writeEntry } from '../store/message-records.ts';
import { readOutbox, readSent, writeOutbox, writeSent } from '../store/outbox-records.ts';
import { MAX_LIST, type Transaction } from '../store/store.ts';
import type { LogEntry, Posted } from './message-log.ts';
import type { MessageName } from './message-names.ts';

/** Devices of one person: libsignal's range. */
const maxDevices = 127;

/** Whether words of this message are not to be anywhere any more, or may be seen once alone. */
function isWiped(entry: LogEntry | undefined): boolean {
  return entry?.gone !== undefined || entry?.posted?.viewOnce === true;
}

/**
 * A reply as it is to be kept: without words that are gone. Otherwise it is noted for the day when they go; call this in the
 * transaction that writes it.
 */
export function keptReply(tx: Transaction, reply: LogEntry): LogEntry {
  const { posted } = reply;
  if (posted?.replyTo === undefined) return reply;
  const { author, id } = posted.replyTo;
  const original = readEntry(tx, author, id) ?? readOrphan(tx, reply.chat, author, id);
  if (isWiped(original)) return { ...reply, posted: withoutWords(posted) };
  putJson(tx, 'quoting', quotingKey(posted.replyTo, reply), nameOf(reply), messageKey(author, id));
  return reply;
}

/** After `entry` was written, which was `before`: its words go where they are quoted, when it is such that they have to. */
export function wipeQuotes(tx: Transaction, before: LogEntry, entry: LogEntry): void {
  if (before.posted?.replyTo !== undefined && entry.gone !== undefined)
    tx.delete('quoting', quotingKey(before.posted.replyTo, entry));
  if (isWiped(before) || !isWiped(entry)) return;
  for (;;) {
    const rows = tx.list('quoting', { scope: messageKey(entry.author, entry.id), limit: MAX_LIST });
    if (rows.length === 0) return;
    for (const { key, value } of rows) {
      wipeReply(tx, decodeJson(value) as MessageName);
      tx.delete('quoting', key);
    }
  }
}

function wipeReply(tx: Transaction, { author, id }: MessageName): void {
  const reply = readEntry(tx, author, id);
  if (reply?.posted === undefined) return;
  writeEntry(tx, { ...reply, posted: withoutWords(reply.posted) });
  for (const stanza of reply.stanzas ?? []) {
    const sent = readSent(tx, stanza, 0);
    if (sent !== undefined) writeSent(tx, stanza, { ...sent, content: wiped(sent.content) });
    for (const row of [stanza, ...repeatsOf(stanza)]) wipeRow(tx, row);
  }
}

function* repeatsOf(stanza: string): Generator<string> {
  for (let device = 1; device <= maxDevices; device++) yield repeatId(stanza, device);
}

/** What was encrypted with these words is encrypted anew without them. */
function wipeRow(tx: Transaction, id: string): void {
  const row = readOutbox(tx, id);
  if (row?.payload.kind !== 'content') return;
  const before = contentBytes(row.payload);
  const after = withoutExcerpt(before);
  if (after === before) return;
  const { ciphertexts: _, ...rest } = row;
  writeOutbox(tx, id, { ...rest, payload: contentPayload(after) });
}

function wiped(content: string): string {
  return contentPayload(withoutExcerpt(Buffer.from(content, 'base64'))).content;
}

function withoutWords(posted: Posted): Posted {
  const { replyTo, raw } = posted;
  if (replyTo === undefined || (replyTo.excerpt === '' && raw === undefined)) return posted;
  const bytes = raw === undefined ? {} : { raw: withoutExcerpt(raw) };
  return { ...posted, replyTo: { ...replyTo, excerpt: '' }, ...bytes };
}

function quotingKey(original: MessageName, reply: MessageName): string {
  return `${messageKey(original.author, original.id)}\n${messageKey(reply.author, reply.id)}`;
}

function nameOf({ author, id }: MessageName): MessageName {
  return { author, id };
}

/** Rows of one reading. */
const pageRows = 500;

/** Version 6 to 7: nobody noted which replies quote what, nor took words out of them that had gone. */
export function toQuotedWords(tx: Transaction): void {
  for (let after: number | undefined; ; ) {
    const rows = listEntries(tx, { arrived: true, limit: pageRows, ...(after === undefined ? {} : { after }) });
    for (const { entry } of rows) {
      const kept = keptReply(tx, entry);
      if (kept !== entry) writeEntry(tx, kept);
    }
    if (rows.length === 0) return;
    after = rows.at(-1)!.sequence;
  }
}
