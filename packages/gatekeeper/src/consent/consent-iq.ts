// Answers `urn:drawbridge:consent:1` about providers: whom an own user lets in.
// Knows nothing of streams, nor of single people (`contact-iq.ts`). Source: docs/protocol/06 section 6.3.
import { personKey } from '../budgets.ts';
import { type Element, element } from '@drawbridge/wire/element';
import { NS_CONSENT } from '@drawbridge/wire/namespaces';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, emptyResult, notFound, readAttributes, waitAnswer } from '../keys/strict-payload.ts';
import type { Provider } from '../providers/registry.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';

export function consentIqHandlers(deps: IqDeps): IqHandlers {
  const { accounts, registry, budgets, enlistment } = deps;

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
    [iqKey('get', NS_CONSENT, 'consent'), consent],
    [iqKey('set', NS_CONSENT, 'opt-in'), choose],
    [iqKey('set', NS_CONSENT, 'opt-out'), choose],
  ]);
}
