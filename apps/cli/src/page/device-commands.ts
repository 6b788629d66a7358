// Commands of a page about this person's own devices: linking and removing them, and people whom a new one is still to learn
// of. Knows nothing of codes, tickets and screens.
import { ClientError } from '@drawbridge/client';
import type { Command } from './command-context.ts';
import type { CommandName } from './protocol.ts';
import { qrPicture } from '../qr-code.ts';

type DeviceCommand = Extract<CommandName, `devices.${string}`>;

export const deviceCommands: { readonly [N in DeviceCommand]: Command<N> } = {
  'devices.list': async ({ client }) =>
    (await client.devices.list()).map(({ deviceId, enlistedAt }) => ({
      device: deviceId,
      sinceMs: new Date(enlistedAt).getTime(),
      isThis: deviceId === client.me?.deviceId,
    })),
  // Nothing leaves this device before a person has compared the codes.
  'devices.readLink': async ({ client, linking }, { code }) => {
    const link = await client.devices.readLink(code.trim());
    linking.asked = link;
    const { requestCode, identifier, provider, peopleToFollow } = link;
    return { requestCode, identifier, provider, peopleToFollow };
  },
  'devices.confirmLink': async ({ linking }, { history }) => {
    const link = linking.asked;
    if (link === undefined) throw new ClientError('link-failed');
    const ticket = await link.confirm({ history });
    linking.asked = undefined;
    const qr = qrPicture(ticket);
    return { ticket, answerCode: link.answerCode, ...(qr === undefined ? {} : { qr }) };
  },
  'devices.dropLink': async ({ linking }) => {
    linking.asked = undefined;
  },
  'devices.remove': async ({ client, emit }, { device, renewIdentity }) => {
    const { linkAgain } = await client.devices.remove(device, { renewIdentity });
    emit({ kind: 'notices' });
    return { linkAgain };
  },
  'devices.toCome': async ({ client }) => {
    const { deviceId, count } = client.devices.peopleToCome() ?? {};
    return deviceId === undefined || count === undefined ? {} : { toCome: { device: deviceId, count } };
  },
  'devices.forgoPeople': async ({ client, emit }) => {
    client.devices.forgoPeople();
    emit({ kind: 'notices' });
  },
};
