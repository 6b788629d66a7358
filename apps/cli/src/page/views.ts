// What a page is shown of people, chats and messages: plain data. Everything that others wrote has gone through the SDK's
// display rules here, once, so that no screen can forget it. Knows nothing of screens and transports.
import {
  type Chat,
  type Contact,
  type MessageRecord,
  type Notice,
  type NoticeChange,
  nameWarnings,
  type NameWarning,
  shownName,
  shownText,
  type UnsentFile,
} from '@drawbridge/client';
import { isEverybody, providerNumberOf } from '@drawbridge/wire/jid';
import { mediaPath } from './media-path.ts';
import { previewType, shownType } from './media-type.ts';

export type PersonView = {
  readonly id: string;
  readonly provider?: string;
  readonly identifier?: string;
  readonly doubts: readonly NameWarning[];
};

export type QuoteView = {
  readonly author: string;
  readonly id: string;
  readonly excerpt: string;
  readonly original: string;
};

export type AttachmentView = {
  readonly kind: string;
  readonly name?: string;
  readonly sizeBytes: number;
  readonly width?: number;
  readonly height?: number;
  readonly durationMs?: number;
  /** Addresses of this process: to show it, where a browser can; its small picture, where it has one; to save it. */
  readonly show?: string;
  readonly preview?: string;
  readonly save: string;
};

/** A file that is not a message yet. */
export type UnsentView = {
  readonly id: string;
  readonly chat: string;
  readonly name: string;
  readonly state: UnsentFile['state'];
  readonly percent?: number;
  readonly failure?: string;
};

export type ReactionView = { readonly emoji: string; readonly count: number; readonly mine: boolean };

export type MessageView = {
  readonly id: string;
  readonly author: string;
  readonly chat: string;
  readonly mine: boolean;
  readonly kind: MessageRecord['kind'];
  readonly text: string;
  readonly sentAtMs: number;
  readonly replyTo?: QuoteView;
  readonly edited: boolean;
  readonly reactions: readonly ReactionView[];
  readonly state?: string;
  readonly failure?: string;
  readonly notice?: NoticeLine;
  readonly attachments: readonly AttachmentView[];
  readonly poll?: PollView;
  readonly place?: PlaceView;
  /** People whose names were sent; `id`: somebody who can be written to from here. */
  readonly contacts?: readonly ContactView[];
  readonly expiresAfterSeconds?: number;
  readonly unread: boolean;
};

export type PlaceView = { readonly latitude: number; readonly longitude: number; readonly name: string };
export type ContactView = { readonly name: string; readonly more: readonly string[]; readonly id?: string };

export type PollView = {
  readonly question: string;
  readonly options: readonly PollOption[];
  /** How many one person may choose; 0: all. */
  readonly choices: number;
  readonly closed: boolean;
};

export type PollOption = { readonly text: string; readonly count: number; readonly mine: boolean };

/** A change that nobody may miss; the words are the page's, in its language. */
export type NoticeLine = {
  readonly kind: NoticeChange['kind'] | 'provider-unconfirmed';
  readonly needsAcceptance: boolean;
  readonly isOwn: boolean;
  /** Whom it is about. */
  readonly person?: string;
  readonly devices: string;
  readonly names: string;
};

export type ChatView = {
  readonly id: string;
  readonly person: PersonView;
  /** What they call themselves; nobody has checked it. */
  readonly profileName?: string;
  readonly unread: number;
  readonly missing: number;
  readonly lastAtMs: number;
  readonly last?: MessageView;
  readonly draft: string;
  readonly pinned: boolean;
  readonly archived: boolean;
  readonly muted: boolean;
  readonly timerSeconds: number;
  readonly isSelf: boolean;
  /** Their provider was opted out of: the chat can be read alone. */
  readonly readOnly: boolean;
  /** What this person has decided about the other, as far as it is known here. */
  readonly contact?: Exclude<Chat['contact'], undefined>;
};

export type RequestView = { readonly person: PersonView; readonly state: 'request' | 'denied' | 'blocked' };

export type SafetyView = {
  readonly digits: string;
  /** Base64 of the key that these digits are of. */
  readonly key: string;
  readonly verified: boolean;
  readonly qr?: QrView;
  readonly pending?: { readonly digits: string; readonly key: string };
};

/** Dark squares as an SVG path within a square of `size`. */
export type QrView = { readonly size: number; readonly path: string };

export type DeviceView = { readonly device: number; readonly sinceMs: number; readonly isThis: boolean };

export type ConsentView = { readonly number: number; readonly name: string; readonly optedIn: boolean };

export type NoticeView = {
  readonly sequence: number;
  readonly atMs: number;
  readonly times: number;
  readonly line: NoticeLine;
};

export function personView({ interopId, provider, identifier }: Contact): PersonView {
  return {
    id: interopId,
    ...(provider === undefined ? {} : { provider: shownName(provider) }),
    ...(identifier === undefined ? {} : { identifier: shownName(identifier) }),
    doubts: identifier === undefined ? [] : nameWarnings(identifier),
  };
}

export function chatView(chat: Chat, me: string): ChatView {
  const { profile, lastMessage } = chat;
  return {
    id: chat.with.interopId,
    person: personView(chat.with),
    ...(profile === undefined || profile.displayName === '' ? {} : { profileName: shownName(profile.displayName) }),
    unread: chat.unread,
    missing: chat.missing,
    lastAtMs: chat.lastAtMs,
    ...(lastMessage === undefined ? {} : { last: messageView(lastMessage, me) }),
    draft: chat.draft ?? '',
    pinned: chat.pinned,
    archived: chat.archived,
    muted: chat.muted,
    timerSeconds: chat.timerSeconds,
    isSelf: chat.with.interopId === me,
    readOnly: chat.readOnly,
    ...(chat.contact === undefined ? {} : { contact: chat.contact }),
  };
}

export function messageView(message: MessageRecord, me: string): MessageView {
  const { replyTo, notice, failure, body, expiresAfterSeconds } = message;
  const mine = message.author === me;
  return {
    id: message.id,
    author: message.author,
    chat: message.chat,
    mine,
    kind: message.kind,
    // What may be seen once is not for a list.
    text: message.kind === 'view-once' ? '' : shownText(wordsOf(message)),
    sentAtMs: message.sentAtMs,
    ...(replyTo === undefined
      ? {}
      : {
          replyTo: {
            author: replyTo.author,
            id: replyTo.id,
            excerpt: shownName(replyTo.excerpt),
            original: replyTo.original,
          },
        }),
    edited: message.edited === true,
    reactions: reactionViews(message.reactions ?? {}, me),
    ...(message.state === undefined ? {} : { state: message.state }),
    ...(failure === undefined ? {} : { failure: failure.code }),
    ...(notice === undefined ? {} : { notice: noticeLine(notice) }),
    attachments:
      body?.kind === 'attachment' ? body.attachments.map((each, index) => attachmentView(each, message, index)) : [],
    ...(body?.kind === 'poll' ? { poll: pollView(body, message, me) } : {}),
    ...(body?.kind === 'location' ? { place: placeView(body) } : {}),
    ...(body?.kind === 'contacts' ? { contacts: body.contacts.map(contactView) } : {}),
    ...(expiresAfterSeconds === undefined ? {} : { expiresAfterSeconds }),
    unread: !mine && message.read !== true,
  };
}

/** 👍 with and without the variation selector is one reaction. */
function reactionViews(reactions: Readonly<Record<string, string>>, me: string): ReactionView[] {
  const groups = new Map<string, ReactionView>();
  for (const [person, given] of Object.entries(reactions)) {
    const emoji = shownName(given);
    const plain = emoji.replaceAll('\ufe0f', '');
    if (plain === '') continue;
    const { count = 0, mine = false, emoji: first = emoji } = groups.get(plain) ?? {};
    groups.set(plain, { emoji: first, count: count + 1, mine: mine || person === me });
  }
  return [...groups.values()];
}

type ShownBody = NonNullable<MessageRecord['body']>;
type Attachment = Extract<ShownBody, { kind: 'attachment' }>['attachments'][number];
type Poll = Extract<ShownBody, { kind: 'poll' }>;

/** A file's words are its caption: its name stands with it. */
function wordsOf({ text, body }: MessageRecord): string {
  return body?.kind === 'attachment' ? (body.caption?.text ?? '') : text;
}

function attachmentView(
  { kind, mediaType, fileName, sizeBytes, width, height, durationMs, thumbnail }: Attachment,
  { author, id }: MessageRecord,
  index: number,
): AttachmentView {
  const at = { author, id, index };
  const isShown = shownType(kind, mediaType) !== undefined;
  const isPreviewed = thumbnail !== undefined && previewType(thumbnail) !== undefined;
  return {
    kind,
    ...(fileName === undefined ? {} : { name: shownName(fileName) }),
    sizeBytes,
    ...(width === undefined ? {} : { width }),
    ...(height === undefined ? {} : { height }),
    ...(durationMs === undefined ? {} : { durationMs }),
    ...(isShown ? { show: mediaPath({ use: 'show', ...at }) } : {}),
    ...(isPreviewed ? { preview: mediaPath({ use: 'preview', ...at }) } : {}),
    save: mediaPath({ use: 'save', ...at }),
  };
}

export function unsentView({ id, to, name, state, progress, failure }: UnsentFile): UnsentView {
  return {
    id,
    chat: to,
    name: shownName(name),
    state,
    ...(progress === undefined
      ? {}
      : { percent: Math.floor((100 * progress.bytes) / Math.max(1, progress.totalBytes)) }),
    ...(failure === undefined ? {} : { failure: failure.code }),
  };
}

function placeView({ latitude, longitude, name, address }: Extract<ShownBody, { kind: 'location' }>): PlaceView {
  return { latitude, longitude, name: shownName(name ?? address ?? '') };
}

type Card = Extract<ShownBody, { kind: 'contacts' }>['contacts'][number];

function contactView({ displayName, phones = [], emails = [], interopId }: Card): ContactView {
  return {
    name: shownName(displayName),
    more: [...phones, ...emails].map(shownName),
    ...(interopId === undefined ? {} : { id: interopId }),
  };
}

function pollView(
  { question, options, choices = 0 }: Poll,
  { poll }: MessageRecord,
  me: string,
): NonNullable<MessageView['poll']> {
  const votes = Object.entries(poll?.votes ?? {});
  return {
    question: shownText(question),
    choices,
    options: options.map((option, at) => ({
      text: shownText(option),
      count: votes.filter(([, chosen]) => chosen.includes(at)).length,
      mine: votes.some(([person, chosen]) => person === me && chosen.includes(at)),
    })),
    closed: poll?.closed === true,
  };
}

export function noticeView({ sequence, atMs, times, change }: Notice): NoticeView {
  return { sequence, atMs, times, line: noticeLine(change) };
}

function noticeLine(change: NoticeChange): NoticeLine {
  const numbers: number[] = [];
  if ('added' in change) numbers.push(...change.added, ...change.removed);
  if ('linkAgain' in change) numbers.push(...change.linkAgain);
  if ('deviceId' in change) numbers.push(change.deviceId);
  const isOfProvider = change.kind === 'contact-unconfirmed' && isEverybody(change.interopId);
  if (isOfProvider) numbers.push(providerNumberOf(change.interopId)!);
  return {
    kind: isOfProvider ? 'provider-unconfirmed' : change.kind,
    needsAcceptance: 'needsAcceptance' in change && change.needsAcceptance,
    isOwn: 'isOwn' in change && change.isOwn,
    ...('interopId' in change ? { person: change.interopId } : {}),
    devices: numbers.join(', '),
    names: 'identifier' in change ? shownName(`${change.identifier} (${change.provider})`) : '',
  };
}
