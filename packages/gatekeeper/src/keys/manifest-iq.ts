// Answers `<manifest/>` of `urn:drawbridge:keys:1`: a device publishes its person's signed device manifest, and others get it
// beside the devices that are here. Knows nothing of streams or storage.
// Source: docs/protocol/06 section 6.2, 09 section 9.12.
import { type Child, type Element, element } from '@drawbridge/wire/element';
import {
  type DeviceManifest,
  manifestLimits,
  manifestSignedBytes,
  parseManifest,
  type SignedManifest,
} from '@drawbridge/wire/device-manifest';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { personKey } from '../budgets.ts';
import type { Account } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';
import { reachablePerson } from './key-iq.ts';
import {
  badRequest,
  emptyResult,
  notFound,
  readAttributes,
  readBytes,
  readChildren,
  waitAnswer,
} from './strict-payload.ts';

export function manifestIqHandlers(deps: IqDeps): IqHandlers {
  const { budgets, domain, enlistment, notifyDevice, people, registry } = deps;

  function isOf(manifest: DeviceManifest, account: Account): boolean {
    return (
      manifest.domain === domain &&
      manifest.interopId === account.interopId &&
      manifest.provider === registry.find(account.provider)?.name
    );
  }

  async function publish({ payload, account, device, nowMs }: IqRequest): Promise<IqAnswer> {
    const signed = readSignedManifest(payload);
    const manifest = signed === undefined ? undefined : parseManifest(signed.text);
    if (signed === undefined || manifest === undefined || !isOf(manifest, account)) return badRequest;
    // A later one could not be followed by any until then.
    if (manifest.issuedAtMs > nowMs + manifestLimits.skewMs) return badRequest;
    const waitSeconds = budgets.take([{ budget: 'changesPerAccount', key: personKey(account) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const identityKey = await deps.identityKeyOf(account.row);
    if (identityKey === undefined) return notFound;
    const statement = { message: manifestSignedBytes(signed.text), signature: signed.signature };
    const checked = await deps.signatures.check(account.provider, { identityKey, signed: [statement] });
    if (checked === 'busy') return waitAnswer(1);
    if (!checked.every(Boolean)) return badRequest;
    const { epoch, devices } = manifest;
    const result = await enlistment.publishManifest(account, device, { epoch, devices, identityKey, ...signed });
    if (result === 'published') {
      const others = account.devices.filter(other => other.row !== device.row);
      for (const other of others) notifyDevice(account, other, element('manifest-changed', NS_KEYS));
      return emptyResult;
    }
    return result === 'older-epoch' ? { kind: 'error', condition: 'conflict' } : notFound;
  }

  async function fetch({ payload, account }: IqRequest): Promise<IqAnswer> {
    const jid = readAttributes(payload, ['jid'])?.['jid'];
    if (jid === undefined || payload.children.length > 0) return badRequest;
    const waitSeconds = budgets.take(deps.lookupCharges(account));
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const person = await reachablePerson(deps, account, jid);
    if (person === undefined) return notFound;
    const children: Child[] = person.devices.map(({ id, registrationId, thumbprint }) =>
      element('device', NS_KEYS, { id: String(id), registration: String(registrationId), jkt: thumbprint }),
    );
    const manifest = await people.readManifest(person.row);
    if (manifest !== undefined) {
      children.push(element('text', NS_KEYS, undefined, [manifest.text]));
      children.push(element('signature', NS_KEYS, undefined, [manifest.signature]));
    }
    return { kind: 'result', payload: element('manifest', NS_KEYS, { jid }, children) };
  }

  return new Map<string, IqHandler>([
    [iqKey('set', NS_KEYS, 'manifest'), publish],
    [iqKey('get', NS_KEYS, 'manifest'), fetch],
  ]);
}

function readSignedManifest(payload: Element): SignedManifest | undefined {
  const children = readChildren(payload);
  if (readAttributes(payload, []) === undefined || children?.length !== 2) return undefined;
  const [text, signature] = children;
  if (text?.name !== 'text' || text.attrs.length > 0 || signature?.name !== 'signature') return undefined;
  const [words, ...more] = text.children;
  if (typeof words !== 'string' || more.length > 0) return undefined;
  const bytes = readBytes(signature);
  return bytes === undefined ? undefined : { text: words, signature: bytes };
}
