// Linking: a further device of a person takes over their identity from one that is there, in three steps.
// Knows nothing of streams beyond one question on the device that is there.
// Source: docs/protocol/03-http.md (further devices), docs/protocol/09-content.md.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { createDevice, type DeviceKeys } from '@drawbridge/e2ee/device-keys';
import { createLinkRequest, openLinkTicket, readLinkRequest, sealLinkTicket } from '@drawbridge/e2ee/device-link';
import { DeviceRecordSchema } from '@drawbridge/e2ee/gen/device_pb';
import type { StoreChange } from '@drawbridge/e2ee/stores';
import type { Result } from '@drawbridge/e2ee/suite';
import { addDevice } from '../account/enlist.ts';
import type { LocalDevice } from '../account/local-device.ts';
import { signPossession } from '../account/possession.ts';
import { deviceRecord } from '../account/publication.ts';
import { ClientError } from '../errors.ts';
import { type AccountRecord, readSetting, writeSetting } from '../store/records.ts';

/** First step, on the new device (not enlisted): a code to show to a device that is there. */
export async function beginLink(device: LocalDevice): Promise<string> {
  if (device.account !== undefined) throw new ClientError('link-failed', { detail: 'this device is enlisted' });
  const { keys } = await device.newKeys();
  const request = createLinkRequest(keys.deviceKey.thumbprint, device.clock.nowMs());
  device.transaction(tx => writeSetting(tx, 'link', Buffer.from(request.secret).toString('base64')));
  return request.code;
}

/** Second step, on a device that is there: the ticket, and the key that the gatekeeper is to let in. */
export async function makeTicket(
  device: LocalDevice,
  code: string,
  person: { readonly identifier: string; readonly provider: string },
): Promise<{ readonly ticket: string; readonly jkt: string }> {
  const { account } = device.enlisted();
  const nowMs = device.clock.nowMs();
  const request = orLinkFailed(readLinkRequest(code, nowMs));
  const { identityKeyPair } = await device.keys();
  const { interopId, domain } = account;
  const ticket = orLinkFailed(sealLinkTicket(request, { identityKeyPair, interopId, domain, ...person }, nowMs));
  return { ticket, jkt: request.deviceKeyThumbprint };
}

/** Third step, on the new device: takes the person's identity from the ticket and enlists as their further device. */
export async function finishLink(device: LocalDevice, ticket: string): Promise<AccountRecord> {
  const secret = device.transaction(tx => readSetting(tx, 'link'));
  const before = await device.knownKeys();
  if (secret === undefined || before === undefined) throw new ClientError('link-failed', { detail: 'beginLink first' });
  const nowMs = device.clock.nowMs();
  const opened = orLinkFailed(openLinkTicket(Buffer.from(secret, 'base64'), ticket, nowMs));
  const { domain, endpoints, issuer, takesPossession } = await device.offer();
  if (opened.domain !== domain) throw new ClientError('link-failed', { detail: 'another gatekeeper' });
  const made = createDevice({ nowMs: device.clock.nowMs(), identityKeyPair: opened.identityKeyPair });
  if (!made.ok) throw new ClientError('link-failed', { detail: made.error.code });
  const { publication } = made.value;
  const keys: DeviceKeys = { ...made.value.keys, deviceKey: before.deviceKey };
  device.keepNewKeys(withDeviceKey(made.value.changes, before), publication);
  const proof = await device.proof('http', keys);
  const { interopId } = opened;
  const request = {
    proof,
    device: deviceRecord(keys, publication),
    ...(takesPossession ? { possession: signPossession(keys, issuer, { interopId }) } : {}),
  };
  const enlistment = await addDevice(endpoints.http, opened.interopId, request, device.trust);
  if (enlistment.interopId !== opened.interopId) throw new ClientError('link-failed', { detail: 'another person' });
  return device.admit(enlistment, publication);
}

function orLinkFailed<T>(result: Result<T, { readonly code: string }>): T {
  if (!result.ok) throw new ClientError('link-failed', { detail: result.error.code });
  return result.value;
}

/** The gatekeeper has authorised the key that made the link code: a device with a new identity keeps that key. */
function withDeviceKey(changes: readonly StoreChange[], keys: DeviceKeys): StoreChange[] {
  return changes.map(change => {
    if (change.op !== 'put' || change.table !== 'device' || change.key !== 'local') return change;
    const record = fromBinary(DeviceRecordSchema, change.value);
    record.devicePrivateKey = Uint8Array.from(keys.deviceKey.privateKey);
    return { ...change, value: toBinary(DeviceRecordSchema, record) };
  });
}
