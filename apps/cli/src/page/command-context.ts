// What every command of a page has at hand, and how it names people and messages. Knows nothing of what commands do.
import { type Client, ClientError } from '@drawbridge/client';
import { isInteropId } from '@drawbridge/wire/jid';
import type { Intake } from './intake.ts';
import type { MediaDesk } from './media-desk.ts';
import type { CommandArguments, CommandName, CommandResult, PageEvent } from './protocol.ts';

export type CommandContext = {
  readonly client: Client;
  /** The InteropId of the person. */
  readonly me: string;
  readonly media: MediaDesk;
  readonly intake: Intake;
  readonly emit: (event: PageEvent) => void;
};

export type Command<N extends CommandName> = (
  context: CommandContext,
  given: CommandArguments<N>,
) => Promise<CommandResult<N>>;

type Id = Parameters<Client['contacts']['get']>[0];

export function personOf(id: string): Id {
  if (!isInteropId(id)) throw new ClientError('invalid-argument', { detail: 'chat' });
  return id;
}

export const withPerson = (id: string): { readonly interopId: Id } => ({ interopId: personOf(id) });
export const nameOf = ({
  author,
  id,
}: {
  readonly author: string;
  readonly id: string;
}): { author: Id; id: string } => ({
  author: personOf(author),
  id,
});
