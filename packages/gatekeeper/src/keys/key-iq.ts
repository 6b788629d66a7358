// Answers `urn:drawbridge:keys:1`: publish, count, devices, bundle. Knows nothing of streams or of how keys are stored.
// Source: docs/protocol/06 section 6.2; threat 6 (one-time keys are given once, within budgets).
import { type Element, element } from '@drawbridge/wire/element';
import { parseDeviceId } from '@drawbridge/wire/jid';
import { NS_KEYS } from '@drawbridge/wire/namespaces';
import { type Charge, personKey } from '../budgets.ts';
import type { Account, Device } from '../enlistment/account.ts';
import type { IqDeps } from '../iq-deps.ts';
import { type IqAnswer, type IqHandler, type IqHandlers, iqKey, type IqRequest } from '../routing/iq.ts';
import { type KeyUpload, signedKeysOf } from './device-keys.ts';
import type { BundleRow, KeyCounts, OneTimeKeyRow, SignedKeyRow } from './key-directory.ts';
import {
  badRequest,
  emptyResult,
  notFound,
  readAttributes,
  readBytes,
  readChildren,
  readId,
  readPerson,
  waitAnswer,
} from './strict-payload.ts';

/** The person asked for, when the asker may know of them; the same work for everybody else. */
export async function reachablePerson(
  { accounts, domain, mayReach }: Pick<IqDeps, 'accounts' | 'domain' | 'mayReach'>,
  from: Account,
  jid: string,
): Promise<Account | undefined> {
  const to = await accounts.findAfresh(readPerson(jid, domain) ?? '', from);
  return to !== undefined && mayReach(from, to) ? to : undefined;
}

export function keyIqHandlers(deps: IqDeps): IqHandlers {
  const { budgets, keys: directory, limits } = deps;

  async function publish({ payload, account, device }: IqRequest): Promise<IqAnswer> {
    const upload = readUpload(payload, limits.oneTimeKeysPerCall);
    if (upload === undefined) return badRequest;
    const waitSeconds = budgets.take([{ budget: 'publishesPerDevice', key: deviceKey(account, device) }]);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const identityKey = await deps.identityKeyOf(account.row);
    const signed = signedKeysOf(upload);
    if (identityKey === undefined || signed === undefined) return badRequest;
    const checked = await deps.signatures.check(account.provider, { identityKey, signed });
    if (checked === 'busy') return waitAnswer(1);
    if (!checked.every(Boolean)) return badRequest;
    const result = await directory.publish({ device: device.row, ...upload, maxKept: limits.oneTimeKeysKept });
    if (result === 'key-conflict') return { kind: 'error', condition: 'conflict' };
    if (result === 'too-many-keys') return { kind: 'error', condition: 'resource-constraint', type: 'cancel' };
    return result === 'published' ? emptyResult : notFound;
  }

  async function count({ payload, device }: IqRequest): Promise<IqAnswer> {
    if (readAttributes(payload, []) === undefined || payload.children.length > 0) return badRequest;
    return { kind: 'result', payload: countElement('count', await directory.countOneTimeKeys(device.row)) };
  }

  async function devices({ payload, account }: IqRequest): Promise<IqAnswer> {
    const attributes = readAttributes(payload, ['jid']);
    if (attributes === undefined || payload.children.length > 0) return badRequest;
    const waitSeconds = budgets.take(deps.lookupCharges(account));
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    const jid = attributes['jid']!;
    const person = await reachablePerson(deps, account, jid);
    if (person === undefined) return notFound;
    const list = person.devices.map(({ id, registrationId }) =>
      element('device', NS_KEYS, { id: String(id), registration: String(registrationId) }),
    );
    return { kind: 'result', payload: element('devices', NS_KEYS, { jid }, list) };
  }

  async function bundle({ payload, account, device }: IqRequest): Promise<IqAnswer> {
    const attributes = readAttributes(payload, ['jid'], ['device']);
    if (attributes === undefined || payload.children.length > 0) return badRequest;
    const { jid, device: wanted } = attributes as { jid: string; device?: string };
    const id = wanted === undefined ? undefined : parseDeviceId(wanted);
    if (wanted !== undefined && id === undefined) return badRequest;
    const asked = budgets.take([{ budget: 'bundlesPerRequester', key: personKey(account) }]);
    if (asked > 0) return waitAnswer(asked);
    const person = await reachablePerson(deps, account, jid);
    // One's own device needs no session with itself; a one-time key would be lost on it.
    const targets = person?.devices.filter(each => each.row !== device.row && (id === undefined || each.id === id));
    if (person === undefined || targets === undefined || targets.length === 0) return notFound;
    const pairs = targets.map(target => pairCharge(account, person, target));
    const waitSeconds = budgets.take(pairs);
    if (waitSeconds > 0) return waitAnswer(waitSeconds);
    // Beyond what others may take of a device's one-time keys, the last-resort key is given: nobody is cut off from a
    // person because somebody else asked too often.
    const cost = deps.providerCost(account.provider);
    const spent = targets.filter(target => budgets.take(targetCharges(cost, account, person, target)) > 0);
    const bundles = await directory.takeBundles(
      targets.map(each => each.row),
      spent.map(each => each.row),
    );
    const list: Element[] = [];
    for (const keys of bundles) {
      const target = targets.find(each => each.row === keys.device)!;
      list.push(bundleElement(target, keys));
      noticeLow(deps, person, target, keys.left);
    }
    if (list.length === 0) return notFound;
    return { kind: 'result', payload: element('bundle', NS_KEYS, { jid }, list) };
  }

  return new Map<string, IqHandler>([
    [iqKey('set', NS_KEYS, 'publish'), publish],
    [iqKey('get', NS_KEYS, 'count'), count],
    [iqKey('get', NS_KEYS, 'devices'), devices],
    [iqKey('get', NS_KEYS, 'bundle'), bundle],
  ]);
}

function pairCharge(from: Account, to: Account, target: Device): Charge {
  return { budget: 'bundlesPerPair', key: `${personKey(from)} ${deviceKey(to, target)}` };
}

/** `cost`: what one question of the asker's provider counts. */
function targetCharges(cost: number, from: Account, to: Account, target: Device): Charge[] {
  const key = deviceKey(to, target);
  return [
    { budget: 'bundlesPerTargetAndProvider', key: `${from.provider} ${key}`, cost },
    { budget: 'bundlesPerTarget', key },
  ];
}

/** A device of a person, to budgets: its number is the same after it was enlisted again. */
function deviceKey(person: Account, device: Device): string {
  return `${personKey(person)} ${device.id}`;
}

function noticeLow({ limits, notifyDevice }: IqDeps, account: Account, device: Device, left: KeyCounts): void {
  if (left.prekeys >= limits.lowKeysNotice && left.kemPrekeys >= limits.lowKeysNotice) return;
  notifyDevice(account, device, countElement('low', left));
}

function countElement(name: 'count' | 'low', counts: KeyCounts): Element {
  return element(name, NS_KEYS, { prekeys: String(counts.prekeys), 'kem-prekeys': String(counts.kemPrekeys) });
}

function keyElement(name: string, key: OneTimeKeyRow): Element {
  const children = [element('public', NS_KEYS, undefined, [key.publicKey])];
  if (key.signature !== undefined) children.push(element('signature', NS_KEYS, undefined, [key.signature]));
  return element(name, NS_KEYS, { id: String(key.id) }, children);
}

function bundleElement({ id, registrationId }: Device, keys: BundleRow): Element {
  return element('device', NS_KEYS, { id: String(id), registration: String(registrationId) }, [
    element('identity', NS_KEYS, undefined, [keys.identityKey]),
    keyElement('signed-prekey', keys.signedPrekey),
    ...(keys.prekey === undefined ? [] : [keyElement('prekey', keys.prekey)]),
    keyElement('kem-prekey', keys.kemPrekey),
  ]);
}

function readKey(el: Element, signed: boolean): OneTimeKeyRow | undefined {
  const id = readId(readAttributes(el, ['id'])?.['id'] ?? '');
  const children = readChildren(el);
  if (id === undefined || children?.length !== (signed ? 2 : 1)) return undefined;
  const [first, second] = children;
  const publicKey = first?.name === 'public' ? readBytes(first) : undefined;
  if (publicKey === undefined) return undefined;
  if (second === undefined) return { id, publicKey };
  const signature = second.name === 'signature' ? readBytes(second) : undefined;
  return signature === undefined ? undefined : { id, publicKey, signature };
}

/** `<publish/>`; undefined when anything in it is not as specified. Sizes are checked by `signedKeysOf`. */
function readUpload(payload: Element, maxOfEach: number): KeyUpload | undefined {
  const children = readChildren(payload);
  const only = readAttributes(payload, [], ['only'])?.['only'] ?? 'false';
  if (readAttributes(payload, [], ['only']) === undefined || (only !== 'true' && only !== 'false')) return undefined;
  if (children === undefined || children.length === 0) return undefined;
  let signedPrekey: SignedKeyRow | undefined;
  let lastResortKemPrekey: SignedKeyRow | undefined;
  const prekeys: OneTimeKeyRow[] = [];
  const kemPrekeys: SignedKeyRow[] = [];
  for (const child of children) {
    const key = readKey(child, child.name !== 'prekey');
    if (key === undefined) return undefined;
    // `readKey` saw to it that all but `prekey` have a signature.
    const signed = key as SignedKeyRow;
    if (child.name === 'signed-prekey' && signedPrekey === undefined) signedPrekey = signed;
    else if (child.name === 'last-resort-kem-prekey' && lastResortKemPrekey === undefined) lastResortKemPrekey = signed;
    else if (child.name === 'prekey' && prekeys.length < maxOfEach) prekeys.push(key);
    else if (child.name === 'kem-prekey' && kemPrekeys.length < maxOfEach) kemPrekeys.push(signed);
    else return undefined;
  }
  return {
    ...(signedPrekey === undefined ? {} : { signedPrekey }),
    ...(lastResortKemPrekey === undefined ? {} : { lastResortKemPrekey }),
    prekeys,
    kemPrekeys,
    only: only === 'true',
  };
}
