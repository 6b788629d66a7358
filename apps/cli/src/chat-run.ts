// A person at a terminal: what they type becomes calls of the SDK, what happens becomes lines.
// Knows nothing of the commands and of how things look: both are in chat/.
import { type Client, ClientError, openClient } from '@drawbridge/client';
import type { ChatPerson } from './chat.ts';
import { obey } from './chat/commands.ts';
import { Conversation } from './chat/conversation.ts';
import { harmless } from './chat/harmless.ts';
import { Screen } from './chat/screen.ts';
import { eventLine } from './chat/shown-event.ts';
import { shown } from './chat/shown-message.ts';
import { CommandError } from './command-error.ts';

export type ChatOptions = ChatPerson & {
  readonly password: string;
  readonly passphrase: string;
  readonly replace: boolean;
};

/** How long `/quit` waits for what is still in the outbox. */
const flushMs = 3_000;

export async function runChat(options: ChatOptions): Promise<void> {
  const { identifier, gatekeeper, provider, folder, ca, password, passphrase } = options;
  let client: Client;
  try {
    client = await openClient({
      folder,
      passphrase,
      gatekeeper,
      provider: { url: provider, identifier, password, signUp: true },
      ...(ca === undefined ? {} : { ca }),
    });
  } catch (error) {
    throw inWords(error);
  }
  const screen = new Screen();
  try {
    screen.say(`keys and history: ${folder}`);
    const me = await client.account.enlist({ replace: options.replace });
    screen.say(`you are ${identifier}, known to the gatekeeper as ${me.interopId}, device ${me.deviceId}`);
    await client.connect();
    screen.say('connected. /help says what you can type.');
    for (const { name, state } of client.files.unsent()) {
      if (state !== 'failed') screen.say(`  (goes on sending ${harmless(name)})`);
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

/** SDK errors say what to do; here they end the command with those words. */
function inWords(error: unknown): unknown {
  return error instanceof ClientError ? new CommandError(error.message, '') : error;
}

async function readLines(chat: Conversation): Promise<void> {
  for (;;) {
    const line = await chat.screen.nextLine();
    if (line === undefined || line === '/quit') break;
    if (line !== '') await obey(chat, line).catch((error: unknown) => explain(chat, error));
  }
  chat.screen.close();
}

function explain(chat: Conversation, error: unknown): void {
  if (!(error instanceof ClientError)) throw error;
  const next = error.code === 'media-unreadable' ? ' Here that is /file PATH.' : '';
  chat.say(`not done: ${error.message}${next}`);
}

async function showMessages(chat: Conversation): Promise<void> {
  for await (const message of chat.client.messages()) {
    chat.received(message);
    const { identifier, provider } = message.from;
    chat.say(`${harmless(identifier ?? 'somebody')} (${harmless(provider ?? 'unknown')}): ${shown(message)}`);
    if (chat.screen.interactive) await message.markRead();
  }
}

async function showEvents({ client, screen }: Conversation): Promise<void> {
  for await (const event of client.events()) {
    const line = eventLine(event, client.me?.interopId);
    if (line !== undefined) screen.say(line);
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
