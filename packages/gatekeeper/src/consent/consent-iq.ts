// Answers `urn:drawbridge:directory:1` and `urn:drawbridge:consent:1`: who is who for those who may know, and opting in.
// Knows nothing of streams. Source: docs/protocol/06 section 6.3; threat 7 (the unknown and the unreachable look alike).
import { personKey } from '../budgets.ts';
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CONSENT, NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, emptyResult, notFound, readAttributes, readPerson, waitAnswer } from '../keys/strict-payload.ts';
import type { Provider } from '../providers/registry.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';

export function consentIqHandlers(deps: IqDeps): IqHandlers {
  const { accounts, registry, budgets, enlistment, domain } = deps;

  function visible(from: Account, to: Account | undefined): to is Account {
    return to !== undefined && deps.mayReach(from, to);
  }

  async function lookup({ payload, account }: IqRequest): Promise<IqAnswer> {
    const attributes = readAttributes(payload, ['provider', 'identifier']);
    if (attributes === undefined || payload.children.length > 0) return badRequest;
    const { provider, identifier } = attributes as { provider: string; identifier: string };
    if (!isUserIdentifier(identifier)) return badRequest;
    const waitSeconds = budgets.take(deps.lookupCharges(account));
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    // No provider has number -1: the reads are made all the same.
    const person = await accounts.findByIdentifierAfresh(
      registry.findByName(provider)?.number ?? -1,
      identifier,
      account.row,
    );
    if (!visible(account, person)) return notFound;
    return { kind: 'result', payload: element('lookup', NS_DIRECTORY, { jid: `${person.interopId}@${domain}` }) };
  }

  async function identify({ payload, account }: IqRequest): Promise<IqAnswer> {
    const attributes = readAttributes(payload, ['jid']);
    if (attributes === undefined || payload.children.length > 0) return badRequest;
    const waitSeconds = budgets.take(deps.lookupCharges(account));
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const jid = attributes['jid']!;
    const person = await accounts.findAfresh(readPerson(jid, domain) ?? '', account.row);
    const provider = visible(account, person) ? registry.find(person.provider) : undefined;
    if (person === undefined || provider === undefined) return notFound;
    return {
      kind: 'result',
      payload: element('identify', NS_DIRECTORY, {
        jid,
        provider: provider.name,
        number: String(provider.number),
        identifier: person.identifier,
      }),
    };
  }

  function consent({ payload, account }: IqRequest): IqAnswer {
    if (readAttributes(payload, []) === undefined || payload.children.length > 0) return badRequest;
    return { kind: 'result', payload: choicesOf(account) };
  }

  function choicesOf(account: Account): Element {
    // A third-party user's opt-in is the enlistment itself: there is nothing to choose here.
    const isChoice = (provider: Provider): boolean =>
      account.provider === 0 && provider.number !== 0 && registry.mayChoose(provider, account.identifier);
    const choices = registry.list().filter(isChoice);
    const list = choices.map(({ number, name }) =>
      element('provider', NS_CONSENT, {
        number: String(number),
        name,
        'opted-in': String(account.optIns.includes(number)),
      }),
    );
    return element('consent', NS_CONSENT, undefined, list);
  }

  async function choose({ payload, account }: IqRequest): Promise<IqAnswer> {
    const text = readAttributes(payload, ['provider'])?.['provider'];
    if (text === undefined || payload.children.length > 0 || !/^[1-9][0-9]{0,4}$/.test(text)) return badRequest;
    if (account.provider !== 0) return { kind: 'error', condition: 'not-allowed' };
    const optedIn = payload.name === 'opt-in';
    const provider = registry.find(Number(text));
    if (optedIn && (provider === undefined || !registry.mayChoose(provider, account.identifier))) return notFound;
    const waitSeconds = budgets.take([{ budget: 'changesPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    if (!(await enlistment.setOptIn(account, Number(text), optedIn))) return notFound;
    await tellDevices(account);
    return emptyResult;
  }

  /** Those that are connected, also the one that chose; others ask when they come. */
  async function tellDevices({ interopId }: Account): Promise<void> {
    const account = await accounts.find(interopId);
    if (account === undefined) return;
    for (const device of account.devices) deps.notifyDevice(account, device, choicesOf(account));
  }

  return new Map<string, IqHandler>([
    [iqKey('get', NS_DIRECTORY, 'lookup'), lookup],
    [iqKey('get', NS_DIRECTORY, 'identify'), identify],
    [iqKey('get', NS_CONSENT, 'consent'), consent],
    [iqKey('set', NS_CONSENT, 'opt-in'), choose],
    [iqKey('set', NS_CONSENT, 'opt-out'), choose],
  ]);
}
