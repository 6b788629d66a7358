// Version 1 to 2: messages that were kept as single records become entries of the log, and chats get their records. The
// first commits of 0.1.0 wrote such records; later ones wrote entries under the same version, so that a store may hold both.
// Pure but for the rows. Knows nothing of how the store is opened.
import type { InteropId } from '@drawbridge/wire/jid';
import { applyFact, type LogEntry, type Posted, type Quote } from '../history/message-log.ts';
import type { Transaction } from './store.ts';
import { listEntries, readChat, readOrphan, writeChat, writeEntry, deleteOrphan } from './message-records.ts';
import type { ChatId } from '../history/message-names.ts';

const pageRows = 500;

/** A message as the first commits kept it. */
type FlatMessage = {
  readonly id: string;
  readonly author: InteropId;
  readonly chat: ChatId;
  readonly kind: 'text' | 'unsupported' | 'lost' | 'deleted';
  readonly text: string;
  readonly styles?: Extract<Posted['body'], { readonly kind: 'text' }>['styles'];
  readonly mentions?: Extract<Posted['body'], { readonly kind: 'text' }>['mentions'];
  readonly replyTo?: Quote;
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  readonly edited?: boolean;
  readonly reactions?: Readonly<Record<string, string>>;
  readonly state?: 'queued' | 'held' | 'sent' | 'delivered' | 'read' | 'failed';
  readonly failure?: NonNullable<LogEntry['progress']>['failure'];
  readonly read?: boolean;
  readonly raw?: string;
};

export function toLogEntries(tx: Transaction): void {
  const chats = new Map<string, { unread: number; lastAtMs: number }>();
  for (let after: number | undefined; ; ) {
    const rows = listEntries(tx, { arrived: true, limit: pageRows, ...(after === undefined ? {} : { after }) });
    for (const { entry } of rows) {
      if (!isFlat(entry)) continue;
      writeEntry(tx, withFacts(tx, entryOf(entry)));
      const chat = chats.get(entry.chat) ?? { unread: 0, lastAtMs: 0 };
      const isUnread = entry.state === undefined && entry.read !== true && entry.kind !== 'deleted';
      chats.set(entry.chat, {
        unread: chat.unread + Number(isUnread),
        lastAtMs: Math.max(chat.lastAtMs, Math.min(entry.sentAtMs, entry.receivedAtMs)),
      });
    }
    if (rows.length === 0) break;
    after = rows.at(-1)!.sequence;
  }
  for (const [chat, { unread, lastAtMs }] of chats) {
    const known = readChat(tx, chat);
    writeChat(tx, { ...known, unread: known.unread + unread, lastAtMs: Math.max(known.lastAtMs, lastAtMs) });
  }
}

function isFlat(entry: LogEntry | FlatMessage): entry is FlatMessage {
  return 'kind' in entry && !('posted' in entry);
}

function entryOf(flat: FlatMessage): LogEntry {
  const { id, author, chat, sentAtMs, receivedAtMs, state, failure } = flat;
  // The record says what holds now, not when it was said: the earliest possible, so that whatever comes later is later.
  const stamp = { atMs: sentAtMs, id: '' };
  const reactions = Object.entries(flat.reactions ?? {}).map(([by, emoji]) => [by, { ...stamp, emoji }] as const);
  const body = bodyOf(flat);
  return {
    id,
    author,
    chat,
    posted: {
      body,
      sentAtMs,
      receivedAtMs,
      ...(flat.replyTo === undefined ? {} : { replyTo: flat.replyTo }),
      ...(flat.raw === undefined ? {} : { raw: new Uint8Array(Buffer.from(flat.raw, 'base64')) }),
    },
    ...(flat.kind === 'deleted' ? { gone: 'deleted' as const } : {}),
    ...(flat.edited === true && body.kind === 'text' ? { edits: [{ ...stamp, text: body }] } : {}),
    ...(reactions.length === 0 ? {} : { reactions: Object.fromEntries(reactions) }),
    ...(state === undefined ? {} : progressOf(state, failure, receivedAtMs)),
    ...(flat.read === true ? { readAtMs: receivedAtMs } : {}),
  };
}

function bodyOf({ kind, text, styles, mentions }: FlatMessage): Posted['body'] {
  switch (kind) {
    case 'text':
      return {
        kind,
        text,
        ...(styles === undefined ? {} : { styles }),
        ...(mentions === undefined ? {} : { mentions }),
      };
    case 'unsupported':
      return { kind, text };
    case 'lost':
      return { kind };
    case 'deleted':
      return { kind: 'wiped' };
  }
}

function progressOf(
  state: NonNullable<FlatMessage['state']>,
  failure: FlatMessage['failure'],
  atMs: number,
): Pick<LogEntry, 'progress' | 'receipts'> {
  switch (state) {
    case 'delivered':
      return { progress: { state: 'sent' }, receipts: { delivered: atMs } };
    case 'read':
      return { progress: { state: 'sent' }, receipts: { delivered: atMs, read: atMs } };
    default:
      return { progress: { state, ...(failure === undefined ? {} : { failure }) } };
  }
}

/** What later commits learnt of a message that they could not show waits among the orphans. */
function withFacts(tx: Transaction, entry: LogEntry): LogEntry {
  const { chat, author, id } = entry;
  const orphan = readOrphan(tx, chat, author, id);
  if (orphan === undefined) return entry;
  deleteOrphan(tx, chat, author, id);
  const { receipts, readAtMs, edits = [], gone } = orphan;
  const facts: LogEntry = {
    ...entry,
    ...(receipts === undefined ? {} : { receipts: { ...receipts, ...entry.receipts } }),
    ...(readAtMs === undefined ? {} : { readAtMs }),
  };
  const edited = edits.reduce((known, { text, ...stamp }) => applyFact(known, { kind: 'edited', stamp, text }), facts);
  return gone === undefined ? edited : applyFact(edited, { kind: 'gone', why: gone });
}
