// What a chat in the terminal remembers between two lines: whom it writes to, and the last messages that commands mean.
// Knows nothing of the commands themselves.
import type { Client, Message, ShownMessageId, Outgoing, Recipient } from '@drawbridge/client';
import type { Screen } from './screen.ts';

export type Peer = { readonly provider: string; readonly identifier: string };

/** A message that could not be sent, and to whom. */
export type Failed = { readonly message: Message; readonly to: string };

export class Conversation {
  readonly client: Client;
  readonly screen: Screen;
  peer: Peer | undefined;
  /** The provider of whom the last command spoke, reachable or not. */
  meant: string | undefined;
  lastOwn: ShownMessageId | undefined;
  lastTheirs: Message | undefined;
  lastPoll: Pick<Message, 'author' | 'id'> | undefined;
  lastFiles: Message | undefined;
  /** What `/failed` has shown: numbers mean these. */
  listedFailed: readonly Failed[] | undefined;

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

  /** A person's own messages that could not be sent, newest first, and to whom. */
  async failed(): Promise<readonly Failed[]> {
    const rows = await this.client.chats.messages({ limit: 500 });
    const failed = rows.map(({ message }) => message).filter(({ state }) => state === 'failed');
    const known = this.client.contacts.list();
    const nameOf = (chat: string): string =>
      known.find(({ interopId }) => interopId === chat)?.identifier ?? 'somebody';
    return failed.map(message => ({ message, to: nameOf(message.chat) }));
  }
}
