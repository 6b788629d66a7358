// Whether a message is encrypted for exactly the devices that it must be. Pure; knows nothing of accounts and mailboxes.
// Source: docs/protocol/06-stanzas.md section 6.1.
import type { Element } from '@drawbridge/wire/element';
import { type Ciphertext, deviceListError, type EnvelopeMessage } from '@drawbridge/wire/envelope';
import type { Device } from '../enlistment/account.ts';

/** The error that names missing, extra and stale devices, or undefined when the set is right. */
export function wrongDevices(
  message: EnvelopeMessage,
  devices: readonly Device[],
  except: number,
): Element | undefined {
  const ciphertexts: readonly Ciphertext[] = message.ciphertexts;
  /** A device that its person's manifest does not name may be left out, or not. */
  const isWanted = (device: Device): boolean => device.id !== except && device.listed;
  let matched = 0;
  let right = true;
  for (const ciphertext of ciphertexts) {
    const device = devices.find(candidate => candidate.id === ciphertext.deviceId);
    if (device === undefined || device.id === except) right = false;
    else if (ciphertext.registrationId !== undefined && ciphertext.registrationId !== device.registrationId)
      right = false;
    else if (message.toDevice !== undefined && message.toDevice !== device.id) right = false;
    else if (device.listed || message.toDevice !== undefined) matched++;
  }
  const wanted = message.toDevice === undefined ? devices.filter(isWanted).length : 1;
  if (right && matched === wanted) return undefined;

  const missing: number[] = [];
  const extra: number[] = [];
  const stale: number[] = [];
  for (const device of devices) {
    const addressed = message.toDevice === undefined ? isWanted(device) : message.toDevice === device.id;
    if (addressed && device.id !== except && !ciphertexts.some(c => c.deviceId === device.id)) missing.push(device.id);
  }
  for (const { deviceId, registrationId } of ciphertexts) {
    const device = devices.find(candidate => candidate.id === deviceId);
    const addressed = message.toDevice === undefined || message.toDevice === deviceId;
    if (device === undefined || deviceId === except || !addressed) extra.push(deviceId);
    else if (registrationId !== undefined && registrationId !== device.registrationId) stale.push(deviceId);
  }
  return deviceListError({ missing, extra, stale });
}
