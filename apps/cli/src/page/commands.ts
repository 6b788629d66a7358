// What each command of a page does: calls of the SDK. Arguments have been checked against their schema.
// Knows nothing of frames, tabs and screens.
import { type Client, ClientError } from '@drawbridge/client';
import { type Command, type CommandContext, idOf, nameOf, personOf, withPerson } from './command-context.ts';
import { deviceCommands } from './device-commands.ts';
import { fileCommands } from './file-commands.ts';
import type { CommandName, PlacedMessage } from './protocol.ts';
import { qrPicture } from '../qr-code.ts';
import type { SessionCommand } from './session-commands.ts';
import { chatView, messageView, noticeView, personView, type RequestView, type SafetyView } from './views.ts';

/** Those of the session are for whoever has no client yet. */
type PersonCommands = { readonly [N in Exclude<CommandName, SessionCommand>]: Command<N> };

const foundMost = 50;
/** For as long as anybody says otherwise. */
const mutedForEver = Number.MAX_SAFE_INTEGER;

function placed(
  { me }: CommandContext,
  rows: readonly Awaited<ReturnType<Client['chats']['messages']>>[number][],
): PlacedMessage[] {
  return rows.map(({ sequence, message }) => ({ sequence, message: messageView(message, me) }));
}

export const personCommands: PersonCommands = {
  ...fileCommands,
  ...deviceCommands,
  'chats.list': async ({ client, me }, options) => (await client.chats.list(options)).map(chat => chatView(chat, me)),
  'chats.messages': async (context, { chat, ...piece }) =>
    placed(context, await context.client.chats.messages({ chat: withPerson(chat), ...piece })),
  // The draft goes with what was sent: whatever dies in between, the words are in one of the two.
  'chats.send': async ({ client, me, emit }, { chat, text, replyTo }) => {
    const quoted = replyTo === undefined ? undefined : await quotedMessage(client, chat, replyTo);
    const message = await client.send(withPerson(chat), { text, ...(quoted === undefined ? {} : { replyTo: quoted }) });
    await client.chats.setDraft(withPerson(chat), '');
    emit({ kind: 'draft', chat, text: '' });
    return messageView(message, me);
  },
  'chats.sendPoll': async ({ client, me }, { chat, question, options, isOne }) => {
    const poll = { kind: 'poll', question, options, ...(isOne ? { choices: 1 } : {}) } as const;
    return messageView(await client.send(withPerson(chat), poll), me);
  },
  'chats.sendPlace': async ({ client, me }, { chat, latitude, longitude, name }) => {
    const place = { kind: 'location', latitude, longitude, ...(name === '' ? {} : { name }) } as const;
    return messageView(await client.send(withPerson(chat), place), me);
  },
  'chats.sendContact': async ({ client, me }, { chat, person }) => {
    const { interopId, identifier, provider } = await client.contacts.get(personOf(person));
    if (identifier === undefined) throw new ClientError('not-reachable');
    const displayName = provider === undefined ? identifier : `${identifier} (${provider})`;
    const contacts = [{ displayName, interopId }];
    return messageView(await client.send(withPerson(chat), { kind: 'contacts', contacts }), me);
  },
  'chats.closePoll': async ({ client }, { id }) => client.chats.closePoll(idOf(id)),
  'chats.edit': async ({ client }, { id, text }) => client.chats.edit(idOf(id), { text }),
  'chats.delete': async ({ client }, { id }) => client.chats.delete(idOf(id)),
  'chats.hide': async ({ client }, message) => client.chats.hide(nameOf(message)),
  'chats.react': async ({ client }, { emoji, ...message }) => client.chats.react(nameOf(message), emoji),
  'chats.vote': async ({ client }, { options, ...message }) => client.chats.vote(nameOf(message), options),
  'chats.versions': async ({ client }, message) =>
    (await client.chats.versions(nameOf(message))).map(({ text, atMs }) => ({ text: text.text, atMs })),
  'chats.resend': async ({ client, me }, { id }) => messageView(await client.chats.resend(idOf(id)), me),
  'chats.drop': async ({ client }, { id }) => client.chats.drop(idOf(id)),
  'chats.markRead': async ({ client }, { chat }) => client.chats.markRead(withPerson(chat)),
  'chats.setDraft': async ({ client, emit }, { chat, text }) => {
    await client.chats.setDraft(withPerson(chat), text);
    emit({ kind: 'draft', chat, text });
  },
  'chats.typing': async ({ client }, { chat, state }) => client.chats.typing(withPerson(chat), state),
  'chats.setTimer': async ({ client }, { chat, seconds }) => client.chats.setTimer(withPerson(chat), seconds),
  'chats.set': async ({ client }, { chat, muted, ...flags }) =>
    client.chats.set(withPerson(chat), {
      ...flags,
      ...(muted === undefined ? {} : { mutedUntilMs: muted ? mutedForEver : 0 }),
    }),
  'chats.search': async (context, { query, chat, before }) => {
    const found: Awaited<ReturnType<Client['chats']['messages']>> = [];
    const bound = before === undefined ? {} : { before };
    const within = chat === undefined ? bound : { chat: withPerson(chat), ...bound };
    for await (const row of context.client.chats.search(query, within)) {
      if (found.push(row) === foundMost) break;
    }
    return placed(context, found);
  },
  'chats.dismissMissing': async ({ client }, { chat }) => client.chats.dismissMissing(withPerson(chat)),
  'people.find': async ({ client }, { provider, identifier }) =>
    personView(await client.contacts.find(provider, identifier)),
  'people.get': async ({ client }, { chat }) => personView(await client.contacts.get(personOf(chat))),
  'people.requests': async ({ client }) => {
    const undecided = (await client.contacts.decisions()).flatMap(({ interopId, state }) =>
      state === 'accepted' ? [] : [{ interopId, state }],
    );
    return Promise.all(
      undecided.map(
        async ({ interopId, state }): Promise<RequestView> => ({
          person: personView(await client.contacts.get(interopId)),
          state,
        }),
      ),
    );
  },
  'people.decide': async ({ client, emit }, { chat, decision }) => {
    await client.contacts[decision](withPerson(chat));
    emit({ kind: 'people' });
  },
  'people.report': async ({ client }, { category, comment, context, ...message }) => {
    const words = comment.trim();
    const { contents } = await client.reports.send({
      message: nameOf(message),
      category,
      context,
      ...(words === '' ? {} : { comment: words }),
    });
    return { contents };
  },
  'people.safety': async ({ client }, { chat }) => safetyOf(client, chat),
  'people.judgeKey': async ({ client, emit }, { chat, key, judgement }) => {
    const person = withPerson(chat);
    const bytes = Buffer.from(key, 'base64');
    const { identities } = client;
    if (judgement === 'accept') await identities.accept(person, bytes);
    else if (judgement === 'reject') await identities.reject(person, bytes);
    else await identities.setVerified(person, bytes, judgement === 'verified');
    emit({ kind: 'chats', chat });
  },
  'account.consent': async ({ client }) => client.account.consent(),
  'account.setConsent': async ({ client, emit }, { provider, optedIn }) => {
    await client.account[optedIn ? 'optIn' : 'optOut'](provider);
    emit({ kind: 'people' });
  },
  'account.setName': async ({ client }, { displayName }) => client.account.setProfile({ displayName }),
  'notices.list': async ({ client }) => client.notices.list().map(noticeView),
  'notices.acknowledge': async ({ client, emit }, { sequence }) => {
    const notice = client.notices.list().find(each => each.sequence === sequence);
    if (notice !== undefined) client.notices.acknowledge(notice);
    emit({ kind: 'notices' });
  },
};

/** The message that is answered, as this device has it: a page can't say what others said. */
async function quotedMessage(
  client: Client,
  chat: string,
  name: Parameters<typeof nameOf>[0],
): Promise<Awaited<ReturnType<Client['send']>>> {
  const message = await client.chats.get(nameOf(name));
  if (message.chat !== chat) throw new ClientError('unknown-message');
  return message;
}

async function safetyOf(client: Client, chat: string): Promise<SafetyView> {
  const person = withPerson(chat);
  const { identityKey, verified, pending } = await client.identities.get(person);
  const numbers = await client.identities.safetyNumbers(person);
  // Readers of other apps expect bytes; a text that says the same is read by any camera and any keyboard.
  const qr = qrPicture(numbers.inForce.digits);
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    digits: numbers.inForce.digits,
    key: base64(identityKey),
    verified,
    ...(qr === undefined ? {} : { qr }),
    ...(pending === undefined || numbers.pending === undefined
      ? {}
      : { pending: { digits: numbers.pending.digits, key: base64(pending.identityKey) } }),
  };
}
