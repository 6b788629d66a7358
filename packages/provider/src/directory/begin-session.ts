// Begins a session for somebody who was authenticated, unless their account was closed meanwhile.
// Knows nothing of passwords or HTTP.

import type { Sessions } from '../storage/provider-database.ts';
import type { UserDirectory } from './user-directory.ts';

/**
 * Undefined when the person is gone. That is asked after the session is there: a deletion that came before it doesn't see
 * it, and it would open the account of whoever takes the identifier next.
 */
export async function beginSessionOf(
  sessions: Sessions,
  directory: UserDirectory,
  identifier: string,
): Promise<string | undefined> {
  const session = await sessions.begin(identifier);
  if (await directory.exists(identifier)) return session;
  await sessions.end(session);
  return undefined;
}
