// Why somebody may not be reachable, and what helps: consent, where that can be the cause.
// The gatekeeper gives the same answer for unknown and unreachable people (threat model 7): this says what to look at.
import { type Client, ClientError, shownLine } from '@drawbridge/client';

/** `provider`: of the person who was meant, where it is known. */
export async function notReachable(client: Client, provider: string | undefined): Promise<string> {
  const consent = await client.account.consent().catch((error: unknown) => {
    if (error instanceof ClientError) return [];
    throw error;
  });
  const off = consent.filter(each => !each.optedIn).find(each => provider === undefined || each.name === provider);
  if (off !== undefined) {
    return `You don't exchange messages with the people of ${shownLine(off.name)} yet: /optin ${shownLine(off.name)} changes that.`;
  }
  return 'Check the name; or they have not let people of your service reach them (there, that is /optin).';
}
