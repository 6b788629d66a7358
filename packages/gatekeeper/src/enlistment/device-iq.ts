// Answers `urn:drawbridge:devices:1`: a device lets another join, removes it, or counts its store. Knows nothing of streams.
// Source: docs/protocol/06 section 6.4.
import { personKey } from '../budgets.ts';
import { isThumbprint } from '@drawbridge/identity/jwk';
import { parseDeviceId } from '@drawbridge/wire/jid';
import { element } from '@drawbridge/wire/element';
import { NS_DEVICES } from '@drawbridge/wire/namespaces';
import { parseStoreCount } from '@drawbridge/wire/store-count';
import type { IqDeps } from '../iq-deps.ts';
import { badRequest, emptyResult, notFound, readAttributes, waitAnswer } from '../keys/strict-payload.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';

export function deviceIqHandlers({ budgets, enlistment, people }: IqDeps): IqHandlers {
  async function authorise({ payload, account, device }: IqRequest): Promise<IqAnswer> {
    const jkt = readAttributes(payload, ['jkt'])?.['jkt'];
    if (!isThumbprint(jkt) || payload.children.length > 0) return badRequest;
    const waitSeconds = budgets.take([{ budget: 'changesPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const result = await enlistment.authorise(account, device, jkt);
    if (result === 'full') return { kind: 'error', condition: 'resource-constraint', type: 'wait' };
    return result === 'authorised' ? emptyResult : notFound;
  }

  async function remove({ payload, account, device }: IqRequest): Promise<IqAnswer> {
    const id = parseDeviceId(readAttributes(payload, ['device'])?.['device'] ?? '');
    if (id === undefined || payload.children.length > 0) return badRequest;
    // To leave, a device is removed over HTTP: the answer to this could not be delivered any more.
    if (id === device.id) return { kind: 'error', condition: 'not-allowed' };
    const waitSeconds = budgets.take([{ budget: 'changesPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    return (await enlistment.removeDevice(account, device, id)) ? emptyResult : notFound;
  }

  async function store({ payload, account, device }: IqRequest): Promise<IqAnswer> {
    const count = parseStoreCount(readAttributes(payload, ['count'])?.['count']);
    if (count === undefined || payload.children.length > 0) return badRequest;
    const key = `${personKey(account)} ${device.id}`;
    const waitSeconds = budgets.take([{ budget: 'storeCountsPerDevice', key }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const before = await people.raiseStoreCount(device.row, count);
    if (before === undefined) return notFound;
    return { kind: 'result', payload: element('store', NS_DEVICES, { before: String(before) }) };
  }

  return new Map<string, IqHandler>([
    [iqKey('set', NS_DEVICES, 'store'), store],
    [iqKey('set', NS_DEVICES, 'authorise'), authorise],
    [iqKey('set', NS_DEVICES, 'remove'), remove],
  ]);
}
