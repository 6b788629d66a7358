// What a chat in the terminal remembers between two lines: whom it writes to, and the last messages that commands mean.
// Knows nothing of the commands themselves.
import type { Client, Message, Outgoing, Recipient } from '@drawbridge/client';
import type { Screen } from './screen.ts';

export type Peer = { readonly provider: string; readonly identifier: string };

export class Conversation {
  readonly client: Client;
  readonly screen: Screen;
  peer: Peer | undefined;
  /** The provider of whom the last command spoke, reachable or not. */
  meant: string | undefined;
  lastOwn: string | undefined;
  lastTheirs: Message | undefined;
  lastPoll: Pick<Message, 'author' | 'id'> | undefined;
  lastFiles: Message | undefined;

  constructor(client: Client, screen: Screen) {
    this.client = client;
    this.screen = screen;
  }

  say(line: string, hanging?: number): void {
    this.screen.say(line, hanging);
  }

  async send(to: Recipient, outgoing: Outgoing): Promise<void> {
    this.meant = typeof to === 'object' && 'provider' in to ? to.provider : undefined;
    const message = await this.client.send(to, outgoing);
    this.lastOwn = message.id;
    if (message.kind === 'poll') this.lastPoll = message;
  }

  /** What commands mean by "the last": a message of somebody has come. */
  received(message: Message): void {
    this.lastTheirs = message;
    if (message.kind === 'poll') this.lastPoll = message;
    if (message.kind === 'attachment') this.lastFiles = message;
  }

  /** Whom to write to; says so when nobody was named yet. */
  needPeer(): Peer | undefined {
    if (this.peer === undefined) this.say('with whom? for example: /to citadel.example bob');
    return this.peer;
  }

  /** A person's own messages that could not be sent, newest first. */
  async failed(): Promise<Message[]> {
    const rows = await this.client.chats.messages({ limit: 500 });
    return rows.map(({ message }) => message).filter(({ state }) => state === 'failed');
  }
}
