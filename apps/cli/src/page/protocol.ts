// What a page and the local process say to each other: frames, commands with their arguments and results, events.
// The schemas check what a page sends; the types are for both. Knows nothing of sockets, the SDK or screens.
// Source: docs/decisions/0071-the-chat-page-is-shown-by-the-process-that-holds-the-keys.md.
import { type Static, type TSchema, Type } from 'typebox';
import type {
  ChatView,
  ConsentView,
  DeviceView,
  MessageView,
  NoticeView,
  PersonView,
  QrView,
  RequestView,
  SafetyView,
  UnsentView,
} from './views.ts';

export type { UnsentView };

export const frameLimits = {
  /** One frame of a page. */
  maxFrameBytes: 262_144,
  /** Commands of one tab that are under way. */
  maxUnderWay: 64,
  maxTabs: 16,
  /** Events that are kept for tabs that come back. */
  maxKeptEvents: 2_000,
  /** What these events are together: a text of somebody else is in each. */
  maxKeptEventBytes: 8_388_608,
  /** Results of commands that are kept for their repeats. */
  maxKeptResults: 1_000,
  /** What a tab that does not read makes this process hold. */
  maxWaitingBytes: 8_388_608,
  maxTextLength: 65_536,
  /** What lets a device in holds the people whom its person knows. */
  maxTicketLength: 200_000,
  maxNameLength: 512,
} as const;

const name = Type.String({ minLength: 1, maxLength: frameLimits.maxNameLength });
const text = Type.String({ minLength: 1, maxLength: frameLimits.maxTextLength });
const chat = { chat: name };
const message = { author: name, id: Type.String({ pattern: '^[0-9a-f]{32}$' }) };
const own = { id: message.id };
const unsent = { file: Type.String({ pattern: '^[\\w-]{1,64}$' }) };
const page = { limit: Type.Integer({ minimum: 1, maximum: 200 }) };

const account = {
  gatekeeper: name,
  provider: name,
  identifier: name,
  password: Type.String({ minLength: 1, maxLength: 1_024 }),
  passphrase: Type.String({ minLength: 1, maxLength: 1_024 }),
};

const object = <T extends Record<string, TSchema>>(properties: T) =>
  Type.Object(properties, { additionalProperties: false });

/** Each command by its name. */
export const commandSchemas = {
  'session.signIn': object({
    ...account,
    /** The person's other devices are lost: they are removed. */
    replace: Type.Boolean(),
  }),
  /** Begins to make this device a further one of somebody who has another. */
  'session.beginLink': object(account),
  'session.openLink': object({ ticket: Type.String({ minLength: 1, maxLength: frameLimits.maxTicketLength }) }),
  'session.confirmLink': object({}),
  'session.endLink': object({}),
  'chats.list': object({ ...page, skip: Type.Integer({ minimum: 0 }), archived: Type.Boolean() }),
  /** Newest first; with `after` what follows that row, oldest first. */
  'chats.messages': object({
    ...chat,
    ...page,
    before: Type.Optional(Type.Integer()),
    after: Type.Optional(Type.Integer()),
  }),
  'chats.send': object({ ...chat, text, replyTo: Type.Optional(object(message)) }),
  'chats.sendPoll': object({
    ...chat,
    question: Type.String({ minLength: 1, maxLength: 1_024 }),
    options: Type.Array(Type.String({ minLength: 1, maxLength: 512 }), { minItems: 2, maxItems: 20 }),
    isOne: Type.Boolean(),
  }),
  'chats.sendPlace': object({
    ...chat,
    latitude: Type.Number({ minimum: -90, maximum: 90 }),
    longitude: Type.Number({ minimum: -180, maximum: 180 }),
    name: Type.String({ maxLength: 512 }),
  }),
  'chats.sendContact': object({ ...chat, person: name }),
  'chats.closePoll': object(own),
  'chats.edit': object({ ...own, text }),
  'chats.delete': object(own),
  'chats.hide': object(message),
  'chats.react': object({ ...message, emoji: Type.String({ maxLength: 64 }) }),
  'chats.vote': object({
    ...message,
    /** Places of what was chosen; none takes the vote back. */
    options: Type.Array(Type.Integer({ minimum: 0, maximum: 99 }), { maxItems: 100 }),
  }),
  'chats.versions': object(message),
  'chats.resend': object(own),
  'chats.drop': object(own),
  'chats.openOnce': object(message),
  'chats.closeOnce': object(message),
  'chats.played': object(message),
  'chats.markRead': object(chat),
  'chats.setDraft': object({ ...chat, text: Type.String({ maxLength: frameLimits.maxTextLength }) }),
  'chats.typing': object({ ...chat, state: Type.Enum(['started', 'stopped']) }),
  'chats.setTimer': object({ ...chat, seconds: Type.Integer({ minimum: 0, maximum: 31_536_000 }) }),
  'chats.set': object({
    ...chat,
    pinned: Type.Optional(Type.Boolean()),
    archived: Type.Optional(Type.Boolean()),
    muted: Type.Optional(Type.Boolean()),
  }),
  'chats.search': object({ query: text, chat: Type.Optional(name), before: Type.Optional(Type.Integer()) }),
  'chats.dismissMissing': object(chat),
  'files.offer': object({
    ...chat,
    sizeBytes: Type.Integer({ minimum: 0 }),
    name: Type.String({ maxLength: frameLimits.maxNameLength }),
    caption: Type.String({ maxLength: 1_024 }),
    /** `known`: pictures and videos are freed of what they say of their maker, place and time; all else goes as it is. */
    kind: Type.Enum(['known', 'file', 'voice']),
    viewOnce: Type.Boolean(),
  }),
  'files.unsent': object({}),
  'files.pause': object(unsent),
  'files.resume': object(unsent),
  'files.drop': object(unsent),
  'files.check': object({ ...message, index: Type.Integer({ minimum: 0, maximum: 99 }) }),
  'devices.list': object({}),
  'devices.readLink': object({ code: Type.String({ minLength: 1, maxLength: 4_096 }) }),
  'devices.confirmLink': object({ history: Type.Boolean() }),
  'devices.dropLink': object({}),
  'devices.remove': object({ device: Type.Integer({ minimum: 1, maximum: 127 }), renewIdentity: Type.Boolean() }),
  'devices.toCome': object({}),
  'devices.forgoPeople': object({}),
  'people.find': object({ provider: name, identifier: name }),
  'people.get': object(chat),
  'people.requests': object({}),
  'people.decide': object({ ...chat, decision: Type.Enum(['accept', 'deny', 'block', 'unblock']) }),
  'people.report': object({
    ...message,
    category: Type.Enum(['spam', 'fraud', 'abuse', 'illegal', 'other']),
    comment: Type.String({ maxLength: 1_000 }),
    context: Type.Integer({ minimum: 0, maximum: 20 }),
  }),
  'people.safety': object(chat),
  'people.judgeKey': object({
    ...chat,
    /** Base64: the key that the person was shown, and no other. */
    key: Type.String({ minLength: 1, maxLength: 128 }),
    judgement: Type.Enum(['verified', 'not-verified', 'accept', 'reject']),
  }),
  'account.consent': object({}),
  'account.setConsent': object({ provider: Type.Integer({ minimum: 0 }), optedIn: Type.Boolean() }),
  'account.setName': object({ displayName: Type.String({ maxLength: 128 }) }),
  'notices.list': object({}),
  'notices.acknowledge': object({ sequence: Type.Integer() }),
} as const;

export type CommandName = keyof typeof commandSchemas;
export type CommandArguments<N extends CommandName> = Static<(typeof commandSchemas)[N]>;

/** What each command gives back; those that are not named give back nothing. */
type NamedResults = {
  'session.openLink': LinkAnswer;
  'devices.list': readonly DeviceView[];
  'devices.readLink': Omit<LinkAnswer, 'answerCode'> & {
    readonly requestCode: string;
    readonly peopleToFollow: number;
  };
  'devices.confirmLink': { readonly ticket: string; readonly answerCode: string; readonly qr?: QrView };
  'devices.remove': { readonly linkAgain: readonly number[] };
  'devices.toCome': { readonly toCome?: { readonly device: number; readonly count: number } };
  'chats.list': readonly ChatView[];
  'chats.messages': readonly PlacedMessage[];
  'chats.send': MessageView;
  'chats.sendPoll': MessageView;
  'chats.sendPlace': MessageView;
  'chats.sendContact': MessageView;
  'chats.resend': MessageView;
  'chats.versions': readonly { readonly text: string; readonly atMs: number }[];
  'chats.search': readonly PlacedMessage[];
  'chats.openOnce': MessageView;
  'files.offer': { readonly path: string };
  'files.unsent': readonly UnsentView[];
  'people.find': PersonView;
  'people.get': PersonView;
  'people.requests': readonly RequestView[];
  'people.report': { readonly contents: number };
  'people.safety': SafetyView;
  'account.consent': readonly ConsentView[];
  'notices.list': readonly NoticeView[];
};
export type CommandResult<N extends CommandName> = N extends keyof NamedResults ? NamedResults[N] : void;

/** `sequence`: where the next page begins. */
export type PlacedMessage = { readonly sequence: number; readonly message: MessageView };

/** Those that only read: a repeat does nothing more, and nothing of them is kept. */
export const readingCommands: ReadonlySet<CommandName> = new Set<CommandName>([
  'chats.list',
  'chats.messages',
  'chats.versions',
  'chats.search',
  'files.unsent',
  'files.check',
  'devices.list',
  'devices.toCome',
  'people.get',
  'people.requests',
  'people.safety',
  'account.consent',
  'notices.list',
]);

/** The first frame of a tab: which events it has, of which process. */
export const helloSchema = object({
  kind: Type.Literal('hello'),
  epoch: Type.Optional(Type.String({ maxLength: 64 })),
  after: Type.Optional(Type.Integer({ minimum: 0 })),
});

export const commandFrameSchema = object({
  kind: Type.Literal('command'),
  /** Of this connection: the result has the same. */
  id: Type.Integer({ minimum: 0 }),
  /** Of the deed: the same key again, on whichever connection, is the same deed and gets the same result. */
  key: Type.String({ minLength: 16, maxLength: 64 }),
  name: Type.String({ maxLength: 64 }),
  arguments: Type.Record(Type.String({ maxLength: 64 }), Type.Unknown()),
});

export type PageFrame = Static<typeof helloSchema> | Static<typeof commandFrameSchema>;

/** Of this process, beside those of the SDK. */
export const pageErrorCodes = [
  'bad-command',
  'signed-out',
  'signed-in',
  'too-many-commands',
  'key-reused',
  'internal',
] as const;
export type PageErrorCode = (typeof pageErrorCodes)[number];
/** `code`: of the SDK, or one of `pageErrorCodes`. `detail` is for looking up, never the whole story. */
export type PageError = {
  readonly code: string;
  readonly text: string;
  readonly detail?: string;
  readonly retry: boolean;
};

export type Prefill = {
  readonly gatekeeper: string;
  readonly provider: string;
  readonly identifier: string;
  /** In a demo nothing is worth a secret of one's own: no password is asked for. */
  readonly demo: boolean;
};

/** Whose device this one becomes; a person compares the digits. */
export type LinkAnswer = { readonly identifier: string; readonly provider: string; readonly answerCode: string };

export type SessionState =
  | { readonly kind: 'signed-out'; readonly prefill: Prefill; readonly fault?: PageError }
  | { readonly kind: 'opening' }
  | { readonly kind: 'linking'; readonly code: string; readonly requestCode: string; readonly qr?: QrView }
  | { readonly kind: 'open'; readonly me: PersonView & { readonly gatekeeper: string; readonly deviceId: number } };

export type LinkState = {
  readonly kind: 'online' | 'connecting' | 'waiting' | 'stopped';
  readonly error?: PageError;
};

export type PageEvent =
  | { readonly kind: 'session'; readonly session: SessionState }
  | { readonly kind: 'link'; readonly link: LinkState }
  | {
      readonly kind: 'message';
      readonly change: 'new' | 'state' | 'content' | 'removed';
      readonly message: MessageView;
    }
  /** Something about the list of chats, or about one of them, is another now. */
  | { readonly kind: 'chats'; readonly chat?: string }
  | { readonly kind: 'draft'; readonly chat: string; readonly text: string }
  | { readonly kind: 'typing'; readonly chat: string; readonly state: 'started' | 'stopped' }
  /** A file that is to be sent is so far, or does something else now. `gone`: it was dropped, or is a message. */
  | { readonly kind: 'file'; readonly file: UnsentView; readonly gone: boolean }
  | { readonly kind: 'people' }
  | { readonly kind: 'notices' };

export type ProcessFrame =
  /** `reset`: what the tab has may have gaps, and it asks for everything again. */
  | {
      readonly kind: 'welcome';
      readonly epoch: string;
      readonly last: number;
      readonly mode: 'resumed' | 'reset';
      readonly session: SessionState;
      readonly link: LinkState;
    }
  | { readonly kind: 'event'; readonly number: number; readonly event: PageEvent }
  | { readonly kind: 'result'; readonly id: number; readonly ok: true; readonly value?: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly ok: false; readonly error: PageError };
