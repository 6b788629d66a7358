// The state of a chat: settings that all devices of a person share, the timer for disappearing messages, what is unread.
// Pure: joins changes that may come in any order, twice. Knows nothing of storage, messages or who asks.
// Source: docs/protocol/09-content.md section 9.9.
import type { ChatSettingsChange, Overruled, OwnDecisionState, Profile } from '@drawbridge/e2ee/content-kinds';
import type { InteropId } from '@drawbridge/wire/jid';
import type { Heard } from './gaps.ts';
import type { DecisionState } from '../directory/contact-decisions.ts';
import type { ChatId, MessageId } from './message-names.ts';
import { isLater, type Stamp } from './stamp.ts';

/** What can be set for a chat; the `send…` ones also for all chats. */
export type ChatSettings = Omit<ChatSettingsChange, 'chat'>;
export type SettingField = keyof ChatSettings;
type Stamped<T> = Stamp & { readonly value: T };

export type Timer = Stamp & {
  readonly seconds: number;
  readonly version: number;
  /** Who set it. */
  readonly by: InteropId;
  /** Id of the other person's setting that was the last one known where this one was made. */
  readonly replaces?: string;
};

/** What holds about somebody; `none`: nothing was decided. */
export type Standing = DecisionState | 'none';

/** What a device of this person decided, and when; `none`: a block was taken back. */
export type OwnDecision = Stamp & { readonly state: OwnDecisionState };

/** What the gatekeeper says, laxer than what holds, and no own device has said so. `isTold`: the person was told. */
export type Claim = { readonly state: Standing; readonly isTold?: true };

export type ChatRecord = {
  /** InteropId of the other person; `defaults` for what holds for all chats. */
  readonly chat: ChatId;
  /** When something was said last, by this device's clock. 0: nothing yet. */
  readonly lastAtMs: number;
  readonly unread: number;
  readonly settings: { readonly [Field in SettingField]?: Stamped<NonNullable<ChatSettings[Field]>> };
  /** The setting in force. */
  readonly timer?: Timer;
  /** The last one of whoever did not set the one in force. */
  readonly otherTimer?: Timer;
  /** What was heard of each device that says something here, by its full address and identity. */
  readonly heard?: Readonly<Record<string, Heard>>;
  /** The same of what this device says itself, as the gatekeeper places it among what its person's devices receive. */
  readonly placed?: Heard;
  /** Not shared: of this device. */
  readonly draft?: string;
  /** What holds about the other (`standing.ts`); absent: nothing was decided. */
  readonly contact?: DecisionState;
  /** Present while that is the gatekeeper's word alone: the last stamp given or heard here when it came. */
  readonly heldAtMs?: number;
  /** What this person's devices have decided last. */
  readonly decided?: OwnDecision;
  readonly claim?: Claim;
  /** Their latest messages that came while nothing was said to them: acknowledged once they are accepted. */
  readonly owed?: readonly MessageId[];
  /** The own profile that this person was sent last. */
  readonly profileSent?: Stamp;
  /** What they said and what does not count here: they are told with what is said to them next. */
  readonly overruled?: readonly Overruled[];
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
  'separateInbox',
];

/** The values that are set, without when. */
export function settingsOf(record: ChatRecord | undefined): ChatSettings {
  const entries = Object.entries(record?.settings ?? {}).map(([field, { value }]) => [field, value]);
  return Object.fromEntries(entries) as ChatSettings;
}

/**
 * Of each of the two who talk the latest setting is kept, so that nothing is ever cut. Of these two holds the one that names
 * the other; when neither does, or both, the one of the higher version, then the later one. So the record is a function of
 * the settings that were heard, in whatever order, and no version or time withstands whoever names it. Gives the very same
 * record when nothing is new.
 */
export function applyTimer(record: ChatRecord, timer: Timer): ChatRecord {
  const { timer: inForce, otherTimer, ...rest } = record;
  const known = [inForce, otherTimer].filter(each => each !== undefined);
  const before = known.find(({ by }) => by === timer.by);
  if (before !== undefined && compared(ownOrder(timer), ownOrder(before)) <= 0) return record;
  const other = known.find(({ by }) => by !== timer.by);
  if (other === undefined) return { ...rest, timer };
  return prevails(timer, other) ? { ...rest, timer, otherTimer: other } : { ...rest, timer: other, otherTimer: timer };
}

function prevails(one: Timer, other: Timer): boolean {
  const [isNaming, isNamed] = [one.replaces === other.id, other.replaces === one.id];
  if (isNaming !== isNamed) return isNaming;
  return compared([one.version, one.atMs, one.id, one.by], [other.version, other.atMs, other.id, other.by]) > 0;
}

/** What one person says: by the stamp; the rest tells two contents under one id apart, which only who cheats makes. */
function ownOrder({ atMs, id, version, seconds, replaces = '' }: Timer): readonly (number | string)[] {
  return [atMs, id, version, seconds, replaces];
}

/** Below 0: `one` comes first. Both hold values of the same types. */
function compared(one: readonly (number | string)[], other: readonly (number | string)[]): number {
  for (const [at, value] of one.entries()) {
    if (value !== other[at]) return value < other[at]! ? -1 : 1;
  }
  return 0;
}

/** Somebody who waits for an answer, or was refused: nothing of this person's reaches them, and nothing of theirs is fetched. */
export function isHeldBack({ contact }: Pick<ChatRecord, 'contact'>): boolean {
  return contact !== undefined && contact !== 'accepted';
}

/** Nothing of theirs is read, either, until that is lifted. */
export function isRefused({ contact }: Pick<ChatRecord, 'contact'>): boolean {
  return contact === 'denied' || contact === 'blocked';
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
