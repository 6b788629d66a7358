// `drawbridge chat` in a real pseudo-terminal against a real network: what a person sees of a lost connection, of somebody who
// can't be reached, of long lines, and of colours.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { after, before, test } from 'node:test';
import { drawbridgeIn, noTerminal, type Terminal } from '@drawbridge/cli/testing/terminal';
import { type SdkNetwork, startSdkNetwork } from './sdk-network.ts';

const columns = 60;
let network: SdkNetwork;
const terminals: Terminal[] = [];
before(async () => {
  network = await startSdkNetwork();
});
after(async () => {
  for (const terminal of terminals) terminal.close();
  await network.close();
});

function chat(identifier: string, provider: string, env: NodeJS.ProcessEnv = {}, more: string[] = []): Terminal {
  const args = ['--gatekeeper', network.gatekeeper, '--provider', provider, '--ca', network.ca, '--as', identifier];
  const folder = join(network.folder, 'terminal', identifier + more.join(''));
  const secrets = { DRAWBRIDGE_PASSWORD: `password of ${identifier}`, DRAWBRIDGE_PASSPHRASE: 'a long passphrase' };
  const terminal = drawbridgeIn(columns, ['chat', ...args, '--folder', folder, ...more], { ...secrets, ...env });
  terminals.push(terminal);
  return terminal;
}

test('a lost connection is told in words, what is written meanwhile arrives', { skip: noTerminal }, async () => {
  const bob = await network.open('bob', 'citadel');
  await bob.account.enlist();
  await bob.connect();
  await bob.account.optIn(1);
  const anna = chat('anna', network.provider);
  await anna.until(/connected\. \/help/);
  anna.type('/to citadel.example bob\r');
  const named = await anna.until(/writing to bob/);
  anna.type('one\r');
  await anna.until(/first contact with bob/, named);
  await anna.until(/delivered: one/, named);
  const restarted = network.restart();
  const lost = await anna.until(/connection lost: what you write is kept/, named);
  anna.type('two\r');
  await restarted;
  const again = await anna.until(/connected again/, lost);
  await anna.until(/delivered: two/, lost);
  const received: string[] = [];
  for await (const message of bob.messages()) if (received.push(message.text) === 2) break;
  assert.deepEqual(received, ['one', 'two']);
  await bob.send({ provider: 'skylark.example', identifier: 'anna' }, { text: 'word '.repeat(40).trim() });
  // oxlint-disable-next-line no-control-regex
  await anna.until(/\u001b\[36m.*bob \(citadel\.example\).*word/, again);
  await anna.until(/(?:word[\s]+){40}/, again);
  anna.type('\u0003');
  assert.equal(await anna.ended, 0);
  const screen = stripVTControlCharacters(anna.screen());
  for (const line of screen.split(/[\r\n]+/)) assert.ok(line.length <= columns, line);
  // Words, not names of events; and goodbye needs none.
  assert.doesNotMatch(screen, /identity-|waiting|\(stopped\)|\(online|resumed|undefined/);
});

test('/optin is suggested where it is the cause, and nowhere else', { skip: noTerminal }, async () => {
  const carol = chat('carol', `${network.gatekeeper}/users`, { NO_COLOR: '1' });
  await carol.until(/connected\. \/help/);
  carol.type('/to skylark.example anna\r');
  const refused = await carol.until(/Nobody by that name can be\s+reached[^]*\/optin\s+skylark\.example\s+changes/);
  carol.type('/optin skylark.example\r');
  await carol.until(/people of skylark\.example can reach you now/, refused);
  carol.type('/to skylark.example nobody\r');
  const unknown = await carol.until(/Nobody by that name can be\s+reached\.\s+Check the\s+name/, refused);
  carol.type('/to skylark.example anna\r');
  await carol.until(/writing to anna of skylark\.example/, unknown);
  carol.type('/quit\r');
  assert.equal(await carol.ended, 0);
  // NO_COLOR: nothing is coloured.
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch(carol.screen(), /\u001b\[[0-9;]*m/);
});

test('a second device is linked from the terminal, with a yes on both sides', { skip: noTerminal }, async () => {
  const there = chat('erna', network.provider);
  await there.until(/connected\. \/help/);
  const fresh = chat('erna', network.provider, {}, ['--link']);
  await fresh.until(/then type here\s+what it says/);
  const code = /\/link\s+([A-Za-z0-9_-]{80,})/.exec(stripVTControlCharacters(fresh.screen()))![1]!;
  there.type(`/link ${code}\r`);
  await there.until(/Does the new device show[^]*to\s+stop/);
  const shownThere = /(\d{3}\s\d{3}\s\d{3})/.exec(
    stripVTControlCharacters(there.screen()).replaceAll(/\s+/g, ' '),
  )![1]!;
  assert.ok(stripVTControlCharacters(fresh.screen()).replaceAll(/\s+/g, ' ').includes(shownThere));
  there.type('yes\r');
  await there.until(/confirm there only/);
  const ticket = /type this on the new device:[^]*?([A-Za-z0-9_-]{200,})/.exec(
    stripVTControlCharacters(there.screen()),
  )![1]!;
  fresh.type(`${ticket}\r`);
  await fresh.until(/This device becomes one of\s+erna/);
  fresh.type('yes\r');
  await fresh.until(/connected\. \/help/);
  await fresh.until(/device 2/);
  // A person who was not looking finds it again: in words, until it is seen, and among what is said in the chat with oneself.
  there.type('/notices\r');
  const listed = await there.until(/Devices changed: new:\s+2/);
  there.type('/notices seen\r');
  const seen = await there.until(/they are not listed again/, listed);
  there.type('/notices\r');
  await there.until(/nothing has happened that you\s+have not seen/, seen);
  there.type('/chats\r');
  await there.until(/erna \(yourself\)/, seen);
  there.type('/to skylark.example erna\r');
  there.type('/history\r');
  await there.until(/\[! Devices changed: new:\s+2/, seen);
  for (const each of [there, fresh]) {
    each.type('/quit\r');
    assert.equal(await each.ended, 0);
  }
});
