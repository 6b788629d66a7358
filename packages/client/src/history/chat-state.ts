// The state of a chat: settings that all devices of a person share, the timer for disappearing messages, what is unread.
// Pure: joins changes that may come in any order, twice. Knows nothing of storage, messages or who asks.
// Source: docs/protocol/09-content.md section 9.9.
import type { ChatSettingsChange, Profile } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Heard } from './gaps.ts';
import type { DecisionState } from '../directory/contact-decisions.ts';
import { isLater, type Stamp } from './message-log.ts';
import type { ChatId } from './message-names.ts';

/** What can be set for a chat; the `send…` ones also for all chats. */
export type ChatSettings = Omit<ChatSettingsChange, 'chat'>;
export type SettingField = keyof ChatSettings;
type Stamped<T> = Stamp & { readonly value: T };

export type Timer = Stamp & {
  readonly seconds: number;
  readonly version: number;
  /** Who set it; absent in what was kept before this was noted. */
  readonly by?: InteropId;
  /** Id of the setting that was in force where this one was made. */
  readonly replaces?: string;
};

export const timerLimits = {
  /** Settings that none other names as replaced: one for each device that sets at once, and some more. */
  maxOpen: 16,
  /** Settings that were replaced, so that they don't come back when they are heard of late. */
  maxReplaced: 64,
} as const;

export type ChatRecord = {
  /** InteropId of the other person; `defaults` for what holds for all chats. */
  readonly chat: ChatId;
  /** When something was said last, by this device's clock. 0: nothing yet. */
  readonly lastAtMs: number;
  readonly unread: number;
  readonly settings: { readonly [Field in SettingField]?: Stamped<NonNullable<ChatSettings[Field]>> };
  /** The setting in force. */
  readonly timer?: Timer;
  /** What else was set and not replaced, and ids of what was. */
  readonly otherTimers?: { readonly open: readonly Timer[]; readonly replaced: readonly string[] };
  /** What was heard of each device that says something here, by its full address and identity. */
  readonly heard?: Readonly<Record<string, Heard>>;
  /** The same of what this device says itself, as the gatekeeper places it among what its person's devices receive. */
  readonly placed?: Heard;
  /** Not shared: of this device. */
  readonly draft?: string;
  /** What this person has decided about the other, as far as the gatekeeper has said; absent: nothing. */
  readonly contact?: DecisionState;
  /** The own profile that this person was sent last. */
  readonly profileSent?: Stamp;
};

/** Somebody's profile, and when they said so. */
export type ProfileRecord = Stamp & { readonly profile: Profile };

/** Key of the record that holds for all chats. */
export const defaultsKey: ChatId = 'defaults';

export function newChat(chat: ChatId): ChatRecord {
  return { chat, lastAtMs: 0, unread: 0, settings: {} };
}

/** For each field by itself the latest holds. Gives the very same record when nothing is new. */
export function applySettings(record: ChatRecord, change: ChatSettings, stamp: Stamp): ChatRecord {
  const news = settingFields.filter(field => {
    const before = record.settings[field];
    return change[field] !== undefined && (before === undefined || isLater(stamp, before));
  });
  if (news.length === 0) return record;
  const { atMs, id } = stamp;
  const changed = Object.fromEntries(news.map(field => [field, { atMs, id, value: change[field] }]));
  return { ...record, settings: { ...record.settings, ...changed } };
}

const settingFields: readonly SettingField[] = [
  'pinned',
  'mutedUntilMs',
  'archived',
  'sendDelivered',
  'sendRead',
  'sendPlayed',
  'sendTyping',
];

/** The values that are set, without when. */
export function settingsOf(record: ChatRecord | undefined): ChatSettings {
  const entries = Object.entries(record?.settings ?? {}).map(([field, { value }]) => [field, value]);
  return Object.fromEntries(entries) as ChatSettings;
}

/**
 * Of the settings that none other replaces the one with the highest version holds, then the later one: the same in whatever
 * order they come. Whatever somebody writes into version and time, who replaces it by name is heard. Gives the very same
 * record when nothing is new.
 */
export function applyTimer(record: ChatRecord, timer: Timer): ChatRecord {
  const {
    timer: inForce,
    otherTimers: { open: others, replaced: before } = { open: [], replaced: [] },
    ...rest
  } = record;
  const known = inForce === undefined ? others : [inForce, ...others];
  const isKnown = before.includes(timer.id) || known.some(each => isSameTimer(each, timer));
  const isNews = timer.replaces !== undefined && !before.includes(timer.replaces);
  if (isKnown && !isNews) return record;
  const named = isNews ? [...before, timer.replaces].slice(-timerLimits.maxReplaced) : before;
  const open = (isKnown ? known : [...known, timer])
    .filter(each => !named.includes(each.id))
    .sort((a, b) => (isHigherTimer(a, b) ? -1 : 1))
    .slice(0, timerLimits.maxOpen);
  // Those that replace one another leave none: then no timer is set.
  const [first, ...further] = open;
  return { ...rest, ...(first === undefined ? {} : { timer: first }), otherTimers: { open: further, replaced: named } };
}

function isSameTimer(one: Timer, other: Timer): boolean {
  return one.id === other.id && one.version === other.version && one.atMs === other.atMs;
}

function isHigherTimer(timer: Timer, than: Timer): boolean {
  return timer.version === than.version ? isLater(timer, than) : timer.version > than.version;
}

/** Somebody who waits for an answer, or was refused: nothing of this person's reaches them, and nothing of theirs is fetched. */
export function isHeldBack({ contact }: Pick<ChatRecord, 'contact'>): boolean {
  return contact !== undefined && contact !== 'accepted';
}

/**
 * Whether something is said in a chat: its own setting, then the one for all chats, then `fallback`; and nothing to whoever is
 * held back.
 */
export function isOn(
  field: 'sendDelivered' | 'sendRead' | 'sendPlayed' | 'sendTyping',
  chat: ChatRecord | undefined,
  defaults: ChatRecord | undefined,
  fallback: boolean,
): boolean {
  if (chat !== undefined && isHeldBack(chat)) return false;
  return chat?.settings[field]?.value ?? defaults?.settings[field]?.value ?? fallback;
}
