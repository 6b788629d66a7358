// Commands about oneself: name, devices, receipts, disappearing messages. Knows nothing of other people's devices.
import { noticeWords, shownLine } from '@drawbridge/client';
import type { ChatCommand } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { wholeNumberIn } from './numbers.ts';
import { localTime } from './shown-message.ts';
import { parseSpan } from './spans.ts';

/** libsignal's range. */
const maxDeviceId = 127;

async function devices(chat: Conversation): Promise<void> {
  for (const { deviceId } of await chat.client.devices.list()) {
    chat.say(`  device ${deviceId}${deviceId === chat.client.me?.deviceId ? ' (this one)' : ''}`);
  }
}

async function link(chat: Conversation, rest: string): Promise<void> {
  if (rest === '') return chat.say('/link CODE: the code that the new device shows');
  const { requestCode, answerCode, peopleToFollow, confirm } = await chat.client.devices.readLink(rest);
  chat.say(`Does the new device show ${requestCode}? Type yes, or anything else to stop.`);
  if ((await chat.screen.nextLine()) !== 'yes') return chat.say('not linked: nothing has left this device');
  const ticket = await confirm({ history: true });
  chat.say('type this on the new device:');
  chat.screen.sayWhole(ticket);
  chat.say(`confirm there only when it shows ${answerCode}`);
  if (peopleToFollow > 0)
    chat.say(`then keep this device connected: ${peopleToFollow} people whom you know go to the new one by and by`);
}

function goOn(chat: Conversation, rest: string): void {
  const toCome = chat.client.devices.peopleToCome();
  if (toCome === undefined) return chat.say('nobody is missing: this device knows whom your others knew when it came');
  if (rest === 'without') {
    chat.client.devices.forgoPeople();
    return chat.say('gone on without them: compare safety numbers again with those whom you had verified');
  }
  chat.say(`your device ${toCome.deviceId} is still to tell of ${toCome.count} people: connect it, or`);
  chat.say('/missing without, when it is lost: anybody’s first key counts then');
}

async function remove(chat: Conversation, rest: string): Promise<void> {
  const [number = '', word, ...more] = rest.split(' ').filter(each => each !== '');
  const deviceId = wholeNumberIn(number, 1, maxDeviceId);
  const isInHand = word === 'in-hand';
  const isUsable = (word === undefined || isInHand) && more.length === 0;
  if (deviceId === undefined || !isUsable)
    return chat.say('/remove NUMBER: one of /devices; /remove NUMBER in-hand when you hold and wipe it');
  const { linkAgain } = await chat.client.devices.remove(deviceId, { renewIdentity: !isInHand });
  if (isInHand) return chat.say(`device ${deviceId} is removed. It has held your key: wipe it`);
  chat.say(`device ${deviceId} is removed, and your key is a fresh one: people who compared the old one are asked`);
  if (linkAgain.length > 0) chat.say(`link again, in new folders: devices ${linkAgain.join(', ')}`);
}

function notices(chat: Conversation, rest: string): void {
  const listed = chat.client.notices.list();
  if (rest === 'seen') {
    for (const notice of listed) chat.client.notices.acknowledge(notice);
    return chat.say('they are not listed again; the chats that they concern have them');
  }
  for (const { atMs, times, change } of listed) {
    const who = chat.client.contacts
      .list()
      .find(each => 'interopId' in change && each.interopId === change.interopId)?.identifier;
    const about = who === undefined ? '' : `${shownLine(who)}: `;
    chat.say(`  ${localTime(atMs)} ${about}${shownLine(noticeWords(change))}${times > 1 ? ` (${times} times)` : ''}`);
  }
  chat.say(
    listed.length === 0 ? 'nothing has happened that you have not seen' : '/notices seen, when you have read them',
  );
}

async function disappear(chat: Conversation, rest: string): Promise<void> {
  const seconds = parseSpan(rest);
  if (seconds === undefined) return chat.say('/disappear 30s, 5m, 12h, 3d or 2w; /disappear off: messages stay');
  const peer = chat.needPeer();
  if (peer !== undefined) await chat.client.chats.setTimer(peer, seconds);
}

async function rename(chat: Conversation, rest: string): Promise<void> {
  if (rest === '') return chat.say('/name NAME: what people are to see');
  await chat.client.account.setProfile({ displayName: rest });
}

async function receipts(chat: Conversation, rest: string): Promise<void> {
  if (rest !== 'on' && rest !== 'off') return chat.say('/receipts on, or /receipts off');
  await chat.client.chats.setDefaults({ sendRead: rest === 'on', sendPlayed: rest === 'on' });
  chat.say(rest === 'on' ? 'people learn that you have read their messages' : 'nobody learns that any more');
}

export const ownCommands: readonly ChatCommand[] = [
  {
    name: '/disappear',
    takes: 'TIME|off',
    does: 'messages from now on vanish so long after they were read: 30s, 5m, 12h, 3d, 2w',
    run: disappear,
  },
  { name: '/name', takes: 'NAME', does: 'what people see as your name', run: rename },
  {
    name: '/receipts',
    takes: 'on|off',
    does: 'whether people learn that you have read their messages',
    run: receipts,
  },
  {
    name: '/notices',
    takes: '[seen]',
    does: 'changes of keys, devices and names, and faults, that you have not seen',
    run: notices,
  },
  { name: '/devices', takes: '', does: 'your devices', run: devices },
  { name: '/link', takes: 'CODE', does: 'let another device of yours in', run: link },
  {
    name: '/remove',
    takes: 'NUMBER [in-hand]',
    does: 'remove another device of yours, and take a fresh key unless it is in your hand',
    run: remove,
  },
  {
    name: '/missing',
    takes: '[without]',
    does: 'on a new device: people of whom the other is still to tell; go on without them',
    run: goOn,
  },
  {
    name: '/sync',
    takes: '',
    does: 'on a new device: get the history from your others',
    run: async chat => chat.client.devices.requestHistory(),
  },
];
