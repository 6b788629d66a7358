// `drawbridge chat` in a real pseudo-terminal: a person hands out a link as text and as a QR code, and somebody who reaches the
// gatekeeper through a relay alone comes by it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { parseRelayConfig, placeText } from '@drawbridge/cli/relay/relay-config';
import { Relay } from '@drawbridge/cli/relay/relay-server';
import { drawbridgeIn, noTerminal, type Terminal } from '@drawbridge/cli/testing/terminal';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

let network: SdkNetwork;
let relay: Relay;
let relayPort = 0;
const terminals: Terminal[] = [];
before(async () => {
  network = await startSdkNetwork(undefined, 'across-providers');
  const upstreams = Object.values(network.ports).map(port => placeText({ host: 'localhost', port }));
  relay = new Relay(parseRelayConfig({ upstreams }, 'the test'));
  relay.server.listen(0, '127.0.0.1');
  await once(relay.server, 'listening');
  relayPort = (relay.server.address() as AddressInfo).port;
});
after(async () => {
  for (const terminal of terminals) terminal.close();
  await network.close();
  await relay.close();
});

function chat(identifier: string, provider: string, columns: number, more: string[] = []): Terminal {
  const args = ['--gatekeeper', network.gatekeeper, '--provider', provider, '--ca', network.ca, '--as', identifier];
  const folder = join(network.folder, 'terminal', identifier);
  const secrets = { DRAWBRIDGE_PASSWORD: `password of ${identifier}`, DRAWBRIDGE_PASSPHRASE: 'a long passphrase' };
  const terminal = drawbridgeIn(columns, ['chat', ...args, '--folder', folder, ...more], { ...secrets, NO_COLOR: '1' });
  terminals.push(terminal);
  return terminal;
}
const textOf = (terminal: Terminal): string => stripVTControlCharacters(terminal.screen());

test('by a link, through a relay: who requires links is found by nothing else', { skip: noTerminal }, async () => {
  const bob = chat('bob', `${network.gatekeeper}/users`, 100);
  await bob.until(/connected\. \/help/);
  bob.type('/optin skylark.example\r');
  await bob.until(/people of skylark\.example can reach you now/);
  bob.type('/linkonly on\r');
  await bob.until(/strangers of other services find you by a link of yours alone/);
  bob.type('/invite\r');
  await bob.until(/one person of any service that you let in can come by this until/);
  const [link = ''] = /drawbridge:meet\?\S+/.exec(textOf(bob))!;
  assert.match(textOf(bob), /█{20,}\s+█{4} ▄▄▄▄▄ /, 'a QR code is drawn');

  const anna = chat('anna', network.provider, 40, ['--relay', `127.0.0.1:${relayPort}`]);
  const connected = await anna.until(/connected\. \/help/);
  assert.ok(relay.counts.tunnelsOpened > 0, 'she came through the relay');
  anna.type('/to citadel.example bob\r');
  const unknown = await anna.until(/Nobody by that name can be\s+reached/, connected);
  anna.type(`/meet ${link} inperson\r`);
  const met = await anna.until(/writing to bob of citadel\.example[^]*counts\s+as\s+compared/, unknown);
  anna.type('I came by your link\r');
  await anna.until(/delivered:\s+I came by your link/, met);
  await bob.until(/anna \(skylark\.example\).*I came by your link/);
  assert.doesNotMatch(textOf(bob), /for the first time/, 'no request');
  anna.type('/invite\r');
  await anna.until(/a wider terminal shows it as a QR\s+code/, met);
  bob.type('/invites\r');
  await bob.until(/no link of yours is in force/);
  for (const terminal of [anna, bob]) {
    terminal.type('/quit\r');
    assert.equal(await terminal.ended, 0);
  }
});
