// A person at a terminal: what they type becomes calls of the SDK, what happens becomes lines.
// Knows nothing of the commands and of how things look: both are in chat/.
import {
  type Client,
  ClientError,
  type ClientErrorCode,
  clientErrors,
  openClient,
  shownLine,
} from '@drawbridge/client';
import type { ChatPerson } from './chat.ts';
import { obey } from './chat/commands.ts';
import { Conversation } from './chat/conversation.ts';
import { linkDevice } from './chat/link-device.ts';
import { nameDoubts } from './chat/name-doubts.ts';
import { notReachable } from './chat/not-reachable.ts';
import { paint } from './chat/paint.ts';
import { Screen } from './chat/screen.ts';
import { ConnectionWords, type Remark, remarkOn } from './chat/shown-event.ts';
import { shown } from './chat/shown-message.ts';
import { CommandError } from './command-error.ts';

export type ChatOptions = ChatPerson & {
  readonly password: string;
  readonly passphrase: string;
  readonly replace: boolean;
  /** As a further device of somebody who is enlisted already. */
  readonly link: boolean;
};

/** How long `/quit` waits for what is still in the outbox. */
const flushMs = 3_000;

export async function runChat(options: ChatOptions): Promise<void> {
  const { identifier, gatekeeper, provider, folder, ca, relay, password, passphrase } = options;
  let client: Client;
  try {
    client = await openClient({
      folder,
      passphrase,
      gatekeeper,
      provider: { url: provider, identifier, password, signUp: true },
      ...(ca === undefined ? {} : { ca }),
      ...(relay === undefined ? {} : { relay }),
    });
  } catch (error) {
    if (error instanceof ClientError && error.code === 'store-failed') {
      const next = 'name a folder on a disk with --folder, or look at its owner, mode and space';
      throw new CommandError(`keys and history can't be kept in ${folder}`, next);
    }
    throw inWords(error);
  }
  const screen = new Screen();
  try {
    screen.say(`keys and history: ${folder}`);
    const isNew = client.me === undefined;
    if (options.link && isNew && !(await linkDevice(client, screen))) return;
    const me = await client.account.enlist({ replace: options.replace });
    screen.say(`you are ${identifier}, known to the gatekeeper as ${me.interopId}, device ${me.deviceId}`);
    await client.connect();
    screen.say('connected. /help says what you can type.');
    const unseen = client.notices.list().length;
    if (unseen > 0)
      screen.say(
        `  (${unseen === 1 ? 'something has' : `${unseen} things have`} happened that you should know: /notices)`,
      );
    if (options.link && isNew) await client.devices.requestHistory();
    for (const { name, state } of client.files.unsent()) {
      if (state !== 'failed' && state !== 'paused') screen.say(`  (goes on sending ${shownLine(name)})`);
    }
    const chat = new Conversation(client, screen);
    void showMessages(chat).catch(() => {});
    void showEvents(chat).catch(() => {});
    await readLines(chat);
    await flushed(client);
  } catch (error) {
    throw inWords(error);
  } finally {
    screen.close();
    await client.close();
  }
}

const nextSteps: Partial<Record<ClientErrorCode, string>> = {
  'link-failed': 'start again with --link for a new code',
  'sign-in-refused': 'check name and password',
};

/** SDK errors say what to do; here they end the command with those words. */
function inWords(error: unknown): unknown {
  if (!(error instanceof ClientError)) return error;
  if (error.code === 'identity-key-differs' || error.code === 'device-authorisation-required') {
    return new CommandError(
      'you have another device with this gatekeeper already',
      'start with --link to be a further one, or with --replace when the others are lost',
    );
  }
  return new CommandError(shownLine(error.message), nextSteps[error.code] ?? '');
}

async function readLines(chat: Conversation): Promise<void> {
  for (;;) {
    const line = await chat.screen.nextLine();
    if (line === undefined || line === '/quit') break;
    if (line !== '') await obey(chat, line).catch((error: unknown) => explain(chat, error));
  }
  chat.screen.close();
}

async function explain(chat: Conversation, error: unknown): Promise<void> {
  if (!(error instanceof ClientError)) throw error;
  chat.say(paint('warning', `not done: ${clientErrors[error.code].text}${await nextStep(chat, error)}`));
}

/** What helps against a refusal, in the words of this terminal. */
async function nextStep(chat: Conversation, { code, detail }: ClientError): Promise<string> {
  if (code === 'media-unreadable') return ' Here that is /file PATH.';
  if (code === 'not-found' || code === 'not-reachable') return ` ${await notReachable(chat.client, chat.meant)}`;
  return detail === undefined ? '' : ` (${shownLine(detail)})`;
}

async function showMessages(chat: Conversation): Promise<void> {
  for await (const message of chat.client.messages()) {
    chat.received(message);
    const { identifier, provider } = message.from;
    const name = `${shownLine(identifier ?? 'somebody')} (${shownLine(provider ?? 'unknown')})`;
    chat.say(`${paint('name', name)}: ${shown(message)}`);
    if (chat.screen.interactive) await message.markRead();
  }
}

async function showEvents({ client, screen }: Conversation): Promise<void> {
  const connection = new ConnectionWords();
  const nameOf = async (interopId: string): Promise<string> =>
    shownLine((await client.contacts.get(interopId)).identifier ?? 'somebody');
  const doubtsAbout = async (interopId: string): Promise<string> => {
    const { identifier } = await client.contacts.get(interopId);
    const others = client.contacts.list().filter(each => each.interopId !== interopId);
    return identifier === undefined
      ? ''
      : nameDoubts(
          identifier,
          others.map(each => each.identifier),
        );
  };
  for await (const event of client.events()) {
    const said: Remark | undefined =
      event.kind === 'status'
        ? connection.remarkOn(event.status)
        : await remarkOn(event, { me: client.me?.interopId, nameOf, doubtsAbout });
    if (said !== undefined) screen.say(paint(said.look, said.text));
  }
}

/** Gives what was typed last a moment to leave. What does not is sent at the next start. */
async function flushed(client: Client): Promise<void> {
  const giveUpAtMs = performance.now() + flushMs;
  while (performance.now() < giveUpAtMs) {
    const rows = await client.chats.messages({ limit: 20 });
    if (!rows.some(({ message }) => message.state === 'queued')) return;
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}
