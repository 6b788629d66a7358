// Whether a message is encrypted for exactly the devices that it must be. Pure; knows nothing of accounts and mailboxes.
// Source: docs/protocol/06-stanzas.md section 6.1.
import type { Element } from '@drawbridge/wire/element';
import { type Ciphertext, deviceListError, type EnvelopeMessage } from '@drawbridge/wire/envelope';
import type { Device } from '../enlistment/account.ts';

/** The device with this id, of the few that a person has. */
export function deviceById(devices: readonly Device[], id: number): Device | undefined {
  for (let i = 0; i < devices.length; i++) if (devices[i]!.id === id) return devices[i];
  return undefined;
}

/** The error that names missing, extra and stale devices, or undefined when the set is right. */
export function wrongDevices(
  message: EnvelopeMessage,
  devices: readonly Device[],
  except: number,
): Element | undefined {
  if (isRightSet(message, devices, except)) return undefined;
  const ciphertexts: readonly Ciphertext[] = message.ciphertexts;
  const missing: number[] = [];
  const extra: number[] = [];
  const stale: number[] = [];
  for (const device of devices) {
    const addressed = message.toDevice === undefined ? isWanted(device, except) : message.toDevice === device.id;
    if (addressed && device.id !== except && !ciphertexts.some(c => c.deviceId === device.id)) missing.push(device.id);
  }
  for (const { deviceId, registrationId } of ciphertexts) {
    const device = deviceById(devices, deviceId);
    const addressed = message.toDevice === undefined || message.toDevice === deviceId;
    if (device === undefined || deviceId === except || !addressed) extra.push(deviceId);
    else if (registrationId !== undefined && registrationId !== device.registrationId) stale.push(deviceId);
  }
  return deviceListError({ missing, extra, stale });
}

/** A device that its person's manifest does not name may be left out, or not. */
function isWanted(device: Device, except: number): boolean {
  return device.id !== except && device.listed;
}

/** Each message is asked about: without a closure. */
function isRightSet({ ciphertexts, toDevice }: EnvelopeMessage, devices: readonly Device[], except: number): boolean {
  let matched = 0;
  for (let i = 0; i < ciphertexts.length; i++) {
    const { deviceId, registrationId } = ciphertexts[i]!;
    const device = deviceById(devices, deviceId);
    if (device === undefined || deviceId === except) return false;
    if (registrationId !== undefined && registrationId !== device.registrationId) return false;
    if (toDevice !== undefined && toDevice !== deviceId) return false;
    if (device.listed || toDevice !== undefined) matched++;
  }
  if (toDevice !== undefined) return matched === 1;
  let wanted = 0;
  for (let i = 0; i < devices.length; i++) if (isWanted(devices[i]!, except)) wanted++;
  return matched === wanted;
}
