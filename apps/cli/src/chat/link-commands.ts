// Commands about personal links: made for a stranger, shown as text and as a QR code, listed, revoked; and somebody else's, opened.
// Knows nothing of messages.
import { shownLine } from '@drawbridge/client';
import { type ChatCommand, wordsOf } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { qrGrid, qrLines } from '../qr-code.ts';

async function invite(chat: Conversation, rest: string): Promise<void> {
  const [uses = '1', days = '7', ...more] = wordsOf(rest);
  if (![uses, days].every(each => /^[1-9][0-9]{0,3}$/.test(each)) || more.length > 0) {
    return chat.say('/invite [PEOPLE] [DAYS], for example: /invite 1 7');
  }
  const { link, expiresAtMs } = await chat.client.links.make({ uses: Number(uses), days: Number(days) });
  const code = qrGrid(link, 'low');
  const isDrawn = code !== undefined && chat.screen.sayDrawing(qrLines(code));
  if (!isDrawn) chat.say('a wider terminal shows it as a QR code');
  chat.screen.sayWhole(link);
  const until = new Date(expiresAtMs).toISOString().slice(0, 10);
  chat.say(
    `${uses === '1' ? 'one person' : `${uses} people`} of any service that you let in can come by this until ${until}, without a request. It is not shown again; /invites revokes it`,
  );
}

async function invites(chat: Conversation, rest: string): Promise<void> {
  const { links } = chat.client;
  const made = await links.list();
  const [number, word] = wordsOf(rest);
  const meant = made[Number(number) - 1];
  if (meant !== undefined && word === 'revoke') {
    await links.revoke(meant.id);
    return chat.say('nobody comes by it any more; whoever did stays');
  }
  if (made.length === 0) chat.say('no link of yours is in force');
  for (const [at, { usesLeft, expiresAtMs }] of made.entries()) {
    chat.say(`  ${at + 1}: for ${usesLeft} more, until ${new Date(expiresAtMs).toISOString().slice(0, 16)}Z`);
  }
  if (made.length > 0) chat.say('/invites NUMBER revoke ends one');
  if (await links.required()) chat.say('strangers of other services find you by a link alone (/linkonly off)');
}

async function meet(chat: Conversation, rest: string): Promise<void> {
  const [link = '', word] = wordsOf(rest);
  const { provider, identifier } = await chat.client.links.open(link, { verified: word === 'inperson' });
  if (provider === undefined || identifier === undefined) return;
  chat.peer = { provider, identifier };
  const compared = word === 'inperson' ? ', and their key counts as compared' : '';
  chat.say(`writing to ${shownLine(identifier)} of ${shownLine(provider)}: you are accepted there${compared}`);
}

async function linkOnly(chat: Conversation, rest: string): Promise<void> {
  if (rest !== 'on' && rest !== 'off') return chat.say('/linkonly on, or /linkonly off');
  await chat.client.links.require(rest === 'on');
  chat.say(
    rest === 'on'
      ? 'strangers of other services find you by a link of yours alone; for others you are not there'
      : 'people of services that you let in find you by your name again',
  );
}

export const linkCommands: readonly ChatCommand[] = [
  {
    name: '/invite',
    takes: '[PEOPLE] [DAYS]',
    does: 'a link and a QR code by which somebody comes to you without a request',
    run: invite,
  },
  { name: '/invites', takes: '[NUMBER revoke]', does: 'your links that are in force', run: invites },
  {
    name: '/meet',
    takes: 'LINK [inperson]',
    does: 'come to somebody by their link; inperson: they gave it to you themselves, and their key is compared',
    run: meet,
  },
  {
    name: '/linkonly',
    takes: 'on|off',
    does: 'whether strangers of other services find you by a link alone',
    run: linkOnly,
  },
];
