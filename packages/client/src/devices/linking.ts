// Linking: a further device of a person takes over their identity, and whom they trust, from one that is there. Each device
// shows what the other must show too, and waits for its person.
// A ticket's keys are kept aside until the gatekeeper has admitted the device: nothing else ever uses them.
// Knows nothing of streams beyond one question on the device that is there.
// Source: docs/protocol/03-http.md (further devices), docs/protocol/09-content.md section 9.5.
import { createDevice, type DeviceKeys, withDeviceKey } from '@drawbridge/e2ee/device-keys';
import {
  answerCode,
  createLinkRequest,
  type KnownDecision,
  leftOutOfTicket,
  LINK_LIFETIME_MS,
  openLinkTicket,
  type ReadLinkRequest,
  readLinkRequest,
  sealLinkTicket,
} from '@drawbridge/e2ee/device-link';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { KeyPublication, Result } from '@drawbridge/e2ee/suite';
import type { InteropId } from '@drawbridge/wire/jid';
import { addDevice } from '../account/enlist.ts';
import type { LocalDevice } from '../account/local-device.ts';
import { signPossession } from '../account/possession.ts';
import { deviceRecord } from '../account/publication.ts';
import { ClientError } from '../errors.ts';
import { decodeJson, encodeJson } from '../store/json-bytes.ts';
import { type AccountRecord, readSetting, writeSetting } from '../store/account-records.ts';
import { inherit, inheritDecisions, type InheritedPerson, knownDecisions, knownPeople } from './inheritance.ts';
import { expectPeople, readPeopleToCome } from './people-to-come.ts';

/** Shown by the new device: `code` for the other one to read, `requestCode` for a person to compare there. */
export type BegunLink = { readonly code: string; readonly requestCode: string };

/** What the new device shows before its person confirms: the other one shows the same `answerCode`. */
export type LinkAnswer = { readonly identifier: string; readonly provider: string; readonly answerCode: string };

/** What a ticket held, until the gatekeeper has admitted the device. */
type Aside = {
  readonly openedAtMs: number;
  readonly interopId: InteropId;
  readonly signingKey: string;
  readonly keys: DeviceKeys;
  readonly changes: readonly StoreChange[];
  readonly publication: KeyPublication;
  readonly people: readonly InheritedPerson[];
  /** Of a ticket of an earlier version: absent. */
  readonly toCome?: { readonly deviceId: number; readonly count: number };
  readonly decisions?: readonly KnownDecision[];
};

/** First step, on the new device (not enlisted). */
export async function beginLink(device: LocalDevice): Promise<BegunLink> {
  if (device.account !== undefined) throw new ClientError('link-failed', { detail: 'this device is enlisted' });
  const { keys } = await device.newKeys();
  const { code, requestCode, secret } = createLinkRequest(keys.deviceKey.thumbprint, device.clock.nowMs());
  device.transaction(tx => writeSetting(tx, 'link', Buffer.from(secret).toString('base64')));
  return { code, requestCode };
}

/** Second step, on a device that is there. */
export function readLink(device: LocalDevice, code: string): ReadLinkRequest {
  return orLinkFailed(readLinkRequest(code, device.clock.nowMs()));
}

/** The ticket for a request that its person has confirmed, and the code that the new device must show for it. */
export async function prepareTicket(
  device: LocalDevice,
  request: ReadLinkRequest,
  person: { readonly identifier: string; readonly provider: string },
): Promise<{ readonly answerCode: string; readonly peopleToFollow: number; readonly seal: () => string }> {
  const { interopId, deviceId, domain, gatekeeper: issuer, signingKey = '' } = device.enlisted().account;
  const { identityKeyPair } = await device.keys();
  const words = { identityKeyPair, interopId, domain, issuer, signingKey, ...person };
  const known = () =>
    device.transaction(tx => ({
      people: knownPeople(tx),
      peopleToFollow: readPeopleToCome(tx)?.count ?? 0,
      decisions: knownDecisions(tx),
    }));
  const seal = (): string =>
    orLinkFailed(sealLinkTicket(request, { ...words, deviceId, ...known() }, device.clock.nowMs()));
  const { people, peopleToFollow } = known();
  const toFollow = peopleToFollow + leftOutOfTicket(people);
  return { answerCode: answerCode(request.bytes, words), peopleToFollow: toFollow, seal };
}

/** Third step, on the new device: reads the ticket, and keeps it aside until its person confirms. */
export async function openTicket(device: LocalDevice, ticket: string): Promise<LinkAnswer> {
  const secret = device.transaction(tx => readSetting(tx, 'link'));
  const before = await device.knownKeys();
  if (secret === undefined || before === undefined) throw new ClientError('link-failed', { detail: 'beginLink first' });
  const nowMs = device.clock.nowMs();
  const opened = orLinkFailed(openLinkTicket(Buffer.from(secret, 'base64'), ticket, nowMs));
  const { domain, issuer } = await device.offer();
  if (opened.domain !== domain || opened.issuer !== issuer)
    throw new ClientError('link-failed', { detail: 'another gatekeeper' });
  const { interopId, signingKey, people, decisions, identifier, provider, deviceId, peopleToFollow: count } = opened;
  const made = asideOf(device, opened) ?? makeDevice(opened.identityKeyPair, before, nowMs);
  const toCome = count === 0 ? {} : { toCome: { deviceId, count } };
  const aside: Aside = { ...made, openedAtMs: nowMs, interopId, signingKey, people, decisions, ...toCome };
  device.transaction(tx => writeSetting(tx, 'link-aside', encodeJson(aside).toString()));
  return { identifier, provider, answerCode: opened.answerCode };
}

/**
 * Fourth step: enlists with the keys that were kept aside. They come into force with the gatekeeper's admission, in one
 * transaction with whom the person trusts. A failure that a retry helps leaves them aside, any other wipes them.
 */
export async function confirmLink(device: LocalDevice): Promise<AccountRecord> {
  const aside = readAside(device);
  if (aside === undefined) throw new ClientError('link-failed', { detail: 'openLink first' });
  try {
    if (device.clock.nowMs() - aside.openedAtMs > LINK_LIFETIME_MS)
      throw new ClientError('link-failed', { detail: 'link-expired' });
    return await enlistAside(device, aside);
  } catch (error) {
    if (!(error instanceof ClientError && error.retry)) refuseLink(device);
    throw error;
  }
}

/** Forgets the ticket and what it was for. */
export function refuseLink(device: LocalDevice): void {
  device.transaction(tx => {
    writeSetting(tx, 'link', undefined);
    writeSetting(tx, 'link-aside', undefined);
  });
}

async function enlistAside(device: LocalDevice, aside: Aside): Promise<AccountRecord> {
  const { interopId, keys, publication, changes, people, decisions = [], signingKey, toCome } = aside;
  const { endpoints, issuer, takesPossession } = await device.offer();
  const request = {
    proof: await device.proof('http', keys),
    device: deviceRecord(keys, publication),
    ...(takesPossession ? { possession: signPossession(keys, issuer, { interopId }) } : {}),
  };
  const enlistment = await addDevice(endpoints.http, interopId, request, device.trust);
  if (enlistment.interopId !== interopId) throw new ClientError('link-failed', { detail: 'another person' });
  return device.admit(enlistment, publication, {
    pins: signingKey === '' ? {} : { signingKey },
    adopt: tx => {
      tx.apply(changes);
      inherit(tx, enlistment.domain, people);
      if (toCome !== undefined) expectPeople(tx, toCome, device.clock.nowMs());
      inheritDecisions(tx, decisions);
    },
  });
}

function readAside(device: LocalDevice): Aside | undefined {
  const text = device.transaction(tx => readSetting(tx, 'link-aside'));
  return text === undefined ? undefined : (decodeJson(Buffer.from(text)) as Aside);
}

/** What was made for this identity before: the gatekeeper may have admitted it, and its answer was lost. */
function asideOf(
  device: LocalDevice,
  opened: { readonly interopId: InteropId; readonly identityKeyPair: Uint8Array },
): Aside | undefined {
  const aside = readAside(device);
  if (aside?.interopId !== opened.interopId) return undefined;
  return Buffer.compare(aside.keys.identityKeyPair, opened.identityKeyPair) === 0 ? aside : undefined;
}

function makeDevice(
  identityKeyPair: Uint8Array,
  before: DeviceKeys,
  nowMs: number,
): Pick<Aside, 'keys' | 'changes' | 'publication'> {
  const made = createDevice({ nowMs, identityKeyPair });
  if (!made.ok) throw new ClientError('link-failed', { detail: made.error.code });
  const { publication } = made.value;
  // The gatekeeper has authorised the key that made the link code: a device with a new identity keeps that key.
  return { ...withDeviceKey(made.value, before.deviceKey), publication };
}

function orLinkFailed<T>(result: Result<T, { readonly code: string }>): T {
  if (!result.ok) throw new ClientError('link-failed', { detail: result.error.code });
  return result.value;
}
