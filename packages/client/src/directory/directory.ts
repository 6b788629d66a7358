// What a client asks the gatekeeper by IQ: keys, people, consent, devices, media grants. Builds the requests and reads the answers.
// Knows nothing of sessions, messages or stores.
// Source: docs/protocol/06-stanzas.md sections 6.2-6.4; 11-media.md section 11.6.
import type { KeyPublication, RemoteBundle } from '@drawbridge/e2ee/suite';
import { attribute, type Child, childElement, childElements, type Element, element } from '@drawbridge/wire/element';
import type { SignedManifest } from '@drawbridge/wire/device-manifest';
import { type InteropId, isInteropId, parseDeviceId, parseJid, parseRegistrationId } from '@drawbridge/wire/jid';
import { NS_CONSENT, NS_DEVICES, NS_DIRECTORY, NS_KEYS, NS_MEDIA } from '@drawbridge/wire/namespaces';
import { parseStoreCount } from '@drawbridge/wire/store-count';
import { RequestRefused } from '../connection/requests.ts';
import { ClientError } from '../errors.ts';
import { isHttpsUrl } from '../connection/http.ts';
import { readProviderName, readUserName, type UserName } from './user-name.ts';

/** Sends an IQ to the gatekeeper's domain; see `Connection.request`. */
export type Request = (type: 'get' | 'set', payload: Element) => Promise<Element | undefined>;

/** A user-visible identity: who somebody is to people. */
export type Person = { readonly name: UserName; readonly providerNumber: number };

export type ProviderConsent = { readonly number: number; readonly name: string; readonly optedIn: boolean };

export type KeyCounts = { readonly prekeys: number; readonly kemPrekeys: number };

/** Longest base64 text of a key or signature: the KEM public key of 1,569 bytes. */
const maxKeyText = 2_096;
const maxPrekeyId = 0xff_ffff;

function malformed(): ClientError {
  return new ClientError('protocol-error', { detail: 'an answer of the directory is malformed' });
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw malformed();
  return value;
}

/** Puts keys into the directory; with `only`, one-time keys that are there besides go. */
export async function publishKeys(request: Request, publication: KeyPublication, only?: 'only'): Promise<void> {
  const key = (name: string, each: { id: number; publicKey: Uint8Array; signature?: Uint8Array }): Element => {
    const children = [element('public', NS_KEYS, undefined, [each.publicKey])];
    if (each.signature !== undefined) children.push(element('signature', NS_KEYS, undefined, [each.signature]));
    return element(name, NS_KEYS, { id: String(each.id) }, children);
  };
  const { signedPrekey, lastResortKemPrekey, prekeys, kemPrekeys } = publication;
  const children = [
    ...(signedPrekey === undefined ? [] : [key('signed-prekey', signedPrekey)]),
    ...(lastResortKemPrekey === undefined ? [] : [key('last-resort-kem-prekey', lastResortKemPrekey)]),
    ...prekeys.map(each => key('prekey', each)),
    ...kemPrekeys.map(each => key('kem-prekey', each)),
  ];
  await request('set', element('publish', NS_KEYS, only === undefined ? {} : { only: 'true' }, children));
}

/** How many one-time keys of this device the directory has left. */
export async function countKeys(request: Request): Promise<KeyCounts> {
  return need(readKeyCounts(await request('get', element('count', NS_KEYS)), 'count'));
}

/** Reads `<count/>` or the notice `<low/>`; undefined when it is neither. */
export function readKeyCounts(el: Element | undefined, name: 'count' | 'low'): KeyCounts | undefined {
  if (el === undefined || el.name !== name || el.ns !== NS_KEYS) return undefined;
  const prekeys = readNumber(attribute(el, 'prekeys'), 1_000_000);
  const kemPrekeys = readNumber(attribute(el, 'kem-prekeys'), 1_000_000);
  return prekeys === undefined || kemPrekeys === undefined ? undefined : { prekeys, kemPrekeys };
}

/** A device as the directory lists it. */
export type ListedDevice = {
  readonly id: number;
  readonly registration: number;
  /** RFC 7638; a gatekeeper of 0.1.0 gives none. */
  readonly deviceKeyThumbprint?: string;
};

export type DeviceList = {
  readonly devices: readonly ListedDevice[];
  readonly manifest: SignedManifest | undefined;
  /** False: a gatekeeper of 0.1.0, or one that says it is. */
  readonly servesManifests: boolean;
};

/**
 * A person's active devices and their manifest, as they are served; for oneself, this device too. Rejects with `not-found`
 * when they can't be reached.
 */
export async function fetchDeviceList(request: Request, bareJid: string): Promise<DeviceList> {
  let answer: Element | undefined;
  try {
    answer = await request('get', element('manifest', NS_KEYS, { jid: bareJid }));
  } catch (error) {
    if (!(error instanceof RequestRefused) || error.stanzaError.condition !== 'service-unavailable') throw error;
    const list = await request('get', element('devices', NS_KEYS, { jid: bareJid }));
    if (list === undefined || list.name !== 'devices' || list.ns !== NS_KEYS) throw malformed();
    return { devices: readDevices(childElements(list)), manifest: undefined, servesManifests: false };
  }
  if (answer === undefined || answer.name !== 'manifest' || answer.ns !== NS_KEYS) throw malformed();
  const devices = readDevices(childElements(answer).filter(child => child.name === 'device' && child.ns === NS_KEYS));
  const text = childElement(answer, 'text', NS_KEYS);
  if (text === undefined) return { devices, manifest: undefined, servesManifests: true };
  const [words, ...more] = text.children;
  if (typeof words !== 'string' || more.length > 0) throw malformed();
  const signature = readBytes(need(childElement(answer, 'signature', NS_KEYS)));
  return { devices, manifest: { text: words, signature }, servesManifests: true };
}

function readDevices(elements: readonly Element[]): ListedDevice[] {
  const devices = elements.map(el => {
    const id = need(parseDeviceId(attribute(el, 'id') ?? ''));
    const registration = need(parseRegistrationId(attribute(el, 'registration') ?? ''));
    const deviceKeyThumbprint = attribute(el, 'jkt');
    return { id, registration, ...(deviceKeyThumbprint === undefined ? {} : { deviceKeyThumbprint }) };
  });
  if (new Set(devices.map(device => device.id)).size !== devices.length) throw malformed();
  return devices;
}

/** `older-epoch`: another device was quicker, get that one first. */
export async function publishManifest(request: Request, signed: SignedManifest): Promise<'published' | 'older-epoch'> {
  const text = element('text', NS_KEYS, undefined, [signed.text]);
  const signature = element('signature', NS_KEYS, undefined, [signed.signature]);
  try {
    await request('set', element('manifest', NS_KEYS, undefined, [text, signature]));
    return 'published';
  } catch (error) {
    if (error instanceof RequestRefused && error.stanzaError.condition === 'conflict') return 'older-epoch';
    throw error;
  }
}

/** What is needed to begin a session with one device. Uses up a one-time key of it. */
export async function fetchBundle(request: Request, bareJid: string, deviceId: number): Promise<RemoteBundle> {
  const answer = await request('get', element('bundle', NS_KEYS, { jid: bareJid, device: String(deviceId) }));
  const device = answer === undefined ? undefined : childElement(answer, 'device', NS_KEYS);
  if (device === undefined || attribute(device, 'id') !== String(deviceId)) throw malformed();
  const interopId = parseJid(bareJid)?.local ?? '';
  if (!isInteropId(interopId)) throw malformed();
  const prekey = childElement(device, 'prekey', NS_KEYS);
  const oneTime = prekey === undefined ? undefined : readKey(prekey);
  return {
    address: { interopId, deviceId },
    registrationId: need(parseRegistrationId(attribute(device, 'registration') ?? '')),
    identityKey: readBytes(need(childElement(device, 'identity', NS_KEYS))),
    signedPrekey: readSignedKey(need(childElement(device, 'signed-prekey', NS_KEYS))),
    kemPrekey: readSignedKey(need(childElement(device, 'kem-prekey', NS_KEYS))),
    ...(oneTime === undefined ? {} : { prekey: oneTime }),
  };
}

/** Whom a name leads to. Rejects with `not-found` when nobody by that name can be reached. */
export async function lookUp(request: Request, name: UserName, domain: string): Promise<InteropId> {
  const { provider, identifier } = name;
  const answer = await request('get', element('lookup', NS_DIRECTORY, { provider, identifier }));
  const jid = parseJid(answer === undefined ? '' : (attribute(answer, 'jid') ?? ''));
  if (jid === undefined || jid.domain !== domain || !isInteropId(jid.local)) throw malformed();
  return jid.local;
}

/** Who an address is. Rejects with `not-found` when they can't be reached. */
export async function identify(request: Request, bareJid: string): Promise<Person> {
  const answer = await request('get', element('identify', NS_DIRECTORY, { jid: bareJid }));
  if (answer === undefined) throw malformed();
  // What no provider may give nobody is shown: a name that hides something would pass for another.
  const name = need(readUserName(attribute(answer, 'provider'), attribute(answer, 'identifier')));
  return { name, providerNumber: need(readNumber(attribute(answer, 'number'), 65_535)) };
}

/** Which providers' users one lets in. */
export async function fetchConsent(request: Request): Promise<ProviderConsent[]> {
  const answer = await request('get', element('consent', NS_CONSENT));
  return need(answer === undefined ? undefined : readConsent(answer));
}

/** A list of providers, asked for or told; undefined: it is none. */
export function readConsent(el: Element): ProviderConsent[] | undefined {
  if (el.name !== 'consent' || el.ns !== NS_CONSENT) return undefined;
  const consents: ProviderConsent[] = [];
  for (const each of childElements(el)) {
    const number = readNumber(attribute(each, 'number'), 65_535);
    const name = readProviderName(attribute(each, 'name'));
    if (number === undefined || name === undefined) return undefined;
    consents.push({ number, name, optedIn: attribute(each, 'opted-in') === 'true' });
  }
  return consents;
}

export async function setConsent(request: Request, providerNumber: number, optedIn: boolean): Promise<void> {
  await request('set', element(optedIn ? 'opt-in' : 'opt-out', NS_CONSENT, { provider: String(providerNumber) }));
}

/** Lets a device key join this enlistment, within 10 minutes and once. */
export async function authoriseDevice(request: Request, jkt: string): Promise<void> {
  await request('set', element('authorise', NS_DEVICES, { jkt }));
}

/** Tells the count of this device's store; gives the highest that was told before. */
export async function countStore(request: Request, count: number): Promise<number> {
  const answer = await request('set', element('store', NS_DEVICES, { count: String(count) }));
  const isAnswer = answer?.name === 'store' && answer.ns === NS_DEVICES;
  return need(isAnswer ? parseStoreCount(attribute(answer, 'before')) : undefined);
}

export async function removeOwnDevice(request: Request, deviceId: number): Promise<void> {
  await request('set', element('remove', NS_DEVICES, { device: String(deviceId) }));
}

/**
 * Where the gatekeeper fetches a file for this device for a while; `sizeBytes` is that of the encrypted file.
 * Section 11.6. Rejects with `not-found` when the provider can't be reached.
 */
export async function fetchMediaGrant(request: Request, url: string, sizeBytes: number): Promise<string> {
  const answer = await request('get', element('grant', NS_MEDIA, { url, size: String(sizeBytes) }));
  const href = answer?.name === 'grant' && answer.ns === NS_MEDIA ? attribute(answer, 'href') : undefined;
  if (href === undefined || !isHttpsUrl(href)) throw malformed();
  return href;
}

function readKey(el: Element): { id: number; publicKey: Uint8Array } {
  const id = need(readNumber(attribute(el, 'id'), maxPrekeyId));
  return { id, publicKey: readBytes(need(childElement(el, 'public', NS_KEYS))) };
}

function readSignedKey(el: Element): { id: number; publicKey: Uint8Array; signature: Uint8Array } {
  return { ...readKey(el), signature: readBytes(need(childElement(el, 'signature', NS_KEYS))) };
}

/** Bytes as either codec gives them: raw, or canonical base64 text. */
function readBytes(el: Element): Uint8Array {
  const child: Child | undefined = el.children.length === 1 ? el.children[0] : undefined;
  if (child instanceof Uint8Array) return child;
  if (typeof child !== 'string' || child.length > maxKeyText) throw malformed();
  const bytes = Buffer.from(child, 'base64');
  if (bytes.toString('base64') !== child) throw malformed();
  return bytes;
}

function readNumber(text: string | undefined, max: number): number | undefined {
  if (text === undefined || !/^(?:0|[1-9][0-9]{0,7})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}
