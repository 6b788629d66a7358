// Commands of a page for whoever is not signed in here yet. Knows nothing of what signing in does.
import type { CommandArguments, CommandName, CommandResult } from './protocol.ts';
import type { Session } from './session.ts';

export type SessionCommand = Extract<CommandName, `session.${string}`>;

type Run<N extends SessionCommand> = (session: Session, given: CommandArguments<N>) => Promise<CommandResult<N>>;

export const sessionCommands: { readonly [N in SessionCommand]: Run<N> } = {
  'session.signIn': async (session, account) => session.signIn(account),
  'session.beginLink': async (session, account) => session.beginLink(account),
  'session.openLink': async (session, { ticket }) => session.openLink(ticket),
  'session.confirmLink': async session => session.confirmLink(),
  'session.endLink': async session => session.endLink(),
};

export function isSessionCommand(name: CommandName): name is SessionCommand {
  return Object.hasOwn(sessionCommands, name);
}
