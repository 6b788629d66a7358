// Times, names and kinds as people read them, in the language of the page. Knows nothing of where they stand.
import type { ChatView, MessageView, NoticeLine, PersonView } from '@drawbridge/cli/page/views';
import { locale, named, type StringName, t } from './strings.ts';

export function nameOf({ identifier }: PersonView): string {
  return identifier ?? t('somebody');
}

export function chatName(chat: ChatView): string {
  return chat.isSelf ? t('yourself') : nameOf(chat.person);
}

export function serviceOf({ provider }: PersonView): string {
  return provider ?? t('unknownProvider');
}

export function timeOf(ms: number): string {
  return new Intl.DateTimeFormat(locale(), { hour: '2-digit', minute: '2-digit' }).format(ms);
}

/** A number for each day where the person is. */
export function dayOf(ms: number): number {
  const at = new Date(ms);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
}

export function dayName(ms: number): string {
  const today = dayOf(Date.now());
  const day = dayOf(ms);
  if (day === today) return t('today');
  if (day === dayOf(today - 43_200_000)) return t('yesterday');
  const isThisYear = new Date(ms).getFullYear() === new Date().getFullYear();
  return new Intl.DateTimeFormat(locale(), {
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    ...(isThisYear ? {} : { year: 'numeric' }),
  }).format(ms);
}

/** In the list of chats: the time today, the day before that. */
export function shortTime(ms: number): string {
  if (ms === 0) return '';
  if (dayOf(ms) === dayOf(Date.now())) return timeOf(ms);
  return new Intl.DateTimeFormat(locale(), { day: 'numeric', month: 'short' }).format(ms);
}

export function duration(seconds: number): string {
  const units = [
    ['week', 604_800],
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
    ['second', 1],
  ] as const;
  const [unit, size] = units.find(([, each]) => seconds >= each && seconds % each === 0) ?? units[4];
  return new Intl.NumberFormat(locale(), { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
}

/** Of sound and films: minutes and seconds. */
export function clock(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

export function fileSize(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'] as const;
  const at = bytes < 1_000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const size = bytes / 1_000 ** at;
  const maximumFractionDigits = at === 0 || size >= 100 ? 0 : 1;
  const unitDisplay = at === 0 ? 'long' : 'short';
  const style = { style: 'unit', unit: units[at]!, unitDisplay, maximumFractionDigits } as const;
  return new Intl.NumberFormat(locale(), style).format(size);
}

const kinds: Partial<Record<MessageView['kind'], StringName>> = {
  contacts: 'kindContacts',
  location: 'kindLocation',
  sticker: 'kindSticker',
  'view-once': 'kindViewOnce',
  opened: 'kindOpened',
  unsupported: 'kindUnsupported',
  lost: 'kindLost',
  deleted: 'kindDeleted',
  hidden: 'kindDeleted',
  expired: 'kindExpired',
};

/** What a message is, where its text alone does not say it; empty: it is text. */
export function kindWords(message: MessageView): string {
  if (message.kind === 'attachment') {
    const words = { image: 'kindImage', video: 'kindVideo', voice: 'kindVoice' } as const;
    return message.attachments
      .map(({ kind, name }) => [t(words[kind as keyof typeof words] ?? 'kindFile'), name ?? ''].join(' ').trim())
      .join(', ');
  }
  const name = kinds[message.kind];
  return name === undefined ? '' : t(name);
}

const aboutDevices: ReadonlySet<string> = new Set([
  'own-device-appeared',
  'identity-renewed',
  'people-missing',
  'people-forgone',
]);
const aboutPerson: ReadonlySet<string> = new Set([
  'identity-changed',
  'two-identities',
  'devices-changed',
  'unlisted-device',
  'left-out-device',
  'contact-renamed',
  'contact-unconfirmed',
]);

/** Where something can be done about it: the details of the person, this person's own devices, or nowhere. */
export function noticePlace({ kind, isOwn }: NoticeLine): 'person' | 'devices' | undefined {
  if (aboutDevices.has(kind) || (isOwn && aboutPerson.has(kind))) return 'devices';
  return aboutPerson.has(kind) ? 'person' : undefined;
}

export function noticeWords({ notice }: Pick<MessageView, 'notice'>): string {
  if (notice === undefined) return '';
  const held = notice.needsAcceptance ? named(`notice_${notice.kind}_held`) : undefined;
  const { devices, names } = notice;
  return t(held ?? `notice_${notice.kind}`, { devices, names });
}

/** One line for lists, quotes and announcements. */
export function summary(message: MessageView): string {
  if (message.kind === 'notice') return noticeWords(message);
  const kind = kindWords(message);
  const text = message.text.replaceAll(/\s+/g, ' ').trim();
  return [kind, text].filter(each => each !== '').join(': ');
}
