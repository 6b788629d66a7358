// The message log: what is known of one message is the join of facts that may come in any order, twice, or before the
// message itself; every device that has seen the same facts holds the same entry.
// Pure. Knows nothing of storage, encryption, streams or clocks; who may say what is checked before a fact comes here.
// Source: docs/protocol/09-content.md section 9.9.
import type { ContentBody, DecodedContent, LinkPreview, Mention, StyleRange, TextBody } from '@drawbridge/e2ee/content';
import type { InteropId } from '@drawbridge/wire/jid';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { safeFileName } from '../display/file-name.ts';
import { excerptOf } from '../display/shown-text.ts';
import type { ClientErrorCode } from '../errors.ts';
import { type NoticeChange, noticeWords } from '../notices/notice-change.ts';
import { type ActFact, type ActState, isActFact, joinAct, type ShownActs, shownActs, withoutActs } from './acts.ts';
import {
  type ChatId,
  knownPerson,
  type KnownPerson,
  type MessageId,
  personOf,
  shownId,
  type ShownMessageId,
  type ShownMessageName,
} from './message-names.ts';

/** Stanzas that carried a message, for wiping what is kept of them. */
const maxStanzas = 64;

/** What a person sees as a message. */
type ShownKind = 'text' | 'attachment' | 'contacts' | 'location' | 'sticker' | 'poll';
export type ShownBody = ContentBody<ShownKind>;

/** Each in words: for search, lists of chats, quotes, and readers that can't show it. */
const words: { readonly [K in ShownKind]: (body: ContentBody<K>) => string } = {
  text: ({ text }) => text,
  attachment: ({ caption, attachments }) =>
    caption?.text ?? attachments.map(each => each.caption ?? each.fileName ?? each.kind).join(', '),
  contacts: ({ contacts }) => contacts.map(each => each.displayName).join(', '),
  location: ({ name, address, latitude, longitude }) => name ?? address ?? `${latitude}, ${longitude}`,
  sticker: ({ emoji }) => emoji ?? '',
  poll: ({ question, options }) => `${question} (${options.join(' / ')})`,
};

export function isShownBody(body: DecodedContent['body']): body is ShownBody {
  return Object.hasOwn(words, body.kind);
}

export function inWords<K extends ShownKind>(body: ContentBody<K>): string {
  return words[body.kind](body);
}

export type PostedBody =
  | ShownBody
  /** `text` is what its sender gave to show instead; empty: nothing. */
  | { readonly kind: 'unsupported'; readonly text: string }
  | { readonly kind: 'lost' }
  /** Nobody's message: a warning of this device. */
  | { readonly kind: 'notice'; readonly change: NoticeChange }
  /** It is not here any more, or was never kept. */
  | { readonly kind: 'wiped' };

/** As its sender gave it: `excerpt` is what they say that the author said. */
export type Quote = { readonly id: MessageId; readonly author: InteropId; readonly excerpt: string };

/**
 * A quote as it is shown. `here`: `excerpt` is the beginning of the original as it stands in this history. `gone`: the original
 * is not shown any more (deleted, expired, to be seen once), and neither is its excerpt. `not-here`: it never came to this
 * device; the excerpt is what its sender says, and empty where they would put words into this person's mouth.
 */
export type ShownQuote = Quote & ShownMessageName & { readonly original: 'here' | 'gone' | 'not-here' };

export type Posted = {
  readonly body: PostedBody;
  readonly sentAtMs: number;
  /** By this device's clock. */
  readonly receivedAtMs: number;
  readonly replyTo?: Quote;
  readonly expiresAfterSeconds?: number;
  readonly viewOnce?: boolean;
  /** The serialised content, where it says more than `body` holds. */
  readonly raw?: Uint8Array;
};

/** Why there is nothing to show any more, weakest first: `hidden` is deleted for oneself. */
const goneOrder = ['opened', 'expired', 'deleted', 'hidden'] as const;
export type Gone = (typeof goneOrder)[number];

/** How far an own message is. */
export type Progress = {
  readonly state: 'queued' | 'held' | 'sent' | 'failed';
  readonly failure?: { readonly code: ClientErrorCode; readonly detail?: string };
};
/** The same of one device that says the message. `atMs`: the stamp of its last word about it. */
export type Try = Progress & { readonly atMs: number };
export type ReceiptKind = 'delivered' | 'read' | 'played';

/** Without `posted` the message itself has not come yet. */
export type LogEntry = {
  /** 16 bytes, hex. With the author it names the message. */
  readonly id: string;
  readonly author: InteropId;
  readonly chat: ChatId;
  readonly posted?: Posted;
  readonly gone?: Gone;
  /** What the other side said of an own message; of an incoming one, `played` when it was played here. */
  readonly receipts?: Readonly<Partial<Record<ReceiptKind, number>>>;
  /** When this person read it, on whichever device. */
  readonly readAtMs?: number;
  /** When this device heard that it was read, by its own clock. */
  readonly readHereMs?: number;
  /** The best of `tries`. */
  readonly progress?: Progress;
  /** By the device that said it: `hereTry`, its number, or `toldTry`. Absent: whatever `progress` says is of this device. */
  readonly tries?: Readonly<Record<string, Try>>;
  readonly stanzas?: readonly string[];
} & ActState;

export type Fact =
  | ActFact
  | { readonly kind: 'posted'; readonly posted: Posted }
  | { readonly kind: 'gone'; readonly why: Gone }
  | { readonly kind: 'receipt'; readonly receipt: ReceiptKind; readonly atMs: number }
  | { readonly kind: 'read'; readonly atMs: number; readonly hereMs: number }
  /** `by`: not given, of this device; `atMs`: not given, of the try that goes on there. */
  | { readonly kind: 'progress'; readonly progress: Progress; readonly by?: string; readonly atMs?: number }
  | { readonly kind: 'carried'; readonly stanzas: readonly string[] };

/** Joins a fact to an entry. Gives the very same entry when the fact says nothing new. */
export function applyFact(entry: LogEntry, fact: Fact): LogEntry {
  if (isActFact(fact)) return entry.gone === undefined ? joinAct(entry, fact) : entry;
  switch (fact.kind) {
    case 'posted':
      // A name is given once: a second content under it is a repeat, or a lie that each device meets differently anyway.
      if (entry.posted !== undefined) return entry;
      return { ...entry, posted: entry.gone === undefined ? fact.posted : wiped(fact.posted) };
    case 'gone':
      return applyGone(entry, fact.why);
    case 'receipt': {
      const before = entry.receipts?.[fact.receipt];
      if (before !== undefined && before <= fact.atMs) return entry;
      return { ...entry, receipts: { ...entry.receipts, [fact.receipt]: fact.atMs } };
    }
    case 'read':
      if (entry.readAtMs === undefined) return { ...entry, readAtMs: fact.atMs, readHereMs: fact.hereMs };
      return entry.readAtMs <= fact.atMs ? entry : { ...entry, readAtMs: fact.atMs };
    case 'progress':
      return joinTry(entry, fact);
    case 'carried': {
      const stanzas = [...new Set([...(entry.stanzas ?? []), ...fact.stanzas])].slice(-maxStanzas);
      return { ...entry, stanzas };
    }
  }
}

function wiped({ sentAtMs, receivedAtMs }: Posted): Posted {
  return { body: { kind: 'wiped' }, sentAtMs, receivedAtMs };
}

function applyGone(entry: LogEntry, why: Gone): LogEntry {
  if (entry.gone !== undefined && goneOrder.indexOf(entry.gone) >= goneOrder.indexOf(why)) return entry;
  const { posted, ...rest } = withoutActs(entry);
  return { ...rest, gone: why, ...(posted === undefined ? {} : { posted: wiped(posted) }) };
}

/** Names the try of this device; that of another one goes by its number. */
export const hereTry = 'here';
/** Names what the history of another device told. */
export const toldTry = 'told';

const progressOrder: readonly Progress['state'][] = ['failed', 'queued', 'held', 'sent'];

/**
 * Of each device that says a message its last word counts, by its stamp, in whatever order they come; the message is as far as
 * it is on the one where it is farthest. So it has failed when it failed on all that tried.
 */
function joinTry(
  entry: LogEntry,
  { progress, by = hereTry, atMs: given }: Extract<Fact, { kind: 'progress' }>,
): LogEntry {
  const tries = triesOf(entry);
  const { receipts } = entry;
  const last = tries[by];
  const atMs = given ?? last?.atMs ?? 0;
  if (last !== undefined && (atMs < last.atMs || (atMs === last.atMs && !goesOn(last, progress, receipts))))
    return entry;
  const after = { ...tries, [by]: { ...progress, atMs } };
  const { atMs: _, ...best } = Object.values(after).reduce((a, b) => (isFarther(b, a) ? b : a));
  return { ...entry, tries: after, progress: best };
}

function triesOf({ tries, progress }: LogEntry): NonNullable<LogEntry['tries']> {
  return tries ?? (progress === undefined ? {} : { [hereTry]: { ...progress, atMs: 0 } });
}

/** Whether the try of this device has come so far, or failed, by this. */
export function tryGoesOn(entry: LogEntry, progress: Progress): boolean {
  const last = triesOf(entry)[hereTry];
  return last === undefined || goesOn(last, progress, entry.receipts);
}

/**
 * A try never goes back; it fails while the message is here, or when the gatekeeper gives it up or its reader can't read it, and
 * nobody has said that it came.
 */
function goesOn({ state: from }: Progress, { state: to, failure }: Progress, receipts: LogEntry['receipts']): boolean {
  if (from === 'failed') return false;
  if (to === 'failed') return from !== 'sent' || (failure?.code === 'not-delivered' && receipts === undefined);
  return progressOrder.indexOf(to) > progressOrder.indexOf(from);
}

function isFarther(one: Try, other: Try): boolean {
  const by = progressOrder.indexOf(one.state) - progressOrder.indexOf(other.state);
  return by === 0 ? one.atMs > other.atMs : by > 0;
}

/**
 * - `text`, `attachment`, `contacts`, `location`, `sticker`, `poll`: `body` holds it, `text` says it in words.
 * - `view-once`: to be opened once (`Client.openOnce`); an own one is not kept.
 * - `unsupported`: of a kind that this version can't show; `text` holds what its sender gave to show instead.
 * - `lost`: something arrived that could not be read, and its sender did not help.
 * - `notice`: a warning of this device, in words in `text` and as data in `notice`; its author is the person of the
 *   chat, which for what concerns this person or device alone is the one with oneself.
 * - `deleted`: its author took it back. `opened`: was to be seen once. `expired`, `hidden`: not in the history any more.
 */
export type MessageKind = ShownBody['kind'] | 'view-once' | 'unsupported' | 'lost' | 'notice' | Gone;

/**
 * How far an own message is: `queued` on this disk, `sent` taken over by the gatekeeper, then what the other side says;
 * `held` until a changed identity is accepted, or this device knows everybody whom its person knows; `failed` for good.
 */
export type MessageState = Progress['state'] | ReceiptKind;

/** A message as it is shown now. */
export type MessageRecord = ShownActs & {
  readonly id: ShownMessageId;
  readonly author: KnownPerson;
  /** InteropId of the other person of the chat. */
  readonly chat: ChatId;
  readonly kind: MessageKind;
  readonly text: string;
  readonly styles?: readonly StyleRange[];
  readonly mentions?: readonly Mention[];
  readonly preview?: LinkPreview;
  readonly body?: ShownBody;
  readonly notice?: NoticeChange;
  readonly replyTo?: ShownQuote;
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** Own messages only. */
  readonly state?: MessageState;
  readonly failure?: Progress['failure'];
  /** Incoming only: it was read, on whichever device of this person. */
  readonly read?: boolean;
  readonly expiresAfterSeconds?: number;
  /** About when it will be wiped, by this device's clock; absent before it is read. Its time runs whatever the clock says. */
  readonly expiresAtMs?: number;
};

/**
 * What is to be shown of an entry by the person `own`; undefined before the message itself has come. `find` gives the message
 * that is quoted, when it is here.
 */
export function viewOf(
  entry: LogEntry,
  own: InteropId,
  find: (author: InteropId, id: MessageId) => LogEntry | undefined = () => undefined,
): MessageRecord | undefined {
  const { id, author, chat, posted, gone, progress, readAtMs } = entry;
  if (posted === undefined) return undefined;
  const { sentAtMs, receivedAtMs, expiresAfterSeconds } = posted;
  const isOwn = author === own;
  const expiresAtMs = expiryOf(entry, own);
  const isOnce = posted.viewOnce === true && gone === undefined;
  const replyTo = posted.replyTo === undefined || isOnce ? undefined : shownQuote(entry, posted.replyTo, own, find);
  return {
    id: shownId(id),
    author: knownPerson(author),
    chat,
    ...(isOnce ? { kind: 'view-once' as const, text: '' } : shownBody(entry, posted)),
    ...(replyTo === undefined ? {} : { replyTo }),
    sentAtMs,
    receivedAtMs,
    ...shownActs(entry, isOnce || gone !== undefined ? undefined : posted.body),
    ...(isOwn && posted.body.kind !== 'notice' ? { state: stateOf(entry) } : {}),
    ...(isOwn && progress?.failure !== undefined && entry.receipts === undefined ? { failure: progress.failure } : {}),
    ...(!isOwn && readAtMs !== undefined ? { read: true } : {}),
    ...(expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  };
}

/** Of messages of the two who talk alone: the words of the original that is here, never somebody's words for them. */
function shownQuote(
  { author, chat }: LogEntry,
  quote: Quote,
  own: InteropId,
  find: (author: InteropId, id: MessageId) => LogEntry | undefined,
): ShownQuote | undefined {
  if (quote.author !== own && quote.author !== personOf(chat)) return undefined;
  const entry = find(quote.author, quote.id);
  const shown = { ...quote, id: shownId(quote.id), author: knownPerson(quote.author) };
  const original = entry === undefined || entry.chat !== chat ? undefined : viewOf(entry, own);
  if (original === undefined) {
    const isBelieved = author === own || author === quote.author;
    return { ...shown, excerpt: isBelieved ? excerptOf(quote.excerpt) : '', original: 'not-here' };
  }
  const isGone = entry?.gone !== undefined || original.kind === 'view-once';
  return isGone
    ? { ...shown, excerpt: '', original: 'gone' }
    : { ...shown, excerpt: excerptOf(original.text), original: 'here' };
}

/** A disappearing message runs from when this device heard that it was read; its author's copy from when it came here. */
function expiryOf({ author, posted, gone, readAtMs, readHereMs }: LogEntry, own: InteropId): number | undefined {
  if (posted?.expiresAfterSeconds === undefined || gone !== undefined) return undefined;
  const fromMs = author === own ? posted.receivedAtMs : (readHereMs ?? readAtMs);
  return fromMs === undefined ? undefined : fromMs + posted.expiresAfterSeconds * 1_000;
}

function stateOf({ receipts, progress }: LogEntry): MessageState {
  if (receipts?.played !== undefined) return 'played';
  if (receipts?.read !== undefined) return 'read';
  if (receipts?.delivered !== undefined) return 'delivered';
  // No progress of its own: another device of this person sent it.
  return progress?.state ?? 'sent';
}

type Shown = Pick<MessageRecord, 'kind' | 'text' | 'styles' | 'mentions' | 'preview' | 'body' | 'notice'>;

function shownBody(entry: LogEntry, { body }: Posted): Shown {
  if (entry.gone !== undefined) return { kind: entry.gone, text: '' };
  switch (body.kind) {
    case 'text':
      return { kind: 'text', ...textFields(entry.edits?.at(-1)?.text ?? body) };
    case 'attachment': {
      const named = { ...body, attachments: body.attachments.map(withSafeName) };
      return { kind: 'attachment', text: inWords(named), body: named };
    }
    case 'unsupported':
      return body;
    case 'lost':
      return { kind: 'lost', text: '' };
    case 'notice':
      return { kind: 'notice', text: noticeWords(body.change), notice: body.change };
    case 'wiped':
      return { kind: 'view-once', text: '' };
    default:
      return { kind: body.kind, text: inWords(body), body };
  }
}

/** The sender of a file says what it is called; nothing of that leads out of a folder or hides its ending. */
function withSafeName(attachment: AttachmentPointer): AttachmentPointer {
  const { fileName } = attachment;
  return fileName === undefined ? attachment : { ...attachment, fileName: safeFileName(fileName) };
}

function textFields({
  text,
  styles,
  mentions,
  preview,
}: TextBody): Pick<Shown, 'text' | 'styles' | 'mentions' | 'preview'> {
  return {
    text,
    ...(styles === undefined ? {} : { styles }),
    ...(mentions === undefined ? {} : { mentions }),
    ...(preview === undefined ? {} : { preview }),
  };
}

/**
 * The texts that a message had, oldest first, and what its author's clock showed; the last is the one that is shown. None for
 * other kinds.
 */
export function textVersions(entry: LogEntry): { readonly text: TextBody; readonly atMs: number }[] {
  const { posted, edits = [], gone } = entry;
  if (posted?.body.kind !== 'text' || gone !== undefined || posted.viewOnce === true) return [];
  const { kind: _, ...text } = posted.body;
  return [
    { text, atMs: posted.sentAtMs },
    ...edits.map(edit => ({ text: edit.text, atMs: edit.sentAtMs ?? edit.atMs })),
  ];
}
