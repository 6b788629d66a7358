// Links this terminal to a device that its person has: shows codes, asks for the ticket, and for a yes.
// Knows nothing of what codes and tickets are.
import { type Client, shownLine } from '@drawbridge/client';
import type { Screen } from './screen.ts';

/** False: the person stopped, and nothing was changed. */
export async function linkDevice(client: Client, screen: Screen): Promise<boolean> {
  const { code, requestCode } = await client.devices.beginLink();
  screen.say('type this on the device that you have:');
  screen.sayWhole(`/link ${code}`);
  screen.say(`confirm there only when it shows ${requestCode}, then type here what it says:`);
  const ticket = await screen.nextLine();
  if (ticket === undefined || ticket === '') return false;
  const { identifier, provider, answerCode, confirm, refuse } = await client.devices.openLink(ticket);
  screen.say(`This device becomes one of ${shownLine(identifier)} (${shownLine(provider)}).`);
  screen.say(`Does the other device show ${answerCode}? Type yes, or anything else to stop.`);
  if ((await screen.nextLine()) !== 'yes') {
    refuse();
    screen.say('not linked: nothing was changed');
    return false;
  }
  await confirm();
  return true;
}
