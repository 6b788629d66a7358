// Messages and chats as a line of text. Everything that others wrote is shown as text alone: control characters never reach
// the terminal. Knows nothing of events.
import { type Chat, type MessageRecord, shownLine, type ShownQuote } from '@drawbridge/client';
import type { AttachmentPointer } from '@drawbridge/e2ee/content-attachment';
import { spanWords } from './spans.ts';

const shownBars = 24;

/** The beginning of what somebody wrote. */
export function clipped(text: string, count: number): string {
  const line = shownLine(text);
  return line.length <= count ? line : `${line.slice(0, count - 1)}…`;
}

/** Day and time where this terminal is, as `2026-03-29 01:59:30`: what was said long ago shows when. */
export function localTime(ms: number): string {
  const at = new Date(ms);
  const date = [at.getFullYear(), at.getMonth() + 1, at.getDate()];
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()];
  const digits = (numbers: readonly number[]): string[] => numbers.map(each => String(each).padStart(2, '0'));
  return `${digits(date).join('-')} ${digits(time).join(':')}`;
}

/** `me`: the InteropId of the person at the terminal; the chat with oneself has what concerns no other. */
export function chatLine(chat: Chat, me: string | undefined): string {
  const marks = [
    chat.with.interopId === me ? 'yourself' : '',
    chat.pinned ? 'pinned' : '',
    chat.muted ? 'muted' : '',
    chat.unread > 0 ? `${chat.unread} unread` : '',
    chat.missing > 0 ? `${chat.missing} have not come` : '',
    chat.timerSeconds > 0 ? `messages vanish after ${spanWords(chat.timerSeconds)}` : '',
  ].filter(mark => mark !== '');
  const said = chat.profile?.displayName ?? '';
  const name = `${shownLine(chat.with.identifier ?? 'somebody')}${said === '' ? '' : ` “${shownLine(said)}”`}`;
  const last = chat.lastMessage === undefined ? '' : clipped(shown(chat.lastMessage), 60);
  return `${name}${marks.length === 0 ? '' : ` (${marks.join(', ')})`}: ${last}`;
}

/** Whether and when a message vanishes, for behind it; empty: it stays. */
export function timerWords({ expiresAfterSeconds, expiresAtMs }: MessageRecord): string {
  if (expiresAfterSeconds === undefined) return '';
  if (expiresAtMs === undefined) return ` (vanishes ${spanWords(expiresAfterSeconds)} after it was read)`;
  return ` (vanishes about ${localTime(expiresAtMs)})`;
}

export function shown(message: MessageRecord): string {
  const quoted = message.replyTo === undefined ? '' : `${quote(message.replyTo)} ← `;
  const reactions = Object.values(message.reactions ?? {})
    .map(shownLine)
    .join('');
  return `${quoted}${shownBody(message)}${message.edited === true ? ' (edited)' : ''}${reactions === '' ? '' : ` [${reactions}]`}`;
}

function quote({ original, excerpt }: ShownQuote): string {
  if (original === 'gone') return '“(deleted)”';
  const words = excerpt === '' ? '' : `“${clipped(excerpt, 40)}” `;
  return original === 'here' ? words.trimEnd() : `${words}(a message that is not here)`;
}

function shownBody(message: MessageRecord): string {
  const text = shownLine(message.text);
  switch (message.kind) {
    case 'text':
      return text;
    case 'attachment':
      return `[${message.body?.kind === 'attachment' ? message.body.attachments.map(shownAttachment).join(', ') : 'file'}] ${text}`;
    case 'contacts':
      return `[contact] ${text}`;
    case 'location':
      return `[place] ${text}`;
    case 'sticker':
      return `[sticker] ${text}`;
    case 'poll':
      return pollLine(message);
    case 'view-once':
      return '[to be seen once: /open]';
    case 'opened':
      return '[was seen once]';
    case 'unsupported':
      return `[your app can’t show this yet] ${text}`;
    case 'lost':
      return '[a message that could not be read, and could not be had again]';
    case 'notice':
      return `[! ${text}]`;
    case 'deleted':
    case 'expired':
    case 'hidden':
      return '[deleted]';
    default:
      // Every kind that is shown has words.
      return text;
  }
}

/** Kind and measures. Everything in it is a number or one of our own words. */
function shownAttachment(pointer: AttachmentPointer): string {
  const { kind, width, height, durationMs, waveform, animated } = pointer;
  const parts: string[] = [kind];
  if (width !== undefined && height !== undefined) parts.push(`${width}×${height}`);
  if (durationMs !== undefined) {
    const seconds = Math.round(durationMs / 1_000);
    parts.push(`${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`);
  }
  if (waveform !== undefined && waveform.length > 0) parts.push(bars(waveform));
  if (animated === true) parts.push('moving');
  return parts.join(' ');
}

/** A waveform in one line: its pieces, each as loud as its loudest step. */
function bars(waveform: Uint8Array): string {
  const count = Math.min(waveform.length, shownBars);
  const pieces = Array.from({ length: count }, (_, at) =>
    waveform.subarray(Math.floor((at * waveform.length) / count), Math.floor(((at + 1) * waveform.length) / count)),
  );
  return pieces.map(piece => '▁▂▃▄▅▆▇█'[Math.max(...piece) >> 5]).join('');
}

function pollLine({ body, poll }: MessageRecord): string {
  if (body?.kind !== 'poll') return '[poll]';
  const votes = Object.values(poll?.votes ?? {}).flat();
  const options = body.options.map((option, at) => {
    const count = votes.filter(vote => vote === at).length;
    return `${at + 1} ${shownLine(option)}${count === 0 ? '' : ` (${count})`}`;
  });
  return `[poll${poll?.closed === true ? ', closed' : ''}] ${shownLine(body.question)} ${options.join(', ')}`;
}
