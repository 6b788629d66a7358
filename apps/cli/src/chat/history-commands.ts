// Commands that look back and look around: history, search, the list of chats and its switches. Knows nothing of sending.
import { shownLine } from '@drawbridge/client';
import type { ChatCommand } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { wholeNumberIn } from './numbers.ts';
import { chatLine, localTime, shown, timerWords } from './shown-message.ts';

const shownResults = 20;
const defaultRows = 20;
const maxRows = 500;

async function history(chat: Conversation, rest: string): Promise<void> {
  const limit = rest === '' ? defaultRows : wholeNumberIn(rest, 1, maxRows);
  if (limit === undefined) return chat.say(`/history, or /history N: the last N, 1 to ${maxRows}`);
  const rows = await chat.client.chats.messages({ limit, ...(chat.peer === undefined ? {} : { chat: chat.peer }) });
  for (const { message } of rows.toReversed()) {
    if (message.kind === 'notice') {
      chat.say(`  ${localTime(message.sentAtMs)} ${shown(message)}`);
      continue;
    }
    const own = message.author === chat.client.me?.interopId;
    const name = own ? 'you' : (message.from.identifier ?? 'somebody');
    const state = own ? ` (${message.state ?? ''})` : '';
    chat.say(`  ${localTime(message.sentAtMs)} ${shownLine(name)}: ${shown(message)}${state}${timerWords(message)}`);
  }
}

async function search(chat: Conversation, words: string): Promise<void> {
  if (words === '') return chat.say('/search WORDS: all of them stand in what is found');
  let found = 0;
  for await (const { message } of chat.client.chats.search(words)) {
    chat.say(`  ${localTime(message.sentAtMs)} ${shownLine(message.from.identifier ?? 'somebody')}: ${shown(message)}`);
    if (++found === shownResults) break;
  }
  if (found === 0) chat.say('  nothing found');
}

/** What is on goes off. */
async function flip(chat: Conversation, what: 'pin' | 'mute' | 'archive'): Promise<void> {
  const peer = chat.needPeer();
  if (peer === undefined) return;
  const { chats, contacts } = chat.client;
  const { interopId } = await contacts.find(peer.provider, peer.identifier);
  const listed = [...(await chats.list({ limit: 200 })), ...(await chats.list({ archived: true }))];
  const now = listed.find(each => each.with.interopId === interopId);
  if (what === 'pin') await chats.set(peer, { pinned: now?.pinned !== true });
  if (what === 'archive') await chats.set(peer, { archived: now?.archived !== true });
  if (what === 'mute') await chats.set(peer, { mutedUntilMs: now?.muted === true ? 0 : Number.MAX_SAFE_INTEGER });
}

export const historyCommands: readonly ChatCommand[] = [
  { name: '/history', takes: '[N]', does: 'the last messages with whom you write to', run: history },
  { name: '/search', takes: 'WORDS', does: 'look through all messages', run: search },
  {
    name: '/chats',
    takes: '',
    does: 'whom you talk to',
    run: async chat => {
      const me = chat.client.me?.interopId;
      for (const each of await chat.client.chats.list()) chat.say(`  ${chatLine(each, me)}`);
    },
  },
  { name: '/pin', takes: '', does: 'keep this chat on top, or no longer', run: async chat => flip(chat, 'pin') },
  { name: '/mute', takes: '', does: 'mute this chat, or no longer', run: async chat => flip(chat, 'mute') },
  {
    name: '/dismiss',
    takes: '',
    does: 'forget what has not come in this chat',
    run: async chat => {
      const peer = chat.needPeer();
      if (peer !== undefined) await chat.client.chats.dismissMissing(peer);
    },
  },
  { name: '/archive', takes: '', does: 'put this chat aside, or no longer', run: async chat => flip(chat, 'archive') },
];
