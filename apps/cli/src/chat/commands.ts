// All commands of the chat, the help that lists them, and which one a typed line means.
// Knows nothing of what they do.
import { shownLine } from '@drawbridge/client';
import type { ChatCommand } from './chat-command.ts';
import type { Conversation } from './conversation.ts';
import { fileCommands } from './file-commands.ts';
import { historyCommands } from './history-commands.ts';
import { linkCommands } from './link-commands.ts';
import { ownCommands } from './own-commands.ts';
import { peopleCommands } from './people-commands.ts';
import { writingCommands } from './writing-commands.ts';

const commands: readonly ChatCommand[] = [
  ...peopleCommands,
  ...linkCommands,
  ...writingCommands,
  ...fileCommands,
  ...historyCommands,
  ...ownCommands,
  { name: '/help', takes: '', does: 'this list', run: chat => chat.say(help(), helpColumn) },
];

const byName = new Map<string, ChatCommand>(commands.map(command => [command.name, command]));

const helpColumn = 27;

function help(): string {
  const rows = [
    { left: 'TEXT', does: 'send it to whom you write to' },
    ...commands.map(({ name, takes, does }) => ({ left: `${name} ${takes}`, does })),
    { left: '/quit', does: 'goodbye' },
  ];
  return rows.map(({ left, does }) => `  ${left.padEnd(helpColumn - 3)} ${does}`).join('\n');
}

/** Does what a line says. Rejects with `ClientError`. */
export async function obey(chat: Conversation, line: string): Promise<void> {
  if (!line.startsWith('/')) {
    if (chat.peer === undefined) chat.say('to whom? for example: /to citadel.example bob');
    else await chat.send(chat.peer, { text: line });
    return;
  }
  const [name = ''] = line.split(/\s/, 1);
  const command = byName.get(name);
  if (command === undefined) chat.say(`there is no ${shownLine(name)}; /help says what there is`);
  else await command.run(chat, line.slice(name.length).trim());
}
