// A word that does not count here, since another of the same person about the same thing has a later stamp: a device of theirs
// said that one while its clock was ahead, and the device that speaks now has not heard of it, and may never (it is lost). It is
// told so, and says its word again with a later stamp: so all devices of everybody end the same, by what the person said last.
// Knows nothing of streams or encryption, nor of how often somebody may be heard.
// Source: docs/protocol/09-content.md section 9.9, docs/decisions/0090.
import type { ContentBody, DecodedContent } from '@drawbridge/e2ee/content';
import {
  contentKindLimits,
  type Overruled,
  type OwnDecisionState,
  type SyncedDecision,
} from '@drawbridge/e2ee/content-kinds';
import { heardOwnStamp, toldStamp } from '@drawbridge/e2ee/hybrid-clock';
import type { InteropId } from '@drawbridge/wire/jid';
import type { OwnProfile } from '../account/own-profile.ts';
import type { ClientEvent } from '../events.ts';
import { readStamp, writeStamp } from '../store/account-records.ts';
import { readChat, readEntry } from '../store/message-records.ts';
import { readProfile } from '../store/person-records.ts';
import type { Transaction } from '../store/store.ts';
import { actOf, actsAgain, lastSaid, type LastSaid } from './acts.ts';
import type { Authoring } from './authoring.ts';
import { type ChatRecord, type ChatSettings, defaultsKey, isHeldBack, type Timer } from './chat-state.ts';
import { type ChatId, chatWith, messageIdOf, personOf } from './message-names.ts';
import { isLater, type Stamp } from './stamp.ts';
import { isStricter, standingOf } from './standing.ts';

type About = Pick<Overruled, 'message' | 'chat'>;
/** What is known of the same thing, and how it is named. */
type Rival = readonly [LastSaid | undefined, About];
type Content = Pick<DecodedContent, 'messageId' | 'body'>;

/** What a content says that does not count beside what is known here. To be asked before it is taken in. */
export function overruledBy(
  tx: Transaction,
  own: InteropId,
  author: InteropId,
  chat: ChatId,
  content: Content,
  stamp: Stamp,
): Overruled[] {
  const { body, messageId } = content;
  const said: LastSaid = body.kind === 'poll-vote' ? { ...stamp, version: body.version } : stamp;
  return rivalsOf(tx, own, author, chat, body).flatMap(([known, about]) => {
    if (known === undefined || known.id === said.id || !isStronger(known, said)) return [];
    const { atMs: stampMs, version } = known;
    return [{ overruledId: messageId, stampMs, ...(version === undefined ? {} : { version }), ...about }];
  });
}

function isStronger(one: LastSaid, than: LastSaid): boolean {
  const [version = 0, other = 0] = [one.version, than.version];
  return version === other ? isLater(one, than) : version > other;
}

function rivalsOf(
  tx: Transaction,
  own: InteropId,
  author: InteropId,
  chat: ChatId,
  body: DecodedContent['body'],
): Rival[] {
  // Only one's own devices have to be told in which chat.
  const here = author === own ? { chat: personOf(chat) } : {};
  const decided = (author === own ? decisionsOf(tx, chat, body) : []).flatMap(({ chat: person, state }): Rival[] => {
    const known = readChat(tx, chatWith(person)).decided;
    return known === undefined || isStricter(known.state, state) ? [] : [[stampIn(known), { chat: person }]];
  });
  switch (body.kind) {
    case 'device-sync':
      return author === own ? [...decided, ...settingRivals(tx, body)] : [];
    case 'profile':
      return [[readProfile(tx, author), {}]];
    case 'expiry-timer':
      return [...decided, [stampIn(timerOf(readChat(tx, chat), author)), here]];
    case 'unsupported':
      return decided;
    default: {
      const act = actOf(author, body);
      const entry = act?.message === undefined ? undefined : readEntry(tx, act.message.author, act.message.id);
      if (act === undefined || entry === undefined || entry.chat !== chat) return decided;
      const message = { messageId: Buffer.from(entry.id, 'hex'), author: entry.author, sentAtMs: 0 };
      return [...decided, [lastSaid(entry, act.what, author), { ...here, message }]];
    }
  }
}

/** What an own device decides by a content itself: it says so, or it writes to somebody, which accepts them. */
function decisionsOf(
  tx: Transaction,
  chat: ChatId,
  body: DecodedContent['body'],
): { readonly chat: InteropId; readonly state: OwnDecisionState }[] {
  if (body.kind === 'device-sync') return (body.decisions ?? []).filter(({ decided }) => decided === undefined);
  const { contact } = readChat(tx, chat);
  const accepts = (contact === 'request' || contact === 'denied') && body.kind !== 'nothing';
  return accepts ? [{ chat: personOf(chat), state: 'accepted' }] : [];
}

/**
 * What this person decided by a later stamp, and stricter than what one of their devices says now: that device is told the
 * decision itself, and decides again only as its person does. Nobody is let in because a word was overruled.
 */
export function stricterDecisions(tx: Transaction, chat: ChatId, { body }: Content, stamp: Stamp): SyncedDecision[] {
  return decisionsOf(tx, chat, body).flatMap(({ chat: person, state }) => {
    const { decided } = readChat(tx, chatWith(person));
    if (decided === undefined || decided.id === stamp.id || !isLater(decided, stamp)) return [];
    if (!isStricter(decided.state, state)) return [];
    const { atMs, id } = decided;
    return [{ chat: person, state: decided.state, decided: { atMs, messageId: Buffer.from(id, 'hex') } }];
  });
}

/** Without a person: what holds for all chats. */
function chatOr(person: InteropId | undefined): ChatId {
  return person === undefined ? defaultsKey : chatWith(person);
}

function settingRivals(tx: Transaction, { chats = [] }: ContentBody<'device-sync'>): Rival[] {
  return chats.flatMap(({ chat, ...change }): Rival[] => {
    const record = readChat(tx, chatOr(chat));
    const about = chat === undefined ? {} : { chat };
    return (Object.keys(change) as (keyof ChatSettings)[]).map(field => [stampIn(record.settings[field]), about]);
  });
}

/** Versions of timers say nothing here. */
function stampIn(known: Stamp | undefined): Stamp | undefined {
  return known === undefined ? undefined : { atMs: known.atMs, id: known.id };
}

function timerOf({ timer, otherTimer }: ChatRecord, by: InteropId): Timer | undefined {
  return [timer, otherTimer].find(each => each?.by === by);
}

export type SayingAgain = { readonly authoring: Authoring; readonly profile: OwnProfile };

/**
 * `from` says that a word of this person does not count there. Where it is still what they said last, as this device knows it, it
 * is said again with a later stamp. That changes nothing of it: whoever lies gets it once more.
 */
export function sayAgain(
  tx: Transaction,
  { authoring, profile }: SayingAgain,
  from: InteropId,
  overruled: Overruled,
): ClientEvent[] {
  const { own } = authoring;
  const { stampMs, message } = overruled;
  const id = messageIdOf(overruled.overruledId);
  const isOwn = from === own;
  const chat = isOwn ? chatOr(overruled.chat) : chatWith(from);
  const record = readChat(tx, chat);
  const lastMs = (isOwn ? heardOwnStamp : toldStamp)(readStamp(tx), stampMs);
  // At the end of time nothing is later.
  if (lastMs < stampMs || (!isOwn && isHeldBack(record))) return [];
  const say = (body: ContentBody, replaces?: string): ClientEvent[] => {
    writeStamp(tx, lastMs);
    const target = { messageId: Buffer.from(replaces ?? '', 'hex'), author: personOf(chat), sentAtMs: 0 };
    const replyTo = replaces === undefined ? {} : { replyTo: { target, excerpt: '' } };
    return authoring.say(tx, chat, { ...authoring.content(body), ...replyTo }, aboutOwn(own, overruled));
  };
  if (message !== undefined) {
    const body = sameAct(tx, own, chat, overruled);
    return body === undefined ? [] : say(body);
  }
  const timer = timerOf(record, own);
  if (timer?.id === id) {
    const { seconds, version, replaces } = timer;
    return say({ kind: 'expiry-timer', seconds, version }, replaces);
  }
  const known = readProfile(tx, own);
  if (known?.id === id) {
    writeStamp(tx, lastMs);
    const events = profile.say(tx, known.profile);
    if (!isOwn) profile.introduce(tx, chat);
    return events;
  }
  return isOwn ? syncAgain(tx, authoring, record, id, lastMs) : [];
}

function aboutOwn(own: InteropId, { message }: Overruled): string | undefined {
  return message?.author === own ? messageIdOf(message.messageId) : undefined;
}

/** What this person said last of a message, when that is the word that is meant. */
function sameAct(
  tx: Transaction,
  own: InteropId,
  chat: ChatId,
  { overruledId, message, version = 0 }: Overruled,
): ContentBody | undefined {
  const id = messageIdOf(overruledId);
  const entry = message === undefined ? undefined : readEntry(tx, message.author, messageIdOf(message.messageId));
  if (message === undefined || entry?.posted === undefined || entry.chat !== chat) return undefined;
  const ref = { ...message, sentAtMs: entry.posted.sentAtMs };
  const body = actsAgain(entry, ref).find(each => each.by === own && each.id === id)?.body;
  const what = body === undefined ? undefined : actOf(own, body)?.what;
  if (body === undefined || what === undefined || lastSaid(entry, what, own)?.id !== id) return undefined;
  if (body.kind !== 'poll-vote') return body;
  return { ...body, version: Math.min(Math.max(body.version, version) + 1, contentKindLimits.maxVoteVersion) };
}

function syncAgain(
  tx: Transaction,
  authoring: Authoring,
  record: ChatRecord,
  id: string,
  lastMs: number,
): ClientEvent[] {
  const { chat, settings, decided } = record;
  const named = chat === defaultsKey ? {} : { chat: personOf(chat) };
  const fields = Object.entries(settings).filter(([, each]) => each.id === id);
  const change = Object.fromEntries(fields.map(([field, { value }]) => [field, value])) as ChatSettings;
  // Not where the gatekeeper has made it stricter since.
  const isDecided = decided?.id === id && chat !== defaultsKey && standingOf(record) === decided.state;
  if (fields.length === 0 && !isDecided) return [];
  writeStamp(tx, lastMs);
  return authoring.sync(tx, {
    ...(fields.length === 0 ? {} : { chats: [{ ...named, ...change }] }),
    ...(isDecided ? { decisions: [{ chat: personOf(chat), state: decided.state }] } : {}),
  });
}
