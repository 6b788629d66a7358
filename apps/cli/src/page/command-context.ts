// What every command of a page has at hand, and how it names people and messages. Knows nothing of what commands do.
import {
  type Client,
  ClientError,
  type KnownPerson,
  parseMessageId,
  parsePerson,
  type ShownMessageId,
  type ShownMessageName,
} from '@drawbridge/client';
import type { Intake } from './intake.ts';
import type { MediaDesk } from './media-desk.ts';
import type { CommandArguments, CommandName, CommandResult, PageEvent } from './protocol.ts';

/** The device that asks to be let in, until a person has decided. */
export type LinkingDesk = { asked: Awaited<ReturnType<Client['devices']['readLink']>> | undefined };

export type CommandContext = {
  readonly client: Client;
  /** The InteropId of the person. */
  readonly me: string;
  readonly media: MediaDesk;
  readonly intake: Intake;
  readonly linking: LinkingDesk;
  readonly emit: (event: PageEvent) => void;
};

export type Command<N extends CommandName> = (
  context: CommandContext,
  given: CommandArguments<N>,
) => Promise<CommandResult<N>>;

export function personOf(id: string): KnownPerson {
  const person = parsePerson(id);
  if (person === undefined) throw new ClientError('invalid-argument', { detail: 'chat' });
  return person;
}

/** An id that this process has shown; a text that is not one names no message. */
export function idOf(text: string): ShownMessageId {
  const id = parseMessageId(text);
  if (id === undefined) throw new ClientError('unknown-message');
  return id;
}

export const withPerson = (id: string): { readonly interopId: KnownPerson } => ({ interopId: personOf(id) });

export const nameOf = ({ author, id }: { readonly author: string; readonly id: string }): ShownMessageName => ({
  author: personOf(author),
  id: idOf(id),
});
