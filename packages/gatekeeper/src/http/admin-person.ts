// How a person is shown by the admin API. Knows no routes.
import type { Static } from 'typebox';
import type { PersonExport as OwnUserExport } from '@drawbridge/provider/provider';
import type { PersonView, ViewedDevice } from '../admin/person-records.ts';
import type { AdminHttpDeps } from './admin-routes.ts';
import type { Devices, Exported, Person } from './admin-schemas.ts';

export type ShownPerson = Static<typeof Person>;
export type ShownDevice = Static<typeof Devices>['devices'][number];

export const isoTime = (ms: number): string => new Date(ms).toISOString();

export function showDevice({ sessions }: AdminHttpDeps, device: ViewedDevice): ShownDevice {
  const session = sessions.ofDevice(device);
  const stream = session?.connected === true ? 'connected' : 'resumable';
  return {
    deviceId: device.id,
    registrationId: device.registrationId,
    deviceKeyThumbprint: device.thumbprint,
    listed: device.listed,
    enlistedAt: isoTime(device.enlistedAtMs),
    oneTimeKeys: device.keys,
    waiting: device.waiting,
    stream: session === undefined ? 'none' : stream,
  };
}

export function showPerson(deps: AdminHttpDeps, person: PersonView): ShownPerson {
  const { interopId, provider: number, identifier, status, enlistedAtMs, suspension, optIns, devices } = person;
  const name = deps.control.registry.find(number)?.name;
  return {
    interopId,
    provider: { number, ...(name === undefined ? {} : { name }) },
    identifier,
    status,
    enlistedAt: isoTime(enlistedAtMs),
    ...(suspension === undefined ? {} : { suspension: showSuspension(suspension) }),
    optIns: [...optIns],
    devices: devices.map(device => showDevice(deps, device)),
  };
}

export function showOwnUser(kept: OwnUserExport): NonNullable<Static<typeof Exported>['ownUser']> {
  const { login, sessions, files, wakeUps, givenUpWakeUps } = kept;
  return {
    ...(login === undefined
      ? {}
      : { login: { registeredAt: isoTime(login.registeredAtMs), suspended: login.suspended } }),
    sessions: sessions.map(({ expiresAtMs }) => ({ expiresAt: isoTime(expiresAtMs) })),
    files: files.map(({ expiresAtMs, ...file }) => ({ ...file, expiresAt: isoTime(expiresAtMs) })),
    wakeUps: wakeUps.map(({ nextAtMs, ...wakeUp }) => ({ ...wakeUp, nextAt: isoTime(nextAtMs) })),
    givenUpWakeUps: givenUpWakeUps.map(({ gaveUpAtMs, ...wakeUp }) => ({ ...wakeUp, gaveUpAt: isoTime(gaveUpAtMs) })),
  };
}

function showSuspension({
  atMs,
  ...rest
}: NonNullable<PersonView['suspension']>): NonNullable<ShownPerson['suspension']> {
  return { at: isoTime(atMs), ...rest };
}
