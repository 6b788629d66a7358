// The messages of the chat that is open, and how events change them. The process is the source: what can't be had now is asked
// for again. Knows nothing of how they are shown.
import { signal } from '@preact/signals';
import type { PlacedMessage } from '@drawbridge/cli/page/protocol';
import type { MessageView } from '@drawbridge/cli/page/views';
import { gathered, quietly } from './calls.ts';

const messagesPerPage = 60;
const newestMessages = 40;
/** A quoted message that lies further back is not looked for. */
const mostPagesBack = 50;

export type OpenMessages = {
  readonly chat: string;
  /** Oldest first. */
  readonly rows: readonly PlacedMessage[];
  readonly isWhole: boolean;
  /** What comes now follows the last row; otherwise later ones lie in between. */
  readonly isNewest: boolean;
  /** Somebody came here for this one. */
  readonly target?: string;
};
export const messages = signal<OpenMessages | undefined>(undefined);

export const keyOf = ({ author, id }: { readonly author: string; readonly id: string }): string => `${author} ${id}`;

/** Later ones win; oldest first. */
function merged(rows: readonly PlacedMessage[], more: readonly PlacedMessage[]): PlacedMessage[] {
  const byKey = new Map([...rows, ...more].map(row => [keyOf(row.message), row]));
  return [...byKey.values()].sort((a, b) => a.sequence - b.sequence);
}

/** The newest page of a chat, from nothing. */
export async function openMessages(chat: string): Promise<void> {
  if (messages.value?.chat !== chat) messages.value = { chat, rows: [], isWhole: false, isNewest: true };
  const row = wanted?.message.chat === chat ? wanted : undefined;
  wanted = undefined;
  if (row !== undefined) return openAround(chat, row);
  const rows = await quietly('chats.messages', { chat, limit: messagesPerPage });
  if (rows === undefined || messages.value?.chat !== chat) return;
  messages.value = { chat, rows: merged([], rows), isWhole: rows.length < messagesPerPage, isNewest: true };
}

let wanted: PlacedMessage | undefined;

/** To where a message stands, in whichever chat: at once where that is open, otherwise when it is opened next. */
export function jumpTo(row: PlacedMessage): void {
  wanted = row;
  if (messages.value?.chat === row.message.chat) void openMessages(row.message.chat);
}

/** To a message of which only the name is known, in the chat that is open: as far back as it takes. */
export async function jumpToName(name: { readonly author: string; readonly id: string }): Promise<boolean> {
  for (let pages = 0; pages < mostPagesBack; pages++) {
    const row = messages.value?.rows.find(({ message }) => keyOf(message) === keyOf(name));
    if (row !== undefined) {
      jumpTo(row);
      return true;
    }
    if (messages.value?.isWhole !== false) return false;
    await loadEarlier();
  }
  return false;
}

async function openAround(chat: string, row: PlacedMessage): Promise<void> {
  const { sequence } = row;
  const [earlier, later] = await Promise.all([
    quietly('chats.messages', { chat, limit: messagesPerPage, before: sequence + 1 }),
    quietly('chats.messages', { chat, limit: messagesPerPage, after: sequence }),
  ]);
  if (earlier === undefined || later === undefined || messages.value?.chat !== chat) return;
  messages.value = {
    chat,
    rows: merged(earlier, later),
    isWhole: earlier.length < messagesPerPage,
    isNewest: later.length < messagesPerPage,
    target: keyOf(row.message),
  };
}

/** It was shown: nobody is led there again. */
export function reached(): void {
  const open = messages.value;
  if (open?.target === undefined) return;
  const { target: _, ...rest } = open;
  messages.value = rest;
}

let laterOf: string | undefined;

export async function loadLater(): Promise<void> {
  const open = messages.value;
  const after = open?.rows.at(-1)?.sequence;
  if (open === undefined || open.isNewest || after === undefined || laterOf === open.chat) return;
  laterOf = open.chat;
  const rows = await quietly('chats.messages', { chat: open.chat, limit: messagesPerPage, after });
  laterOf = undefined;
  const now = messages.value;
  if (rows === undefined || now?.chat !== open.chat || now.rows.at(-1)?.sequence !== after) return;
  messages.value = { ...now, rows: merged(now.rows, rows), isNewest: rows.length < messagesPerPage };
}

let earlierOf: string | undefined;

export async function loadEarlier(): Promise<void> {
  const open = messages.value;
  const before = open?.rows[0]?.sequence;
  if (open === undefined || open.isWhole || before === undefined || earlierOf === open.chat) return;
  earlierOf = open.chat;
  const rows = await quietly('chats.messages', { chat: open.chat, limit: messagesPerPage, before });
  earlierOf = undefined;
  const now = messages.value;
  if (rows === undefined || now?.chat !== open.chat) return;
  messages.value = { ...now, rows: merged(rows, now.rows), isWhole: rows.length < messagesPerPage };
}

const loadNewest = gathered(async () => {
  const chat = messages.value?.chat;
  if (chat === undefined || messages.value?.isNewest === false) return;
  const rows = await quietly('chats.messages', { chat, limit: newestMessages });
  const now = messages.value;
  if (rows === undefined || now?.chat !== chat) return;
  const known = new Set(now.rows.map(row => keyOf(row.message)));
  // More came than one page: what lies between is not here.
  const isGap =
    now.rows.length > 0 && rows.length === newestMessages && !rows.some(row => known.has(keyOf(row.message)));
  if (isGap) await openMessages(chat);
  else messages.value = { ...now, rows: merged(now.rows, rows) };
});

export function takeMessage(change: string, message: MessageView): void {
  const open = messages.value;
  if (open?.chat !== message.chat) return;
  const at = open.rows.findIndex(row => keyOf(row.message) === keyOf(message));
  if (change === 'removed') {
    messages.value = { ...open, rows: open.rows.filter((_, index) => index !== at) };
  } else if (at === -1) {
    loadNewest();
  } else {
    messages.value = { ...open, rows: open.rows.with(at, { ...open.rows[at]!, message }) };
  }
}
