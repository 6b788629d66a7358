// The history on disk: facts are joined to messages, chats count what is unread, what is gone leaves every place where it
// was kept. Lists, search and export read it.
// Knows nothing of streams, encryption or who may say what.
// Source: docs/protocol/09-content.md section 9.9.
import { type InteropId, providerNumberOf } from '@drawbridge/wire/jid';
import { type ChatRecord, defaultsKey } from './chat-state.ts';
import {
  applyFact,
  type Fact,
  type LogEntry,
  type MessageKind,
  type MessageRecord,
  textVersions,
  viewOf,
} from './message-log.ts';
import {
  deleteExpiry,
  deleteOrphan,
  listChats,
  listEntries,
  placeEntry,
  readChat,
  readEntry,
  readOrphan,
  writeChat,
  writeEntry,
  writeExpiry,
  writeOrphan,
} from '../store/message-records.ts';
import { readOutbox, readSent, writeOutbox, writeSent } from '../store/outbox-records.ts';
import { stringifyBytes } from '../store/json-bytes.ts';
import { contentBytes, contentPayload, repeatId } from '../outbox/rows.ts';
import { forgetEvidence } from '../reports/evidence.ts';
import { unsaid } from '../outbox/unsaid.ts';
import { keptReply, wipeQuotes } from './quotes.ts';
import { MAX_LIST, type Transaction } from '../store/store.ts';
import { type ChatId, type MessageId, type MessageName, personOf } from './message-names.ts';

export const historyLimits = {
  /** Messages of one chat that facts wait for. */
  maxOrphansPerChat: 128,
  maxChats: 10_000,
  /** People beside those with whom this person has chats, about whom something was decided: as many as a gatekeeper keeps. */
  maxDecided: 4_000,
  /** Newest rows of a chat among which its last message is looked for. */
  previewRows: 32,
  /** Rows that search and export read at once; other work goes on in between. */
  pageRows: 200,
  maxSearchWords: 8,
  maxSearchBytes: 256,
  maxDraftBytes: 32_768,
  /** Devices of one person: libsignal's range. */
  maxDevices: 127,
} as const;

/** What a fact changed; both as this person sees it. `before` is absent when the message itself is what came. */
export type Change = { readonly before: MessageRecord | undefined; readonly after: MessageRecord };

/**
 * Joins a fact about a message of a chat to what is known. Undefined: nothing is to be shown, because the fact says
 * nothing new, waits for its message, or speaks of a message of another chat. With `first`, a message that is new stands
 * before all others.
 */
export function record(
  tx: Transaction,
  own: InteropId,
  target: MessageName & { readonly chat: ChatId },
  fact: Fact,
  first = false,
): Change | undefined {
  const { author, id, chat } = target;
  const known = readEntry(tx, author, id);
  if (known !== undefined && known.chat !== chat) return undefined;
  const base: LogEntry = known ?? readOrphan(tx, chat, author, id) ?? { id, author, chat };
  const joined = applyFact(base, fact);
  if (joined === base) return undefined;
  const entry = base.posted === undefined ? keptReply(tx, joined) : joined;
  const after = shownAs(tx, own, entry);
  if (after === undefined) {
    writeOrphan(tx, entry, historyLimits.maxOrphansPerChat);
    wipeQuotes(tx, base, entry);
    return undefined;
  }
  const before = viewOf(base, own);
  if (!writeEntry(tx, entry, first)) return undefined;
  wipeQuotes(tx, base, entry);
  if (before === undefined) deleteOrphan(tx, chat, author, id);
  if (base.gone === undefined && entry.gone !== undefined) {
    wipeCopies(tx, entry);
    forgetEvidence(tx, author, id);
  }
  if (after.expiresAtMs !== undefined && before?.expiresAtMs === undefined)
    writeExpiry(tx, { author, id, runMs: after.expiresAfterSeconds! * 1_000 });
  if (after.expiresAtMs === undefined && before?.expiresAtMs !== undefined) deleteExpiry(tx, author, id);
  countIn(tx, own, before, after);
  return { before, after };
}

/**
 * What still lies in the outbox, or was kept for devices that could not read it. What has a number is said as nothing in its
 * place: otherwise its readers would take it for withheld.
 */
function wipeCopies(tx: Transaction, { stanzas = [] }: LogEntry): void {
  for (const stanza of stanzas) {
    wipeSentRow(tx, stanza);
    // Nobody is told about a change to what is not there any more.
    tx.delete('accepted', stanza);
    wipeRow(tx, stanza);
    for (let device = 1; device <= historyLimits.maxDevices; device++) wipeRow(tx, repeatId(stanza, device));
  }
}

function wipeRow(tx: Transaction, id: string): void {
  const row = readOutbox(tx, id);
  if (row === undefined) return;
  const { ciphertexts: _c, messageId: _m, act: _a, ...rest } = row;
  const content = row.payload.kind === 'content' ? unsaid(contentBytes(row.payload)) : undefined;
  if (content === undefined) tx.delete('outbox', id);
  else writeOutbox(tx, id, { ...rest, payload: contentPayload(content), silent: true });
}

function wipeSentRow(tx: Transaction, stanza: string): void {
  const sent = readSent(tx, stanza, 0);
  const content = sent === undefined ? undefined : unsaid(Buffer.from(sent.content, 'base64'));
  if (sent === undefined || content === undefined) tx.delete('sent', stanza);
  else writeSent(tx, stanza, { ...sent, content: contentPayload(content).content });
}

/** The same for an own message to be seen once, when it was. */
export function wipeSent(tx: Transaction, own: InteropId, id: MessageId): void {
  const entry = readEntry(tx, own, id);
  if (entry !== undefined) wipeCopies(tx, entry);
}

/** An own message is said once more: it stands where it is said last, by default at the end. */
export function saidAgain(
  tx: Transaction,
  { author, id, chat }: MessageName & { readonly chat: ChatId },
  atMs: number,
  place?: number,
): void {
  placeEntry(tx, author, id, place);
  const record = readChat(tx, chat);
  if (atMs > record.lastAtMs) writeChat(tx, { ...record, lastAtMs: atMs });
}

const notShown: ReadonlySet<MessageKind> = new Set(['expired', 'hidden']);

/** Whether a message still stands in the history. */
export function isShown(message: MessageRecord): boolean {
  return !notShown.has(message.kind);
}

const nothingToRead: ReadonlySet<MessageKind> = new Set(['expired', 'hidden', 'deleted', 'opened', 'notice']);

function isUnread(message: MessageRecord | undefined, own: InteropId): boolean {
  return message !== undefined && message.author !== own && message.read !== true && !nothingToRead.has(message.kind);
}

function countIn(tx: Transaction, own: InteropId, before: MessageRecord | undefined, after: MessageRecord): void {
  const step = Number(isUnread(after, own)) - Number(isUnread(before, own));
  // A sender's clock may be wrong, but nothing is said in the future.
  const saidAtMs = before === undefined ? Math.min(after.sentAtMs, after.receivedAtMs) : 0;
  const chat = readChat(tx, after.chat);
  if (step === 0 && saidAtMs <= chat.lastAtMs) return;
  const unread = Math.max(0, chat.unread + step);
  writeChat(tx, { ...chat, unread, lastAtMs: Math.max(chat.lastAtMs, saidAtMs) });
}

export function readMessage(tx: Transaction, own: InteropId, name: MessageName): MessageRecord | undefined {
  const entry = readEntry(tx, name.author, name.id);
  return entry === undefined ? undefined : shownAs(tx, own, entry);
}

/** With the words of the message that it quotes, when that is here. */
export function shownAs(tx: Transaction, own: InteropId, entry: LogEntry): MessageRecord | undefined {
  return viewOf(entry, own, (author, id) => readEntry(tx, author, id));
}

export type MessageRow = { readonly sequence: number; readonly message: MessageRecord };

/** As they stand in the store, also those that are not shown any more. */
export function listMessages(
  tx: Transaction,
  own: InteropId,
  options: Parameters<typeof listEntries>[1],
): MessageRow[] {
  return listEntries(tx, options).flatMap(({ sequence, entry }) => {
    const message = shownAs(tx, own, entry);
    return message === undefined ? [] : [{ sequence, message }];
  });
}

export type ChatRow = { readonly chat: ChatRecord; readonly lastMessage: MessageRecord | undefined };

/** Pinned chats first, then by when something was said last; `skip` and `limit` make pages. */
export function chatPage(
  tx: Transaction,
  own: InteropId,
  options: {
    readonly skip: number;
    readonly limit: number;
    readonly archived: boolean;
    readonly of?: 'own-service' | 'third-parties' | undefined;
  },
): ChatRow[] {
  const isPinned = (chat: ChatRecord): number => Number(chat.settings.pinned?.value ?? false);
  return allChats(tx)
    .filter(({ chat }) => chat !== defaultsKey)
    .filter(({ lastAtMs, draft }) => lastAtMs > 0 || draft !== undefined)
    .filter(({ settings }) => (settings.archived?.value ?? false) === options.archived)
    .filter(({ chat }) => options.of === undefined || isThirdParty(chat, own) === (options.of === 'third-parties'))
    .sort((a, b) => isPinned(b) - isPinned(a) || b.lastAtMs - a.lastAtMs)
    .slice(options.skip, options.skip + options.limit)
    .map(chat => ({ chat, lastMessage: lastMessage(tx, own, chat.chat) }));
}

export function allChats(tx: Transaction): ChatRecord[] {
  const chats: ChatRecord[] = [];
  for (let after = 0; chats.length < historyLimits.maxChats + historyLimits.maxDecided; ) {
    const rows = listChats(tx, { after, limit: MAX_LIST });
    if (rows.length === 0) break;
    for (const row of rows) chats.push(row.chat);
    after = rows.at(-1)!.sequence;
  }
  return chats;
}

/** Of another provider than this person. */
export function isThirdParty(chat: ChatId, own: InteropId): boolean {
  return providerNumberOf(personOf(chat)) !== providerNumberOf(own);
}

/** The newest by place among the newest rows. */
function lastMessage(tx: Transaction, own: InteropId, chat: ChatId): MessageRecord | undefined {
  const rows = listMessages(tx, own, { chat, newest: true, limit: historyLimits.previewRows });
  return rows.map(row => row.message).find(message => isShown(message));
}

export type ScanContext = {
  readonly transaction: <T>(work: (tx: Transaction) => T) => T;
  readonly own: InteropId;
};

/** Case, accents and width say nothing in a search. */
function folded(text: string): string {
  return text.normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase();
}

/** The words of a query, or undefined when there are none, or more than are allowed. */
export function searchWords(query: string): string[] | undefined {
  if (Buffer.byteLength(query) > historyLimits.maxSearchBytes) return undefined;
  const words = folded(query)
    .split(/\s+/)
    .filter(word => word !== '');
  return words.length === 0 || words.length > historyLimits.maxSearchWords ? undefined : words;
}

/**
 * Messages in which all words occur, newest first. Reads the history page by page as far as it is asked to: an index over
 * keyed hashes of words would show in the file how often each occurs.
 */
export async function* searchMessages(
  { transaction, own }: ScanContext,
  words: readonly string[],
  options: { readonly chat?: ChatId; readonly before?: number },
): AsyncGenerator<MessageRow, void, void> {
  let { before } = options;
  for (;;) {
    const page = { newest: true, limit: historyLimits.pageRows, ...(before === undefined ? {} : { before }) };
    const chat = options.chat === undefined ? {} : { chat: options.chat };
    const rows = transaction(tx => listMessages(tx, own, { ...page, ...chat }));
    for (const row of rows) {
      const text = folded(row.message.text);
      if (isShown(row.message) && words.every(word => text.includes(word))) yield row;
    }
    if (rows.length === 0) return;
    before = rows.at(-1)!.sequence;
    await pause();
  }
}

/** One JSON object for each message, oldest first. What is to be seen once, or gone, is not in it. */
export async function* exportMessages(
  { transaction, own }: ScanContext,
  chat: ChatId | undefined,
): AsyncGenerator<string, void, void> {
  let after: number | undefined;
  for (;;) {
    const page = { limit: historyLimits.pageRows, ...(after === undefined ? {} : { after }) };
    const { rows, lines } = transaction(tx => {
      const read = listEntries(tx, { ...page, ...(chat === undefined ? {} : { chat }) });
      return { rows: read, lines: read.map(({ entry }) => exportLine(entry, shownAs(tx, own, entry))) };
    });
    for (const line of lines) if (line !== undefined) yield line;
    if (rows.length === 0) return;
    after = rows.at(-1)!.sequence;
    await pause();
  }
}

function exportLine(entry: LogEntry, message: MessageRecord | undefined): string | undefined {
  if (message === undefined || message.kind === 'view-once' || !isShown(message)) return undefined;
  const versions = textVersions(entry);
  const earlier = versions.slice(0, -1).map(({ text, atMs }) => ({ text: text.text, at: timeText(atMs) }));
  const line = {
    ...message,
    sentAt: timeText(message.sentAtMs),
    receivedAt: timeText(message.receivedAtMs),
    ...(earlier.length === 0 ? {} : { earlier }),
  };
  return stringifyBytes(line, base64 => base64);
}

const lastDateMs = 8.64e15;

function timeText(ms: number): string {
  return new Date(Math.min(ms, lastDateMs)).toISOString();
}

function pause(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
