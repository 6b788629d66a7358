// Answers `urn:drawbridge:directory:1`: who is who for those who may know.
// Knows nothing of streams. Source: docs/protocol/06 section 6.3; threat 7 (the unknown and the unreachable look alike).
import { isUserIdentifier } from '@drawbridge/identity/ownership-proof';
import { element } from '@drawbridge/wire/element';
import { NS_DIRECTORY } from '@drawbridge/wire/namespaces';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, notFound, readAttributes, readPerson, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';

export function directoryIqHandlers(deps: IqDeps): IqHandlers {
  const { accounts, registry, budgets, domain } = deps;

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
      account,
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
    const person = await accounts.findAfresh(readPerson(jid, domain) ?? '', account);
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

  return new Map<string, IqHandler>([
    [iqKey('get', NS_DIRECTORY, 'lookup'), lookup],
    [iqKey('get', NS_DIRECTORY, 'identify'), identify],
  ]);
}
