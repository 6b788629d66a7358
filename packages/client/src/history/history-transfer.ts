// History for a new device of the same person: contents as they were said, newest first, in pieces that go the ordinary
// way, each encrypted for that device alone. The receiver asks for piece after piece; both sides remember how far they are.
// Knows nothing of streams; what a piece holds is taken in as any content is.
// Source: docs/protocol/09-content.md section 9.10.
import { randomBytes } from 'node:crypto';
import {
  type Content,
  type ContentBody,
  decodeContent,
  encodeContent,
  MESSAGE_ID_BYTES,
} from '@drawbridge/e2ee/content';
import type { HistoryItem } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import { type ChatRecord, type ChatSettings, defaultsKey } from './chat-state.ts';
import type { Clock } from '../clock.ts';
import { addSaid } from './conversation.ts';
import { ClientError } from '../errors.ts';
import type { ClientEvent } from '../events.ts';
import { ElapsedTime } from './elapsed-time.ts';
import { isShown } from './history.ts';
import { actsAgain } from './acts.ts';
import { type LogEntry, type MessageRecord, type Quote, viewOf } from './message-log.ts';
import type { Stamp } from './stamp.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { listChats, listEntries, readEntry, readExpiry } from '../store/message-records.ts';
import { readElapsed, readTransfer, writeTransfer } from '../store/account-records.ts';
import { readProfile } from '../store/person-records.ts';
import { addNotice } from '../notices/notice-records.ts';
import { isJson } from '../store/json-bytes.ts';
import type { Transaction } from '../store/store.ts';
import { type ChatId, chatWith, personOf } from './message-names.ts';

export const transferLimits = {
  /** Contents in one piece; the rest of its 61,440 bytes is for what stands around them. */
  pieceBytes: 49_152,
  itemBytes: 57_344,
  /** What surrounds a content in a piece: two InteropIds, a time, lengths. */
  itemOverheadBytes: 96,
  pieceItems: 400,
  /** Pieces sent and not asked beyond. */
  window: 4,
  /** Rows looked at for one piece. */
  rowsPerPiece: 200,
  /** After a link was authorised with history, the new device's question is answered by itself. */
  promiseMs: 600_000,
} as const;

type Cursor =
  | { readonly phase: 'chats'; readonly after: number }
  | { readonly phase: 'messages'; readonly before?: number };
type Start = { readonly cursor: Cursor; readonly done: number };

/** What the giving device remembers for each device. */
type Outgoing = {
  readonly transferId: string;
  readonly total: number;
  /** The first piece that was not asked beyond; `starts[0]` is where it begins. */
  readonly acknowledged: number;
  readonly next: number;
  readonly starts: readonly Start[];
  /** Index of the last piece, once it is known. */
  readonly last?: number;
};

/** What the new device remembers. `askedAgain`: the piece that was asked for because another came. */
type Arriving = {
  readonly transferId?: string;
  readonly deviceId?: number;
  readonly next: number;
  readonly askedAgain?: number;
  readonly finished?: boolean;
};

type Piece = ContentBody<'history-piece'>;
type HistoryQuestion = ContentBody<'history-request'>;

export type TransferContext = {
  readonly own: InteropId;
  readonly clock: Clock;
  readonly outbox: Pick<Outbox, 'add' | 'hasRoom'>;
  /** Messages that came with history may be running out. */
  readonly noted: (message: MessageRecord) => void;
};

export type TransferOutcome = { readonly events: readonly ClientEvent[]; readonly wake: boolean };

const arrivingName = 'in';
const nothing: TransferOutcome = { events: [], wake: false };

export class HistoryTransfer {
  readonly #context: TransferContext;
  #promisedUntilMs = 0;

  constructor(context: TransferContext) {
    this.#context = context;
  }

  /** The device that is about to be linked gets the history when it asks. */
  promise(): void {
    this.#promisedUntilMs = this.#context.clock.nowMs() + transferLimits.promiseMs;
  }

  /** On the new device: asks the person's other devices, or goes on with what broke off. */
  ask(tx: Transaction): void {
    const before = readTransfer<Arriving>(tx, arrivingName);
    const goesOn = before?.transferId !== undefined && before.finished !== true;
    const state: Arriving = goesOn ? before : { next: 0 };
    const { askedAgain: _, ...rest } = state;
    writeTransfer(tx, arrivingName, rest);
    this.#ask(tx, rest);
  }

  /** After a restart: goes on with what was being received. True when there was something. */
  resume(tx: Transaction): boolean {
    const state = readTransfer<Arriving>(tx, arrivingName);
    if (state?.transferId === undefined || state.finished === true) return false;
    this.ask(tx);
    return true;
  }

  /** On a device that is there: sends everything to another device of this person, when there is room for its beginning. */
  begin(tx: Transaction, deviceId: number): ClientEvent {
    const state: Outgoing = {
      transferId: randomBytes(MESSAGE_ID_BYTES).toString('hex'),
      total: tx.count('message'),
      acknowledged: 0,
      next: 0,
      starts: [{ cursor: { phase: 'chats', after: 0 }, done: 0 }],
    };
    this.#send(tx, deviceId, state);
    return { kind: 'history', direction: 'sending', deviceId, done: 0, total: state.total, finished: false };
  }

  /** A piece, or a question, from another device of this person. */
  receive(tx: Transaction, deviceId: number, body: Piece | HistoryQuestion): TransferOutcome {
    return body.kind === 'history-piece' ? this.#piece(tx, deviceId, body) : this.#question(tx, deviceId, body);
  }

  #piece(tx: Transaction, deviceId: number, piece: Piece): TransferOutcome {
    const transferId = hex(piece.transferId);
    let state = readTransfer<Arriving>(tx, arrivingName);
    // A new transfer begins at its first piece, and only while this device asks: nobody fills a history by themselves. A
    // finished one stays known, so that its repeats are not taken for new.
    const isAsking = state !== undefined && state.finished !== true && (state.deviceId ?? deviceId) === deviceId;
    if (piece.index === 0 && isAsking && state?.transferId !== transferId) state = { transferId, deviceId, next: 0 };
    if (state?.transferId !== transferId || state.deviceId !== deviceId || piece.index < state.next) return nothing;
    if (piece.index > state.next) {
      if (state.askedAgain === state.next) return nothing;
      writeTransfer(tx, arrivingName, { ...state, askedAgain: state.next });
      this.#ask(tx, state);
      return { events: [], wake: true };
    }
    for (const item of piece.items) this.#item(tx, item);
    const next: Arriving = { transferId, deviceId, next: piece.index + 1, ...(piece.last ? { finished: true } : {}) };
    writeTransfer(tx, arrivingName, next);
    this.#ask(tx, next);
    const { messagesDone: done, messagesTotal: total, last: finished } = piece;
    return { events: [{ kind: 'history', direction: 'receiving', deviceId, done, total, finished }], wake: true };
  }

  /** Taken in as if it had come now, but before everything that is here; what is broken is left out. */
  #item(tx: Transaction, item: HistoryItem): void {
    const { own, clock } = this.#context;
    const { author } = item;
    const decoded = decodeContent(item.content);
    if (!decoded.ok || (author !== own && author !== item.chat)) return;
    const nowMs = clock.nowMs();
    const receivedAtMs = Math.min(item.receivedAtMs, nowMs);
    const said = { author, chat: chatWith(item.chat), content: decoded.value, receivedAtMs };
    const taken = tx.attempt(() => addSaid(tx, own, said, nowMs, true));
    for (const event of taken.ok ? taken.value : []) {
      if (event.kind === 'message') this.#context.noted(event.message);
    }
  }

  #question(tx: Transaction, deviceId: number, { transferId, nextIndex }: HistoryQuestion): TransferOutcome {
    const state = readTransfer<Outgoing>(tx, outgoingName(deviceId));
    const isUnknown = transferId === undefined || (state !== undefined && state.transferId !== hex(transferId));
    // Nothing of the transfer that was begun last has arrived: repeated questions, and those about one before it, get its
    // beginning again. To begin another for each would leave both sides with different ones.
    if (state?.acknowledged === 0 && isUnknown) return this.#fromItsBeginning(tx, deviceId, state);
    if (transferId === undefined) {
      if (state !== undefined) {
        // It asks from the beginning: it has lost what it had.
        return { events: [this.begin(tx, deviceId)], wake: true };
      }
      if (this.#context.clock.nowMs() > this.#promisedUntilMs) {
        return { events: [{ kind: 'history-asked', deviceId }], wake: false };
      }
      return { events: [this.begin(tx, deviceId)], wake: true };
    }
    if (state?.transferId !== hex(transferId)) return nothing;
    if (nextIndex < state.acknowledged || nextIndex > state.next) return nothing;
    const { total } = state;
    if (state.last !== undefined && nextIndex > state.last) {
      writeTransfer(tx, outgoingName(deviceId), undefined);
      return {
        events: [{ kind: 'history', direction: 'sending', deviceId, done: total, total, finished: true }],
        wake: false,
      };
    }
    const starts = state.starts.slice(nextIndex - state.acknowledged);
    // Asked for the same piece twice: it and all behind it are made again.
    const again = nextIndex === state.acknowledged;
    const { last: _, ...rest } = state;
    const next = again
      ? { ...rest, starts: starts.slice(0, 1), next: nextIndex }
      : { ...state, starts, acknowledged: nextIndex };
    this.#send(tx, deviceId, next);
    const done = starts[0]?.done ?? total;
    return { events: [{ kind: 'history', direction: 'sending', deviceId, done, total, finished: false }], wake: true };
  }

  #fromItsBeginning(tx: Transaction, deviceId: number, state: Outgoing): TransferOutcome {
    const { last: _, ...rest } = state;
    this.#send(tx, deviceId, { ...rest, starts: state.starts.slice(0, 1), next: 0 });
    const { total } = state;
    return {
      events: [{ kind: 'history', direction: 'sending', deviceId, done: 0, total, finished: false }],
      wake: true,
    };
  }

  /** Makes pieces as far as the window is open, and remembers where each began. */
  #send(tx: Transaction, deviceId: number, from: Outgoing): void {
    let state = from;
    const { outbox } = this.#context;
    const isOpen = (): boolean => state.next < state.acknowledged + transferLimits.window && outbox.hasRoom(tx);
    while (state.last === undefined && isOpen()) {
      const start = state.starts.at(-1)!;
      const { items, cursor, done } = this.#collect(tx, start, state.next === 0);
      const last = cursor === undefined;
      this.#post(tx, deviceId, {
        kind: 'history-piece',
        transferId: Buffer.from(state.transferId, 'hex'),
        index: state.next,
        items,
        messagesDone: done,
        messagesTotal: Math.max(state.total, done),
        last,
      });
      const starts = last ? state.starts : [...state.starts, { cursor, done }];
      state = { ...state, starts, next: state.next + 1, ...(last ? { last: state.next } : {}) };
    }
    writeTransfer(tx, outgoingName(deviceId), state);
  }

  /** What fits into one piece, and where the next begins; no cursor: that was all. */
  #collect(
    tx: Transaction,
    start: Start,
    isFirst: boolean,
  ): { items: HistoryItem[]; cursor: Cursor | undefined; done: number } {
    const { own, clock } = this.#context;
    const elapsed = new ElapsedTime(clock, readElapsed(tx));
    const bag = new ItemBag();
    let { cursor, done } = start;
    if (cursor.phase === 'chats') {
      if (isFirst) bag.add(profileItems(tx, own));
      const { after } = cursor;
      const rows = sound(tx, 'chat', clock, () => listChats(tx, { after, limit: transferLimits.rowsPerPiece }));
      for (const { sequence, chat } of rows) {
        const items = tx.attempt(() => [...chatItems(chat, own), ...profileItems(tx, personOf(chat.chat))]);
        if (!bag.add(items.ok ? items.value : [])) break;
        cursor = { phase: 'chats', after: sequence };
      }
      return { items: bag.items, cursor: rows.length === 0 ? { phase: 'messages' } : cursor, done };
    }
    const before = cursor.before === undefined ? {} : { before: cursor.before };
    const rows = sound(tx, 'message', clock, () =>
      listEntries(tx, { newest: true, limit: transferLimits.rowsPerPiece, ...before }),
    );
    if (rows.length === 0) return { items: bag.items, cursor: undefined, done };
    for (const { sequence, entry } of rows) {
      const items = tx.attempt(() =>
        entryItems(entry, own, leftSeconds(tx, entry, elapsed), quotesWhatIsGone(tx, entry, own)),
      );
      if (!bag.add(items.ok ? items.value : [])) break;
      cursor = { phase: 'messages', before: sequence };
      done++;
    }
    return { items: bag.items, cursor, done };
  }

  /** Without room it is asked for at the next start, or when the person asks. */
  #ask(tx: Transaction, state: Arriving): void {
    if (!this.#context.outbox.hasRoom(tx)) return;
    const transfer = state.transferId === undefined ? {} : { transferId: Buffer.from(state.transferId, 'hex') };
    this.#post(tx, state.deviceId, { kind: 'history-request', ...transfer, nextIndex: state.next });
  }

  #post(tx: Transaction, deviceId: number | undefined, body: Piece | HistoryQuestion): void {
    const { outbox, own, clock } = this.#context;
    const content = encodeContent({
      messageId: randomBytes(MESSAGE_ID_BYTES),
      sentAtMs: clock.nowMs(),
      body,
    });
    if (!content.ok) throw new ClientError('content-refused', { detail: content.error.code });
    const payload = { kind: 'content', content: Buffer.from(content.value).toString('base64') } as const;
    const device = deviceId === undefined ? {} : { toDevice: deviceId };
    outbox.add(tx, { to: own, ...device, payload, silent: true });
  }
}

/** Items that fit into one piece. */
class ItemBag {
  readonly items: HistoryItem[] = [];
  #bytes = 0;

  /**
   * False, and nothing is added, when they don't fit beside what is there. What does not fit even into an empty piece is
   * left out from its end.
   */
  add(items: readonly HistoryItem[]): boolean {
    const sizes = items.map(item => item.content.length + transferLimits.itemOverheadBytes);
    const size = sizes.reduce((sum, each) => sum + each, 0);
    const { pieceBytes, pieceItems, itemBytes } = transferLimits;
    const fits = this.#bytes + size <= pieceBytes && this.items.length + items.length <= pieceItems;
    if (!fits && this.items.length > 0) return false;
    for (const [at, item] of items.entries()) {
      if (this.#bytes + sizes[at]! > Math.max(pieceBytes, itemBytes) || this.items.length >= pieceItems) break;
      this.items.push(item);
      this.#bytes += sizes[at]!;
    }
    return true;
  }
}

/** Rows that the disk has damaged are nobody's any more: they go, and what is behind them is given. */
function sound<T>(tx: Transaction, table: 'chat' | 'message', clock: Clock, list: () => T): T {
  const found = tx.attempt(list);
  if (found.ok) return found.value;
  if (tx.dropDamaged(table, isJson) > 0) addNotice(tx, { kind: 'unreadable' }, clock.nowMs());
  return list();
}

function outgoingName(deviceId: number): string {
  return `out ${deviceId}`;
}

function itemOf(author: InteropId, chat: ChatId, receivedAtMs: number, content: Content): HistoryItem[] {
  const encoded = encodeContent(content);
  return encoded.ok ? [{ author, chat: personOf(chat), receivedAtMs, content: encoded.value }] : [];
}

function said(stamp: Stamp, body: ContentBody): Content {
  return { messageId: bytesOf(stamp.id), sentAtMs: stamp.atMs, body };
}

function chatItems({ chat, settings, timer, otherTimer }: ChatRecord, own: InteropId): HistoryItem[] {
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

function profileItems(tx: Transaction, person: InteropId): HistoryItem[] {
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

/** An entry as the contents that made it, the most needed first. */
function entryItems(
  entry: LogEntry,
  own: InteropId,
  expiresAfterSeconds: number | undefined,
  isQuoteGone: boolean,
): HistoryItem[] {
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
  } else if (raw !== undefined && expiresAfterSeconds === posted.expiresAfterSeconds && !isQuoteGone) {
    items.push({ author, chat: personOf(chat), receivedAtMs, content: raw });
  } else if (body.kind === 'unsupported') {
    // What time it has left can't be said in it.
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

function bytesOf(id: string): Uint8Array {
  return Buffer.from(id, 'hex');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
