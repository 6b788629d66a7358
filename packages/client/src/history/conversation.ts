// What content does to a conversation: who may say what about which message, and what changes on disk. One way for what
// others say, for what this device says, and for what a person's other devices tell of.
// Knows nothing of streams, encryption, receipts to be sent, or history transfer.
// Source: docs/protocol/09-content.md sections 9.3 and 9.9.
import { type DecodedContent, encodeContent } from '@drawbridge/e2ee/content';
import { isQuietCase } from '@drawbridge/e2ee/content-kinds';
import { heardOwnStamp, MAX_OWN_STAMP_MS } from '@drawbridge/e2ee/hybrid-clock';
import type { InteropId } from '@drawbridge/wire/jid';
import { shownProfile } from '../display/shown-profile.ts';
import { actFact } from './acts.ts';
import { applySettings, applyTimer, type ChatRecord, defaultsKey, type Timer } from './chat-state.ts';
import { isErrorCode } from '../errors.ts';
import type { ClientEvent, MessageChange } from '../events.ts';
import { type Change, isShown, record, wipeSent } from './history.ts';
import { type Fact, isShownBody, type Posted, type PostedBody, toldTry } from './message-log.ts';
import { hearOwn, hearWritten } from './standing.ts';
import { changeStanding } from './standing-changes.ts';
import { addNotice } from '../notices/notice-records.ts';
import { readChat, readEntry, writeChat } from '../store/message-records.ts';
import { readProfile, writeProfile } from '../store/person-records.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import type { Transaction } from '../store/store.ts';
import { isLater, type Stamp } from './stamp.ts';
import { type ChatId, type MessageId, chatWith, messageIdOf, type MessageName, personOf } from './message-names.ts';

export type Said = {
  readonly author: InteropId;
  /** InteropId of the other person of the chat; with oneself: between one's own devices. */
  readonly chat: ChatId;
  readonly content: DecodedContent;
  readonly receivedAtMs: number;
  /** The other device of this person that says it now. */
  readonly device?: number;
};

type About = { readonly target: MessageName; readonly fact: Fact };

/**
 * The facts about messages that content holds; none when it says nothing about any, or what its author may not say: an
 * edit or deletion concerns the author's own message by its form, a poll is closed by its author, receipts concern this
 * person's messages, and a reaction or vote a message of the two who talk.
 */
export function factsOf({ author, chat, content, receivedAtMs }: Said, own: InteropId): About[] {
  const { body, sentAtMs } = content;
  const id = messageIdOf(content.messageId);
  const stamp = stampOf(content);
  if (content.chatId !== undefined) {
    // Groups are of a later version: something was said, and nobody here knows where.
    if (body.kind !== 'unsupported' && body.kind !== 'text') return [];
    const nowhere = posted(content, { kind: 'unsupported', text: '' }, receivedAtMs, own, author);
    return [{ target: { author, id }, fact: nowhere }];
  }
  if (isShownBody(body)) {
    return [{ target: { author, id }, fact: posted(content, body, receivedAtMs, own, author) }];
  }
  switch (body.kind) {
    case 'unsupported': {
      if (content.quiet === true || (body.name !== undefined && isQuietCase(body.name))) return [];
      const shown = { kind: 'unsupported', text: content.fallbackText ?? '' } as const;
      return [{ target: { author, id }, fact: posted(content, shown, receivedAtMs, own, author) }];
    }
    case 'receipt': {
      if (author === own || author !== personOf(chat)) return [];
      const fact = { kind: 'receipt', receipt: body.receipt, atMs: sentAtMs } as const;
      return body.messageIds.map(each => ({ target: { author: own, id: messageIdOf(each) }, fact }));
    }
    default: {
      const act = actFact(body, { by: author, stamp, sentAtMs });
      const isAbout = (person: InteropId): boolean => person === author || person === own || person === personOf(chat);
      return act !== undefined && isAbout(act.target.author) ? [act] : [];
    }
  }
}

/** What orders contents that change one thing: the author's hybrid logical stamp, then the id. */
export function stampOf({ stampMs, sentAtMs, messageId }: DecodedContent): Stamp {
  return { atMs: stampMs ?? sentAtMs, id: messageIdOf(messageId) };
}

function posted(
  content: DecodedContent,
  body: PostedBody,
  receivedAtMs: number,
  own: InteropId,
  author: InteropId,
): Extract<Fact, { kind: 'posted' }> {
  const { sentAtMs, replyTo, expiresAfterSeconds, viewOnce } = content;
  // What is to be seen once is for the other side: its author keeps nothing.
  const isOwnOnce = viewOnce === true && author === own;
  const quote =
    replyTo === undefined
      ? undefined
      : { id: messageIdOf(replyTo.target.messageId), author: replyTo.target.author, excerpt: replyTo.excerpt };
  const all: Posted = {
    body: isOwnOnce ? { kind: 'wiped' } : body,
    sentAtMs,
    receivedAtMs,
    ...(quote === undefined || isOwnOnce ? {} : { replyTo: quote }),
    ...(expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds }),
    ...(viewOnce === true ? { viewOnce } : {}),
    ...(isOwnOnce || saysAll(content) ? {} : { raw: content.raw }),
  };
  return { kind: 'posted', posted: all };
}

/** Whether the typed content is the received bytes: nothing in them is unknown to this code. */
function saysAll({ raw, body, ...fields }: DecodedContent): boolean {
  if (body.kind === 'unsupported') return false;
  const again = encodeContent({ ...fields, body });
  return again.ok && Buffer.compare(again.value, raw) === 0;
}

/**
 * Keeps what content says, and gives what the application is to hear of it. With `first` it is from before everything
 * that is here (history), and messages are placed so.
 */
export function addSaid(tx: Transaction, own: InteropId, said: Said, nowMs: number, first = false): ClientEvent[] {
  const { author, chat, content } = said;
  const { body } = content;
  const stamp = stampOf(content);
  // Also of what comes as history: what is said here from now on is later than all that this person said before.
  if (author === own) writeStamp(tx, heardOwnStamp(readStamp(tx), stamp.atMs));
  // Between one's own devices: nothing is said to oneself.
  if (author === own && personOf(chat) === own && body.kind !== 'profile') {
    return body.kind === 'device-sync' ? addSync(tx, said, body, stamp, nowMs) : [];
  }
  if (author !== own || first || body.kind === 'nothing') return addToChat(tx, own, said, first);
  const accepted = changeStanding(tx, chat, before => hearWritten(before, stamp));
  return [...accepted, ...addToChat(tx, own, said, first)];
}

function addToChat(tx: Transaction, own: InteropId, said: Said, first: boolean): ClientEvent[] {
  const { author, chat, content } = said;
  const { body } = content;
  const stamp = stampOf(content);
  switch (body.kind) {
    case 'expiry-timer': {
      const before = readChat(tx, chat);
      const replaces = content.replyTo === undefined ? {} : { replaces: messageIdOf(content.replyTo.target.messageId) };
      const { seconds, version } = body;
      const after = applyTimer(before, { ...stamp, seconds, version, by: author, ...replaces });
      if (after === before) return [];
      writeChat(tx, after);
      return timerEvents(before.timer, after, own);
    }
    case 'profile': {
      const before = readProfile(tx, author);
      if (before !== undefined && !isLater(stamp, before)) return [];
      const { kind: _, ...profile } = body;
      writeProfile(tx, author, { ...stamp, profile });
      return [{ kind: 'profile', interopId: author, profile: shownProfile(profile) }];
    }
    default: {
      const events: ClientEvent[] = [];
      for (const { target, fact } of factsOf(said, own)) {
        events.push(...addFact(tx, own, { ...target, chat }, fact, first));
        if (fact.kind === 'posted') events.push(...addTry(tx, own, said));
        if (fact.kind === 'receipt' && fact.receipt === 'played') wipeSeenOnce(tx, own, target.id, events);
      }
      return events;
    }
  }
}

/** What holds now, when that is another setting; with `lost` when this person's own was overruled without being known. */
function timerEvents(
  before: Timer | undefined,
  { chat, timer, otherTimer }: ChatRecord,
  own: InteropId,
): ClientEvent[] {
  if (timer === undefined || timer.id === before?.id) return [];
  const isLost = before?.by === own && timer.by !== own && timer.replaces !== otherTimer?.id;
  const lost = isLost ? { lost: (otherTimer ?? before).seconds } : {};
  return [{ kind: 'expiry-timer', from: timer.by, chat, seconds: timer.seconds, ...lost }];
}

/** Another device of this person says a message: it is sent as far as that one has said nothing else of it. */
function addTry(tx: Transaction, own: InteropId, { author, chat, content, device }: Said): ClientEvent[] {
  if (author !== own || device === undefined) return [];
  const target = { author, id: messageIdOf(content.messageId), chat };
  const { atMs } = stampOf(content);
  return addFact(tx, own, target, { kind: 'progress', progress: { state: 'sent' }, by: String(device), atMs });
}

/** Whether an own message that is here, and had failed or was tried by several devices, is said once more. */
export function isSaidAgain(tx: Transaction, own: InteropId, device: number, content: DecodedContent): boolean {
  const { posted, progress, tries } = readEntry(tx, own, messageIdOf(content.messageId)) ?? {};
  if (posted === undefined || !isShownBody(content.body)) return false;
  const last = tries?.[device];
  return last === undefined ? progress?.state === 'failed' || tries !== undefined : last.atMs < stampOf(content).atMs;
}

function wipeSeenOnce(tx: Transaction, own: InteropId, id: MessageId, events: readonly ClientEvent[]): void {
  const isOnce = events.some(
    event => event.kind === 'message' && event.message.id === id && event.message.kind === 'view-once',
  );
  if (isOnce) wipeSent(tx, own, id);
}

/** Joins one fact, and says so. */
export function addFact(
  tx: Transaction,
  own: InteropId,
  target: MessageName & { readonly chat: ChatId },
  fact: Fact,
  first = false,
): ClientEvent[] {
  const change = record(tx, own, target, fact, first);
  if (change === undefined) return [];
  // What becomes of one of several tries need not change how far the message is.
  if (fact.kind === 'progress' && isAsFar(change)) return [];
  const kept = isShown(change.after) ? changeOf(fact) : 'removed';
  return [{ kind: 'message', change: change.before === undefined ? 'new' : kept, message: change.after }];
}

function isAsFar({ before, after }: Change): boolean {
  return before?.state === after.state && before?.failure?.code === after.failure?.code;
}

function changeOf(fact: Fact): MessageChange {
  return fact.kind === 'receipt' || fact.kind === 'read' || fact.kind === 'progress' ? 'state' : 'content';
}

function addSync(
  tx: Transaction,
  { author: own, device }: Said,
  sync: Extract<DecodedContent['body'], { kind: 'device-sync' }>,
  stamp: Stamp,
  nowMs: number,
): ClientEvent[] {
  const events: ClientEvent[] = [];
  for (const { message, chat, readAtMs, opened } of sync.reads ?? []) {
    const target = { author: message.author, id: messageIdOf(message.messageId), chat: chatWith(chat) };
    const read = { kind: 'read', atMs: Math.min(readAtMs, nowMs), hereMs: nowMs } as const;
    events.push(...addFact(tx, own, target, read));
    if (opened === true) events.push(...addFact(tx, own, target, { kind: 'gone', why: 'opened' }));
  }
  for (const { message, chat } of sync.hidden ?? []) {
    const target = { author: message.author, id: messageIdOf(message.messageId), chat: chatWith(chat) };
    events.push(...addFact(tx, own, target, { kind: 'gone', why: 'hidden' }));
  }
  for (const { message, chat, state, reason } of sync.progress ?? []) {
    if (message.author !== own) continue;
    // A word of a later version is still a failure.
    const code = reason !== undefined && isErrorCode(reason) ? reason : 'request-refused';
    const failure = state === 'failed' ? { failure: { code } } : {};
    const target = { author: own, id: messageIdOf(message.messageId), chat: chatWith(chat) };
    const by = device === undefined ? toldTry : String(device);
    const { atMs } = stamp;
    events.push(...addFact(tx, own, target, { kind: 'progress', progress: { state, ...failure }, by, atMs }));
  }
  for (const { what, message, chat } of sync.notApplied ?? []) {
    if (what === 'message') continue;
    if (chat === own || (message !== undefined && message.author !== own && message.author !== chat)) continue;
    const about =
      message === undefined ? {} : { message: { author: message.author, id: messageIdOf(message.messageId) } };
    const lines = addNotice(tx, { kind: 'not-applied', interopId: chat, what, ...about }, nowMs);
    events.push(...lines.map(line => ({ kind: 'message', change: 'new', message: line }) as const));
  }
  const neverSent = (sync.notApplied ?? []).filter(({ what, chat }) => what === 'message' && chat !== own);
  for (const interopId of new Set(neverSent.map(({ chat }) => chat))) {
    const lines = addNotice(tx, { kind: 'never-sent', interopId }, nowMs);
    events.push(...lines.map(line => ({ kind: 'message', change: 'new', message: line }) as const));
  }
  for (const { chat: person, ...change } of sync.chats ?? []) {
    const chat = person === undefined ? undefined : chatWith(person);
    const before = readChat(tx, chat ?? defaultsKey);
    const after = applySettings(before, change, stamp);
    if (after === before) continue;
    writeChat(tx, after);
    events.push({ kind: 'chat', chat });
  }
  for (const { chat: person, state, decided } of sync.decisions ?? []) {
    if (person === own) continue;
    const id = decided === undefined ? stamp.id : messageIdOf(decided.messageId);
    const atMs = Math.min(decided?.atMs ?? stamp.atMs, MAX_OWN_STAMP_MS);
    // What is decided here from now on is later.
    writeStamp(tx, heardOwnStamp(readStamp(tx), atMs));
    events.push(...changeStanding(tx, chatWith(person), before => hearOwn(before, { atMs, id, state })));
  }
  return events;
}
