// Commands about people: whom to write to, who may reach one, whose key is whose. Knows nothing of messages.
import { reportCategories, shownLine } from '@drawbridge/client';
import { clipped, shown } from './shown-message.ts';
import { type ChatCommand, wordsOf } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { numbered, wholeNumberIn } from './numbers.ts';

async function writeTo(chat: Conversation, rest: string): Promise<void> {
  const [provider, ...name] = wordsOf(rest);
  if (provider === undefined || name.length === 0) {
    chat.say('/to PROVIDER NAME, for example: /to citadel.example bob');
    return;
  }
  chat.meant = provider;
  const found = await chat.client.contacts.find(provider, name.join(' '));
  const { provider: known = provider, identifier = name.join(' ') } = found;
  chat.peer = { provider: known, identifier };
  chat.say(`writing to ${shownLine(identifier)} of ${shownLine(known)}: ${disclosure(known)}`);
}

/** Honest words about who takes part, for whoever is written to. */
function disclosure(provider: string): string {
  return `end-to-end encrypted; the gatekeeper sees that you write, not what; ${shownLine(provider)} has its own rules for what its app keeps`;
}

async function consent(chat: Conversation): Promise<void> {
  for (const { name, number, optedIn } of await chat.client.account.consent()) {
    chat.say(`  ${shownLine(name)} (${number}): ${optedIn ? 'its people may reach you' : 'off'}`);
  }
}

async function optIn(chat: Conversation, rest: string): Promise<void> {
  if (rest === '') return chat.say('/optin PROVIDER: one of /consent');
  await chat.client.account.optIn(rest);
  chat.say(
    `people of ${shownLine(rest)} can reach you now, and you them. Their service has its own rules for their copies.`,
  );
}

async function optOut(chat: Conversation, rest: string): Promise<void> {
  if (rest === '') return chat.say('/optout PROVIDER: one of /consent');
  await chat.client.account.optOut(rest);
  chat.say(`people of ${shownLine(rest)} can't reach you any more`);
}

async function safety(chat: Conversation): Promise<void> {
  const peer = chat.needPeer();
  if (peer !== undefined) chat.say((await chat.client.identities.safetyNumber(peer)).formatted);
}

async function verify(chat: Conversation): Promise<void> {
  const peer = chat.needPeer();
  if (peer === undefined) return;
  const { identities } = chat.client;
  await identities.setVerified(peer, (await identities.get(peer)).identityKey);
  chat.say('verified: if their key changes, nothing is sent before you accept it');
}

async function accept(chat: Conversation): Promise<void> {
  const peer = chat.needPeer();
  if (peer === undefined) return;
  const { pending } = await chat.client.identities.get(peer);
  if (pending !== undefined) return chat.client.identities.accept(peer, pending.identityKey);
  await chat.client.contacts.accept(peer);
  chat.say(`${shownLine(peer.identifier)} may write to you`);
}

async function requests(chat: Conversation): Promise<void> {
  const waiting = await chat.client.contacts.requests();
  if (waiting.length === 0) return chat.say('nobody waits for your decision');
  for (const { provider, identifier } of waiting) {
    chat.say(`  ${shownLine(identifier ?? 'somebody')} of ${shownLine(provider ?? 'an unknown provider')}`);
  }
  chat.say('/to PROVIDER NAME, then /accept, /deny or /block; to answer is to accept. Nobody is told about a refusal');
}

async function shutOut(chat: Conversation, how: 'deny' | 'block' | 'unblock'): Promise<void> {
  const peer = chat.needPeer();
  if (peer === undefined) return;
  await chat.client.contacts[how](peer);
  const name = shownLine(peer.identifier);
  chat.say(
    how === 'unblock' ? `${name} is not blocked any more` : `nothing of ${name} comes any more; they are not told`,
  );
}

async function shutOutProvider(chat: Conversation, rest: string, how: 'block' | 'unblock'): Promise<void> {
  const { contacts } = chat.client;
  if (rest === '') {
    const blocked = contacts.blockedProviders();
    if (blocked.length === 0) chat.say('no provider is blocked');
    for (const { number, name } of blocked) chat.say(`  ${shownLine(name ?? 'a provider')} (${number})`);
    return;
  }
  const provider = /^[0-9]{1,5}$/.test(rest) ? Number(rest) : rest;
  if (how === 'block') await contacts.blockProvider(provider);
  else await contacts.unblockProvider(provider);
  chat.say(
    how === 'block'
      ? `nothing of anybody of ${shownLine(rest)} comes any more; they are not told`
      : `people of ${shownLine(rest)} are as they were before`,
  );
}

async function reject(chat: Conversation): Promise<void> {
  const peer = chat.needPeer();
  if (peer === undefined) return;
  const { pending } = await chat.client.identities.get(peer);
  if (pending === undefined) return chat.say('there is no changed key to refuse');
  await chat.client.identities.reject(peer, pending.identityKey);
  chat.say('refused: you go on under the key that you compared');
}

async function moved(chat: Conversation, rest: string): Promise<void> {
  const { contacts } = chat.client;
  const moves = contacts.moves();
  const [number, word] = wordsOf(rest);
  const move = numbered(moves, number);
  if (move === undefined || (word !== 'yes' && word !== 'no')) {
    if (moves.length === 0) chat.say('no name waits for your decision');
    for (const [at, { provider, identifier }] of moves.entries()) {
      chat.say(
        `  ${at + 1}: ${shownLine(identifier)} of ${shownLine(provider)} is said to be another person than you know by this name`,
      );
    }
    if (moves.length > 0) chat.say('ask them by another way, then: /moved NUMBER yes, or /moved NUMBER no');
    return;
  }
  if (word === 'yes') contacts.acceptMove(move);
  else contacts.rejectMove(move);
  const name = `${shownLine(move.identifier)} of ${shownLine(move.provider)}`;
  chat.say(word === 'yes' ? `${name} is who the gatekeeper says` : `${name} stays who they were`);
}

async function again(chat: Conversation, rest: string): Promise<void> {
  const { resends, contacts } = chat.client;
  const requests = resends.list();
  const [number, word] = wordsOf(rest);
  const request = numbered(requests, number);
  if (request === undefined || (word !== 'yes' && word !== 'no')) {
    if (requests.length === 0) chat.say('nobody asks for what was not sent to them');
    const messages = await chat.client.chats.messages({ limit: 500 });
    for (const [at, { interopId, deviceId, messageId }] of requests.entries()) {
      const asked = messages.find(({ message }) => message.id === messageId)?.message;
      const who = contacts.list().find(each => each.interopId === interopId)?.identifier ?? interopId;
      chat.say(
        `  ${at + 1}: device ${deviceId} of ${shownLine(who)} asks for: ${asked === undefined ? 'something' : clipped(shown(asked), 60)}`,
      );
    }
    if (requests.length > 0) chat.say('compare the safety number first, then: /again NUMBER yes, or /again NUMBER no');
    return;
  }
  if (word === 'yes') await resends.release(request);
  else resends.drop(request);
  chat.say(word === 'yes' ? 'it is sent to that device' : 'it is not sent');
}

async function report(chat: Conversation, rest: string): Promise<void> {
  const [category = '', ...words] = wordsOf(rest);
  const known = reportCategories.find(each => each === category);
  const last = chat.lastTheirs;
  if (known === undefined)
    return chat.say(`/report CATEGORY [COUNT] [TEXT]; categories: ${reportCategories.join(', ')}`);
  if (last === undefined) return chat.say('nothing of theirs yet');
  const context = wholeNumberIn(words[0], 0, 99) ?? 0;
  if (wholeNumberIn(words[0], 0, 99) !== undefined) words.shift();
  const comment = words.join(' ');
  const { contents } = await chat.client.reports.send({
    message: last,
    category: known,
    context,
    ...(comment === '' ? {} : { comment }),
  });
  const what = contents === 1 ? 'their last message' : `their last messages (${contents})`;
  chat.say(`reported: the gatekeeper's operator can read ${what}, with the proof that they wrote it, and nothing else`);
}

export const peopleCommands: readonly ChatCommand[] = [
  { name: '/to', takes: 'PROVIDER NAME', does: 'write to somebody: /to citadel.example bob', run: writeTo },
  { name: '/consent', takes: '', does: "which providers' people may reach you", run: consent },
  { name: '/optin', takes: 'PROVIDER', does: 'let the people of a provider reach you, and reach them', run: optIn },
  { name: '/optout', takes: 'PROVIDER', does: 'end that', run: optOut },
  { name: '/safety', takes: '', does: 'the safety number to compare with them', run: safety },
  { name: '/verify', takes: '', does: 'after you have compared it', run: verify },
  { name: '/requests', takes: '', does: 'people whose first messages wait for your decision', run: requests },
  { name: '/accept', takes: '', does: 'accept a key of theirs that changed, or them', run: accept },
  {
    name: '/deny',
    takes: '',
    does: 'take nothing more of theirs; they are not told',
    run: async chat => shutOut(chat, 'deny'),
  },
  { name: '/block', takes: '', does: 'the same, and send them nothing', run: async chat => shutOut(chat, 'block') },
  { name: '/unblock', takes: '', does: 'end that', run: async chat => shutOut(chat, 'unblock') },
  {
    name: '/blockprovider',
    takes: '[PROVIDER]',
    does: 'block all people of a provider; alone: which are blocked',
    run: async (chat, rest) => shutOutProvider(chat, rest, 'block'),
  },
  {
    name: '/unblockprovider',
    takes: 'PROVIDER',
    does: 'end that; what you decided about single people holds again',
    run: async (chat, rest) => shutOutProvider(chat, rest, 'unblock'),
  },
  { name: '/reject', takes: '', does: 'refuse it, and go on under the one that you compared', run: reject },
  {
    name: '/moved',
    takes: '[NUMBER yes|no]',
    does: 'names that a verified contact would lose or get: accept or refuse',
    run: moved,
  },
  {
    name: '/again',
    takes: '[NUMBER yes|no]',
    does: 'requests for earlier messages by devices or under keys that those were not sent to',
    run: again,
  },
  {
    name: '/report',
    takes: 'CATEGORY [COUNT] [TEXT]',
    does: "show the gatekeeper's operator their last message, and COUNT before it",
    run: report,
  },
];
