// What a person has decided about others, as the gatekeeper keeps it for all their devices. Builds the requests and reads the
// answers. Knows nothing of names, keys or stores. Source: docs/protocol/10 section 10.1.
import { attribute, childElements, element } from '@drawbridge/wire/element';
import { type InteropId, isEverybody, isInteropId, parseJid } from '@drawbridge/wire/jid';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import { ClientError } from '../errors.ts';
import type { Request } from './directory.ts';

/** `request`: their first messages are bounded until this person answers or accepts. */
export const decisionStates = ['request', 'accepted', 'denied', 'blocked'] as const;
export type DecisionState = (typeof decisionStates)[number];
export type Decision = { readonly interopId: InteropId; readonly state: DecisionState };

/** Pages of a list; a gatekeeper keeps fewer. */
const maxPages = 20;

/** All of them, the latest last. Rejects with `refused` at a gatekeeper that keeps none. */
export async function fetchDecisions(request: Request): Promise<Decision[]> {
  const found: Decision[] = [];
  let after: string | undefined = '0';
  for (let page = 0; after !== undefined && page < maxPages; page++) {
    const answer = await request('get', element('contacts', NS_CONSENT, { after }));
    if (answer === undefined || answer.name !== 'contacts' || answer.ns !== NS_CONSENT) throw malformed();
    for (const el of childElements(answer)) {
      const interopId = parseJid(attribute(el, 'jid') ?? '')?.local ?? '';
      const state = decisionStates.find(each => each === attribute(el, 'state'));
      if (!isInteropId(interopId) || state === undefined || !mayBe(interopId, state)) throw malformed();
      found.push({ interopId, state });
    }
    after = attribute(answer, 'next');
  }
  return found;
}

/** All people of a provider are blocked, or nothing is said of them. */
export function mayBe(interopId: InteropId, state: DecisionState | 'none'): boolean {
  return !isEverybody(interopId) || state === 'blocked' || state === 'none';
}

export async function sendDecision(
  request: Request,
  decision: 'accept' | 'deny' | 'block' | 'unblock',
  about: { readonly jid: string } | { readonly provider: string; readonly identifier: string },
): Promise<void> {
  await request('set', element(decision, NS_CONSENT, { ...about }));
}

function malformed(): ClientError {
  return new ClientError('protocol-error', { detail: 'a list of decisions is malformed' });
}
