// All named storage commands, from the domains' files. The worker runs them; `SqliteStore.run` and `.read` name them.
import { mailboxReads, mailboxWrites } from './mailbox-commands.ts';

export const writeCommands = { ...mailboxWrites };
export const readCommands = { ...mailboxReads };

export type WriteCommands = typeof writeCommands;
export type ReadCommands = typeof readCommands;
