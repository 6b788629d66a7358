// Answers the decisions of `urn:drawbridge:consent:1`: accept, deny, block, unblock, and the list of them. Nobody is told about a
// refusal. Knows nothing of streams. Source: docs/protocol/10 sections 10.1 and 10.2.
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { element } from '@drawbridge/wire/element';
import { type InteropId, isEverybody, providerNumberOf } from '@drawbridge/wire/jid';
import { NS_CONSENT, NS_ERRORS } from '@drawbridge/wire/namespaces';
import { personKey } from '../budgets.ts';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, emptyResult, notFound, readAttributes, readPerson, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';
import { contactKeys, providerKey } from './contact.ts';
import type { DecideArgs } from './contact-store.ts';

/** Decisions in one answer. */
export const contactsPerPage = 500;

const decisions = ['accept', 'deny', 'block', 'unblock'] as const;

export function contactIqHandlers(deps: IqDeps): IqHandlers {
  const { accounts, budgets, contacts, decided, domain, registry } = deps;

  async function list({ payload, account }: IqRequest): Promise<IqAnswer> {
    const after = readAttributes(payload, [], ['after'])?.['after'] ?? '0';
    if (readAttributes(payload, [], ['after']) === undefined || payload.children.length > 0) return badRequest;
    if (!/^(?:0|[1-9][0-9]{0,14})$/.test(after)) return badRequest;
    const page = await decided.page(account.row, Number(after), contactsPerPage);
    const next = page.length === contactsPerPage ? { next: String(page.at(-1)!.sequence) } : {};
    const rows = page.map(({ interopId, state }) =>
      element('contact', NS_CONSENT, { jid: `${interopId}@${domain}`, state }),
    );
    return { kind: 'result', payload: element('contacts', NS_CONSENT, next, rows) };
  }

  /** By address: somebody who is here and within reach, or about whom this person has decided before. */
  async function byAddress(account: Account, jid: string, verb: string): Promise<DecideArgs['about'] | undefined> {
    const interopId = readPerson(jid, domain);
    if (interopId === undefined || interopId === account.interopId) return undefined;
    if (isEverybody(interopId)) return byProvider(account, interopId, verb);
    const person = await accounts.findAfresh(interopId, account);
    const known = await decided.findKey(account.row, interopId);
    if (person !== undefined && (known !== undefined || deps.mayReach(account, person))) return person;
    if (known === undefined) return undefined;
    return { interopId, provider: known.provider, contacts: { key: known.key, sharedKey: undefined } };
  }

  /** All people of a provider, but for one's own. The provider may have gone since a block. */
  function byProvider(account: Account, interopId: InteropId, verb: string): DecideArgs['about'] | undefined {
    const provider = providerNumberOf(interopId)!;
    const isKnown = verb === 'unblock' || registry.find(provider) !== undefined;
    if (provider === account.provider || !isKnown || (verb !== 'block' && verb !== 'unblock')) return undefined;
    return { interopId, provider, contacts: { key: providerKey(provider), sharedKey: undefined } };
  }

  /** By name: also somebody who is not here yet. Nothing is looked up, so that the answer tells nothing. */
  function byName(provider: string, identifier: string): DecideArgs['about'] | undefined {
    const { number } = registry.findByName(provider) ?? {};
    if (number === undefined || !isUserIdentifier(identifier)) return undefined;
    return { interopId: undefined, provider: number, contacts: contactKeys({ provider: number, identifier }) };
  }

  async function decide({ payload, account }: IqRequest): Promise<IqAnswer> {
    const named = readAttributes(payload, ['provider', 'identifier']);
    const jid = readAttributes(payload, ['jid'])?.['jid'];
    if (payload.children.length > 0 || (named === undefined && jid === undefined)) return badRequest;
    const waitSeconds = budgets.take([{ budget: 'contactChangesPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const about =
      named === undefined
        ? await byAddress(account, jid!, payload.name)
        : byName(named['provider']!, named['identifier']!);
    if (about === undefined || about.contacts.key === account.contacts.key) return notFound;
    const decision = decisions.find(each => each === payload.name)!;
    const state = await contacts.decide(account, about, decision);
    if (state !== 'full') return emptyResult;
    const application = element('contacts-full', NS_ERRORS);
    return { kind: 'error', condition: 'resource-constraint', type: 'cancel', application };
  }

  return new Map<string, IqHandler>([
    [iqKey('get', NS_CONSENT, 'contacts'), list],
    ...decisions.map((name): [string, IqHandler] => [iqKey('set', NS_CONSENT, name), decide]),
  ]);
}
