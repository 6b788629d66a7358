// What is here as the contents that say it again, for a new device of the same person: settings and timers of chats, profiles,
// messages and what was said about them. What is gone is not said again.
// Knows nothing of pieces, of who asks, or of how contents travel (`history-transfer.ts`).
// Source: docs/protocol/09-content.md section 9.10.
import { randomBytes } from 'node:crypto';
import { type Content, type ContentBody, encodeContent, MESSAGE_ID_BYTES } from '@drawbridge/e2ee/content';
import type { HistoryItem } from '@drawbridge/e2ee/content-kinds';
import { withExpiry, withoutExcerpt } from '@drawbridge/e2ee/content-rewriting';
import type { InteropId } from '@drawbridge/wire/jid';
import { readEntry, readExpiry } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import type { Transaction } from '../store/store.ts';
import { actsAgain } from './acts.ts';
import { bytesOf } from './authoring.ts';
import { type ChatRecord, type ChatSettings, defaultsKey } from './chat-state.ts';
import type { ElapsedTime } from './elapsed-time.ts';
import { isShown } from './history.ts';
import { type LogEntry, type Quote, viewOf } from './message-log.ts';
import { type ChatId, chatWith, personOf } from './message-names.ts';
import type { Stamp } from './stamp.ts';

function itemOf(author: InteropId, chat: ChatId, receivedAtMs: number, content: Content): HistoryItem[] {
  const encoded = encodeContent(content);
  return encoded.ok ? [{ author, chat: personOf(chat), receivedAtMs, content: encoded.value }] : [];
}

function said(stamp: Stamp, body: ContentBody): Content {
  return { messageId: bytesOf(stamp.id), sentAtMs: stamp.atMs, body };
}

/** The settings and the timer of a chat, as the contents that made them. */
export function chatItems({ chat, settings, timer, otherTimer }: ChatRecord, own: InteropId): HistoryItem[] {
  const isDefaults = chat === defaultsKey;
  const byStamp = new Map<string, { stamp: Stamp; change: ChatSettings }>();
  for (const [field, { atMs, id, value }] of Object.entries(settings)) {
    const key = `${atMs} ${id}`;
    const before = byStamp.get(key)?.change ?? {};
    byStamp.set(key, { stamp: { atMs, id }, change: { ...before, [field]: value } });
  }
  const named = isDefaults ? {} : { chat: personOf(chat) };
  const items = [...byStamp.values()].flatMap(({ stamp, change }) =>
    itemOf(own, chatWith(own), stamp.atMs, said(stamp, { kind: 'device-sync', chats: [{ ...named, ...change }] })),
  );
  if (isDefaults) return items;
  const timers = [timer, otherTimer].flatMap(each => {
    if (each === undefined) return [];
    const { seconds, version, by, replaces, atMs } = each;
    const target = { messageId: bytesOf(replaces ?? ''), author: personOf(chat), sentAtMs: 0 };
    const replyTo = replaces === undefined ? {} : { replyTo: { target, excerpt: '' } };
    return itemOf(by, chat, atMs, { ...said(each, { kind: 'expiry-timer', seconds, version }), ...replyTo });
  });
  return [...items, ...timers];
}

/** How a person calls themselves. */
export function profileItems(tx: Transaction, person: InteropId): HistoryItem[] {
  const known = readProfile(tx, person);
  return known === undefined
    ? []
    : itemOf(person, chatWith(person), known.atMs, said(known, { kind: 'profile', ...known.profile }));
}

/** What is left of a message's time here: the new device goes on from there. */
function leftSeconds(tx: Transaction, { author, id, posted }: LogEntry, elapsed: ElapsedTime): number | undefined {
  const running = readExpiry(tx, author, id);
  if (running === undefined) return posted?.expiresAfterSeconds;
  const leftMs = running.dueMs === undefined ? running.runMs : Math.max(0, running.dueMs - elapsed.nowMs());
  return Math.max(1, Math.ceil(leftMs / 1_000));
}

/** Words that are gone here do not come back on the new device by a quote of them. */
function quotesWhatIsGone(tx: Transaction, { posted }: LogEntry, own: InteropId): boolean {
  const quote = posted?.replyTo;
  const original = quote === undefined ? undefined : readEntry(tx, quote.author, quote.id);
  return original?.gone !== undefined || (original !== undefined && viewOf(original, own)?.kind === 'view-once');
}

/** A message as the contents that made it, the most needed first. */
export function messageItems(tx: Transaction, entry: LogEntry, own: InteropId, elapsed: ElapsedTime): HistoryItem[] {
  const expiresAfterSeconds = leftSeconds(tx, entry, elapsed);
  const isQuoteGone = quotesWhatIsGone(tx, entry, own);
  const { id, author, chat, posted, gone } = entry;
  const message = viewOf(entry, own);
  if (posted === undefined || message === undefined || !isShown(message)) return [];
  const { sentAtMs, receivedAtMs, replyTo, body, raw } = posted;
  const name = { messageId: bytesOf(id), sentAtMs };
  const ref = { messageId: name.messageId, author, sentAtMs };
  const items: HistoryItem[] = [];
  const add = (by: string, content: Content): void => void items.push(...itemOf(by, chat, receivedAtMs, content));
  if (gone === 'deleted') {
    // Its words are gone; that it was here is shown.
    add(author, { ...name, body: { kind: 'text', text: '-' } });
    add(author, said(fresh(sentAtMs), { kind: 'delete', targetMessageId: name.messageId }));
  } else if (gone !== undefined || message.kind === 'view-once' || body.kind === 'lost' || body.kind === 'wiped') {
    return [];
  } else if (body.kind === 'notice') {
    // Each device warns of what it has seen itself.
    return [];
  } else if (raw !== undefined) {
    const isRunning = expiresAfterSeconds !== undefined && expiresAfterSeconds !== posted.expiresAfterSeconds;
    const running = isRunning ? withExpiry(raw, expiresAfterSeconds) : raw;
    const content = isQuoteGone ? withoutExcerpt(running) : running;
    items.push({ author, chat: personOf(chat), receivedAtMs, content });
  } else if (body.kind === 'unsupported') {
    // The first commits of 0.1.0 kept nothing else of it.
    return [];
  } else {
    const quote =
      replyTo === undefined ? {} : { replyTo: quoteOf(isQuoteGone ? { ...replyTo, excerpt: '' } : replyTo) };
    const expiry = expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds };
    add(author, { ...name, ...quote, ...expiry, body });
  }
  if (entry.readAtMs !== undefined && author !== own) {
    const reads = [{ message: ref, chat: personOf(chat), readAtMs: entry.readAtMs }];
    items.push(
      ...itemOf(own, chatWith(own), receivedAtMs, said(fresh(entry.readAtMs), { kind: 'device-sync', reads })),
    );
  }
  if (author === own && (entry.progress?.state === 'failed' || entry.progress?.state === 'held')) {
    const { state, failure } = entry.progress;
    const reason = failure === undefined ? {} : { reason: failure.code };
    const progress = [{ message: ref, chat: personOf(chat), state, ...reason }];
    items.push(...itemOf(own, chatWith(own), receivedAtMs, said(fresh(sentAtMs), { kind: 'device-sync', progress })));
  }
  for (const [receipt, atMs] of Object.entries(author === own ? (entry.receipts ?? {}) : {}) as [
    'delivered' | 'read' | 'played',
    number,
  ][]) {
    add(chat, said(fresh(atMs), { kind: 'receipt', receipt, messageIds: [name.messageId] }));
  }
  for (const { by, body: act, sentAtMs: clockMs, ...stamp } of actsAgain(entry, ref)) {
    const content = said({ ...fresh(stamp.atMs), ...stamp }, act);
    add(by, clockMs === undefined ? content : { ...content, sentAtMs: clockMs, stampMs: stamp.atMs });
  }
  return items;
}

function quoteOf({ id, author, excerpt }: Quote): NonNullable<Content['replyTo']> {
  return { target: { messageId: bytesOf(id), author, sentAtMs: 0 }, excerpt };
}

/** A content whose name says nothing. */
function fresh(atMs: number): Stamp {
  return { atMs, id: randomBytes(MESSAGE_ID_BYTES).toString('hex') };
}
