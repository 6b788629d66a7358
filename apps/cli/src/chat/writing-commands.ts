// Commands that write: answers, reactions, changes of what was written, polls, places. Knows nothing of files.
import { shownLine } from '@drawbridge/client';
import { type ChatCommand, wordsOf } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { degreesIn, numbered, wholeNumberIn } from './numbers.ts';
import { clipped, localTime, shown } from './shown-message.ts';

/** As many as a poll may have (chapter 9.3). */
const maxAnswers = 20;

async function place(chat: Conversation, rest: string): Promise<void> {
  const [north, east, ...name] = wordsOf(rest);
  const latitude = degreesIn(north, 90);
  const longitude = degreesIn(east, 180);
  if (latitude === undefined || longitude === undefined)
    return chat.say('/place LAT LON [NAME]: degrees with a point, for example /place 48.2082 16.3738 Vienna');
  const peer = chat.needPeer();
  if (peer === undefined) return;
  const named = name.length === 0 ? {} : { name: name.join(' ') };
  await chat.send(peer, { kind: 'location', latitude, longitude, ...named });
}

async function poll(chat: Conversation, rest: string): Promise<void> {
  const [question = '', ...options] = rest.split('|').map(part => part.trim());
  const isWhole = question !== '' && options.length >= 2 && !options.includes('');
  if (!isWhole || new Set(options).size < options.length)
    return chat.say('/poll QUESTION | ANSWER | ANSWER …: a question, and at least two different answers');
  const peer = chat.needPeer();
  if (peer !== undefined) await chat.send(peer, { kind: 'poll', question, options });
}

async function versions(chat: Conversation): Promise<void> {
  if (chat.lastOwn === undefined) return chat.say('nothing of yours yet');
  const name = { author: chat.client.me!.interopId, id: chat.lastOwn };
  for (const { text, atMs } of await chat.client.chats.versions(name))
    chat.say(`  ${localTime(atMs)} ${shownLine(text.text)}`);
}

async function listFailed(chat: Conversation): Promise<void> {
  const failed = await chat.failed();
  chat.listedFailed = failed;
  for (const [index, { message, to }] of failed.entries()) {
    const { sentAtMs, text, failure } = message;
    const why = `${failure?.code}: ${shownLine(failure?.detail ?? '')}`;
    chat.say(`  ${index + 1}  ${localTime(sentAtMs)} to ${shownLine(to)}: ${shownLine(text)} (${why})`);
  }
  chat.say(failed.length === 0 ? 'nothing of yours has failed' : '/resend N sends one again, /drop N lets it go');
}

/** A number means the list that was shown last: what fails meanwhile does not move it. Without one, the only one is meant. */
async function resendOrDrop(chat: Conversation, rest: string, act: 'resend' | 'drop'): Promise<void> {
  const number = rest === '' ? undefined : rest;
  const failed = number === undefined ? await chat.failed() : (chat.listedFailed ?? []);
  const one = number === undefined && failed.length > 1 ? undefined : numbered(failed, number ?? '1');
  if (one === undefined) return chat.say(`/failed lists them, then /${act} NUMBER`);
  await chat.client.chats[act](one.message.id);
  chat.say(`${act === 'resend' ? 'on its way again' : 'let go'}: ${clipped(one.message.text, 60)}`);
}

async function vote(chat: Conversation, rest: string): Promise<void> {
  if (chat.lastPoll === undefined) return chat.say('there is no poll yet');
  const words = rest === 'none' ? [] : wordsOf(rest);
  const chosen = words.map(word => wholeNumberIn(word, 1, maxAnswers)).filter(number => number !== undefined);
  if (rest === '' || chosen.length < words.length)
    return chat.say('/vote 1 2 …: numbers of answers; /vote none takes your vote back');
  await chat.client.chats.vote(
    chat.lastPoll,
    chosen.map(number => number - 1),
  );
}

export const writingCommands: readonly ChatCommand[] = [
  {
    name: '/reply',
    takes: 'TEXT',
    does: 'answer their last message',
    run: async (chat, rest) => {
      if (rest === '') chat.say('/reply TEXT: answers their last message');
      else if (chat.lastTheirs === undefined) chat.say('nothing to answer yet');
      else await chat.send(chat.lastTheirs.from, { text: rest, replyTo: chat.lastTheirs });
    },
  },
  {
    name: '/react',
    takes: 'EMOJI|none',
    does: 'react to their last message, or take that back',
    run: async (chat, rest) => {
      if (rest === '') chat.say('/react EMOJI, or /react none: takes your reaction back');
      else if (chat.lastTheirs === undefined) chat.say('nothing to react to yet');
      else await chat.client.chats.react(chat.lastTheirs, rest === 'none' ? '' : rest);
    },
  },
  {
    name: '/open',
    takes: '',
    does: 'see their last message, when it can be seen once',
    run: async chat => {
      if (chat.lastTheirs?.kind !== 'view-once') chat.say('there is nothing to be seen once');
      else chat.say(`  ${shown(await chat.client.chats.openOnce(chat.lastTheirs))}`);
    },
  },
  {
    name: '/edit',
    takes: 'TEXT',
    does: 'change your last message',
    run: async (chat, rest) => {
      if (rest === '') chat.say('/edit TEXT: what your last message is to say');
      else if (chat.lastOwn === undefined) chat.say('nothing of yours to edit yet');
      else await chat.client.chats.edit(chat.lastOwn, { text: rest });
    },
  },
  {
    name: '/hide',
    takes: '',
    does: 'delete their last message on your devices alone',
    run: async chat => {
      if (chat.lastTheirs === undefined) return chat.say('nothing of theirs yet');
      await chat.client.chats.hide(chat.lastTheirs);
      chat.say('it is gone from your devices; they keep theirs');
    },
  },
  {
    name: '/delete',
    takes: '',
    does: 'delete your last message for everybody',
    run: async chat => {
      if (chat.lastOwn === undefined) chat.say('nothing of yours to delete yet');
      else await chat.client.chats.delete(chat.lastOwn);
    },
  },
  { name: '/versions', takes: '', does: 'what your last message said before you changed it', run: versions },
  {
    name: '/once',
    takes: 'TEXT',
    does: 'send what may be seen once',
    run: async (chat, rest) => {
      if (rest === '') return chat.say('/once TEXT: what they may see once');
      const peer = chat.needPeer();
      if (peer !== undefined) await chat.send(peer, { text: rest, viewOnce: true });
    },
  },
  { name: '/poll', takes: 'Q | A | B …', does: 'ask a question with answers to choose from', run: poll },
  {
    name: '/vote',
    takes: '1 2 …|none',
    does: 'choose in the last poll',
    run: vote,
  },
  {
    name: '/close',
    takes: '',
    does: 'end your last poll',
    run: async chat => {
      if (chat.lastPoll === undefined) chat.say('there is no poll yet');
      else await chat.client.chats.closePoll(chat.lastPoll.id);
    },
  },
  { name: '/place', takes: 'LAT LON [NAME]', does: 'send a place', run: place },
  { name: '/failed', takes: '', does: 'your messages that could not be sent', run: listFailed },
  {
    name: '/resend',
    takes: '[N]',
    does: 'send the Nth of them again',
    run: async (chat, rest) => resendOrDrop(chat, rest, 'resend'),
  },
  {
    name: '/drop',
    takes: '[N]',
    does: 'let the Nth of them go',
    run: async (chat, rest) => resendOrDrop(chat, rest, 'drop'),
  },
];
