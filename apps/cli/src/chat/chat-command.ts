// What a command of the chat is: a row with its name, its help and what it does. A new command is a row in one of the
// *-commands files. Knows nothing of which there are.
import type { Conversation } from './conversation.ts';

export type ChatCommand = {
  readonly name: `/${string}`;
  /** What follows the name, as /help shows it. */
  readonly takes: string;
  readonly does: string;
  /** `rest` is what follows the name, without the space around it. */
  readonly run: (chat: Conversation, rest: string) => Promise<void> | void;
};

export function wordsOf(rest: string): string[] {
  return rest === '' ? [] : rest.split(/\s+/);
}
